from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


# least that is added to the curvature
_DAMPING = 1e-14


def optimal_transport_target(
    log_assignments: Tensor,
    *,
    sizes: Tensor | None = None,
    floor: float = 0.02,
    sharpness: float = 5.0,
    tolerance: float = 1e-7,
    max_iter: int = 100,
) -> Tensor:
    r"""Target of the soft assignments: sharper ones that fill every cluster to its size.

    The target is :math:`T = \mathrm{diag}(u) \, q^s \, \mathrm{diag}(v)`, with s the sharpness, of which the rows sum
    to 1 and column j to the size of cluster j. Sinkhorn's iterations run on logarithms in float64, so that peaked
    assignments do not underflow. They come near fast but end slowly, by thousands of them where clusters are well
    apart; so a damped Newton's method on the k columns' factors, a convex problem, does the rest. Memory is O(n * k).
    Column j of T belongs to column j of q, hence to the same centre.

    Parameters
    ----------
    log_assignments
        Logarithms of q, shape (n, k), as of ``student_t(..., log=True)``.
    sizes
        Sizes of the clusters in any unit, shape (k,). ``None`` counts each cell for its likeliest cluster.
    floor
        No size counts for less than this part of n / k, so that no cluster dies out.
    sharpness
        Exponent s.
    tolerance
        Largest error of a column's sum, as a part of all cells, at which to stop; rows are exact.
    max_iter
        Iterations of Sinkhorn, and as many of Newton, before stopping with a warning.

    Returns
    -------
    Shape (n, k), dtype of ``log_assignments``, without gradient.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the target; POT :cite:p:`Flamary2021` for the iterations.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> q = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], dtype=torch.float64)
    >>> target = st.nn.optimal_transport_target(q.log())
    >>> target.sum(dim=0).round(decimals=4).tolist(), target.argmax(dim=1).tolist()
    ([2.0, 2.0], [0, 0, 1, 1])
    """
    from ot.bregman import sinkhorn_log

    n, k = log_assignments.shape
    if sizes is None:
        sizes = torch.bincount(log_assignments.argmax(dim=1), minlength=k)
    if sizes.shape != (k,) or not torch.isfinite(sizes).all() or (sizes < 0).any() or sizes.sum() <= 0:
        msg = f"sizes must be ({k},) numbers of zero or above that are not all zero, got {sizes.tolist()}"
        raise ValueError(msg)
    if not torch.isfinite(log_assignments).all():
        msg = "log_assignments must be finite; take them from student_t(..., log=True)"
        raise ValueError(msg)
    # Apple's GPUs have no float64
    device = "cpu" if log_assignments.device.type == "mps" else log_assignments.device
    columns = (sizes.to(device).double() / sizes.sum().item()).clamp_min(floor / k)
    columns /= columns.sum()
    filled = columns > 0
    kernel = sharpness * log_assignments.detach().to(device).double()[:, filled]
    rows = kernel.new_full((n,), 1 / n)
    _, log = sinkhorn_log(
        rows, columns[filled], -kernel, 1.0, numItermax=max_iter, stopThr=tolerance / 2, warn=False, log=True
    )
    plan, error = _newton(kernel, columns[filled], log["log_v"], tolerance, max_iter)
    if error > tolerance:
        msg = f"sums of the target's columns are off by {error:.1e} of all cells after {max_iter} iterations"
        warnings.warn(msg, stacklevel=2)
    target = kernel.new_zeros(n, k)
    target[:, filled] = plan
    return target.to(log_assignments.dtype).to(log_assignments.device)


def _newton(kernel: Tensor, columns: Tensor, factors: Tensor, tolerance: float, max_iter: int) -> tuple[Tensor, float]:
    """Minimise mean logsumexp(kernel + factors) - columns . factors, whose gradient is the error of the columns.

    The loss is convex, and next to flat where assignments are certain: there a whole step of Newton would lead far astray.
    So steps are damped (Levenberg-Marquardt), and only those that lower the loss are taken.
    """

    def loss(at: Tensor) -> Tensor:
        return (kernel + at).logsumexp(dim=1).mean() - columns @ at

    plan = (kernel + factors).softmax(dim=1)
    gradient = plan.mean(dim=0) - columns
    here, damping = loss(factors), _DAMPING
    for _ in range(max_iter):
        if gradient.abs().max() <= tolerance / 2:
            break
        # adding the same to all factors changes nothing: the ones close that direction
        hessian = plan.mean(dim=0).diag() - plan.T @ plan / len(plan) + columns.mean()
        # few as they are, on the CPU
        values, vectors = torch.linalg.eigh(hessian.cpu())
        values, vectors = values.clamp_min(0).to(kernel.device), vectors.to(kernel.device)
        along = vectors.T @ gradient
        # near the end the gain is below the rounding error
        slack = 1e-13 * (1 + here.abs())
        while True:
            damped = values + damping
            gain = 0.5 * (along.square() * (values + 2 * damping) / damped.square()).sum()
            moved = factors - vectors @ (along / damped)
            there = loss(moved)
            if there <= here - 0.1 * gain + slack:
                break
            damping *= 10
            if damping > 1:
                return plan, float(gradient.abs().max())
        factors, here, damping = moved, there, max(damping / 10, _DAMPING)
        plan = (kernel + factors).softmax(dim=1)
        gradient = plan.mean(dim=0) - columns
    return plan, float(gradient.abs().max())
