"""Plots: maps of sections and loss curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.pl._history import history
    from semtx.pl._spatial import spatial

__all__ = ["history", "spatial"]

__getattr__, __dir__ = attach(__name__, __all__)
