from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from semtx.graphs._normalize import binary, normalize_adjacency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# two rings of a graph of nearest neighbours that was made symmetric
MAX_NEIGHBORS = 24


def rings(
    adjacency: sparse.csr_matrix, n_rings: int = 3, *, max_neighbors: float = MAX_NEIGHBORS
) -> list[sparse.csr_matrix]:
    """Split the neighbourhood of each observation into rings: exactly one step away, exactly two steps away, ...

    Parameters
    ----------
    adjacency
        Graph, shape (n, n); its weights are not used.
    n_rings
        Rings wanted.
    max_neighbors
        No ring is added to rings that hold so many neighbours on average, so that a dense graph has fewer and the result
        stays linear in n.

    Returns
    -------
    Row-normalised CSR matrices without a diagonal: a row holds the mean over that ring, and is empty where there is
    none.
    """
    n = adjacency.shape[0]
    step = binary(adjacency)
    found = [normalize_adjacency(step, "row", self_loops=False)]
    seen = sparse.csr_matrix(step + sparse.identity(n, dtype=np.float32, format="csr"))
    frontier = step
    while len(found) < n_rings and seen.nnz < (max_neighbors + 1) * n:
        reached = sparse.csr_matrix(frontier @ step)
        reached.data[:] = 1
        frontier = sparse.csr_matrix(reached - reached.multiply(seen))
        frontier.eliminate_zeros()
        if frontier.nnz == 0:
            break
        seen = sparse.csr_matrix(seen + frontier)
        found.append(normalize_adjacency(frontier, "row", self_loops=False))
    return found


def ring_means(graphs: Sequence[sparse.csr_matrix], x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Average features over each ring, side by side.

    An observation's own features are left out, so that what is predicted from the result was not seen. Where a ring
    is empty the ring inside it stands in; an isolated observation, which has no ring, keeps its own features.

    Parameters
    ----------
    graphs
        Result of :func:`rings`.
    x
        Features, shape (n, d).

    Returns
    -------
    Shape (n, n_rings * d), float32.
    """
    means = []
    inner = np.asarray(x, dtype=np.float32)
    for graph in graphs:
        mean = np.asarray(graph @ x, dtype=np.float32)
        empty = np.diff(graph.indptr) == 0
        mean[empty] = inner[empty]
        means.append(mean)
        inner = mean
    return np.hstack(means)


def ring_operator(graphs: Sequence[sparse.csr_matrix]) -> sparse.csr_matrix:
    """Return the matrix that takes features to their mean over all rings, shape (n, n); rows sum to 1.

    Applied to features it gives the mean of the parts of :func:`ring_means`.
    """
    n = graphs[0].shape[0]
    inner = sparse.identity(n, dtype=np.float64, format="csr")
    total = sparse.csr_matrix((n, n), dtype=np.float64)
    for graph in graphs:
        empty = np.diff(graph.indptr) == 0
        inner = sparse.csr_matrix(graph + sparse.diags(empty.astype(np.float64)) @ inner)
        total = total + inner
    return sparse.csr_matrix(total / len(graphs))
