from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from scipy import sparse
from scipy.spatial import cKDTree

from semtx import _keys
from semtx._logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

# a regular grid has one distance to the nearest neighbour; cells in tissue spread by a third and more
_GRID_SPREAD = 0.1


def nearest_distances(coordinates: NDArray[np.floating], library: pd.Series | None = None) -> NDArray[np.float64]:
    """Return each point's distance to its nearest neighbour in its section, shape (n,); 0 for duplicates."""
    if library is None:
        return cKDTree(coordinates).query(coordinates, k=2)[0][:, 1]
    distances = np.empty(len(coordinates))
    # sections may lie on top of each other, each in coordinates of its own
    for rows in _sections(library):
        distances[rows] = nearest_distances(coordinates[rows])
    return distances


def pitch(coordinates: NDArray[np.floating], library: pd.Series | None = None) -> float:
    """Return the median distance to the nearest neighbour in the section: the unit in which radii are given."""
    distances = nearest_distances(coordinates, library)
    positive = distances[(distances > 0) & np.isfinite(distances)]
    return float(np.median(positive)) if positive.size else 1.0


def is_grid(coordinates: NDArray[np.floating], library: pd.Series | None = None) -> bool:
    """Tell spots on a regular grid (Visium, ST) from cells or beads at free positions."""
    distances = nearest_distances(coordinates, library)
    low, middle, high = np.quantile(distances, [0.05, 0.5, 0.95])
    return bool(middle > 0 and (high - low) / middle < 2 * _GRID_SPREAD)


def spatial_graph(
    coordinates: NDArray[np.floating],
    *,
    library: pd.Series | None = None,
    n_neighbors: int = 6,
    radius: float | None = None,
) -> AnnData:
    """Build a spatial graph with squidpy, block-diagonal over libraries.

    Parameters
    ----------
    coordinates
        Shape (n, 2 or 3), in any unit.
    library
        Categorical section of each observation; no edge joins two sections.
    n_neighbors
        Nearest neighbours of each observation, made symmetric.
    radius
        Instead: all observations within so many pitches (see :func:`pitch`), so that no unit is assumed.

    Returns
    -------
    AnnData without genes that holds squidpy's own ``obsp`` and ``uns`` keys.
    """
    n = len(coordinates)
    holder = AnnData(sparse.csr_matrix((n, 0), dtype=np.float32))
    holder.obsm[_keys.SPATIAL] = np.asarray(coordinates, dtype=np.float64)
    library_key = None
    if library is not None:
        library_key = "library"
        holder.obs[library_key] = library.astype("category").cat.remove_unused_categories().to_numpy()
        holder.obs[library_key] = holder.obs[library_key].astype("category")
        n_smallest = int(holder.obs[library_key].value_counts().min())
    else:
        n_smallest = n
    if n_smallest < 2:
        msg = "a section with a single observation has no spatial graph; drop it or join it with another"
        raise ValueError(msg)
    sections = [slice(None)] if library is None else _sections(library)
    if any(len(np.unique(coordinates[rows], axis=0)) < len(coordinates[rows]) for rows in sections):
        logger.warning("adata.obsm holds duplicate coordinates; observations at one place become neighbours")
    with _quiet():
        import squidpy

        if radius is None:
            squidpy.gr.spatial_neighbors_knn(holder, library_key=library_key, n_neighs=min(n_neighbors, n_smallest - 1))
        else:
            squidpy.gr.spatial_neighbors_radius(
                holder, library_key=library_key, radius=radius * pitch(coordinates, library)
            )
    for key in (_keys.SPATIAL_CONNECTIVITIES, _keys.SPATIAL_DISTANCES):
        graph = sparse.csr_matrix(holder.obsp[key])
        holder.obsp[key] = graph.maximum(graph.T).tocsr()
    return holder


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what squidpy warns of when it is imported, and what its logger prints to standard output."""
    printing = logging.getLogger("spatialdata._logging")
    printing.addFilter(_is_warning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        printing.removeFilter(_is_warning)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _sections(library: pd.Series) -> list[NDArray[np.intp]]:
    return list(library.groupby(library.to_numpy(), sort=False).indices.values())
