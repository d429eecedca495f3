from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn
from torch.nn.functional import normalize, one_hot

from semtx.nn._residual_perceptron import ResidualPerceptron

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class ScLLMDSCViews(NamedTuple):
    """What :class:`ScLLMDSCNetwork` makes of cells.

    Attributes
    ----------
    latent
        Structure view before its head, shape (n, latent_dim).
    structure
        Structure view in the common space, shape (n, projection_dim).
    text
        Text view in the common space, shape (n, projection_dim), or ``None`` without semantics.
    """

    latent: Tensor
    structure: Tensor
    text: Tensor | None


class ScLLMDSCNetwork(nn.Module):
    """The network of scLLM-DSC: an autoencoder and two heads that bring its latent view and a text view together.

    Parameters
    ----------
    n_inputs
        Width of the expression that is read and reconstructed.
    latent_dim
        Width of the latent view.
    hidden_dim
        Width of the hidden layers of encoder and decoder.
    projection_dim
        Width of the common space.
    text_widths
        Widths of the paths that lie side by side in the text view: none without semantics, one, or two.
    omega, learn_omega
        Weight of the first of two paths, and whether it is learned, through a sigmoid. The paths are scaled by the roots
        of omega and 1 - omega, so that inner products of cells are mixed by omega; the paper adds the paths, which asks
        for one width and mixes each path with the other.
    encoder
        ``"linear"``: two linear maps, as in the authors' code; ``"perceptron"``: with LayerNorm and GELU between them;
        ``"residual"``: :class:`ResidualPerceptron`. The decoder is of the same kind.
    head
        ``"perceptron"``: linear, ReLU, linear, as in the paper; ``"residual"``: :class:`ResidualPerceptron`.
    unit_views
        Scale each row of the two views in the common space to length 1, as in the paper.
    n_batches
        Batches whose indicator the decoder reads, so that the latent view need not carry it.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the structure and the alignment modules.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> network = st.nn.ScLLMDSCNetwork(20, latent_dim=4, hidden_dim=8, projection_dim=6, text_widths=(5,))
    >>> views = network(torch.zeros(3, 20), torch.zeros(3, 5))
    >>> tuple(views.latent.shape), tuple(views.text.shape), tuple(network.decode(views.latent).shape)
    ((3, 4), (3, 6), (3, 20))
    """

    def __init__(
        self,
        n_inputs: int,
        *,
        latent_dim: int = 16,
        hidden_dim: int = 256,
        projection_dim: int = 128,
        text_widths: Sequence[int] = (),
        omega: float = 0.5,
        learn_omega: bool = False,
        encoder: Literal["linear", "perceptron", "residual"] = "perceptron",
        head: Literal["perceptron", "residual"] = "perceptron",
        unit_views: bool = True,
        n_batches: int = 0,
    ) -> None:
        super().__init__()
        self.unit_views = unit_views
        self.n_batches = n_batches
        self.encoder = _coder(encoder, n_inputs, hidden_dim, latent_dim)
        self.decoder = _coder(encoder, latent_dim + n_batches, hidden_dim, n_inputs)
        self.structure_head = _head(head, latent_dim, projection_dim)
        self.text_head = _head(head, sum(text_widths), projection_dim) if text_widths else None
        self.text_widths = tuple(text_widths)
        # a learned weight starts inside the open interval that a sigmoid reaches
        start = min(max(omega, 1e-3), 1 - 1e-3) if learn_omega else omega
        logit = torch.logit(torch.tensor(float(start)))
        if learn_omega and len(self.text_widths) == 2:
            self.omega_logit = nn.Parameter(logit)
        else:
            self.register_buffer("omega_logit", logit)

    def forward(self, x: Tensor, text: Tensor | None = None) -> ScLLMDSCViews:
        """Return the views of cells.

        Parameters
        ----------
        x
            Expression, shape (n, n_inputs).
        text
            Text view, shape (n, sum of ``text_widths``); ``None`` leaves that view out.
        """
        latent = self.encoder(x)
        structure = self.structure_head(latent)
        projected = None if text is None or self.text_head is None else self.text_head(self.mixed(text))
        if self.unit_views:
            structure = normalize(structure, dim=1)
            projected = None if projected is None else normalize(projected, dim=1)
        return ScLLMDSCViews(latent, structure, projected)

    @property
    def omega(self) -> float:
        """Weight of the first path."""
        return float(torch.sigmoid(self.omega_logit.detach()))

    def mixed(self, text: Tensor) -> Tensor:
        """Return the text view with its paths weighted, shape (n, sum of ``text_widths``)."""
        if len(self.text_widths) != 2:
            return text
        omega = torch.sigmoid(self.omega_logit)
        first, second = self.text_widths
        return text * torch.cat([omega.sqrt().expand(first), (1 - omega).sqrt().expand(second)])

    def decode(self, latent: Tensor, batch: Tensor | None = None) -> Tensor:
        """Return the reconstruction, shape (n, n_inputs), of cells whose batches are numbered in ``batch``."""
        if self.n_batches:
            indicator = (
                latent.new_zeros(len(latent), self.n_batches)
                if batch is None
                else one_hot(batch, self.n_batches).to(latent.dtype)
            )
            latent = torch.cat([latent, indicator], dim=1)
        return self.decoder(latent)


def _coder(kind: str, n_in: int, hidden: int, n_out: int) -> nn.Module:
    if kind == "residual":
        return ResidualPerceptron(n_in, hidden, n_out)
    between = [] if kind == "linear" else [nn.LayerNorm(hidden), nn.GELU()]
    return nn.Sequential(nn.Linear(n_in, hidden), *between, nn.Linear(hidden, n_out))


def _head(kind: str, n_in: int, n_out: int) -> nn.Module:
    if kind == "residual":
        return ResidualPerceptron(n_in, n_out, n_out)
    return nn.Sequential(nn.Linear(n_in, n_out), nn.ReLU(), nn.Linear(n_out, n_out))
