"""Gene knowledge: tables, matching, texts, encoders, the store of vectors, and cell vectors. No AnnData, no torch at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.semantics._cell import score_genes, top_genes, weighted_semantics
    from semtx.semantics._genes import excluded_genes
    from semtx.semantics._match import GeneMatch, match_genes
    from semtx.semantics._organism import detect_organism
    from semtx.semantics._table import load_gene_table

__all__ = [
    "GeneMatch",
    "detect_organism",
    "excluded_genes",
    "load_gene_table",
    "match_genes",
    "score_genes",
    "top_genes",
    "weighted_semantics",
]

_FILES = {
    "GeneMatch": "_match",
    "detect_organism": "_organism",
    "excluded_genes": "_genes",
    "load_gene_table": "_table",
    "match_genes": "_match",
    "score_genes": "_cell",
    "top_genes": "_cell",
    "weighted_semantics": "_cell",
}

__getattr__, __dir__ = attach(__name__, __all__, **_FILES)
