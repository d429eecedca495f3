from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import nbinom

import semtx as st


def parameters(n: int = 400) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 40, (n,), generator=generator).double()
    target[::3] = 0
    mu = torch.exp(4 * torch.rand(n, generator=generator) - 2).double()
    theta = torch.exp(6 * torch.rand(n, generator=generator) - 3).double()
    logits = (8 * torch.rand(n, generator=generator) - 4).double()
    return target, mu, theta, logits


def test_without_inflation_it_is_scipys_negative_binomial():
    target, mu, theta, _ = parameters()
    wanted = -nbinom.logpmf(target, theta, theta / (theta + mu))
    got = st.nn.zinb_nll(target, mu, theta, torch.full_like(mu, -60.0))
    np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-9)


def test_with_inflation_it_is_the_mixture():
    target, mu, theta, logits = parameters()
    pi = expit(logits.numpy())
    nb = nbinom.pmf(target, theta, theta / (theta + mu))
    wanted = -np.log(pi * (target.numpy() == 0) + (1 - pi) * nb)
    np.testing.assert_allclose(st.nn.zinb_nll(target, mu, theta, logits), wanted, rtol=1e-8, atol=1e-8)


def test_probabilities_sum_to_one():
    y = torch.arange(3000.0).double()
    one = torch.ones(()).double()
    total = torch.exp(-st.nn.zinb_nll(y, 7 * one, 0.8 * one, -0.3 * one)).sum()
    assert total.item() == pytest.approx(1, abs=1e-8)


def test_whatever_is_no_whole_number_gets_the_same_formula():
    y, mu, theta, logit = (torch.tensor(v, dtype=torch.float64) for v in (2.7, 1.3, 0.9, -0.4))
    nb = (
        math.lgamma(0.9)
        + math.lgamma(3.7)
        - math.lgamma(3.6)
        + 3.6 * math.log(1 + 1.3 / 0.9)
        + 2.7 * (math.log(0.9) - math.log(1.3))
    )
    wanted = nb - math.log(1 - expit(-0.4))
    assert st.nn.zinb_nll(y, mu, theta, logit).item() == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.5, 1e5])
@pytest.mark.parametrize("mu", [1e-5, 1.0, 1e6])
@pytest.mark.parametrize("theta", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_finite_with_finite_gradient_at_extreme_values(target, mu, theta, logit):
    values = [torch.tensor(v, requires_grad=True) for v in (mu, theta, logit)]
    loss = st.nn.zinb_nll(torch.tensor(target), *values)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value.grad) for value in values)


def test_single_precision_is_near_double_precision():
    target, mu, theta, logits = parameters()
    wanted = st.nn.zinb_nll(target, mu, theta, logits)
    got = st.nn.zinb_nll(target.float(), mu.float(), theta.float(), logits.float())
    torch.testing.assert_close(got.double(), wanted, rtol=1e-3, atol=1e-3)


def test_gradient_is_the_derivative():
    target, mu, theta, logits = (part[:12] for part in parameters())
    values = [part.clone().requires_grad_() for part in (mu, theta, logits)]
    assert torch.autograd.gradcheck(lambda *v: st.nn.zinb_nll(target, *v), values)
