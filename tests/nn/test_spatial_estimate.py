"""The estimate from some patches against the sum over all pairs, in expectation and in variance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

import semtx as st
from semtx.models._semst_preprocessing import csr_tensor
from semtx.nn._spatial_estimate import spatial_estimate
from semtx.train._patches import patches

N = 40


@pytest.fixture
def section():
    generator = np.random.default_rng(0)
    graph = st.models.SemST.spatial_graph(generator.uniform(0, 1, (N, 2)))
    graph.data[:] = 1
    z = torch.from_numpy(generator.normal(size=(N, 3))).requires_grad_()
    return graph, z, torch.from_numpy(patches(graph, 7, 0))


def estimate(section, chosen, **options) -> torch.Tensor:
    graph, z, patch = section
    place = torch.full((int(patch.max()) + 1,), -1)
    place[list(chosen)] = torch.arange(len(chosen))
    rows = torch.nonzero(place[patch] >= 0).ravel()
    edges = csr_tensor(graph[rows.numpy()][:, rows.numpy()]).to(torch.float64)
    counts = {"n_patches": len(place), "n_obs": N, "n_edges": graph.nnz}
    return spatial_estimate(z[rows], edges, place[patch[rows]], **counts, **options)


@pytest.mark.parametrize("method", ["closed_form", "exact"])
@pytest.mark.parametrize("balance", ["pairs", "edges"])
@pytest.mark.parametrize("n_chosen", [2, 3])
def test_the_mean_over_all_choices_of_patches_is_the_loss(section, method, balance, n_chosen):
    graph, z, patch = section
    options = {"method": method, "balance": balance}
    whole = st.nn.spatial_regularization(z, csr_tensor(graph).to(torch.float64), **options)
    choices = list(combinations(range(int(patch.max()) + 1), n_chosen))
    assert len(choices) > 10
    mean = torch.stack([estimate(section, chosen, **options) for chosen in choices]).mean()
    torch.testing.assert_close(mean, whole, rtol=1e-9, atol=1e-12)
    # and so is the mean of the gradients
    wanted, got = (torch.autograd.grad(loss, z)[0] for loss in (whole, mean))
    torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-12)


def test_all_patches_are_the_loss_itself(section):
    graph, z, patch = section
    whole = st.nn.spatial_regularization(z, csr_tensor(graph).to(torch.float64))
    torch.testing.assert_close(estimate(section, range(int(patch.max()) + 1)), whole)


def test_chunks_do_not_matter(section):
    one, many = (estimate(section, (0, 2, 4), method="exact", chunk=chunk) for chunk in (1000, 3))
    torch.testing.assert_close(one, many)
