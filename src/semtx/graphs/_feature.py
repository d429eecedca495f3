from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from semtx._nearest_others import nearest_others

if TYPE_CHECKING:
    from numpy.typing import NDArray


def feature_graph(
    x: NDArray[np.floating] | sparse.csr_matrix, n_neighbors: int, *, random_state: int = 0, n_jobs: int = -1
) -> sparse.csr_matrix:
    """Join each observation with its nearest others by cosine similarity of expression.

    Parameters
    ----------
    x
        Expression, shape (n, n_features), sparse or dense; an all-zero row gets neighbours like any other.
    n_neighbors
        Neighbours of each observation, itself left out; the graph is then made symmetric.
    random_state, n_jobs
        Seed and threads of the approximate search, which starts above 20,000 observations.

    Returns
    -------
    Binary symmetric CSR matrix without a diagonal, shape (n, n), O(n * n_neighbors) entries.
    """
    n = x.shape[0]
    k = min(n_neighbors, n - 1)
    if k == 0:
        return sparse.csr_matrix((n, n), dtype=np.float32)
    indices = nearest_others(x, k, "cosine", random_state=random_state, n_jobs=n_jobs)
    rows = np.repeat(np.arange(n), k)
    graph = sparse.csr_matrix((np.ones(n * k, dtype=np.float32), (rows, indices.ravel())), shape=(n, n))
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph = graph.maximum(graph.T).tocsr()
    graph.data[:] = 1
    return graph
