from __future__ import annotations

import numpy as np
import pytest
import torch

import semtx as st


def log_assignments(n: int = 200, k: int = 4, spread: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, k, generator=generator, dtype=torch.float64) * spread
    z[: n // 2, 0] += spread  # clusters of unequal size
    return z.log_softmax(dim=1)


@pytest.mark.parametrize("spread", [0.1, 2.0])
def test_marginals(spread):
    log_q = log_assignments(spread=spread)
    target = st.nn.optimal_transport_target(log_q)
    sizes = torch.bincount(log_q.argmax(dim=1), minlength=4).double()
    torch.testing.assert_close(target.sum(dim=1), torch.ones(200).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(target.mean(dim=0), sizes / 200, rtol=0, atol=1e-7)
    torch.testing.assert_close(target.sum(dim=0), sizes, rtol=1e-6, atol=200e-7)
    assert (target >= 0).all()


def test_is_the_scaled_kernel():
    """T = diag(u) q^s diag(v): against Sinkhorn's iterations as they are usually written."""
    log_q = log_assignments(60, 3, 0.5)
    kernel = np.exp(3 * log_q.numpy())
    sizes = np.array([10.0, 30.0, 20.0])
    v = np.ones(3)
    for _ in range(2000):
        u = 1 / (kernel @ v)
        v = sizes / (kernel.T @ u)
    wanted = u[:, None] * kernel * v
    got = st.nn.optimal_transport_target(log_q, sizes=torch.tensor([1, 3, 2]), sharpness=3.0, tolerance=1e-10)
    np.testing.assert_allclose(got, wanted, atol=1e-7)


def test_columns_stay_with_their_centres():
    """Cells around each centre get most of its column, however the centres are numbered."""
    generator = torch.Generator().manual_seed(0)
    centers = 6 * torch.eye(5)
    labels = torch.arange(100) % 5
    z = centers[labels] + torch.randn(100, 5, generator=generator)
    for order in (torch.arange(5), torch.tensor([3, 1, 4, 0, 2])):
        target = st.nn.optimal_transport_target(st.nn.student_t(z, centers[order], log=True))
        assert (order[target.argmax(dim=1)] == labels).all()


@pytest.mark.parametrize("sizes", [None, torch.ones(6)])
@pytest.mark.parametrize("distance", [1.0, 6.0, 30.0])
def test_marginals_where_clusters_are_far_apart(distance, sizes):
    """Sinkhorn alone is still off by 1e-5 of all cells after a thousand iterations."""
    generator = torch.Generator().manual_seed(0)
    centers = distance * torch.eye(6)
    z = centers[torch.arange(300) % 15 % 6] + torch.randn(300, 6, generator=generator)
    log_q = st.nn.student_t(z, centers, log=True).double()
    target = st.nn.optimal_transport_target(log_q, sizes=sizes, tolerance=1e-9)
    wanted = torch.bincount(log_q.argmax(dim=1), minlength=6).double() if sizes is None else 50 * sizes.double()
    torch.testing.assert_close(target.sum(dim=0), wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(300).double(), rtol=0, atol=1e-12)


def test_sharper_than_the_assignments_and_without_gradient():
    log_q = log_assignments(spread=0.5).requires_grad_()
    target = st.nn.optimal_transport_target(log_q)
    assert not target.requires_grad
    assert target.max(dim=1).values.mean() > log_q.detach().exp().max(dim=1).values.mean() + 0.1


def test_peaked_assignments_in_single_precision():
    log_q = (100 * torch.eye(4)[torch.arange(40) % 4]).log_softmax(dim=1)
    assert (5 * log_q).exp().min() == 0  # a kernel of the numbers themselves underflows
    target = st.nn.optimal_transport_target(log_q)
    assert target.dtype == torch.float32
    torch.testing.assert_close(target, torch.eye(4)[torch.arange(40) % 4])


def test_no_cluster_dies_out():
    log_q = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).double()
    log_q[:, 2] -= 20
    target = st.nn.optimal_transport_target(log_q.log_softmax(dim=1), floor=0.3)
    assert target[:, 2].sum() == pytest.approx(10 / 1.1, rel=1e-5)
    dead = st.nn.optimal_transport_target(log_q.log_softmax(dim=1), floor=0.0)
    assert dead[:, 2].sum() == 0
    assert torch.isfinite(dead).all()


def test_stopping_early_is_said():
    with pytest.warns(UserWarning, match="after 1 iterations"):
        st.nn.optimal_transport_target(log_assignments(), sizes=torch.tensor([1.0, 1.0, 1.0, 9.0]), max_iter=1)


def test_no_matrix_of_all_pairs():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        entries = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for value in made if isinstance(made, (tuple, list)) else (made,):
                if isinstance(value, torch.Tensor):
                    self.entries = max(self.entries, value.numel())
            return made

    log_q = log_assignments(20_000, 3, 0.3)
    with Largest() as largest:
        st.nn.optimal_transport_target(log_q)
    assert largest.entries == 60_000


@pytest.mark.parametrize("sizes", [[1.0, 2.0], [1.0, -1.0, 1.0, 1.0], [0.0] * 4, [float("nan"), 1.0, 1.0, 1.0]])
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match=r"sizes must be \(4,\) numbers"):
        st.nn.optimal_transport_target(log_assignments(), sizes=torch.tensor(sizes))


def test_bad_assignments():
    with pytest.raises(ValueError, match="finite"):
        st.nn.optimal_transport_target(torch.eye(3).log())


@pytest.mark.parametrize("scale", [3, 6, 20])
@pytest.mark.parametrize("seed", range(3))
def test_marginals_where_no_cell_is_nearest_to_some_centres(scale, seed):
    """The loss is flat there, and a whole step of Newton gives all cells to one cluster."""
    generator = torch.Generator().manual_seed(seed)
    centers = scale * torch.randn(12, 8, generator=generator)
    z = centers[torch.arange(600) % 12] + torch.randn(600, 8, generator=generator)
    centers = torch.cat([centers, 3 * centers[:1] + scale, centers[1:2] + 0.5 * scale])
    log_q = st.nn.student_t(z, centers, dof=8.0, log=True).double()
    target = st.nn.optimal_transport_target(log_q)
    wanted = (torch.bincount(log_q.argmax(dim=1), minlength=14).double() / 600).clamp_min(0.02 / 14)
    torch.testing.assert_close(target.mean(dim=0), wanted / wanted.sum(), rtol=0, atol=1e-7)
