from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra


def patches(graph: sparse.csr_matrix, number: int, random_state: int) -> np.ndarray:
    """Cut a graph into connected patches: the observations that are fewest steps from each of some drawn at random.

    Parameters
    ----------
    graph
        Spatial graph, shape (n, n); its weights are not used.
    number
        Patches wanted.
    random_state
        Seed.

    Returns
    -------
    Patch of each observation, from 0, none of them empty, shape (n,). Observations that no path joins with one of the
    drawn make up patches of their own, in the order they come in.
    """
    n = graph.shape[0]
    drawn = np.random.default_rng(random_state).choice(n, number, replace=False)
    steps = sparse.csr_matrix((np.ones(graph.nnz), graph.indices, graph.indptr), shape=graph.shape)
    _, _, nearest = dijkstra(
        steps, directed=False, indices=drawn, unweighted=True, min_only=True, return_predecessors=True
    )
    apart = np.flatnonzero(nearest < 0)
    nearest = nearest.astype(np.int64)
    nearest[apart] = n + np.arange(len(apart)) // max(1, n // number)
    return np.unique(nearest, return_inverse=True)[1].ravel()
