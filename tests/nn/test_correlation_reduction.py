from __future__ import annotations

import numpy as np
import pytest
import torch

import semtx as st


def cosines(spatial: np.ndarray, feature: np.ndarray) -> np.ndarray:
    h = spatial.shape[1]
    made = np.empty((h, h))
    for a in range(h):
        for b in range(h):
            one, other = spatial[:, a], feature[:, b]
            made[a, b] = one @ other / np.sqrt((one @ one) * (other @ other))
    return made


@pytest.fixture
def views() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    # not centred, so that a cosine is no correlation
    return tuple(1 + torch.randn(30, 5, generator=generator, dtype=torch.float64) for _ in range(2))


def test_uniform_is_equation_12(views):
    c = cosines(*(view.numpy() for view in views))
    wanted = np.mean((c - np.eye(5)) ** 2)
    assert st.nn.correlation_reduction(*views).item() == pytest.approx(wanted, abs=1e-14)


def test_balanced_adds_the_means_of_diagonal_and_rest(views):
    c = cosines(*(view.numpy() for view in views))
    wanted = np.mean((np.diag(c) - 1) ** 2) + np.mean(c[~np.eye(5, dtype=bool)] ** 2)
    assert st.nn.correlation_reduction(*views, weighting="balanced").item() == pytest.approx(wanted, abs=1e-14)


@pytest.mark.parametrize("weighting", ["uniform", "balanced"])
def test_least_for_equal_views_of_orthogonal_dimensions(weighting):
    view, _ = torch.linalg.qr(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).double())
    assert st.nn.correlation_reduction(view, 3 * view, weighting=weighting).item() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("weighting", ["uniform", "balanced"])
def test_gradient_is_the_derivative_and_columns_of_zeros_are_finite(views, weighting):
    a, b = (view[:6, :3].clone().requires_grad_() for view in views)
    assert torch.autograd.gradcheck(lambda x, y: st.nn.correlation_reduction(x, y, weighting=weighting), (a, b))
    dead = a.detach().clone()
    dead[:, 1] = 0
    dead.requires_grad_()
    loss = st.nn.correlation_reduction(dead, b, weighting=weighting)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(dead.grad).all()


def test_one_dimension(views):
    one = views[0][:, :1]
    assert st.nn.correlation_reduction(one, one, weighting="balanced").item() == pytest.approx(0, abs=1e-14)
