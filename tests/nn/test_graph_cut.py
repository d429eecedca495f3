from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

import semtx as st
from semtx.nn._sparse import sparse_csr

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")


def expression(n: int = 40, genes: int = 25, *, empty: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.poisson(torch.rand(n, genes, generator=generator, dtype=torch.float64), generator=generator)
    x[1] = x[2]  # cells that are the same
    x[3] = 0
    x[3, 4] = 7  # a cell with one gene
    if empty:
        x[5] = 0
    return x


def embedding(n: int = 40, h: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, h, generator=generator, dtype=torch.float64).requires_grad_()


def affinity(a: torch.Tensor) -> torch.Tensor:
    degrees = a.sum(dim=1)
    scale = torch.where(degrees > 0, degrees, torch.inf).rsqrt()
    return scale[:, None] * a * scale[None, :]


def dense_traces(z: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As the method states them, with both N x N graphs."""
    return torch.trace(z.T @ affinity(a) @ z), torch.trace(z.T @ affinity(a.abs() @ a.abs().T) @ z)


def cosines(x: torch.Tensor) -> torch.Tensor:
    unit = normalize(x, dim=1)
    return unit @ unit.T


def neighbours() -> torch.Tensor:
    reduced = embedding(h=4).detach()
    a = torch.zeros(40, 40, dtype=torch.float64)
    a.scatter_(1, torch.cdist(reduced, reduced).topk(6, largest=False).indices, 1.0)
    a = (a + a.T) / 2
    a[7] = a[:, 7] = 0  # a cell without neighbours
    return a


def graphs():
    x, a = expression(), neighbours()
    return {
        "sparse": (st.nn.CutGraph(x.to_sparse_csr()), cosines(x)),
        "dense": (st.nn.CutGraph(x), cosines(x)),
        "neighbours": (st.nn.CutGraph.from_adjacency(a.to_sparse_csr()), a),
        "dense neighbours": (st.nn.CutGraph.from_adjacency(a), a),
    }


KINDS = ["sparse", "dense", "neighbours", "dense neighbours"]


@pytest.mark.parametrize("kind", KINDS)
def test_traces_are_those_of_the_dense_graphs_with_their_gradients(kind):
    graph, a = graphs()[kind]
    z = embedding()
    for got, wanted in zip(graph.traces(z), dense_traces(z, a), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
        (slope,), (expected,) = (torch.autograd.grad(value, z, retain_graph=True) for value in (got, wanted))
        torch.testing.assert_close(slope, expected, rtol=0, atol=1e-10)
        assert slope.abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_dense_form_with_its_gradient(kind):
    graph, a = graphs()[kind]
    z = embedding()
    got = st.nn.graph_cut(z, graph, balance=0.3, orthogonality=0.7)
    unit = normalize(z, dim=0)
    first, second = dense_traces(unit, a)
    wanted = -(0.3 * first + 0.7 * second) / 6 + 0.7 * (unit.T @ unit - torch.eye(6).double()).square().mean()
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
    (slope,), (expected,) = (torch.autograd.grad(value, z) for value in (got, wanted))
    torch.testing.assert_close(slope, expected, rtol=0, atol=1e-10)


def test_degrees():
    x = expression()
    graph, a = st.nn.CutGraph(x.to_sparse_csr()), cosines(x)
    torch.testing.assert_close(graph.degrees, a.sum(dim=1))
    torch.testing.assert_close(graph.second_degrees, (a @ a).sum(dim=1))
    assert graph.degrees[5] == 0


def test_parts_are_bounded_whatever_the_number_of_cells():
    for n in (20, 200):
        graph, z = st.nn.CutGraph(expression(n).to_sparse_csr()), 100 * embedding(n).detach()
        cut = st.nn.graph_cut(z, graph, orthogonality=0.0).item()
        penalty = st.nn.graph_cut(z, graph, orthogonality=1.0).item() - cut
        assert -1 <= cut <= 0
        assert 0 < penalty < 1


def test_groups_cut_the_graph_better_than_chance():
    x = torch.zeros(30, 6, dtype=torch.float64)
    x[:10, :2] = x[10:20, 2:4] = x[20:, 4:] = 1
    graph = st.nn.CutGraph(x.to_sparse_csr())
    groups = torch.nn.functional.one_hot(torch.arange(30) // 10).double()
    mixed = torch.nn.functional.one_hot(torch.arange(30) % 3).double()
    assert st.nn.graph_cut(groups, graph).item() == pytest.approx(-1)
    assert st.nn.graph_cut(mixed, graph).item() > -0.5


def test_half_precision_of_large_values_is_finite():
    x = expression().float()
    z = (1000 * embedding().detach()).half().requires_grad_()
    loss = st.nn.graph_cut(z, st.nn.CutGraph(x.to_sparse_csr()))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_cells_without_counts_only():
    graph = st.nn.CutGraph(torch.zeros(4, 3).to_sparse_csr())
    z = embedding(4, 2).detach().float().requires_grad_()
    st.nn.graph_cut(z, graph, orthogonality=0).backward()
    torch.testing.assert_close(z.grad, torch.zeros_like(z))


def test_no_matrix_of_all_pairs():
    """20,000 cells: all pairs in float32 would be 1.6 GB; the largest tensor kept or made is far below."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        entries = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for value in made if isinstance(made, (tuple, list)) else (made,):
                if isinstance(value, torch.Tensor) and value.layout == torch.strided:
                    self.entries = max(self.entries, value.numel())
            return made

    n = 20_000
    pointers = 5 * torch.arange(n + 1)
    columns = torch.arange(5).repeat(n) * 37 + torch.arange(n).repeat_interleave(5) % 37
    x = sparse_csr(pointers, columns, torch.ones(5 * n), (n, 200))
    with Largest() as largest:
        z = torch.ones(n, 4).requires_grad_()
        st.nn.graph_cut(z, st.nn.CutGraph(x)).backward()
    assert 0 < largest.entries <= 8 * n


@pytest.mark.parametrize("broken", [-1.0, float("nan"), float("inf")])
def test_input_of_which_cosines_make_no_graph(broken):
    x = expression()
    x[0, 0] = broken
    for layout in (x, x.to_sparse_csr()):
        with pytest.raises(ValueError, match="from_adjacency"):
            st.nn.CutGraph(layout)
    square = x[:25]
    with pytest.raises(ValueError, match="negative or non-finite"):
        st.nn.CutGraph.from_adjacency(square)


def test_wrong_shapes():
    with pytest.raises(ValueError, match="square"):
        st.nn.CutGraph.from_adjacency(torch.ones(3, 4))
    with pytest.raises(ValueError, match="not symmetric"):
        st.nn.CutGraph.from_adjacency(torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    with pytest.raises(ValueError, match="z has 3 rows, the graph 40 cells"):
        st.nn.graph_cut(torch.ones(3, 2), st.nn.CutGraph(expression()))
