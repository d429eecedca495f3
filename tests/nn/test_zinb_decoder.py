from __future__ import annotations

import pytest
import torch
from torch import nn

import semtx as st

N, LATENT, GENES = 37, 4, 11
KINDS = [(None, "gene"), (None, "gene-cell"), (6, "gene"), (6, "gene-cell")]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make(hidden: int | None, dispersion: str) -> st.nn.ZINBDecoder:
    decoder = st.nn.ZINBDecoder(LATENT, GENES, hidden_dim=hidden, dispersion=dispersion).double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    z = torch.randn(N, LATENT).double().requires_grad_()
    counts = torch.poisson(torch.rand(N, GENES) * 3).double()
    return z, counts, 0.5 + torch.rand(N).double()


def direct(y: torch.Tensor, log_mu: torch.Tensor, theta: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The textbook formula, entry by entry, for autograd to differentiate."""
    mu, pi = torch.exp(log_mu), torch.sigmoid(logits)
    theta = theta.expand_as(mu)
    log_nb = (
        torch.lgamma(y + theta)
        - torch.lgamma(theta)
        - torch.lgamma(y + 1)
        + theta * torch.log(theta / (theta + mu))
        + y * torch.log(mu / (theta + mu))
    )
    return -torch.where(y == 0, torch.log(pi + (1 - pi) * torch.exp(log_nb)), torch.log(1 - pi) + log_nb)


def gradients(loss: torch.Tensor, decoder: nn.Module, z: torch.Tensor) -> list[torch.Tensor]:
    return torch.autograd.grad(loss, [z, *decoder.parameters()], retain_graph=True)


@pytest.mark.parametrize(("hidden", "dispersion"), KINDS)
def test_forward_is_the_equation(hidden, dispersion):
    decoder = make(hidden, dispersion).eval()
    z, _, factors = data()
    t = z
    if hidden is not None:
        linear, norm, _ = decoder.hidden
        t = torch.relu(norm.weight * (z @ linear.weight.T + linear.bias) / (1 + norm.eps) ** 0.5 + norm.bias)
    got = decoder(z, factors)
    log_mu = t @ decoder.mu.weight.T + decoder.mu.bias + torch.log(factors)[:, None]
    torch.testing.assert_close(got.log_mu, log_mu)
    if dispersion == "gene":
        torch.testing.assert_close(got.theta, nn.functional.softplus(decoder.theta))
        torch.testing.assert_close(got.pi_logits, decoder.pi)
    else:
        torch.testing.assert_close(got.theta, nn.functional.softplus(decoder.theta(t)))
        torch.testing.assert_close(got.pi_logits, decoder.pi(t))


@pytest.mark.parametrize(("hidden", "dispersion"), KINDS)
@pytest.mark.parametrize("ridge", [0.0, 0.05])
def test_chunks_do_not_change_value_or_gradient(hidden, dispersion, ridge):
    decoder = make(hidden, dispersion)
    z, counts, factors = data()
    log_mu, theta, logits = decoder(z, factors)
    pi = torch.sigmoid(logits).expand(N, GENES)
    wanted = direct(counts, log_mu, theta, logits).mean() + ridge * (pi**2).mean()
    slopes = gradients(wanted, decoder, z)
    for chunk in (1, 10, N, 1000, None):
        got = decoder.loss(z, counts, size_factors=factors, ridge=ridge, chunk=chunk)
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
        for slope, expected in zip(gradients(got, decoder, z), slopes, strict=True):
            torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_sparse_target_is_the_dense_one(chunk):
    decoder = make(6, "gene-cell")
    z, counts, factors = data()
    counts[3:9] = 0
    counts[:, 2] = 0
    wanted = decoder.loss(z, counts, size_factors=factors)
    got = decoder.loss(z, counts.to_sparse_csr(), size_factors=factors, chunk=chunk)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("hidden", "dispersion"), KINDS)
def test_a_subset_of_genes_is_the_loss_on_these_genes(hidden, dispersion):
    decoder = make(hidden, dispersion)
    z, counts, factors = data()
    genes = torch.tensor([1, 4, 5, 10])
    got = decoder.loss(z, counts[:, genes], size_factors=factors, genes=genes, ridge=0.1, chunk=10)
    log_mu, theta, logits = decoder(z, factors)
    theta, logits = theta.expand(N, GENES)[:, genes], logits.expand(N, GENES)[:, genes]
    entries = direct(counts[:, genes], log_mu[:, genes], theta, logits)
    wanted = (entries + 0.1 * torch.sigmoid(logits) ** 2).mean()
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    for slope, expected in zip(gradients(got, decoder, z), gradients(wanted, decoder, z), strict=True):
        torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(decoder(z, factors, genes).log_mu, log_mu[:, genes])


def test_subsets_of_genes_are_unbiased():
    decoder = make(None, "gene")
    z, counts, _ = data()
    parts = [decoder.loss(z, counts[:, [i, j]], genes=torch.tensor([i, j])) for i in range(GENES) for j in range(i)]
    torch.testing.assert_close(torch.stack(parts).mean(), decoder.loss(z, counts), rtol=1e-12, atol=1e-12)


def test_nothing_is_kept_where_no_gradient_is_asked_for():
    decoder = make(6, "gene-cell")
    z, counts, _ = data()
    with torch.no_grad():
        loss = decoder.loss(z, counts, chunk=5)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, decoder.loss(z, counts).detach())


def test_extreme_embeddings_stay_finite():
    decoder = make(None, "gene-cell").float()
    z = torch.tensor([[1e4, -1e4, 1e4, -1e4], [-1e4] * 4, [0.0] * 4], requires_grad=True)
    log_mu, theta, _ = decoder(z, torch.tensor([1e3, 1e-3, 1.0]))
    assert torch.exp(log_mu).min() > 0.9e-5
    assert torch.exp(log_mu).max() < 1.1e6
    assert theta.min() > 0
    loss = decoder.loss(z, torch.tensor([[0.0] * GENES, [1e4] * GENES, [1.0] * GENES]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_sum_is_not_taken_in_half_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.full((200, 400), 2.0), generator=generator)
    z = torch.randn(200, 8, generator=generator)
    decoder = st.nn.ZINBDecoder(8, 400)
    wanted = decoder.loss(z, counts)
    with torch.autocast("cpu", dtype=dtype):
        got = decoder.loss(z.requires_grad_(), counts)
        got.backward()
    assert got.dtype == torch.float32
    assert abs(got.item() - wanted.item()) < 2e-3 * wanted.item()
    assert torch.isfinite(z.grad).all()
