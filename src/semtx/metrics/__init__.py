"""Scores of clusterings, against labels and by how they lie in space, and of embeddings by how batches mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.metrics._batch_scores import batch_scores
    from semtx.metrics._clustering_scores import clustering_scores
    from semtx.metrics._spatial_scores import spatial_scores

__all__ = ["batch_scores", "clustering_scores", "spatial_scores"]

__getattr__, __dir__ = attach(__name__, __all__)
