"""Devices and the training loop."""

from __future__ import annotations

from semtx.train._fabric import make_fabric
from semtx.train._fit import TrainingRecord, fit

__all__ = ["TrainingRecord", "fit", "make_fabric"]
