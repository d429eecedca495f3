from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
        if len(coordinates) < 2:
            return np.full(len(coordinates), np.inf)
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
    distances = distances[np.isfinite(distances)]
    if distances.size == 0:
        return False
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
    places = np.asarray(coordinates, dtype=np.float64)
    n = len(places)
    sections = [np.arange(n)] if library is None else _sections(library)
    if any(len(np.unique(places[rows], axis=0)) < len(rows) for rows in sections):
        logger.warning("adata.obsm holds duplicate coordinates; observations at one place become neighbours")
    reach = None if radius is None else radius * pitch(places, library)
    built = [(rows, _section_graph(places[rows], n_neighbors, reach)) for rows in sections if len(rows) > 1]
    holder = AnnData(sparse.csr_matrix((n, 0), dtype=np.float32), obsm={_keys.SPATIAL: places})
    params: dict[str, Any] = {"n_neighbors": n_neighbors} if reach is None else {"radius": reach}
    entry = {"connectivities_key": _keys.SPATIAL_CONNECTIVITIES, "distances_key": _keys.SPATIAL_DISTANCES}
    holder.uns[_keys.SPATIAL_NEIGHBORS] = {**entry, "params": {**params, "coord_type": "generic"}}
    for key in entry.values():
        holder.obsp[key] = _joined([(rows, section.obsp[key]) for rows, section in built], n)
    return holder


def _section_graph(coordinates: NDArray[np.float64], n_neighbors: int, reach: float | None) -> AnnData:
    section = AnnData(sparse.csr_matrix((len(coordinates), 0), dtype=np.float32), obsm={_keys.SPATIAL: coordinates})
    with _quiet():
        import squidpy

        if reach is None:
            squidpy.gr.spatial_neighbors_knn(section, n_neighs=min(n_neighbors, len(coordinates) - 1))
        else:
            squidpy.gr.spatial_neighbors_radius(section, radius=reach)
    return section


def _joined(parts: list[tuple[NDArray[np.intp], Any]], n: int) -> sparse.csr_matrix:
    """Put the graphs of sections at their rows of one symmetric graph of all; a section of one spot has no edge."""
    blocks = [(rows, sparse.coo_matrix(graph)) for rows, graph in parts]
    empty = np.empty(0)
    values = np.concatenate([empty, *(block.data for _, block in blocks)])
    sources = np.concatenate([empty, *(rows[block.row] for rows, block in blocks)]).astype(np.intp)
    targets = np.concatenate([empty, *(rows[block.col] for rows, block in blocks)]).astype(np.intp)
    graph = sparse.csr_matrix((values, (sources, targets)), shape=(n, n))
    return graph.maximum(graph.T).tocsr()


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
