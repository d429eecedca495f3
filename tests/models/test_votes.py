from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from semtx.models._votes import agreed_clusters


def test_clusters_of_votes_equal_those_of_dense_indicators():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, 200)
    votes = np.column_stack([generator.permutation(4)[truth] for _ in range(6)])
    noisy = generator.random(votes.shape) < 0.15
    votes[noisy] = generator.integers(0, 4, noisy.sum())
    weights = np.array([0.3, 0.1, 0.1, 0.2, 0.2, 0.1])
    dense = np.hstack([np.sqrt(weight) * np.eye(4)[vote] for vote, weight in zip(votes.T, weights, strict=True)])
    wanted = KMeans(4, n_init=10, random_state=1).fit(dense)
    got = agreed_clusters(votes, weights, 4, 1)
    spread = sum(((part - part.mean(axis=0)) ** 2).sum() for part in (dense[got == label] for label in range(4)))
    assert spread <= 1.001 * wanted.inertia_
    assert adjusted_rand_score(wanted.labels_, got) > 0.95
    assert adjusted_rand_score(truth, got) > 0.95


def test_each_cluster_counts_alike_by_share():
    """One clustering cuts the large half, the other sets a few observations apart: by share, these count as much."""
    rare = np.repeat([0, 1], [190, 10])
    half = np.repeat([0, 1, 2], [95, 95, 10])
    votes = np.column_stack([rare, rare, half])
    got = agreed_clusters(votes, np.ones(3), 2, 0, by_share=True)
    np.testing.assert_array_equal(got == got[-1], rare == 1)


def test_fewer_where_fewer_rows_differ():
    votes = np.repeat([[0, 1], [1, 0]], 5, axis=0)
    assert len(np.unique(agreed_clusters(votes, np.ones(2), 4, 0))) == 2
