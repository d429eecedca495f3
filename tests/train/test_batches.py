from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components

import semtx as st
from semtx.train import Batches
from semtx.train._patches import patches


@pytest.fixture
def graph(tissue) -> sparse.csr_matrix:
    return st.models.SemST.spatial_graph(tissue.obsm["spatial"])


def epoch(batches: Batches) -> list:
    return [batches.draw(number) for number in range(batches.n_batches)]


class TestPatches:
    def test_are_connected_and_cover_all(self, graph):
        patch = patches(graph, 15, 0)
        assert sorted(set(patch)) == list(range(15))
        for number in range(15):
            inside = patch == number
            assert connected_components(graph[inside][:, inside])[0] == 1

    def test_keep_most_edges(self, graph):
        patch = patches(graph, 10, 0)
        rows, columns = graph.nonzero()
        assert (patch[rows] == patch[columns]).mean() > 0.6

    def test_what_no_path_reaches_makes_patches_of_its_own(self):
        graph = sparse.block_diag([np.ones((4, 4)), sparse.csr_matrix((9, 9))], format="csr")
        patch = patches(graph, 3, 0)
        assert len(patch) == 13
        assert np.bincount(patch).min() > 0
        assert np.bincount(patch).max() <= 4

    def test_seed(self, graph):
        np.testing.assert_array_equal(patches(graph, 20, 1), patches(graph, 20, 1))
        assert (patches(graph, 20, 1) != patches(graph, 20, 2)).any()


@pytest.mark.parametrize("size", [None, 300, 1000])
def test_full(graph, size):
    batches = Batches(300, size, graph)
    assert batches.full
    assert epoch(batches)[0].rows is None


@pytest.mark.parametrize("in_patches", [True, False])
def test_an_epoch_has_every_row_once(graph, in_patches):
    torch.manual_seed(0)
    batches = Batches(300, 70, graph if in_patches else None)
    drawn = epoch(batches)
    assert len(drawn) == batches.n_batches == 5
    assert sorted(torch.cat([batch.rows for batch in drawn]).tolist()) == list(range(300))
    assert all((batch.rows.diff() > 0).all() for batch in drawn)
    again = epoch(batches)
    assert any(not torch.equal(one.rows, other.rows) for one, other in zip(drawn, again, strict=True))
    if not in_patches:
        assert {len(batch.rows) for batch in drawn} == {60}
        return
    for batch in drawn:
        assert batch.patch.unique().tolist() == list(range(batch.n_chosen))
        assert batch.n_chosen >= 2
    assert sum(batch.n_chosen for batch in drawn) == drawn[0].n_patches


def test_halved_until_a_batch_is_too_small(graph):
    batches = Batches(300, None, graph)
    assert batches.halve() == batches.n_batches == 2
    assert sorted(torch.cat([batch.rows for batch in epoch(batches)]).tolist()) == list(range(300))
    rows = Batches(7, 4)
    assert rows.halve() == 4
    assert rows.halve() == 0
    assert rows.n_batches == 4
