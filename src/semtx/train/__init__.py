"""Devices and the training loop."""

from __future__ import annotations

from semtx.train._checkpoint import Checkpoint, digest
from semtx.train._fabric import make_fabric
from semtx.train._fit import TrainingRecord, fit

__all__ = ["Checkpoint", "TrainingRecord", "digest", "fit", "make_fabric"]
