"""Devices, batches and the training loop."""

from __future__ import annotations

from semtx.train._batches import Batch, Batches
from semtx.train._checkpoint import Checkpoint, digest
from semtx.train._deterministic import deterministic
from semtx.train._fabric import make_fabric
from semtx.train._fit import TrainingRecord, fit
from semtx.train._memory import MemoryPlan, free_memory, plan_memory
from semtx.train._neighborhood import Neighborhood, neighborhood
from semtx.train._seeded import seeded
from semtx.train._shares import Share, summed_over_processes
from semtx.train._uncast import Uncast

__all__ = [
    "Batch",
    "Batches",
    "Checkpoint",
    "MemoryPlan",
    "Neighborhood",
    "Share",
    "TrainingRecord",
    "Uncast",
    "deterministic",
    "digest",
    "fit",
    "free_memory",
    "make_fabric",
    "neighborhood",
    "plan_memory",
    "seeded",
    "summed_over_processes",
]
