from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import hardtanh, linear, softplus

from semtx.nn._batch_norm import BatchNorm
from semtx.nn._sparse import stored_entries
from semtx.nn._zinb import zinb_with_gradients

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# entries decoded at a time: 1 MiB for each float32 intermediate, which stays in the cache of a CPU; a GPU wants more to do
_CHUNK_ENTRIES, _CHUNK_ENTRIES_OF_GPU = 2**18, 2**22
# softplus of these is 1e-4 and 1e4
_RAW_THETA = (math.log(math.expm1(1e-4)), 1e4)


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
            else nn.Sequential(nn.Linear(latent_dim, hidden_dim), BatchNorm(hidden_dim), nn.ReLU(inplace=True))
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
            Rows at a time; ``None`` for a quarter of a million entries, on a GPU four million.
        """
        hidden = self.hidden(z)
        # under autocast it may come in half precision, and sums over all entries need more
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        n, n_genes = hidden.shape[0], counts.shape[1]
        chunk = max(chunk_entries(hidden.device) // n_genes, 1) if chunk is None else chunk

        def nll_sum(part: Tensor, start: int) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
            rows = slice(start, start + len(part))
            factors = None if size_factors is None else size_factors[rows]
            decoded = self._heads(part, factors, genes)
            with torch.no_grad():
                value, d_log_mu, d_theta, d_pi = zinb_with_gradients(*stored_entries(counts, rows), *decoded)
                if ridge:
                    pi = torch.sigmoid(decoded.pi_logits)
                    weight = ridge * decoded.log_mu.numel() / pi.numel()
                    value = value + weight * pi.square().sum()
                    d_pi = d_pi + 2 * weight * pi.square() * (1 - pi)
            return value, decoded, (d_log_mu, d_theta, d_pi)

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
        # means of 1e-5 to 1e6, as the authors clip them; hardtanh is clamp with a gradient in one pass
        return ZINBParameters(hardtanh(log_mu, -11.5, 13.8), softplus(hardtanh(theta, *_RAW_THETA)), pi_logits)


def chunk_entries(device: torch.device) -> int:
    """Return how many entries are decoded at a time."""
    return _CHUNK_ENTRIES if device.type == "cpu" else _CHUNK_ENTRIES_OF_GPU


class _SumOverChunks(torch.autograd.Function):
    """Sum a loss over chunks of rows; each chunk's gradients are taken at once, so that its memory is free again.

    The function returns the loss of a chunk, the tensors that it is computed from, and its gradients in these.
    """

    @staticmethod
    def forward(
        ctx: Any,
        function: Callable[[Tensor, int], tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]],
        chunk: int,
        hidden: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        needed = any(ctx.needs_input_grad)
        total = hidden.new_zeros(())
        d_hidden = torch.zeros_like(hidden) if needed else None
        d_parameters = [torch.zeros_like(parameter) for parameter in parameters] if needed else []
        for start in range(0, len(hidden), chunk):
            part = hidden[start : start + chunk].detach()
            if d_hidden is None:
                total += function(part, start)[0]
                continue
            with torch.enable_grad():
                value, decoded, slopes = function(part.requires_grad_(), start)
            total += value
            learned = [(x, slope) for x, slope in zip(decoded, slopes, strict=True) if x.requires_grad]
            outputs, slopes = zip(*learned, strict=True)
            gradients = torch.autograd.grad(outputs, [part, *parameters], slopes)
            d_hidden[start : start + chunk] = gradients[0]
            for whole, gradient in zip(d_parameters, gradients[1:], strict=True):
                whole.add_(gradient)
        ctx.gradients = None if d_hidden is None else [d_hidden, *d_parameters]
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # scaled in place and given away: a copy of all would be the most that training holds
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            msg = "the gradient of ZINBDecoder.loss can be taken once; compute the loss again"
            raise RuntimeError(msg)
        return None, None, *(whole.mul_(gradient) for whole in gradients)


def _head(layer: nn.Linear | nn.Parameter, hidden: Tensor, genes: Tensor | None) -> Tensor:
    """Return a value for each entry, or for each gene where the layer holds just those."""
    if isinstance(layer, nn.Parameter):
        return layer if genes is None else layer[genes]
    if genes is None:
        return layer(hidden)
    return linear(hidden, layer.weight[genes], layer.bias[genes])
