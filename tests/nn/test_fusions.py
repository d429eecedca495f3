from __future__ import annotations

import pytest
import torch
from torch import nn

import semtx as st
from semtx.nn._fusions import FUSIONS, make_fusion


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(params=FUSIONS)
def fusion(request) -> nn.Module:
    return make_fusion(request.param, 4, 8)


def randomised(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def test_starts_as_the_identity_and_can_learn(fusion):
    z, semantics = torch.randn(6, 4), 10 * torch.randn(6, 8)
    torch.testing.assert_close(fusion(z, semantics), z, rtol=0, atol=1e-6)
    (fusion(z, semantics) - semantics[:, :4]).square().sum().backward()
    assert max(float(p.grad.abs().max()) for p in fusion.parameters()) > 0


@pytest.mark.parametrize("name", ["fsm", "add", "cross_attention"])
def test_exact_where_it_can_be(name):
    z, semantics = torch.randn(6, 4), 100 * torch.randn(6, 8)
    assert torch.equal(make_fusion(name, 4, 8)(z, semantics), z)


def test_width_is_kept_and_rows_do_not_mix(fusion):
    randomised(fusion)
    z, semantics = torch.randn(6, 4), torch.randn(6, 8)
    out = fusion(z, semantics)
    assert out.shape == z.shape
    assert not torch.allclose(out, z)
    changed = semantics.clone()
    changed[2] += 1
    assert (fusion(z, changed) == out).all(dim=1).tolist() == [True, True, False, True, True, True]


def test_samples_of_the_same_cells(fusion):
    randomised(fusion)
    z, semantics = torch.randn(3, 6, 4), torch.randn(6, 8)
    torch.testing.assert_close(fusion(z, semantics), torch.stack([fusion(part, semantics) for part in z]))


def test_equations():
    z, semantics = torch.randn(6, 4).double(), torch.randn(6, 8).double()
    concatenation = randomised(st.nn.Concatenation(4, 8).double())
    weight, bias = concatenation.linear.weight, concatenation.linear.bias
    torch.testing.assert_close(concatenation(z, semantics), z @ weight[:, :4].T + semantics @ weight[:, 4:].T + bias)
    addition = randomised(st.nn.Addition(4, 8).double())
    torch.testing.assert_close(addition(z, semantics), z + semantics @ addition.linear.weight.T + addition.linear.bias)
    attention = randomised(st.nn.CrossAttention(4, 8, n_tokens=3, hidden_dim=5).double())
    for row in range(6):
        tokens = attention.tokens(semantics[row]).reshape(3, 10)
        keys, values = tokens[:, :5], tokens[:, 5:]
        weights = torch.softmax(keys @ attention.query(z[row]) / 5**0.5, 0)
        wanted = z[row] + attention.out(weights @ values)
        torch.testing.assert_close(attention(z, semantics)[row], wanted)


@pytest.mark.parametrize(
    ("z", "semantics"), [((6, 4), (1, 8)), ((6, 4), (5, 8)), ((6, 3), (6, 8)), ((6, 4), (6, 7)), ((4,), (6, 8))]
)
def test_what_does_not_go_together(fusion, z, semantics):
    with pytest.raises(ValueError, match=r"latent must have shape \(n, 4\) and semantics \(n, 8\), got"):
        fusion(torch.zeros(z), torch.zeros(semantics))


def test_unknown():
    with pytest.raises(ValueError, match=r"fusion must be one of 'fsm'.*got 'missing'"):
        make_fusion("missing", 4, 8)
    with pytest.raises(ValueError, match="semantic_dim must be at least 1"):
        make_fusion("add", 4, 0)
    with pytest.raises(ValueError, match="n_tokens must be at least 2"):
        st.nn.CrossAttention(4, 8, n_tokens=1)
