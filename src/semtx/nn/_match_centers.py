from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def match_centers(centers: Tensor, reference: Tensor) -> Tensor:
    """Order in which new cluster centres come closest to old ones, so that clusters keep their numbers.

    k-means numbers its clusters anew in every run, while a target keeps its columns: without this, the column of one
    cluster would soon be that of another.

    Parameters
    ----------
    centers
        New centres, shape (k, h).
    reference
        Old centres, shape (k, h), of the same space.

    Returns
    -------
    Integers, shape (k,): ``centers[order]`` stands in the order of ``reference``, with the least sum of squared
    distances that a one-to-one matching has. New labels are renumbered by ``order.argsort()[labels]``.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> old = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    >>> new = old[[2, 0, 1]] + 0.1
    >>> order = st.nn.match_centers(new, old)
    >>> order.tolist()
    [1, 2, 0]
    >>> order.argsort()[torch.tensor([2, 0, 1])].tolist()  # new labels of cells that were 1, 2, 0
    [1, 2, 0]
    """
    if centers.shape != reference.shape:
        msg = f"centers has shape {tuple(centers.shape)}, reference {tuple(reference.shape)}"
        raise ValueError(msg)
    from scipy.optimize import linear_sum_assignment

    # few as they are, on the CPU, which has double precision whatever the device has
    squares = torch.cdist(reference.detach().cpu().double(), centers.detach().cpu().double()).square()
    _, order = linear_sum_assignment(squares.numpy())
    return torch.as_tensor(order, device=centers.device)
