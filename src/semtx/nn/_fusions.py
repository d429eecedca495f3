"""Other ways than FSM to let semantics into a latent space, for comparison: each keeps its width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from semtx._values import check_choice, check_integer
from semtx.nn._fsm import FSM
from semtx.nn._pair import check_pair, check_widths

if TYPE_CHECKING:
    from torch import Tensor


class Concatenation(nn.Module):
    r"""Fuse by concatenation: :math:`z_i' = W [z_i | e_i] + b`, back to the width of :math:`z_i`.

    :math:`W = [I | 0]` and :math:`b = 0` at the start, so that the module starts as the identity, up to the rounding of a
    matrix product.

    Parameters
    ----------
    latent_dim, semantic_dim
        Lengths of a latent and of a semantic vector.

    References
    ----------
    Ablation of FSM in SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> z, semantics = torch.randn(3, 4), torch.randn(3, 8)
    >>> torch.allclose(st.nn.Concatenation(4, 8)(z, semantics), z)
    True
    """

    def __init__(self, latent_dim: int, semantic_dim: int) -> None:
        super().__init__()
        check_widths(latent_dim, semantic_dim)
        self.latent_dim, self.semantic_dim = latent_dim, semantic_dim
        self.linear = nn.Linear(latent_dim + semantic_dim, latent_dim)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(latent_dim, latent_dim + semantic_dim))
            self.linear.bias.zero_()

    def forward(self, latent: Tensor, semantics: Tensor) -> Tensor:
        """Fuse latent (n, latent_dim) with semantics (n, semantic_dim) into (n, latent_dim)."""
        check_pair(latent, semantics, self.latent_dim, self.semantic_dim)
        semantics = semantics.expand(*latent.shape[:-1], self.semantic_dim)
        return self.linear(torch.cat([latent, semantics.to(latent.dtype)], dim=-1))


class Addition(nn.Module):
    r"""Fuse by addition: :math:`z_i' = z_i + W e_i + b`, the exact identity at the start, where :math:`W = 0, b = 0`.

    Parameters
    ----------
    latent_dim, semantic_dim
        Lengths of a latent and of a semantic vector.

    References
    ----------
    Ablation of FSM in SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> z, semantics = torch.randn(3, 4), torch.randn(3, 8)
    >>> torch.equal(st.nn.Addition(4, 8)(z, semantics), z)
    True
    """

    def __init__(self, latent_dim: int, semantic_dim: int) -> None:
        super().__init__()
        check_widths(latent_dim, semantic_dim)
        self.latent_dim, self.semantic_dim = latent_dim, semantic_dim
        self.linear = _zero(nn.Linear(semantic_dim, latent_dim))

    def forward(self, latent: Tensor, semantics: Tensor) -> Tensor:
        """Fuse latent (n, latent_dim) with semantics (n, semantic_dim) into (n, latent_dim)."""
        check_pair(latent, semantics, self.latent_dim, self.semantic_dim)
        return latent + self.linear(semantics)


class CrossAttention(nn.Module):
    r"""Fuse by cross-attention: a cell's latent vector attends to tokens of its semantic vector.

    .. math:: z_i' = z_i + W_o \, \mathrm{softmax}\!\left(\tfrac{1}{\sqrt{h}} (W_q z_i) K_i^\top\right) V_i

    with the keys :math:`K_i` and values :math:`V_i`, each ``n_tokens`` rows of width :math:`h`, linear in :math:`e_i`. A
    single token would have weight 1 whatever the latent vector, which is addition. :math:`W_o = 0` at the start: the exact
    identity. No cell attends to another, so the cost is linear in cells. The paper does not give the sizes.

    Parameters
    ----------
    latent_dim, semantic_dim
        Lengths of a latent and of a semantic vector.
    n_tokens
        Tokens of a semantic vector.
    hidden_dim
        Width :math:`h` of queries, keys and values; ``None`` for ``latent_dim``, at most 64.

    References
    ----------
    Ablation of FSM in SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> z, semantics = torch.randn(3, 4), torch.randn(3, 8)
    >>> torch.equal(st.nn.CrossAttention(4, 8)(z, semantics), z)
    True
    """

    def __init__(self, latent_dim: int, semantic_dim: int, *, n_tokens: int = 8, hidden_dim: int | None = None) -> None:
        super().__init__()
        hidden_dim = min(latent_dim, 64) if hidden_dim is None else hidden_dim
        check_widths(latent_dim, semantic_dim, hidden_dim)
        check_integer("n_tokens", n_tokens, minimum=2)
        self.latent_dim, self.semantic_dim, self.n_tokens = latent_dim, semantic_dim, n_tokens
        self.query = nn.Linear(latent_dim, hidden_dim)
        self.tokens = nn.Linear(semantic_dim, 2 * n_tokens * hidden_dim)
        self.out = _zero(nn.Linear(hidden_dim, latent_dim))

    def forward(self, latent: Tensor, semantics: Tensor) -> Tensor:
        """Fuse latent (n, latent_dim) with semantics (n, semantic_dim) into (n, latent_dim)."""
        check_pair(latent, semantics, self.latent_dim, self.semantic_dim)
        keys, values = self.tokens(semantics).unflatten(-1, (self.n_tokens, -1)).chunk(2, dim=-1)
        query = self.query(latent).unsqueeze(-2)
        weights = (query * keys).sum(-1).div(keys.shape[-1] ** 0.5).softmax(-1)
        return latent + self.out((weights.unsqueeze(-1) * values).sum(-2))


FUSIONS: Final[dict[str, type[nn.Module]]] = {
    "fsm": FSM,
    "concatenate": Concatenation,
    "add": Addition,
    "cross_attention": CrossAttention,
}


def make_fusion(fusion: str, latent_dim: int, semantic_dim: int, **options: Any) -> nn.Module:
    """Return the module that ``fusion`` names, called with a latent and a semantic tensor."""
    check_choice("fusion", fusion, list(FUSIONS))
    return FUSIONS[fusion](latent_dim, semantic_dim, **options)


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
