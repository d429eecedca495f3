from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Neighborhood(NamedTuple):
    """What two graph convolutions of some rows read: all of it, so that they compute what those of all rows do.

    Attributes
    ----------
    columns
        Observations that the inner convolution reads, ascending, shape (c,).
    inner
        Their graph to those that the outer convolution reads, shape (b, c).
    outer
        Graph of the latter to the rows, shape (n_rows, b).
    """

    columns: NDArray[np.int64]
    inner: sparse.csr_matrix
    outer: sparse.csr_matrix


def neighborhood(graph: sparse.csr_matrix, rows: NDArray[np.integer]) -> Neighborhood:
    """Return the neighbours of some rows, and the neighbours of these, with all their edges.

    Parameters
    ----------
    graph
        Normalised graph with self-loops, shape (n, n).
    rows
        Shape (n_rows,).
    """
    outer, between = _closed(graph, rows)
    inner, columns = _closed(graph, between)
    return Neighborhood(columns, inner, outer)


def _closed(graph: sparse.csr_matrix, rows: NDArray[np.integer]) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
    part = graph[rows]
    reached = np.zeros(graph.shape[1], dtype=bool)
    reached[part.indices] = True
    columns = np.flatnonzero(reached)
    place = np.cumsum(reached) - 1
    return sparse.csr_matrix((part.data, place[part.indices], part.indptr), (len(rows), len(columns))), columns
