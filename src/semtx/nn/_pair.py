"""Checks of what every fusion of a latent with a semantic vector is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._values import check_integer

if TYPE_CHECKING:
    from torch import Tensor


def check_widths(latent_dim: int, semantic_dim: int, *hidden_dims: int) -> None:
    """Raise unless all widths are whole numbers of 1 or more."""
    check_integer("latent_dim", latent_dim, minimum=1)
    check_integer("semantic_dim", semantic_dim, minimum=1)
    for width in hidden_dims:
        check_integer("hidden_dims", width, minimum=1)


def check_pair(latent: Tensor, semantics: Tensor, latent_dim: int, semantic_dim: int) -> None:
    """Raise unless there is a semantic vector for each latent one: a single row would be used for all, silently."""
    fits = latent.ndim >= 2 and semantics.ndim == 2 and latent.shape[-2] == semantics.shape[0]
    if not fits or latent.shape[-1] != latent_dim or semantics.shape[1] != semantic_dim:
        msg = (
            f"latent must have shape (n, {latent_dim}) and semantics (n, {semantic_dim}), "
            f"got {tuple(latent.shape)} and {tuple(semantics.shape)}"
        )
        raise ValueError(msg)
