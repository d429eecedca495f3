from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor


def correlation_reduction(
    spatial: Tensor, feature: Tensor, *, weighting: Literal["uniform", "balanced"] = "uniform"
) -> Tensor:
    r"""Loss that makes the same dimension of two views agree and different dimensions differ.

    With :math:`C_{ab}` the cosine, over cells and not centred, of column :math:`a` of one view and column :math:`b` of
    the other, and :math:`h` columns:

    .. math:: L_{cr} = \frac{1}{h^2} \sum_{ab} (C_{ab} - \delta_{ab})^2

    It needs no matrix larger than h x h, whatever the number of cells.

    Parameters
    ----------
    spatial, feature
        The two views, each of shape (n, h).
    weighting
        ``"uniform"`` is the paper's equation; ``"balanced"``, as the authors' code has it, adds the mean over the
        diagonal to the mean over the rest, which weighs the diagonal about h times more.

    References
    ----------
    Equations 11 and 12 of SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> view = torch.eye(4)
    >>> float(st.nn.correlation_reduction(view, view))
    0.0
    """
    # under autocast the views may come in half precision, and sums over cells need more
    precision = torch.promote_types(spatial.dtype, torch.float32)
    with torch.autocast(spatial.device.type, enabled=False):
        views = spatial.to(precision), feature.to(precision)
        # the product is scaled, and not the views, of which that would make copies
        lengths = [torch.linalg.vector_norm(view, dim=0).clamp_min(1e-12) for view in views]
        cosine = views[0].T @ views[1] / torch.outer(*lengths)
    h = cosine.shape[0]
    squares = (cosine - torch.eye(h, dtype=cosine.dtype, device=cosine.device)) ** 2
    if weighting == "uniform":
        return squares.mean()
    diagonal = squares.diagonal()
    return diagonal.mean() + (squares.sum() - diagonal.sum()) / max(h * (h - 1), 1)
