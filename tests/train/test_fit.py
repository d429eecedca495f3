from __future__ import annotations

import gc
import weakref
from functools import partial

import numpy as np
import pytest
import torch
import tqdm.auto

import semtx as st
from semtx.train import TrainingRecord, fit, make_fabric


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.tensor([3.0, -2.0], requires_grad=True)


def run(weight: torch.Tensor, losses, weights=None, **options) -> TrainingRecord:
    optimizer = torch.optim.SGD([weight], lr=0.1)
    options = {"max_epochs": 5, "show_progress_bar": False, **options}
    return fit(losses, weights or {"square": 1.0}, optimizer, make_fabric("cpu"), **options)


def test_is_gradient_descent_on_the_weighted_sum(weight):
    def losses(epoch, batch):
        return {"square": weight.square().sum(), "sum": weight.sum()}

    record = run(weight, losses, {"square": 0.5, "sum": 2.0}, max_epochs=7)
    by_hand, totals = np.array([3.0, -2.0]), []
    for _ in range(7):
        totals.append(0.5 * (by_hand**2).sum() + 2 * by_hand.sum())
        by_hand = by_hand - 0.1 * (by_hand + 2)
    np.testing.assert_allclose(weight.detach(), by_hand, rtol=1e-6)
    np.testing.assert_allclose(record.losses["total"], totals, rtol=1e-6)
    for square, plain, total in zip(*(record.losses[name] for name in ("square", "sum", "total")), strict=True):
        assert total == pytest.approx(0.5 * square + 2 * plain, rel=1e-6)


def test_record(weight):
    seen = []
    record = run(weight, lambda epoch, batch: {"square": weight.square().sum()}, after_epoch=seen.append)
    assert seen == [0, 1, 2, 3, 4]
    assert record.stop_reason == "all 5 epochs done"
    made = record.as_dict()
    assert made["n_epochs"] == 5
    assert made["device"] == "cpu"
    assert made["training_seconds"] > 0
    assert {name: (part.dtype.str, part.shape) for name, part in made["losses"].items()} == {
        "square": ("<f4", (5,)),
        "total": ("<f4", (5,)),
    }
    assert TrainingRecord().as_dict()["n_epochs"] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_no_number_is_named(weight, value):
    def losses(epoch, batch):
        return {"square": weight.square().sum(), "odd": weight.sum() * 0 + (value if epoch == 2 else 1.0)}

    with pytest.raises(FloatingPointError, match=r"^the odd loss is not finite in epoch 2$"):
        run(weight, losses, {"square": 1.0, "odd": 1.0})
    # the broken step was not taken
    assert torch.isfinite(weight).all()


def test_all_broken_losses_are_named(weight):
    with pytest.raises(FloatingPointError, match="the a and b loss"):
        run(weight, lambda epoch, batch: dict.fromkeys("ab", weight.sum() * np.nan), {"a": 1.0, "b": 1.0})


def levels(weight: torch.Tensor, values: list[float]):
    return lambda epoch, batch: {"square": weight.sum() * 0 + values[min(epoch, len(values) - 1)]}


class TestStopReason:
    def test_a_text_after_an_epoch_ends_training(self, weight):
        record = run(
            weight,
            lambda epoch, batch: {"square": weight.square().sum()},
            after_epoch=lambda epoch: "nothing moves" if epoch == 2 else None,
        )
        assert record.stop_reason == "nothing moves"
        assert len(record.losses["total"]) == 3

    def test_in_the_last_epoch_it_is_told_too(self, weight):
        record = run(weight, levels(weight, [1.0]), max_epochs=1, after_epoch=lambda epoch: "enough")
        assert record.stop_reason == "enough"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_an_interruption_gets_through_and_frees_memory(weight, error):
    held = []

    def losses(epoch, batch):
        if epoch == 2:
            raise error
        big = torch.zeros(10, requires_grad=True)
        held.append(weakref.ref(big))
        return {"square": weight.square().sum() + big.sum()}

    with pytest.raises(error):
        run(weight, losses)
    gc.collect()
    assert weight.grad is None
    assert [ref() for ref in held] == [None, None]


class TestOutOfMemory:
    @staticmethod
    def losses_of(weight, failing: list[tuple[int, int]], error: Exception, seen: list):
        def losses(epoch, batch):
            seen.append((epoch, batch))
            if seen.count((epoch, batch)) == 1 and (epoch, batch) in failing:
                raise error
            return {"square": weight.square().sum()}

        return losses

    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            torch.cuda.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        ],
    )
    def test_the_first_halves_the_batches_and_training_goes_on(self, weight, error, caplog):
        seen: list = []
        record = run(weight, self.losses_of(weight, [(1, 0)], error, seen), max_epochs=3, halve=lambda: 2)
        assert seen == [(0, 0), (1, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
        assert len(record.losses["square"]) == 3
        assert record.stop_reason == "all 3 epochs done"
        assert record.memory["halved"].startswith("memory ran out in epoch 1")
        assert "memory ran out in epoch 1" in caplog.text

    def test_the_second_ends_it(self, weight):
        losses = self.losses_of(weight, [(0, 0), (1, 1)], MemoryError("again"), [])
        with pytest.raises(MemoryError, match="again"):
            run(weight, losses, halve=lambda: 2)

    def test_so_does_one_where_batches_cannot_be_smaller(self, weight):
        for halve in (None, lambda: 0):
            with pytest.raises(MemoryError):
                run(weight, self.losses_of(weight, [(0, 0)], MemoryError(), []), halve=halve)

    def test_other_errors_are_not_caught(self, weight):
        with pytest.raises(RuntimeError, match="shapes"):
            run(weight, self.losses_of(weight, [(0, 0)], RuntimeError("shapes"), []), halve=lambda: 2)


@pytest.mark.parametrize("shown", [True, False, None])
def test_progress_bar_with_the_loss(weight, shown, capsys, monkeypatch):
    # else it is drawn every tenth of a second
    for module in (tqdm, tqdm.auto):
        monkeypatch.setattr(module, "tqdm", partial(tqdm.std.tqdm, mininterval=0, miniters=1))
    run(weight, lambda epoch, batch: {"square": weight.square().sum()}, show_progress_bar=shown, description="Trial")
    bar = capsys.readouterr().err
    # None: not in a terminal here
    assert ("Trial" in bar) == (shown is True)
    assert ("loss=" in bar) == (shown is True)


def test_accelerators():
    assert make_fabric("cpu").device.type == "cpu"
    with st.settings.override(accelerator="cpu"):
        assert make_fabric().device.type == "cpu"
    with pytest.raises(ValueError, match="accelerator must be one of"):
        make_fabric("abacus")


@pytest.mark.parametrize("accelerator", ["cuda", "gpu", "mps"])
def test_an_accelerator_that_is_not_there(accelerator, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=f"accelerator='{accelerator}' is not available .* use accelerator='cpu'"):
        make_fabric(accelerator)
    assert make_fabric("auto").device.type == "cpu"
