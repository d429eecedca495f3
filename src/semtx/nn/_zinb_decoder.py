from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import linear, softplus

from semtx.nn._batch_norm import BatchNorm
from semtx.nn._sparse import dense_rows
from semtx.nn._zinb import zinb_nll_of_log_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# entries decoded at a time: 2 MiB for each float32 intermediate, which stays in the cache of a CPU; a GPU wants more to do
CHUNK_ENTRIES = 2**19
_CHUNK_ENTRIES_OF_GPU = 2**22


class ZINBParameters(NamedTuple):
    """Logarithm of the mean, inverse dispersion and logits of zero inflation; (n, n_genes), or (n_genes,) by gene."""

    log_mu: Tensor
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
    >>> decoder(torch.randn(3, 4)).log_mu.shape
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
            else nn.Sequential(nn.Linear(latent_dim, hidden_dim), BatchNorm(hidden_dim), nn.ReLU())
        )
        self.mu = nn.Linear(width, n_genes)
        self.pi: nn.Linear | nn.Parameter
        self.theta: nn.Linear | nn.Parameter
        if dispersion == "gene-cell":
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
        chunk: int | None = None,
    ) -> Tensor:
        """Return the mean negative log-likelihood over all entries.

        Heads, likelihood and their gradients run over ``chunk`` rows at a time, so that memory is
        O(n * hidden_dim + chunk * n_genes) and nothing is computed twice.

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
            Rows at a time; ``None`` for half a million entries, on a GPU four million.
        """
        hidden = self.hidden(z)
        n, n_genes = hidden.shape[0], counts.shape[1]
        entries = CHUNK_ENTRIES if hidden.device.type == "cpu" else _CHUNK_ENTRIES_OF_GPU
        chunk = max(entries // n_genes, 1) if chunk is None else chunk

        def nll_sum(part: Tensor, start: int) -> Tensor:
            rows = slice(start, start + len(part))
            factors = None if size_factors is None else size_factors[rows]
            log_mu, theta, pi_logits = self._heads(part, factors, genes)
            total = zinb_nll_of_log_mean(dense_rows(counts, rows), log_mu, theta, pi_logits)
            if ridge:
                entries_each = log_mu.numel() / pi_logits.numel()
                total = total + ridge * entries_each * torch.sigmoid(pi_logits).square().sum()
            return total

        heads = [p for name, p in self.named_parameters() if not name.startswith("hidden.") and p.requires_grad]
        total = _SumOverChunks.apply(nll_sum, chunk, hidden, *heads)  # type: ignore[no-untyped-call]
        return total / (n * n_genes)

    def _heads(self, hidden: Tensor, size_factors: Tensor | None, genes: Tensor | None) -> ZINBParameters:
        log_mu = _head(self.mu, hidden, genes)
        if size_factors is not None:
            log_mu = log_mu + torch.log(size_factors)[:, None]
        theta, pi_logits = _head(self.theta, hidden, genes), _head(self.pi, hidden, genes)
        # under autocast the products come in half precision, and the likelihood needs more
        log_mu, theta, pi_logits = (
            x.to(torch.promote_types(x.dtype, torch.float32)) for x in (log_mu, theta, pi_logits)
        )
        # means of 1e-5 to 1e6, as the authors clip them
        return ZINBParameters(log_mu.clamp(-11.5, 13.8), softplus(theta).clamp(1e-4, 1e4), pi_logits)


class _SumOverChunks(torch.autograd.Function):
    """Sum a function over chunks of rows; each chunk's gradients are taken at once, so that its memory is free again."""

    @staticmethod
    def forward(
        ctx: Any, function: Callable[[Tensor, int], Tensor], chunk: int, hidden: Tensor, *parameters: Tensor
    ) -> Tensor:
        needed = any(ctx.needs_input_grad)
        total = hidden.new_zeros(())
        d_hidden = torch.zeros_like(hidden) if needed else None
        d_parameters = [torch.zeros_like(parameter) for parameter in parameters] if needed else []
        for start in range(0, len(hidden), chunk):
            part = hidden[start : start + chunk].detach()
            if d_hidden is None:
                total += function(part, start)
                continue
            with torch.enable_grad():
                part.requires_grad_()
                value = function(part, start)
                gradients = torch.autograd.grad(value, [part, *parameters])
            total += value.detach()
            d_hidden[start : start + chunk] = gradients[0]
            for whole, gradient in zip(d_parameters, gradients[1:], strict=True):
                whole.add_(gradient)
        ctx.save_for_backward(*([] if d_hidden is None else [d_hidden, *d_parameters]))
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(gradient * saved for saved in ctx.saved_tensors)


def _head(layer: nn.Linear | nn.Parameter, hidden: Tensor, genes: Tensor | None) -> Tensor:
    """Return a value for each entry, or for each gene where the layer holds just those."""
    if isinstance(layer, nn.Parameter):
        return layer if genes is None else layer[genes]
    if genes is None:
        return layer(hidden)
    return linear(hidden, layer.weight[genes], layer.bias[genes])
