from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from semtx._values import check_number
from semtx.nn._pair import check_pair, check_widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class FSM(nn.Module):
    r"""Fine-grained semantic modulation of a latent representation, for any torch module.

    Each cell's semantic vector :math:`e_i` decides, element by element, how its latent vector :math:`z_i` is scaled
    and shifted:

    .. math:: (\alpha_i, \beta_i) = f(e_i), \qquad z_i' = (1 + \alpha_i) \odot z_i + \beta_i

    with :math:`z_i, \alpha_i, \beta_i \in \mathbb{R}^{latent\_dim}` and :math:`e_i \in \mathbb{R}^{semantic\_dim}`. The last
    layer of :math:`f` starts at zero, so that the module starts as the exact identity and semantics act only as far as
    the loss wants them to. :func:`semtx.nn.attach_fsm` puts it into a model that exists already.

    Parameters
    ----------
    latent_dim
        Length of a latent vector.
    semantic_dim
        Length of a semantic vector.
    hidden_dims
        Widths of the hidden layers of :math:`f`, each followed by a ReLU; empty for a linear map.
    zero_init
        Start as the identity. ``False`` keeps torch's default initialisation, as the authors' code does.
    max_scale
        Bound on :math:`|\alpha|`, through :math:`m \tanh(\alpha / m)`, so that a value below 1 never flips a sign;
        ``None`` for no bound.
    dropout
        Dropout probability after each hidden layer.

    Raises
    ------
    TypeError, ValueError
        A width is no whole number of 1 or more; ``max_scale`` is not above 0; or, when called, latent and semantic
        vectors do not go together.

    References
    ----------
    Equation 9 of SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> modulation = st.nn.FSM(latent_dim=4, semantic_dim=8)
    >>> z, semantics = torch.randn(3, 4), torch.randn(3, 8)
    >>> torch.equal(modulation(z, semantics), z)
    True
    """

    def __init__(
        self,
        latent_dim: int,
        semantic_dim: int,
        *,
        hidden_dims: Sequence[int] = (),
        zero_init: bool = True,
        max_scale: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths(latent_dim, semantic_dim, *hidden_dims)
        if max_scale is not None:
            check_number("max_scale", max_scale, minimum=0, open_minimum=True)
        self.latent_dim, self.semantic_dim = latent_dim, semantic_dim
        self.max_scale = max_scale
        widths = [semantic_dim, *hidden_dims]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU(), nn.Dropout(dropout)]
        last = nn.Linear(widths[-1], 2 * latent_dim)
        if zero_init:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.modulation = nn.Sequential(*layers, last)

    def coefficients(self, semantics: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scales alpha and the shifts beta, each of shape (n, latent_dim), of semantics (n, semantic_dim)."""
        alpha, beta = self.modulation(semantics).chunk(2, dim=-1)
        if self.max_scale is not None:
            alpha = self.max_scale * torch.tanh(alpha / self.max_scale)
        return alpha, beta

    def forward(self, latent: Tensor, semantics: Tensor) -> Tensor:
        """Modulate.

        Parameters
        ----------
        latent
            Shape (n, latent_dim), or (..., n, latent_dim), such as several samples of the same n cells.
        semantics
            Shape (n, semantic_dim), one row per row of ``latent``.

        Returns
        -------
        Shape of ``latent``.
        """
        check_pair(latent, semantics, self.latent_dim, self.semantic_dim)
        alpha, beta = self.coefficients(semantics)
        return (1 + alpha) * latent + beta
