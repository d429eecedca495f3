from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import kl_div

if TYPE_CHECKING:
    from torch import Tensor


def assignment_divergence(target: Tensor, log_assignments: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of target from soft assignments, mean over cells.

    .. math:: L_{KL} = \frac{1}{n} \sum_{ij} t_{ij} \, (\log t_{ij} - \log q_{ij})

    The authors' code takes q for log q and sums over cells; its gradient is then :math:`-t` and not :math:`-t / q`.

    Parameters
    ----------
    target
        Shape (n, k), rows sum to 1; zeros are allowed.
    log_assignments
        Logarithms of q, shape (n, k), as of ``student_t(..., log=True)``.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the clustering loss.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> target = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    >>> round(st.nn.assignment_divergence(target, torch.full((2, 2), 0.5).log()).item(), 4)  # log(2) / 2
    0.3466
    """
    if target.shape != log_assignments.shape:
        # would be broadcast without a word
        msg = f"target has shape {tuple(target.shape)}, the assignments {tuple(log_assignments.shape)}"
        raise ValueError(msg)
    return kl_div(log_assignments, target.to(log_assignments.dtype), reduction="batchmean")
