from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

# above this many observations the exact neighbours, O(n^2), give way to pynndescent's approximate ones
EXACT_LIMIT = 20_000
# MiB of distances at a time
_BLOCK = 32


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
    indices = _exact(x, k, n_jobs) if n <= EXACT_LIMIT else _approximate(x, k, random_state, n_jobs)
    rows = np.repeat(np.arange(n), k)
    graph = sparse.csr_matrix((np.ones(n * k, dtype=np.float32), (rows, indices.ravel())), shape=(n, n))
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph = graph.maximum(graph.T).tocsr()
    graph.data[:] = 1
    return graph


def _exact(x: Any, k: int, n_jobs: int) -> NDArray[np.int64]:
    from sklearn import config_context
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute", n_jobs=n_jobs).fit(x)
    # scikit-learn's own block is a gigabyte: all pairs of 11,000 observations
    with config_context(working_memory=_BLOCK):
        return finder.kneighbors(return_distance=False)


def _approximate(x: Any, k: int, random_state: int, n_jobs: int) -> NDArray[np.int64]:
    from pynndescent import NNDescent

    index = NNDescent(x, n_neighbors=k + 1, metric="cosine", random_state=random_state, n_jobs=n_jobs)
    neighbors = index.neighbor_graph[0]
    own = neighbors == np.arange(len(neighbors))[:, None]
    # where the search did not return the observation itself, its farthest neighbour goes instead
    own[~own.any(axis=1), -1] = True
    return neighbors[~own].reshape(len(neighbors), k)
