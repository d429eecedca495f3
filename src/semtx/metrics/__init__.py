"""Scores of clusterings: against labels, and by how they lie in space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.metrics._clustering_scores import clustering_scores
    from semtx.metrics._spatial_scores import spatial_scores

__all__ = ["clustering_scores", "spatial_scores"]

__getattr__, __dir__ = attach(__name__, __all__)
