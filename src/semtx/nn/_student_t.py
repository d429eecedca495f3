from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def student_t(z: Tensor, centers: Tensor, *, dof: float = 1.0, log: bool = False) -> Tensor:
    r"""Soft assignments of cells to cluster centres by the kernel of Student's t distribution.

    With :math:`\nu` degrees of freedom,

    .. math:: q_{ij} = \frac{(1 + \|z_i - \mu_j\|^2 / \nu)^{-(\nu + 1) / 2}}
              {\sum_k (1 + \|z_i - \mu_k\|^2 / \nu)^{-(\nu + 1) / 2}},

    computed from logarithms and from differences, in float32 at least. On embeddings of length 1 or below, where
    distances are at most 2, all q are near 1 / k with :math:`\nu = 1`: such z and centres need a scale.

    Parameters
    ----------
    z
        Embedding, shape (n, h).
    centers
        Shape (k, h), of the same space.
    dof
        Degrees of freedom, above 0.
    log
        Return the logarithms, which :func:`assignment_divergence` wants.

    Returns
    -------
    Shape (n, k); rows sum to 1.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the soft assignment.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> centers = torch.tensor([[0.0], [2.0]])
    >>> st.nn.student_t(torch.tensor([[0.0], [1.0]]), centers)
    tensor([[0.8333, 0.1667],
            [0.5000, 0.5000]])
    """
    if dof <= 0:
        msg = f"dof must be above 0, got {dof}"
        raise ValueError(msg)
    precision = torch.promote_types(torch.promote_types(z.dtype, centers.dtype), torch.float32)
    # from differences: the expansion of the square loses the small distances of large vectors
    distances = torch.cdist(z.to(precision), centers.to(precision), compute_mode="donot_use_mm_for_euclid_dist")
    kernel = -0.5 * (dof + 1) * torch.log1p(distances.square() / dof)
    return kernel.log_softmax(dim=1) if log else kernel.softmax(dim=1)
