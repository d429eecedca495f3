"""Gene knowledge: tables, matching, texts, encoders, the store of vectors, and cell vectors. No AnnData, no torch at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.semantics._cell import score_genes, top_genes, weighted_semantics
    from semtx.semantics._genes import excluded_genes

__all__ = ["excluded_genes", "score_genes", "top_genes", "weighted_semantics"]

_FILES = {
    "excluded_genes": "_genes",
    "score_genes": "_cell",
    "top_genes": "_cell",
    "weighted_semantics": "_cell",
}

__getattr__, __dir__ = attach(__name__, __all__, **_FILES)
