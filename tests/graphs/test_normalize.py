from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from semtx.graphs import normalize_adjacency


@pytest.fixture
def graph() -> sparse.csr_matrix:
    made = sparse.random(30, 30, density=0.1, random_state=0, format="csr")
    made = (made + made.T).tolil()
    made[4], made[:, 4] = 0, 0
    return sparse.csr_matrix(made)


@pytest.mark.parametrize("self_loops", [True, False])
def test_against_the_dense_formulas(graph, self_loops):
    a = graph.toarray() + (np.eye(30) if self_loops else 0)
    degree = a.sum(axis=1)
    inverse = np.divide(1, degree, out=np.zeros(30), where=degree > 0)
    row = normalize_adjacency(graph, "row", self_loops=self_loops)
    np.testing.assert_allclose(row.toarray(), np.diag(inverse) @ a, atol=1e-6)
    symmetric = normalize_adjacency(graph, "symmetric", self_loops=self_loops)
    root = np.diag(np.sqrt(inverse))
    np.testing.assert_allclose(symmetric.toarray(), root @ a @ root, atol=1e-6)
    np.testing.assert_allclose(symmetric.toarray(), symmetric.toarray().T, atol=1e-7)


def test_an_isolated_spot_keeps_its_own_values_with_self_loops_only(graph):
    x = np.random.default_rng(0).normal(size=(30, 2))
    for how in ("row", "symmetric"):
        np.testing.assert_allclose((normalize_adjacency(graph, how) @ x)[4], x[4], rtol=1e-6)
        assert not (normalize_adjacency(graph, how, self_loops=False) @ x)[4].any()


def test_the_graph_itself_stays_as_it_is(graph):
    before = graph.toarray()
    normalize_adjacency(graph, "symmetric")
    np.testing.assert_array_equal(graph.toarray(), before)
