from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import shortest_path

from semtx.graphs import ring_means, ring_operator, rings, spatial_graph


def hexagonal(side: int) -> np.ndarray:
    row, column = np.divmod(np.arange(side * side), side)
    return np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2])


def hexagonal_graph(side: int) -> sparse.csr_matrix:
    return spatial_graph(hexagonal(side), radius=1.05).obsp["spatial_connectivities"]


@pytest.mark.parametrize("side", [9, 60])
def test_sizes_on_a_hexagonal_grid_of_any_size(side):
    """A section of Visium has thousands of spots, few of them at its rim."""
    found = rings(hexagonal_graph(side), 3)
    assert len(found) == 3
    middle = side // 2 * side + side // 2
    assert [np.diff(ring.indptr)[middle] for ring in found] == [6, 12, 18]


@pytest.mark.parametrize("n_rings", [1, 2, 3, 4])
def test_rings_are_the_steps_of_shortest_paths(n_rings):
    graph = sparse.random(60, 60, density=0.02, random_state=0, format="csr")
    graph = (graph + graph.T + sparse.identity(60)).tocsr()  # weights and a diagonal, which do not count
    steps = shortest_path(graph - sparse.identity(60), unweighted=True)
    for step, ring in enumerate(rings(graph, n_rings), start=1):
        around = steps == step
        np.testing.assert_array_equal(ring.toarray() > 0, around)
        sizes = around.sum(axis=1)
        np.testing.assert_allclose(np.asarray(ring.sum(axis=1)).ravel(), sizes > 0, rtol=1e-6)
        assert ring.diagonal().sum() == 0


def test_a_dense_graph_has_fewer_rings():
    graph = spatial_graph(hexagonal(14), radius=4.1).obsp["spatial_connectivities"]
    assert len(rings(graph, 3)) == 1


def test_the_graph_itself_stays_as_it_is():
    graph = hexagonal_graph(5)
    graph.setdiag(3)
    before = graph.copy()
    rings(graph, 3)
    assert (graph != before).nnz == 0


def test_means_are_brute_force_means():
    graph, x = hexagonal_graph(7), np.random.default_rng(0).normal(size=(49, 3))
    steps = shortest_path(graph, unweighted=True)
    wanted = np.hstack([np.array([x[row == step].mean(axis=0) for row in steps]) for step in (1, 2, 3)])
    np.testing.assert_allclose(ring_means(rings(graph, 3), x), wanted, atol=1e-6)


def test_empty_rings_are_filled_from_inside():
    # a path of 3, a pair, and one alone
    graph = sparse.csr_matrix(np.zeros((6, 6)))
    graph = sparse.lil_matrix(graph)
    for i, j in ((0, 1), (1, 2), (3, 4)):
        graph[i, j] = graph[j, i] = 1
    x = np.arange(6.0)[:, None] + 10
    got = ring_means(rings(sparse.csr_matrix(graph), 2), x)
    assert got.dtype == np.float32
    assert got[:, 0].tolist() == [11, 11, 11, 14, 13, 15]
    # 0 and 2 reach each other in two steps; 1, 3 and 4 reach nobody; 5 keeps its own
    assert got[:, 1].tolist() == [12, 11, 10, 14, 13, 15]


def test_own_features_are_left_out():
    graph, x = hexagonal_graph(6), np.random.default_rng(0).normal(size=(36, 2))
    changed = x.copy()
    changed[14] += 5
    before, after = (ring_means(rings(graph, 3), values) for values in (x, changed))
    np.testing.assert_array_equal(before[14], after[14])
    assert (before != after).any(axis=1).sum() > 6


def test_no_edges_at_all():
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(ring_means(rings(sparse.csr_matrix((5, 5)), 3), x), x)


def test_ring_operator_is_the_mean_of_ring_means():
    generator = np.random.default_rng(0)
    graph = sparse.random(60, 60, density=0.02, random_state=0, format="csr")  # isolated ones and short components
    graph = (graph + graph.T).tocsr()
    x = generator.normal(size=(60, 4))
    found = rings(graph, 3)
    wanted = ring_means(found, x).reshape(60, 3, 4).mean(axis=1)
    operator = ring_operator(found)
    np.testing.assert_allclose(operator @ x, wanted, atol=1e-6)
    np.testing.assert_allclose(np.asarray(operator.sum(axis=1)).ravel(), 1, rtol=1e-6)
