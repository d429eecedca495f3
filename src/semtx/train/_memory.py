"""What fits into memory, and what to do where not everything does."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from semtx._logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning.fabric import Fabric

# the rest of the free memory is for what an estimate leaves out, and for other programs
_SHARE = 0.8
_LEAST_ROWS = 256
# versions 2 and 1: folder, limit, usage, and which part of the usage the kernel gives back
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class MemoryPlan:
    """How to train in the memory at hand.

    Attributes
    ----------
    device
        Type of the device.
    batch_size
        Rows of a step, or ``None`` for all.
    needed, free
        Bytes that it takes by the estimate, and that are free; -1 where that is not known.
    reason
        In words.
    """

    device: str
    batch_size: int | None
    needed: int
    free: int
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as a part of a run record."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def plan_memory(
    estimate: Callable[[int, torch.device], int], n: int, batch_size: int | None, fabric: Fabric, description: str
) -> MemoryPlan:
    """Choose the full batch or the batches asked for where they fit, else smaller ones, else the CPU; and say so.

    Parameters
    ----------
    estimate
        Rows of a step, and the device, to the bytes that training takes.
    n, batch_size
        Rows of all, and of a step as asked for; ``None`` for all.
    fabric
        Where training is to run. Several processes follow the plan of the first.
    description
        Beginning of the message.
    """
    asked = n if batch_size is None else min(batch_size, n)
    plan = _fitting(estimate, n, asked, fabric.device, fabric.world_size)
    if plan is None and fabric.device.type != "cpu" and fabric.world_size == 1:
        plan = _fitting(estimate, n, asked, torch.device("cpu"), 1)
    if plan is None:
        rows = min(asked, _LEAST_ROWS)
        free = free_memory(fabric.device)
        needed = estimate(rows, fabric.device)
        reason = f"even {rows} rows in a step take {_told(needed)}, of {_told(free)} free: memory may run out"
        plan = MemoryPlan(fabric.device.type, None if rows == n else rows, needed, -1 if free is None else free, reason)
    if fabric.world_size > 1:
        plan = fabric.broadcast(plan)
    changed = plan.device != fabric.device.type or (plan.batch_size or n) != asked
    (logger.warning if changed else logger.info)("%s: %s", description, plan.reason)
    return plan


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; of the CPU, those that this container may take; ``None``: not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    found = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    elif hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for folder, limit, usage, cached in _CGROUPS:
        if Path(folder, limit).exists() and Path(folder, usage).exists():
            allowed = Path(folder, limit).read_text().strip()
            if allowed != "max":
                used = int(Path(folder, usage).read_text()) - _reclaimable(Path(folder, "memory.stat"), cached)
                found.append(max(0, int(allowed) - used))
    return min(found, default=None)


def _reclaimable(statistics: Path, name: str) -> int:
    """Return the bytes of files that were read and are kept until somebody needs the memory."""
    if not statistics.exists():
        return 0
    return int(dict(line.split() for line in statistics.read_text().splitlines()).get(name, 0))


def _fitting(
    estimate_on: Callable[[int, torch.device], int], n: int, asked: int, device: torch.device, n_processes: int
) -> MemoryPlan | None:
    def estimate(rows: int) -> int:
        return estimate_on(rows, device)

    free = free_memory(device)
    whole = "full batch" if asked == n else f"batches of {asked}"
    needed = estimate(asked)
    if free is None:
        reason = f"{whole}: {_told(needed)} needed on {device.type}, whose free memory is not known"
        return MemoryPlan(device.type, None if asked == n else asked, needed, -1, reason)
    # processes of one machine share its memory
    free //= n_processes if device.type == "cpu" else 1
    rows = asked
    while estimate(rows) > _SHARE * free:
        rows //= 2
        if rows < min(asked, _LEAST_ROWS):
            return None
    where = f"on {device.type}, of {_told(free)} free"
    if rows == asked:
        return MemoryPlan(device.type, None if asked == n else asked, needed, free, f"{whole}: {_told(needed)} {where}")
    reason = f"batches of {rows}: {_told(estimate(rows))} {where}; {whole} would take {_told(needed)}"
    return MemoryPlan(device.type, rows, estimate(rows), free, reason)


def _told(n_bytes: int | None) -> str:
    return "an unknown amount" if n_bytes is None else f"{n_bytes / 2**30:.2f} GiB"
