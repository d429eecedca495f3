from __future__ import annotations

import pytest
import torch
from torch.nn.functional import logsigmoid, normalize

import semtx as st


def embeddings(kind: str, n: int = 60, h: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(n, h, generator=generator, dtype=torch.float64)
    if kind == "clustered":
        centres = torch.randn(5, h, generator=generator, dtype=torch.float64)
        z = centres[torch.arange(n) % 5] + 1e-3 * z
    elif kind == "collapsed":
        z = torch.ones(h, dtype=torch.float64) + 1e-4 * z
    elif kind == "opposite":
        z = torch.where(torch.arange(n)[:, None] % 2 == 0, 1.0, -1.0) * torch.ones(h, dtype=torch.float64)
    elif kind == "some zero":
        z[::4] = 0
    elif kind == "zero":
        z = torch.zeros(n, h, dtype=torch.float64)
    return z.requires_grad_()


KINDS = ["random", "clustered", "collapsed", "opposite", "some zero", "zero"]


def graph(n: int = 60) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    dense = torch.rand(n, n, generator=generator) < 0.1
    dense = (dense | dense.T) & ~torch.eye(n, dtype=torch.bool)
    return dense.double()


def dense_loss(z: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
    """The authors' loss as they write it, with every pair in a matrix."""
    unit = normalize(z, dim=1)
    psi = (unit @ unit.T) * (1 - torch.eye(len(z), dtype=z.dtype))
    attraction = (adjacency * logsigmoid(psi)).mean()
    repulsion = ((1 - adjacency) * torch.log(1 - torch.sigmoid(psi))).mean()
    return -0.5 * (attraction + repulsion)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 16, 1024])
def test_exact_is_the_dense_definition_with_its_gradient(kind, chunk):
    z, adjacency = embeddings(kind), graph()
    wanted = dense_loss(z, adjacency)
    got = st.nn.spatial_regularization(z, adjacency.nonzero().T, method="exact", chunk=chunk)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    (slope,), (expected,) = (torch.autograd.grad(loss, z) for loss in (got, wanted))
    torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)


def test_exact_in_single_precision_is_within_a_millionth():
    z, adjacency = embeddings("clustered"), graph()
    got = st.nn.spatial_regularization(z.float(), adjacency.nonzero().T, method="exact")
    assert got.item() == pytest.approx(dense_loss(z, adjacency).item(), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("balance", ["pairs", "edges"])
def test_closed_form_is_within_its_bound_for_every_pair(kind, balance):
    z, adjacency = embeddings(kind), graph()
    edges = adjacency.nonzero().T
    exact, closed = (
        st.nn.spatial_regularization(z, edges, method=method, balance=balance) for method in ("exact", "closed_form")
    )
    # "pairs" halves the mean over pairs, "edges" takes it as it is
    assert abs(exact.item() - closed.item()) < 6e-4 * (0.5 if balance == "pairs" else 1)


def test_the_bound_holds_for_one_pair_of_any_angle():
    """Two points: nothing cancels, so the bound on softplus itself is tested."""
    no_edge = torch.empty(2, 0, dtype=torch.long)
    worst = 0.0
    for angle in torch.linspace(0, torch.pi, 201, dtype=torch.float64):
        z = torch.stack([torch.tensor([1.0, 0.0]).double(), torch.stack([angle.cos(), angle.sin()])])
        exact, closed = (st.nn.spatial_regularization(z, no_edge, method=m).item() for m in ("exact", "closed_form"))
        worst = max(worst, 4 * abs(exact - closed))  # 2 ordered pairs of the 2 N^2 = 8
    assert 5.5e-4 < worst < 6e-4


def test_gradient_of_the_closed_form_points_the_same_way():
    for kind in ("random", "clustered"):
        z, edges = embeddings(kind), graph().nonzero().T
        exact, closed = (
            torch.autograd.grad(st.nn.spatial_regularization(z, edges, method=method), z)[0]
            for method in ("exact", "closed_form")
        )
        assert (exact - closed).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("method", ["exact", "closed_form"])
@pytest.mark.parametrize("kind", ["some zero", "zero"])
def test_rows_of_zeros_are_finite(method, kind):
    z = embeddings(kind)
    loss = st.nn.spatial_regularization(z, graph().nonzero().T, method=method)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("method", ["exact", "closed_form"])
def test_no_edges(method):
    z = embeddings("random")
    edges = torch.empty(2, 0, dtype=torch.long)
    for balance in ("pairs", "edges"):
        assert torch.isfinite(st.nn.spatial_regularization(z, edges, method=method, balance=balance))


def test_balance_edges_takes_both_means():
    z, adjacency = embeddings("random"), graph()
    unit = normalize(z, dim=1)
    psi = (unit @ unit.T) * (1 - torch.eye(len(z), dtype=z.dtype))
    wanted = torch.nn.functional.softplus(psi).mean() - psi[adjacency.bool()].mean()
    got = st.nn.spatial_regularization(z, adjacency.nonzero().T, method="exact", balance="edges")
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def test_balance_edges_keeps_its_proportion_when_the_section_is_copied():
    """A disjoint copy doubles n and edges: "edges" keeps the value, while attraction fades under "pairs"."""
    z, edges = embeddings("random").detach(), graph().nonzero().T
    twice = torch.cat([edges, edges + len(z)], dim=1)

    def attraction(of: torch.Tensor, along: torch.Tensor, balance: str) -> float:
        none = along[:, :0]
        return (
            st.nn.spatial_regularization(of, none, balance=balance)
            - st.nn.spatial_regularization(of, along, balance=balance)
        ).item()

    double = torch.cat([z, z])
    assert attraction(double, twice, "edges") == pytest.approx(attraction(z, edges, "edges"))
    assert attraction(double, twice, "pairs") == pytest.approx(attraction(z, edges, "pairs") / 2)


def test_scale_of_the_embedding_does_not_matter():
    z, edges = embeddings("random").detach(), graph().nonzero().T
    scales = torch.linspace(0.1, 50, len(z), dtype=torch.float64)[:, None]
    for method in ("exact", "closed_form"):
        one, other = (st.nn.spatial_regularization(of, edges, method=method) for of in (z, z * scales))
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
