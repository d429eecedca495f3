from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import relu

from semtx.nn._unit_rows import unit_rows

if TYPE_CHECKING:
    from torch import Tensor


def variance_hinge(x: Tensor, *, target: float | None = None, eps: float = 1e-4) -> Tensor:
    r"""Loss that keeps each dimension of a view varying from cell to cell, so that the view does not collapse.

    .. math:: L_{var} = \frac{1}{h} \sum_k \max\left(0, \; s - \sqrt{\mathrm{Var}(x_{\cdot k}) + \epsilon}\right)

    The variances of rows of length 1 sum to 1 at most, so that their standard deviations reach
    :math:`1 / \sqrt{h}` together and no more: the default for s, with rows scaled to unit length first. The authors'
    hinge at 1 is out of reach on such rows, and pulls for ever.

    Parameters
    ----------
    x
        View, shape (n, h).
    target
        Standard deviation s above which a dimension is left alone. ``None``: :math:`1 / \sqrt{h}` for rows scaled to
        unit length; a number applies to ``x`` as it is.
    eps
        Keeps the gradient of a constant dimension finite.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the variance term.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> axes = torch.cat([torch.eye(4), -torch.eye(4)])  # mean 0 and the same variance everywhere
    >>> st.nn.variance_hinge(axes).item()
    0.0
    >>> round(st.nn.variance_hinge(torch.ones(8, 4)).item(), 4)  # collapsed: 1 / 2 - sqrt(eps)
    0.49
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if target is None:
        x, target = unit_rows(x), x.shape[1] ** -0.5
    deviation = torch.sqrt(x.var(dim=0, correction=0) + eps)
    return relu(target - deviation).mean()
