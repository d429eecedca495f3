"""Tools: tissue domains, cell types, clustering."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.tl._cluster import cluster
    from semtx.tl._describe import describe
    from semtx.tl._gene_attribution import gene_attribution
    from semtx.tl._modulate import modulate
    from semtx.tl._query import query
    from semtx.tl._scllm_dsc import scllm_dsc
    from semtx.tl._semst import semst

__all__ = ["cluster", "describe", "gene_attribution", "modulate", "query", "scllm_dsc", "semst"]

__getattr__, __dir__ = attach(__name__, __all__)
