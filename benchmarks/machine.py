"""What a run ran on, and the memory it took. Read by the Pythons of the peers too: the standard library alone."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


class Clock:
    """Seconds since it was made: those that passed, and those of the processor, which other work does not lengthen."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def spent(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


def peak_gb() -> float:
    """Return the peak memory of this program in GB (2**30 bytes).

    ``getrusage`` would count what the parent held when it was forked, which can be more than a small program ever takes.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def machine() -> str:
    """Return processor, cores, threads allowed and memory; no name of the host."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    return f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, {memory:.0f} GB"


def versions(*packages: str) -> str:
    """Return the versions of Python and of those packages that are installed."""
    found = [f"python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
