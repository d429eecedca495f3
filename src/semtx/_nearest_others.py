from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

# above this many observations the exact neighbours, O(n^2), give way to pynndescent's approximate ones
EXACT_LIMIT = 20_000
# MiB of distances at a time
_BLOCK = 32


def nearest_others(
    x: NDArray[np.floating] | sparse.csr_matrix, k: int, metric: str, *, random_state: int, n_jobs: int
) -> NDArray[np.int64]:
    """Find the k nearest others of each observation.

    Parameters
    ----------
    x
        Shape (n, d), sparse or dense.
    k
        Neighbours of each, at least 1 and below n.
    metric
        ``"cosine"`` or ``"euclidean"``.
    random_state, n_jobs
        Seed and threads of the approximate search, which starts above 20,000 observations.

    Returns
    -------
    Rows of the neighbours, shape (n, k).
    """
    if x.shape[0] <= EXACT_LIMIT:
        from sklearn import config_context
        from sklearn.neighbors import NearestNeighbors

        finder = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute", n_jobs=n_jobs).fit(x)
        # scikit-learn's own block is a gigabyte: all pairs of 11,000 observations
        with config_context(working_memory=_BLOCK):
            return finder.kneighbors(return_distance=False)
    from pynndescent import NNDescent

    # in single precision, as pynndescent computes
    index = NNDescent(
        x.astype(np.float32, copy=False), n_neighbors=k + 1, metric=metric, random_state=random_state, n_jobs=n_jobs
    )
    neighbors = index.neighbor_graph[0]
    own = neighbors == np.arange(len(neighbors))[:, None]
    # where the search did not return the observation itself, its farthest neighbour goes instead
    own[~own.any(axis=1), -1] = True
    return neighbors[~own].reshape(len(neighbors), k)
