"""The losses of SemST as they are defined, on all pairs and all genes at once: what linear time is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# bytes that one epoch of the authors' code was measured to take: for each pair of observations, and for each count
BYTES_OF_A_PAIR = 44
BYTES_OF_A_COUNT = 78


def dense_gigabytes(n_obs: int, n_vars: int) -> float:
    """Return the memory of one epoch of the dense losses, by the measured coefficients."""
    return (BYTES_OF_A_PAIR * n_obs**2 + BYTES_OF_A_COUNT * n_obs * n_vars) / 2**30


def dense_spatial(z: Tensor, adjacency: Tensor) -> Tensor:
    """Return the mean cross-entropy of the adjacency of all pairs, shape (n, n), and their cosines."""
    unit = torch.nn.functional.normalize(z, dim=1)
    return torch.nn.functional.binary_cross_entropy(torch.sigmoid(unit @ unit.T), adjacency)


def dense_zinb(mean: Tensor, dispersion: Tensor, dropout: Tensor, counts: Tensor) -> Tensor:
    """Return the negative log-likelihood of a zero-inflated negative binomial, all of shape (n, n_genes)."""
    eps = 1e-10
    log_mixed = torch.log(dispersion + mean + eps)
    negative_binomial = (
        torch.lgamma(counts + dispersion + eps)
        - torch.lgamma(dispersion + eps)
        - torch.lgamma(counts + 1)
        + dispersion * (torch.log(dispersion + eps) - log_mixed)
        + counts * (torch.log(mean + eps) - log_mixed)
    )
    zero = torch.log(dropout + (1 - dropout) * torch.exp(dispersion * (torch.log(dispersion + eps) - log_mixed)) + eps)
    return -torch.where(counts == 0, zero, torch.log(1 - dropout + eps) + negative_binomial).mean()


def dense_epoch(
    n_obs: int, n_vars: int, latent_dim: int = 128, hidden_dim: int = 256, random_state: int = 0
) -> Callable[[], None]:
    """Draw random input, and return one epoch, forward and backward: decoder, ZINB, correlation and spatial term."""
    generator = torch.Generator().manual_seed(random_state)
    z, feature = (torch.randn(n_obs, latent_dim, generator=generator, requires_grad=True) for _ in range(2))
    counts = torch.poisson(torch.full((n_obs, n_vars), 0.3), generator=generator)
    adjacency = (torch.rand(n_obs, n_obs, generator=generator) < 6 / n_obs).float()
    hidden = torch.nn.Sequential(torch.nn.Linear(latent_dim, hidden_dim), torch.nn.ReLU())
    heads = torch.nn.ModuleList([torch.nn.Linear(hidden_dim, n_vars) for _ in range(3)])

    def epoch() -> None:
        decoded = hidden(z)
        mean, dispersion, dropout = (head(decoded) for head in heads)
        loss = dense_zinb(
            mean.clamp(-10, 10).exp(), torch.nn.functional.softplus(dispersion), dropout.sigmoid(), counts
        )
        unit = [torch.nn.functional.normalize(view, dim=0) for view in (z, feature)]
        correlation = (unit[0].T @ unit[1] - torch.eye(latent_dim)).square().mean()
        (loss + correlation + 0.1 * dense_spatial(z, adjacency)).backward()

    return epoch
