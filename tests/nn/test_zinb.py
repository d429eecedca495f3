from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import nbinom

import semtx as st

N, GENES = 12, 9


def parameters() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(N, GENES, generator=generator, dtype=torch.float64)

    target = torch.randint(0, 40, (N, GENES), generator=generator).double()
    target[::3] = 0
    return target, torch.exp(uniform(-2, 2)), torch.exp(uniform(-3, 3)), uniform(-4, 4)


def entries(*parts: torch.Tensor) -> np.ndarray:
    """The loss of each entry by itself."""
    each = zip(*(part.ravel() for part in parts), strict=True)
    return np.array([st.nn.zinb_nll(*(value.reshape(1, 1) for value in entry)).item() for entry in each])


def test_without_inflation_it_is_scipys_negative_binomial():
    target, mu, theta, _ = parameters()
    wanted = -nbinom.logpmf(target, theta, theta / (theta + mu)).ravel()
    got = entries(target, mu, theta, torch.full_like(mu, -60.0))
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10)


def test_with_inflation_it_is_the_mixture():
    target, mu, theta, logits = parameters()
    pi = expit(logits.numpy())
    nb = nbinom.pmf(target, theta, theta / (theta + mu))
    wanted = -np.log(pi * (target.numpy() == 0) + (1 - pi) * nb).ravel()
    np.testing.assert_allclose(entries(target, mu, theta, logits), wanted, rtol=1e-9, atol=1e-10)


def test_is_the_sum_over_entries():
    parts = parameters()
    assert st.nn.zinb_nll(*parts).item() == pytest.approx(entries(*parts).sum(), rel=1e-12)


def test_probabilities_sum_to_one():
    y = torch.arange(500.0, dtype=torch.float64)
    one = torch.ones_like(y)
    assert np.exp(-entries(y, 3 * one, 0.8 * one, -0.3 * one)).sum() == pytest.approx(1, abs=1e-10)


def test_whatever_is_no_whole_number_gets_the_same_formula():
    y, mu, theta, logit = (torch.full((1, 1), v, dtype=torch.float64) for v in (2.7, 1.3, 0.9, -0.4))
    nb = (
        math.lgamma(0.9)
        + math.lgamma(3.7)
        - math.lgamma(3.6)
        + 3.6 * math.log(1 + 1.3 / 0.9)
        + 2.7 * (math.log(0.9) - math.log(1.3))
    )
    wanted = nb - math.log(1 - expit(-0.4))
    assert st.nn.zinb_nll(y, mu, theta, logit).item() == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.5, 1e5])
@pytest.mark.parametrize("mu", [1e-5, 1.0, 1e6])
def test_finite_with_finite_gradient_at_extreme_values(target, mu):
    for theta in (1e-4, 1.0, 1e4):
        for logit in (-200.0, 0.0, 200.0):
            values = [torch.full((1, 1), v, requires_grad=True) for v in (mu, theta, logit)]
            loss = st.nn.zinb_nll(torch.full((1, 1), target), *values)
            loss.backward()
            assert torch.isfinite(loss)
            assert all(torch.isfinite(value.grad).all() for value in values), (theta, logit)


def test_single_precision_is_near_double_precision():
    parts = parameters()
    np.testing.assert_allclose(entries(*(part.float() for part in parts)), entries(*parts), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("per_gene", [False, True])
def test_gradient_is_the_derivative(per_gene):
    target, *rest = (part[:4, :5] for part in parameters())
    if per_gene:
        rest = [rest[0], *(part[0] for part in rest[1:])]
    values = [part.clone().requires_grad_() for part in rest]
    assert torch.autograd.gradcheck(lambda *v: st.nn.zinb_nll(target, *v), values)


def test_one_value_for_each_gene_is_that_value_in_every_row():
    target, mu, theta, logits = parameters()
    short = [mu.clone().requires_grad_(), *(part[0].clone().requires_grad_() for part in (theta, logits))]
    long = [part.detach().clone().requires_grad_() for part in short]
    got = st.nn.zinb_nll(target, *short)
    wanted = st.nn.zinb_nll(target, long[0], *(part.expand(N, GENES) for part in long[1:]))
    torch.testing.assert_close(got, wanted)
    for one, other in zip(torch.autograd.grad(got, short), torch.autograd.grad(wanted, long), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("target", [torch.zeros(3, 4), 1 + torch.arange(12.0).reshape(3, 4)])
def test_all_zero_and_no_zero(target):
    values = [torch.full((3, 4), v, requires_grad=True) for v in (1.5, 0.7, -1.0)]
    loss = st.nn.zinb_nll(target, *values)
    loss.backward()
    assert loss > 0
    assert all((value.grad != 0).any() for value in values)


def test_layout_in_memory_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    target = torch.poisson(torch.full((6, 4), 1.0), generator=generator)
    mu, theta, logits = (torch.rand(6, 4, generator=generator) + 0.1 for _ in range(3))
    expected = st.nn.zinb_nll(target, mu, theta, logits)
    turned = [x.T.contiguous().T.requires_grad_() for x in (mu, theta, logits)]
    loss = st.nn.zinb_nll(target.T.contiguous().T, *turned)
    torch.testing.assert_close(loss, expected)
    straight = [x.clone().requires_grad_() for x in (mu, theta, logits)]
    wanted = torch.autograd.grad(st.nn.zinb_nll(target, *straight), straight)
    for got, value in zip(torch.autograd.grad(loss, turned), wanted, strict=True):
        torch.testing.assert_close(got, value)
