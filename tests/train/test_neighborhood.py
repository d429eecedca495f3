from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

import semtx as st
from semtx.graphs import normalize_adjacency
from semtx.models._semst_preprocessing import csr_tensor
from semtx.train import neighborhood


@pytest.fixture
def graph(tissue) -> sparse.csr_matrix:
    graph = st.models.SemST.spatial_graph(tissue.obsm["spatial"])
    return normalize_adjacency(graph, "row")


def test_two_convolutions_of_some_rows_are_those_of_all(graph):
    torch.manual_seed(0)
    encoder = st.nn.GraphEncoder(7, 5, 3)
    x = torch.rand(300, 7)
    rows = np.array([0, 3, 150, 299])
    columns, inner, outer = neighborhood(graph, rows)
    assert inner.shape == (outer.shape[1], len(columns))
    assert len(columns) < 300
    expected = encoder(x, csr_tensor(graph))[rows]
    got = encoder(x[columns], (csr_tensor(inner), csr_tensor(outer)))
    torch.testing.assert_close(got, expected)
    # sparse expression too
    counts = sparse.csr_matrix(x.numpy())
    torch.testing.assert_close(encoder(csr_tensor(counts[columns]), (csr_tensor(inner), csr_tensor(outer))), expected)


def test_gradients_of_some_rows_are_those_of_all(graph):
    torch.manual_seed(0)
    encoder = st.nn.GraphEncoder(7, 5, 3)
    counts = sparse.random(300, 7, 0.4, random_state=0, format="csr", dtype=np.float32)
    rows = np.arange(10, 40)
    columns, inner, outer = neighborhood(graph, rows)
    weights = list(encoder.parameters())
    whole = encoder(torch.from_numpy(counts.toarray()), csr_tensor(graph))[rows].square().sum()
    part = encoder(csr_tensor(counts[columns]), (csr_tensor(inner), csr_tensor(outer))).square().sum()
    for got, wanted in zip(torch.autograd.grad(part, weights), torch.autograd.grad(whole, weights), strict=True):
        torch.testing.assert_close(got, wanted)


def test_an_isolated_row_is_alone():
    graph = normalize_adjacency(sparse.csr_matrix((5, 5)), "row")
    columns, inner, outer = neighborhood(graph, np.array([2]))
    assert columns.tolist() == [2]
    assert inner.toarray().tolist() == outer.toarray().tolist() == [[1.0]]
