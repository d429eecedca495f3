"""Preprocessing: gene vectors and cell semantics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.pp._cell_semantics import cell_semantics
    from semtx.pp._gene_semantics import gene_semantics

__all__ = ["cell_semantics", "gene_semantics"]

__getattr__, __dir__ = attach(__name__, __all__)
