"""Spatial and feature graphs as CSR matrices; no torch."""

from __future__ import annotations

from semtx.graphs._feature import feature_graph
from semtx.graphs._normalize import binary, normalize_adjacency
from semtx.graphs._report import graph_report
from semtx.graphs._rings import ring_means, ring_operator, rings
from semtx.graphs._spatial import is_grid, pitch, spatial_graph

__all__ = [
    "binary",
    "feature_graph",
    "graph_report",
    "is_grid",
    "normalize_adjacency",
    "pitch",
    "ring_means",
    "ring_operator",
    "rings",
    "spatial_graph",
]
