from __future__ import annotations

import pytest
import torch
from torch import nn

import semtx as st


def randomised(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_starts_as_the_exact_identity(hidden):
    fsm = st.nn.FSM(4, 8, hidden_dims=hidden)
    z, semantics = torch.randn(6, 4), 100 * torch.randn(6, 8)
    assert torch.equal(fsm(z, semantics), z)
    # ... and yet semantics can act: the last layer gets a gradient
    fsm(z, semantics).square().sum().backward()
    assert fsm.modulation[-1].weight.grad.abs().max() > 0


def test_torch_initialisation_is_no_identity():
    fsm = st.nn.FSM(4, 8, zero_init=False)
    z = torch.randn(6, 4)
    assert not torch.allclose(fsm(z, torch.randn(6, 8)), z, atol=1e-3)


def test_equation():
    fsm = randomised(st.nn.FSM(4, 8, hidden_dims=(5,)).double())
    z, semantics = torch.randn(6, 4).double(), torch.randn(6, 8).double()
    first, last = fsm.modulation[0], fsm.modulation[-1]
    both = torch.relu(semantics @ first.weight.T + first.bias) @ last.weight.T + last.bias
    alpha, beta = both[:, :4], both[:, 4:]
    torch.testing.assert_close(fsm(z, semantics), (1 + alpha) * z + beta, rtol=0, atol=1e-12)
    for got, wanted in zip(fsm.coefficients(semantics), (alpha, beta), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def test_max_scale_bounds_alpha_alone():
    free, bound = st.nn.FSM(4, 8, zero_init=False), st.nn.FSM(4, 8, zero_init=False, max_scale=0.5)
    bound.load_state_dict(free.state_dict())
    semantics = 1000 * torch.randn(20, 8)
    alpha, beta = bound.coefficients(semantics)
    assert alpha.abs().max() <= 0.5
    assert free.coefficients(semantics)[0].abs().max() > 10
    assert torch.equal(beta, free.coefficients(semantics)[1])
    # small scales pass nearly unchanged
    small = semantics / 1e6
    torch.testing.assert_close(
        bound.coefficients(small)[0], 0.5 * torch.tanh(free.coefficients(small)[0] / 0.5), rtol=1e-6, atol=1e-7
    )


def test_rows_do_not_mix():
    fsm = randomised(st.nn.FSM(4, 8))
    z, semantics = torch.randn(6, 4), torch.randn(6, 8)
    changed = semantics.clone()
    changed[2] += 1
    same = (fsm(z, semantics) == fsm(z, changed)).all(dim=1)
    assert same.tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize("semantics", [(1, 8), (5, 8), (6, 7)])
def test_one_row_of_semantics_for_each_of_the_latent(semantics):
    """A single row would be broadcast to all, silently."""
    with pytest.raises(ValueError, match=r"latent must have shape \(n, 4\) and semantics \(n, 8\)"):
        st.nn.FSM(4, 8)(torch.zeros(6, 4), torch.zeros(semantics))


@pytest.mark.parametrize(("error", "options"), [(ValueError, {"latent_dim": 0}), (TypeError, {"semantic_dim": 2.5})])
def test_widths_are_whole_numbers(error, options):
    with pytest.raises(error, match=next(iter(options))):
        st.nn.FSM(**{"latent_dim": 4, "semantic_dim": 8, **options})


def test_bound_is_positive():
    with pytest.raises(ValueError, match="max_scale must be finite, above 0"):
        st.nn.FSM(4, 8, max_scale=0)
