from __future__ import annotations

import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from semtx import _nearest_others
from semtx.graphs import feature_graph


def expression(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(0.5, size=(n, d))


def brute_force(x: np.ndarray, k: int) -> np.ndarray:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    made = np.zeros(cosine.shape, dtype=bool)
    np.put_along_axis(made, np.argsort(-cosine, axis=1)[:, :k], True, axis=1)
    return made | made.T


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, lambda x: x.astype(np.float32)])
@pytest.mark.parametrize("k", [1, 5, 14])
def test_is_the_brute_force_cosine_graph(form, k):
    x = expression(120, 30)
    graph = feature_graph(form(x), k)
    np.testing.assert_array_equal(graph.toarray() > 0, brute_force(x, k))
    assert set(graph.data) == {1}


def test_scale_of_a_row_does_not_matter():
    x = expression(120, 30)
    scaled = x * np.linspace(0.01, 100, 120)[:, None]
    assert (feature_graph(x, 5) != feature_graph(scaled, 5)).nnz == 0


def test_rows_of_zeros_have_neighbors_and_stay_away_from_the_others():
    x = expression(60, 20)
    without = feature_graph(x[5:], 4).toarray()
    x[:5] = 0
    graph = feature_graph(sparse.csr_matrix(x), 4)
    assert np.diff(graph.indptr).min() >= 4
    assert graph.diagonal().sum() == 0
    assert (graph.toarray()[5:, 5:] >= without).all()


def test_fewer_observations_than_neighbors():
    assert feature_graph(expression(4, 10), 14).nnz == 12


@pytest.mark.slow
def test_the_approximate_search_finds_nearly_all(monkeypatch):
    x = expression(1500, 8)
    wanted = feature_graph(x, 10)
    monkeypatch.setattr(_nearest_others, "EXACT_LIMIT", 1000)
    graph = feature_graph(sparse.csr_matrix(x), 10, n_jobs=1)
    assert graph.multiply(wanted).nnz > 0.95 * wanted.nnz
    assert graph.diagonal().sum() == 0
    assert (graph != graph.T).nnz == 0
    assert np.diff(graph.indptr).min() >= 10


def test_what_the_approximate_search_returns_is_rid_of_the_observation_itself(monkeypatch):
    """Some rows of its answer do not hold the observation itself, which is then farther than k others."""
    x = expression(50, 8)
    nearest = np.argsort(-(x / np.linalg.norm(x, axis=1, keepdims=True)) @ (x.T / np.linalg.norm(x, axis=1)), axis=1)

    class Index:
        def __init__(self, x, n_neighbors, **_):
            answer = nearest[:, :n_neighbors].copy()
            answer[7] = nearest[7, 1 : n_neighbors + 1]
            self.neighbor_graph = (answer, None)

    monkeypatch.setattr(_nearest_others, "EXACT_LIMIT", 10)
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=Index))
    np.testing.assert_array_equal(feature_graph(x, 5).toarray() > 0, brute_force(x, 5))


@pytest.mark.slow
def test_no_matrix_of_all_pairs():
    n = 20_000
    x = expression(n, 4).astype(np.float32)
    tracemalloc.start()
    try:
        graph = feature_graph(x, 5, n_jobs=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert graph.nnz < 10 * n
    # a matrix of single bytes would be n * n
    assert peak < n * n


def test_one_observation_has_no_neighbor():
    graph = feature_graph(np.ones((1, 4)), 5)
    assert graph.shape == (1, 1)
    assert graph.nnz == 0
