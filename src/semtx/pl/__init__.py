"""Plots: maps of sections, cells in the plane, certainty and agreement of clusters, loss curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.pl._agreement import agreement
    from semtx.pl._confidence import confidence
    from semtx.pl._describe import describe
    from semtx.pl._domains_report import domains_report
    from semtx.pl._embedding import embedding
    from semtx.pl._gene_semantics import gene_semantics
    from semtx.pl._history import history
    from semtx.pl._modulation import modulation
    from semtx.pl._spatial import spatial

__all__ = [
    "agreement",
    "confidence",
    "describe",
    "domains_report",
    "embedding",
    "gene_semantics",
    "history",
    "modulation",
    "spatial",
]

__getattr__, __dir__ = attach(__name__, __all__)
