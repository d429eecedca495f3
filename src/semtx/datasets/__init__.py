"""Example data: a generated tissue, generated cells, and public sections that are downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.datasets._cells import cells
    from semtx.datasets._dlpfc import dlpfc
    from semtx.datasets._tissue import tissue

__all__ = ["cells", "dlpfc", "tissue"]

__getattr__, __dir__ = attach(__name__, __all__)
