from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn.functional import linear, softplus
from torch.utils.checkpoint import checkpoint

from semtx.nn._zinb import zinb_nll

if TYPE_CHECKING:
    from torch import Tensor


class ZINBParameters(NamedTuple):
    """Mean, inverse dispersion and logits of zero inflation, each broadcasting to (n, n_genes)."""

    mu: Tensor
    theta: Tensor
    pi_logits: Tensor


class ZINBDecoder(nn.Module):
    r"""Zero-inflated negative binomial decoder of an embedding.

    .. math:: \mu = s_i \exp(W_\mu t_i + b_\mu), \quad \theta = \mathrm{softplus}(\cdot), \quad
              \pi = \sigma(\cdot), \qquad t_i = \mathrm{ReLU}(\mathrm{BatchNorm}(W z_i + b))

    Parameters
    ----------
    latent_dim
        Length of an embedding vector.
    n_genes
        Number of genes.
    hidden_dim
        Width of the hidden layer; ``None`` decodes the embedding itself (:math:`t_i = z_i`).
    dispersion
        ``"gene-cell"``: dispersion and zero inflation of every entry from the embedding, as in the paper; ``"gene"``:
        one value for each gene, which is a third of the work.

    References
    ----------
    Section "Method" of SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> decoder = st.nn.ZINBDecoder(latent_dim=4, n_genes=10)
    >>> decoder(torch.randn(3, 4)).mu.shape
    torch.Size([3, 10])
    """

    def __init__(
        self, latent_dim: int, n_genes: int, *, hidden_dim: int | None = None, dispersion: str = "gene-cell"
    ) -> None:
        super().__init__()
        width = latent_dim if hidden_dim is None else hidden_dim
        self.hidden = (
            nn.Identity()
            if hidden_dim is None
            else nn.Sequential(nn.Linear(latent_dim, hidden_dim), nn.BatchNorm1d(hidden_dim), nn.ReLU())
        )
        self.mu = nn.Linear(width, n_genes)
        self.per_cell = dispersion == "gene-cell"
        if self.per_cell:
            self.pi = nn.Linear(width, n_genes)
            self.theta = nn.Linear(width, n_genes)
        else:
            # softplus(2) is a moderate overdispersion, sigmoid(-3) a zero inflation of 5 %
            self.pi = nn.Parameter(torch.full((n_genes,), -3.0))
            self.theta = nn.Parameter(torch.full((n_genes,), 2.0))

    def forward(self, z: Tensor, size_factors: Tensor | None = None, genes: Tensor | None = None) -> ZINBParameters:
        """Decode.

        Parameters
        ----------
        z
            Embedding, shape (n, latent_dim).
        size_factors
            Factor of each cell's mean, shape (n,); 1 where absent.
        genes
            Indices of the genes to decode; all where absent.
        """
        return self._heads(self.hidden(z), size_factors, genes)

    def loss(
        self,
        z: Tensor,
        counts: Tensor,
        *,
        size_factors: Tensor | None = None,
        genes: Tensor | None = None,
        ridge: float = 0.0,
        chunk: int = 1024,
    ) -> Tensor:
        """Return the mean negative log-likelihood over all entries.

        The heads and the likelihood run over ``chunk`` rows at a time and are computed again in the backward pass, so
        that memory is O(n * hidden_dim + chunk * n_genes).

        Parameters
        ----------
        z
            Embedding, shape (n, latent_dim).
        counts
            Dense or sparse CSR, shape (n, n_genes or len(genes)).
        size_factors, genes
            As in :meth:`forward`.
        ridge
            Weight of the squared zero inflation that the authors' code adds to every entry.
        chunk
            Rows at a time.
        """
        hidden = self.hidden(z)
        n = hidden.shape[0]
        total = hidden.new_zeros(())
        for start in range(0, n, chunk):
            rows = slice(start, min(start + chunk, n))
            target = _dense_rows(counts, rows)
            factors = None if size_factors is None else size_factors[rows]
            total = total + checkpoint(self._nll_sum, hidden[rows], target, factors, genes, ridge, use_reentrant=False)
        return total / (n * counts.shape[1])

    def _nll_sum(
        self, hidden: Tensor, target: Tensor, size_factors: Tensor | None, genes: Tensor | None, ridge: float
    ) -> Tensor:
        mu, theta, pi_logits = self._heads(hidden, size_factors, genes)
        total = zinb_nll(target, mu, theta, pi_logits).sum()
        if ridge:
            share = target.numel() / pi_logits.numel()
            total = total + ridge * share * torch.sigmoid(pi_logits).square().sum()
        return total

    def _heads(self, hidden: Tensor, size_factors: Tensor | None, genes: Tensor | None) -> ZINBParameters:
        mu = _head(self.mu, hidden, genes).clamp(max=15).exp()
        if size_factors is not None:
            mu = mu * size_factors[:, None]
        if self.per_cell:
            theta, pi_logits = _head(self.theta, hidden, genes), _head(self.pi, hidden, genes)
        else:
            theta, pi_logits = (self.theta, self.pi) if genes is None else (self.theta[genes], self.pi[genes])
        return ZINBParameters(mu.clamp(1e-5, 1e6), softplus(theta).clamp(1e-4, 1e4), pi_logits)


def _head(layer: nn.Linear, hidden: Tensor, genes: Tensor | None) -> Tensor:
    if genes is None:
        return layer(hidden)
    return linear(hidden, layer.weight[genes], layer.bias[genes])


def _dense_rows(counts: Tensor, rows: slice) -> Tensor:
    if counts.layout != torch.sparse_csr:
        return counts[rows]
    pointers = counts.crow_indices()[rows.start : rows.stop + 1]
    first, last = int(pointers[0]), int(pointers[-1])
    return torch.sparse_csr_tensor(
        pointers - first,
        counts.col_indices()[first:last],
        counts.values()[first:last],
        (rows.stop - rows.start, counts.shape[1]),
    ).to_dense()
