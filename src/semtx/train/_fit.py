from __future__ import annotations

import gc
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from semtx._logging import logger
from semtx._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightning.fabric import Fabric
    from torch import Tensor, nn

    from semtx.train._checkpoint import Checkpoint


@dataclass
class TrainingRecord:
    """What happened in training.

    Attributes
    ----------
    losses
        Name of each loss to its value in every epoch; ``"total"`` is their weighted sum.
    device, n_processes, precision
        Where it ran, how many processes shared it, and with what numbers.
    stop_reason, seconds
        Why it ended, and how long it took.
    memory
        What was planned for the memory at hand, and what came of it.
    """

    losses: dict[str, list[float]] = field(default_factory=dict)
    device: str = ""
    stop_reason: str = ""
    seconds: float = 0.0
    n_processes: int = 1
    precision: str = "32-true"
    memory: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a part of a run record."""
        losses = {name: np.asarray(values, dtype=np.float32) for name, values in self.losses.items()}
        return {
            "losses": losses,
            "device": self.device,
            "n_processes": self.n_processes,
            "precision": self.precision,
            "memory": self.memory,
            "stop_reason": self.stop_reason,
            "training_seconds": self.seconds,
            "n_epochs": len(self.losses.get("total", [])),
        }


def fit(
    losses: Callable[[int, int], Mapping[str, Tensor]],
    weights: Mapping[str, float],
    optimizer: torch.optim.Optimizer,
    fabric: Fabric,
    *,
    max_epochs: int,
    n_batches: int = 1,
    after_epoch: Callable[[int], str | None] | None = None,
    description: str = "",
    show_progress_bar: bool | None = None,
    checkpoint: Checkpoint | None = None,
    module: nn.Module | None = None,
    state: dict[str, Tensor] | None = None,
    halve: Callable[[], int] | None = None,
) -> TrainingRecord:
    """Minimise a weighted sum of losses for a fixed number of epochs.

    No label enters, and the weights of the last epoch are kept.

    Parameters
    ----------
    losses
        Epoch and batch to the losses by name, each a scalar.
    weights
        Weight of each loss.
    optimizer, fabric
        Set up already.
    max_epochs, n_batches
        Epochs at most, and updates in each.
    after_epoch
        Called after each epoch; a text that it returns is the reason to stop.
    description, show_progress_bar
        Progress bar; ``None`` shows it in a terminal and in a notebook.
    checkpoint, module, state
        Where the training is written after epochs and goes on from, its weights, and what else ``losses`` and
        ``after_epoch`` carry from one epoch to the next.
    halve
        Makes steps of half the size and returns how many there are, 0 where they cannot be smaller. Called where memory
        runs out for the first time; the epoch then starts anew. Several processes, of which only one may lack memory, end.

    Raises
    ------
    FloatingPointError
        A loss is NaN or infinite.
    MemoryError, torch.OutOfMemoryError
        Memory runs out, and smaller batches do not help or have been tried.
    """
    record = TrainingRecord(
        device=str(fabric.device),
        stop_reason=f"all {max_epochs} epochs done",
        n_processes=fabric.world_size,
        precision=fabric._precision.precision,
    )
    halve = None if fabric.world_size > 1 else halve
    started = time.perf_counter()
    first = 0
    state = {} if state is None else state
    saved = None if checkpoint is None or module is None else checkpoint.read(module, optimizer, state)
    if checkpoint is not None:
        _check_same(0 if saved is None else saved["epochs"], checkpoint, fabric)
    if saved is not None:
        record.losses, first = saved["losses"], saved["epochs"]
        logger.info("%s: goes on from a checkpoint after %d epochs", description, first)
        if saved["stop_reason"] is not None:
            record.stop_reason = saved["stop_reason"]
            return record
    bar = progress_bar(max_epochs, description, show_progress_bar if fabric.is_global_zero else False)

    def step(epoch: int, batch: int) -> dict[str, float]:
        values = losses(epoch, batch)
        total = sum((weights[name] * value for name, value in values.items()), start=torch.zeros(()))
        numbers = _numbers(values, total, epoch, fabric)
        optimizer.zero_grad()
        fabric.backward(total)
        optimizer.step()
        return numbers

    try:
        for epoch in range(first, max_epochs):
            try:
                batches = [step(epoch, batch) for batch in range(n_batches)]
            except (MemoryError, RuntimeError) as error:
                fewer = halve() if halve is not None and _is_out_of_memory(error) else 0
                if not fewer:
                    raise
                batches = []
            if not batches:
                # out of the handler, whose traceback holds on to the tensors of the step
                _free(optimizer)
                n_batches, halve = fewer, None
                told = f"memory ran out in epoch {epoch}; it goes on with half as many rows at a time"
                logger.warning("%s: %s", description, told)
                record.memory["halved"] = told
                batches = [step(epoch, batch) for batch in range(n_batches)]
            for name in batches[0]:
                mean = float(np.mean([numbers[name] for numbers in batches]))
                record.losses.setdefault(name, []).append(mean)
            reason = None if after_epoch is None else after_epoch(epoch)
            if fabric.world_size > 1:
                # machines may differ in the last digits, and must not in when they stop
                reason = fabric.broadcast(reason)
            bar.set_postfix(loss=f"{record.losses['total'][-1]:.4g}", refresh=False)
            bar.update()
            if reason is None and epoch + 1 == max_epochs:
                reason = record.stop_reason
            write = checkpoint is not None and fabric.is_global_zero
            if write and checkpoint is not None and module is not None and (reason is not None or checkpoint.due()):
                progress = {"losses": record.losses, "epochs": epoch + 1, "stop_reason": reason}
                checkpoint.write(module, optimizer, state, progress)
            if reason is not None:
                record.stop_reason = reason
                break
    except BaseException:
        # a user who presses stop gets the memory back
        _free(optimizer)
        raise
    finally:
        bar.close()
    record.seconds = time.perf_counter() - started
    logger.info(
        "%s: %d epochs in %.1f s on %s", description, len(record.losses["total"]), record.seconds, record.device
    )
    return record


def _numbers(values: Mapping[str, Tensor], total: Tensor, epoch: int, fabric: Fabric) -> dict[str, float]:
    names = [*values, "total"]
    numbers = torch.stack([value.detach().float().reshape(()).to(fabric.device) for value in (*values.values(), total)])
    if fabric.world_size > 1:
        numbers = cast("Tensor", fabric.all_reduce(numbers, reduce_op="mean"))
    made = dict(zip(names, numbers.tolist(), strict=True))
    broken = [name for name in values if not math.isfinite(made[name])]
    if broken:
        msg = f"the {' and '.join(broken)} loss is not finite in epoch {epoch}"
        raise FloatingPointError(msg)
    return made


def _check_same(epochs: int, checkpoint: Checkpoint, fabric: Fabric) -> None:
    if fabric.world_size > 1:
        mean = cast("Tensor", fabric.all_reduce(torch.tensor(float(epochs), device=fabric.device), reduce_op="mean"))
        if float(mean) != epochs:
            msg = f"processes read different checkpoints at {checkpoint.path}; give a folder that all machines share"
            raise ValueError(msg)


def _is_out_of_memory(error: BaseException) -> bool:
    # torch has no class of its own for the memory of the CPU
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _free(optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
