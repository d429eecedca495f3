from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pandas as pd
from benchmarks.__main__ import added, finished
from benchmarks.machine import Clock, machine, versions
from benchmarks.peers import why

_PEAK = """
import subprocess, sys
held = bytearray(400 * 2**20)
child = "from benchmarks.machine import peak_gb; print(peak_gb())"
from benchmarks.machine import peak_gb
print(peak_gb())
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout)
"""


def test_what_failed_is_tried_again_and_replaced(tmp_path) -> None:
    runs = pd.DataFrame(columns=["data", "method", "seed"])
    runs = added(runs, {"data": "x", "method": "a", "seed": 0, "error": "no memory"}, tmp_path)
    assert finished(runs) == set()
    runs = added(runs, {"data": "x", "method": "a", "seed": 0, "ARI": 0.5}, tmp_path)
    assert len(runs) == 1
    assert finished(runs) == {("x", "a", 0)}


def test_stability_follows_the_seeds_that_ran(tmp_path) -> None:
    (tmp_path / "x" / "a").mkdir(parents=True)
    for seed, labels in enumerate([[0, 0, 1, 1], [1, 1, 0, 0]]):
        np.save(tmp_path / "x" / "a" / f"{seed}.npy", labels)
    runs = pd.DataFrame(columns=["data", "method", "seed"])
    runs = added(runs, {"data": "x", "method": "b", "seed": 0, "ARI": 0.1}, tmp_path)
    for seed in (0, 1):
        runs = added(runs, {"data": "x", "method": "a", "seed": seed, "ARI": 0.5}, tmp_path)
    steady = runs.set_index(["method", "seed"])["stability"]
    assert steady[("a", 0)] == steady[("a", 1)] == 1
    assert np.isnan(steady[("b", 0)])


def test_peak_memory_is_that_of_the_program_alone() -> None:
    parent, child = map(
        float, subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True).stdout.split()
    )
    assert parent > 400 / 1024 > child


def test_waiting_costs_time_and_no_work() -> None:
    clock = Clock()
    time.sleep(0.2)
    spent = clock.spent()
    assert spent["seconds"] >= 0.2 > spent["cpu_seconds"]


def test_machine_and_versions_are_told_without_the_name_of_the_host() -> None:
    import platform

    assert "GB" in machine()
    assert platform.node() not in machine()
    assert versions("numpy", "no-such-package") == f"python {platform.python_version()}, numpy {np.__version__}"


def test_a_process_that_was_killed_has_its_status_as_reason() -> None:
    assert why(subprocess.CompletedProcess([], -9, stderr="")) == "exit status -9"
    assert why(subprocess.CompletedProcess([], 1, stderr="Traceback\nValueError: no\n")) == "ValueError: no"
