"""Clusters on which several clusterings agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from semtx._threads import one_order_of_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

_N_INIT = 10
_LEAST_SHARE = 0.02


@one_order_of_sums()
def agreed_clusters(
    votes: NDArray[np.integer],
    weights: NDArray[np.floating],
    n_clusters: int,
    random_state: int,
    *,
    by_share: bool = False,
) -> NDArray[np.int64]:
    """Cluster observations by k-means on the indicators of their clusters in several clusterings :cite:p:`Wu2015`.

    Parameters
    ----------
    votes
        Clusters from 0, shape (n, n_votes).
    weights
        Weight of each clustering, shape (n_votes,).
    n_clusters
        Number of clusters; fewer are found where fewer rows of votes differ.
    random_state
        Seed.
    by_share
        Divide each indicator by the root of the share of its cluster, 2 % at least, so that clusters of all sizes count
        alike and odd observations do not.
    """
    from sklearn.cluster import KMeans

    n, n_votes = votes.shape
    starts = np.r_[0, np.cumsum(votes.max(axis=0) + 1)]
    columns = votes + starts[:-1]
    # equal rows are one point with their number as its weight
    distinct, inverse, number = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
    values = np.sqrt(np.tile(weights, (len(distinct), 1)))
    if by_share:
        # odd observations are no cluster that counts as much as others
        shares = np.maximum(np.bincount(columns.ravel(), minlength=starts[-1]) / n, _LEAST_SHARE)
        values /= np.sqrt(shares)[distinct]
    indicators = sparse.csr_matrix(
        (values.ravel(), distinct.ravel(), np.arange(0, distinct.size + 1, n_votes)),
        shape=(len(distinct), starts[-1]),
    )
    model = KMeans(min(n_clusters, len(distinct)), n_init=_N_INIT, random_state=random_state)
    labels: NDArray[np.int64] = model.fit(indicators, sample_weight=number).labels_[inverse.ravel()].astype(np.int64)
    return labels
