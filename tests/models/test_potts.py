from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from semtx.graphs import normalize_adjacency, spatial_graph
from semtx.models import _potts
from semtx.models._potts import potts_mixtures


@pytest.fixture(scope="module")
def stripes() -> tuple[np.ndarray, sparse.csr_matrix, np.ndarray]:
    """Four stripes of a lattice, whose observations overlap in two dimensions."""
    place = np.array(list(product(range(20), range(20))), dtype=float)
    truth = (place[:, 0] // 5).astype(int)
    generator = np.random.default_rng(0)
    z = 2.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[truth] + generator.normal(size=(400, 2))
    return z, spatial_graph(place, n_neighbors=6).obsp["spatial_connectivities"], truth


def test_neighbors_tell_what_the_embedding_alone_cannot(stripes):
    z, graph, truth = stripes
    alone, coupled = (
        potts_mixtures([z], graph, 4, strength=strength, n_init=5, random_state=0)[:, 0] for strength in (0.0, 6.0)
    )
    assert adjusted_rand_score(truth, alone) < 0.7
    assert adjusted_rand_score(truth, coupled) > 0.9


def test_without_strength_is_a_mixture_with_one_covariance(stripes, monkeypatch):
    z, graph, _ = stripes
    monkeypatch.setattr(_potts, "_LEAST_GAIN", 1e-9)
    monkeypatch.setattr(_potts, "_MAX_ITERATIONS", 3000)
    wide = np.c_[3 * z[:, :1], z[:, 1:]]
    found = potts_mixtures([wide], graph, 3, strength=0.0, n_init=3, random_state=0)[:, 0]
    wanted = GaussianMixture(3, covariance_type="tied", n_init=12, random_state=0, tol=1e-9, max_iter=3000).fit(wide)
    assert adjusted_rand_score(wanted.predict(wide), found) > 0.97


def test_bound_without_graph_is_the_likelihood(stripes, monkeypatch):
    z, _, _ = stripes
    z = z - z.mean(axis=0)
    monkeypatch.setattr(_potts, "_MAX_ITERATIONS", 1)
    proba = np.random.default_rng(0).dirichlet(np.ones(3), len(z))
    bound, got = _potts._ascend(z, None, proba, 0.0)
    shares = proba.mean(axis=0)
    means = (proba.T @ z) / proba.sum(axis=0)[:, None]
    covariance = sum(
        (share_of[:, None] * (z - mean)).T @ (z - mean) for share_of, mean in zip(proba.T, means, strict=True)
    ) / len(z)
    joint = np.column_stack(
        [share * multivariate_normal(mean, covariance).pdf(z) for share, mean in zip(shares, means, strict=True)]
    )
    np.testing.assert_allclose(bound, np.log(joint.sum(axis=1)).mean() + np.log(2 * np.pi), rtol=1e-5)
    np.testing.assert_allclose(got, joint / joint.sum(axis=1, keepdims=True), atol=1e-5)


def test_bound_with_graph_is_that_of_the_definition(stripes, monkeypatch):
    """At a fixed point: expected log of the joint, each pair counted once, plus entropy."""
    z, graph, truth = stripes
    z = z - z.mean(axis=0)
    monkeypatch.setattr(_potts, "_LEAST_GAIN", 0.0)
    around = normalize_adjacency(graph, "row")
    bound, proba = _potts._ascend(z, around, np.eye(4)[truth], 6.0)
    shares, means = proba.mean(axis=0), (proba.T @ z) / proba.sum(axis=0)[:, None]
    covariance = sum((p[:, None] * (z - m)).T @ (z - m) for p, m in zip(proba.T, means, strict=True)) / len(z)
    logs = np.column_stack(
        [np.log(share) + multivariate_normal(m, covariance).logpdf(z) for share, m in zip(shares, means, strict=True)]
    )
    energy = logs + 0.5 * 6.0 * (around.toarray() @ proba) - np.log(np.maximum(proba, 1e-300))
    np.testing.assert_allclose(bound, (proba * energy).sum(axis=1).mean() + np.log(2 * np.pi), atol=1e-4)


def test_same_seed_same_labels(stripes):
    z, graph, _ = stripes
    one, other = (potts_mixtures([z, z[:, :1]], graph, 3, n_init=2, random_state=4) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n", [5, 40])
def test_constant_embedding_and_no_edges(n):
    labels = potts_mixtures([np.ones((n, 3))] * 2, sparse.csr_matrix((n, n)), 3, n_init=1, random_state=0)
    assert labels.shape == (n, 2)


def test_many_observations_start_from_some(monkeypatch, stripes):
    z, graph, truth = stripes
    monkeypatch.setattr(_potts, "_START_SAMPLE", 100)
    found = potts_mixtures([z], graph, 4, n_init=3, random_state=0)[:, 0]
    assert adjusted_rand_score(truth, found) > 0.9


def test_views_take_over_what_another_has_found(monkeypatch):
    """A view whose own search was left at a poor optimum ends where the other view is, which is likelier in both."""
    truth = np.repeat(np.arange(4), 50)
    z = 10.0 * np.array([[0, 0], [1, 0], [0, 10], [1, 10]])[truth] + np.random.default_rng(0).normal(size=(200, 2))
    # one half cut in three, and the other not at all, is left by no step
    poor = np.where(truth < 2, 3, (np.arange(200) % 50) // 17)
    starts = iter([poor, truth])
    monkeypatch.setattr(_potts, "_start", lambda z, n_clusters, seed: np.eye(n_clusters)[next(starts)])
    graph = spatial_graph(np.c_[np.arange(200.0), np.zeros(200)], n_neighbors=2).obsp["spatial_connectivities"]
    alone = _potts._ascend(z - z.mean(axis=0), None, np.eye(4)[poor], 0.0)[1].argmax(axis=1)
    assert adjusted_rand_score(truth, alone) < 0.9
    found = potts_mixtures([z, z], graph, 4, n_init=1, random_state=0)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert adjusted_rand_score(truth, found[:, 0]) == 1


def test_a_view_keeps_what_is_likelier_in_it(stripes):
    """Views of different groups do not talk each other out of them."""
    z, graph, truth = stripes
    other = np.c_[3.0 * (np.arange(400) % 20 // 10) + 0.1 * z[:, 1], z[:, 1]]
    found = potts_mixtures([z, other], graph, 2, n_init=10, random_state=0)
    assert adjusted_rand_score(np.arange(400) % 20 // 10, found[:, 1]) > 0.95
    assert adjusted_rand_score(truth // 2, found[:, 0]) > 0.5
