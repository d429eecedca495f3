from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu, layer_norm

from semtx.nn import ResidualPerceptron


@pytest.fixture
def layer() -> ResidualPerceptron:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ResidualPerceptron(5, 7, 3).double()


def points(n: int = 11) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(1)).double()


def test_starts_as_its_linear_part(layer):
    x = points()
    assert torch.equal(layer(x), x @ layer.linear.weight.T + layer.linear.bias)


def test_the_equation(layer):
    first, norm, _, last = layer.bend
    with torch.no_grad():
        last.weight.copy_(torch.randn(3, 7, generator=torch.Generator().manual_seed(2)))
    x = points()
    hidden = gelu(layer_norm(x @ first.weight.T + first.bias, (7,), norm.weight, norm.bias))
    wanted = x @ layer.linear.weight.T + layer.linear.bias + hidden @ last.weight.T
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-12)


def test_bends_away_from_the_line(layer):
    """The part that starts at zero is trained: what no line fits is fitted."""
    x = points(64)
    y = x[:, :3].abs()
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    with_ones = torch.cat([x, torch.ones(64, 1).double()], dim=1)
    line = with_ones @ torch.linalg.lstsq(with_ones, y).solution
    for _ in range(300):
        optimizer.zero_grad()
        loss = (layer(x) - y).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * (line - y).square().mean()
    assert layer.bend[-1].weight.abs().min() > 0


def test_zeros_give_no_nan(layer):
    layer(torch.zeros(4, 5).double()).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())
