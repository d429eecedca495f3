"""Two processes on one machine, over gloo, end where one does."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import semtx as st
from semtx.train import Share, make_fabric

SCRIPT = Path(__file__).with_name("shared_run.py")


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*launcher, str(SCRIPT), str(tmp_path)]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    spec = importlib.util.spec_from_file_location("shared_run", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    try:
        alone = module.fitted(1)
    finally:
        torch.set_num_threads(threads)
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 0, said
    first, second = (np.load(tmp_path / f"rank{rank}.npz") for rank in (0, 1))
    assert set(first) == set(second) == set(alone)
    for name, expected in alone.items():
        # both processes hold the very same result
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        scale = max(np.nanmax(np.abs(expected)), 1e-6)
        np.testing.assert_allclose(first[name] / scale, expected / scale, atol=2e-4, err_msg=name)
    # one of them wrote the checkpoints
    written = sorted(path.relative_to(tmp_path / "checkpoints").as_posix() for path in tmp_path.rglob("*.safetensors"))
    assert written == [f"{name}/training.safetensors" for name in ("batches", "convolutions", "parts", "patches")]


class TestWithoutALauncher:
    @pytest.fixture(autouse=True)
    def _alone(self, monkeypatch):
        for name in [name for name in os.environ if name.startswith(("TORCHELASTIC", "SLURM"))]:
            monkeypatch.delenv(name)
        monkeypatch.setattr(sys, "argv", ["analysis.py"])

    def test_several_processes_are_refused_with_the_command_that_starts_them(self):
        command = re.escape("torchrun --nproc-per-node=2 analysis.py")
        with pytest.raises(RuntimeError, match=f"devices=2 .*{command}.*srun --ntasks-per-node=2 python analysis.py"):
            make_fabric("cpu", 2)

    def test_of_the_settings_too(self, tissue):
        before = tissue.copy()
        with st.settings.override(devices=3), pytest.raises(RuntimeError, match="devices=3 takes processes"):
            st.tl.semst(tissue, 3, max_epochs=1, accelerator="cpu")
        assert "semst" not in tissue.obs
        assert set(tissue.uns) == set(before.uns)

    def test_another_number_than_was_started(self, monkeypatch):
        for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(RuntimeError, match="devices=2, but the launcher has started 3 processes"):
            make_fabric("cpu", 2)


class TestShare:
    @pytest.mark.parametrize(("n", "processes"), [(10, 1), (10, 3), (3, 3), (11, 4)])
    def test_shares_cover_the_batch_and_their_weighted_means_average_to_its_mean(self, n, processes):
        x = np.random.default_rng(0).normal(size=n)
        shares = [Share(n, rank, processes) for rank in range(processes)]
        assert np.concatenate([np.arange(n)[share.rows] for share in shares]).tolist() == list(range(n))
        means = [share.weight * x[share.rows].mean() for share in shares]
        assert np.mean(means) == pytest.approx(x.mean())

    def test_fewer_rows_than_processes(self):
        with pytest.raises(ValueError, match="3 processes cannot share a batch of 2 rows"):
            Share(2, 0, 3)

    def test_one_process_has_all(self):
        x = torch.rand(4, 2)
        assert Share(4).together(x) is x
        assert Share(4).weight == 1
