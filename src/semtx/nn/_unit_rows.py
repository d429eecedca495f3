"""Rows of unit length that leave empty ones alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def unit_rows(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale rows to length 1, in float32 at least; shorter ones than ``eps`` become zero and get no gradient.

    torch's own ``normalize`` multiplies the gradient of a row of zeros by 1e12: infinite in half precision, and no
    direction at all in any.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    length = torch.linalg.vector_norm(x.detach(), dim=1, keepdim=True)
    empty = length <= eps
    # put right before the division: what is left out after it would still leave NaN in the gradient
    return torch.nn.functional.normalize(x.masked_fill(empty, 1.0), dim=1).masked_fill(empty, 0.0)
