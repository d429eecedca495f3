from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import semtx as st
from semtx.train import _memory, free_memory, make_fabric, plan_memory

GIB = 2**30


class Device:
    """A Fabric on a device that this machine may not have."""

    world_size = 1

    def __init__(self, kind: str) -> None:
        self.device = torch.device(kind)


def plan(monkeypatch, free: dict[str, int | None], device: str = "cpu", batch_size: int | None = None, n: int = 10_000):
    monkeypatch.setattr(_memory, "free_memory", lambda device: free[device.type])
    # a GiB, and 1 MiB for each row
    return plan_memory(lambda rows, _: GIB + rows * 2**20, n, batch_size, Device(device), "Trial")


class TestPlan:
    def test_full_batch_where_it_fits(self, monkeypatch, caplog):
        with st.settings.override(verbosity="info"):
            made = plan(monkeypatch, {"cpu": 20 * GIB})
        assert (made.device, made.batch_size) == ("cpu", None)
        assert made.needed == GIB + 10_000 * 2**20
        assert made.as_dict()["free"] == 20 * GIB
        assert "batch_size" not in made.as_dict()
        (record,) = caplog.records
        assert record.levelno == logging.INFO
        assert record.message == "Trial: full batch: 10.77 GiB on cpu, of 20.00 GiB free"

    def test_smaller_batches_where_it_does_not(self, monkeypatch, caplog):
        made = plan(monkeypatch, {"cpu": 8 * GIB})
        assert made.batch_size == 5000
        assert made.needed < 0.8 * 8 * GIB
        assert caplog.records[0].levelno == logging.WARNING
        assert "batches of 5000: 5.88 GiB on cpu, of 8.00 GiB free; full batch would take 10.77" in made.reason

    def test_the_batches_asked_for_are_the_largest(self, monkeypatch):
        assert plan(monkeypatch, {"cpu": 100 * GIB}, batch_size=700).batch_size == 700
        assert plan(monkeypatch, {"cpu": 100 * GIB}, batch_size=70_000).batch_size is None

    def test_the_cpu_where_a_gpu_is_too_small(self, monkeypatch):
        made = plan(monkeypatch, {"cuda": GIB, "cpu": 20 * GIB}, "cuda")
        assert (made.device, made.batch_size) == ("cpu", None)
        made = plan(monkeypatch, {"cuda": 6 * GIB, "cpu": 20 * GIB}, "cuda")
        assert (made.device, made.batch_size) == ("cuda", 2500)

    def test_where_nothing_fits_it_says_so(self, monkeypatch):
        made = plan(monkeypatch, {"cpu": GIB})
        assert made.batch_size == 256
        assert "memory may run out" in made.reason

    def test_a_device_that_does_not_tell(self, monkeypatch):
        made = plan(monkeypatch, {"mps": None}, "mps")
        assert (made.batch_size, made.free) == (None, -1)
        assert "not known" in made.reason


class TestFreeMemory:
    def test_of_this_machine(self):
        free = free_memory(torch.device("cpu"))
        assert free is None or 0 < free < 2**50

    def test_a_container_has_what_its_limit_leaves(self, monkeypatch, tmp_path):
        limit, usage = tmp_path / "max", tmp_path / "current"
        monkeypatch.setattr(_memory, "_CGROUPS", ((str(tmp_path), "max", "current", "inactive_file"),))
        whole = free_memory(torch.device("cpu"))
        limit.write_text("3000000\n")
        usage.write_text("1000000\n")
        assert free_memory(torch.device("cpu")) == 2_000_000
        # files that were read and are kept while nobody needs the memory
        (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 700000\n")
        assert free_memory(torch.device("cpu")) == 2_700_000
        limit.write_text("max\n")
        assert free_memory(torch.device("cpu")) == pytest.approx(whole, rel=0.2)

    def test_of_a_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5, 10))
        assert free_memory(torch.device("cuda")) == 5
        assert free_memory(torch.device("mps")) is None


class TestModels:
    """The plan and what came of it are in the run record."""

    def test_semst_in_smaller_batches(self, tissue, monkeypatch):
        config = st.models.SEMST_PRESETS["paper"].updated(
            hidden_dim=8, latent_dim=4, modulation_dim=3, decoder_hidden_dim=8, max_epochs=2
        )
        monkeypatch.setattr(_memory, "_LEAST_ROWS", 40)
        monkeypatch.setattr("semtx.models._semst.bytes_of_training", lambda rows, *_: rows)
        monkeypatch.setattr(_memory, "free_memory", lambda device: 200)
        st.tl.semst(tissue, 3, preset=config, accelerator="cpu")
        record = tissue.uns["semst"]
        assert record["memory"]["batch_size"] == 150
        assert record["memory"]["reason"].startswith("batches of 150")
        # what was asked for stays told as it was
        assert record["config"]["batch_size"] is None

    @pytest.mark.parametrize(("model", "preset"), [("semst", "default"), ("semst", "paper"), ("scllm_dsc", "default")])
    def test_out_of_memory_once(self, model, preset, tissue, monkeypatch, caplog):
        from semtx.models._scllm_dsc_training import ScLLMDSCObjective
        from semtx.models._semst_training import SemSTObjective

        objective = SemSTObjective if model == "semst" else ScLLMDSCObjective
        forward, calls = objective.forward, []

        def failing(self, *args):
            calls.append(1)
            if len(calls) == 2:
                message = "CUDA out of memory"
                raise torch.cuda.OutOfMemoryError(message)
            return forward(self, *args)

        monkeypatch.setattr(objective, "forward", failing)
        getattr(st.tl, model)(tissue, 4, preset=preset, max_epochs=3, accelerator="cpu")
        record = tissue.uns[model]
        assert "half as many rows at a time" in record["memory"]["halved"]
        assert np.isfinite(record["losses"]["total"]).all()
        assert any("memory ran out" in entry.message for entry in caplog.records)


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr(_memory, "free_memory", lambda device: 8 * GIB)
    fabric = Device("cpu")
    fabric.world_size, fabric.broadcast = 2, lambda plan: plan
    assert plan_memory(lambda rows, _: rows * 2**20, 6000, None, fabric, "Trial").batch_size == 3000
    assert plan_memory(lambda rows, _: rows * 2**20, 6000, None, make_fabric("cpu", 1), "Trial").batch_size is None
