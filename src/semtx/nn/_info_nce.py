from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from semtx.nn._unit_rows import unit_rows

if TYPE_CHECKING:
    from torch import Tensor

# similarities computed at a time: 16 MiB in float32
CHUNK_ENTRIES = 2**22


def info_nce(
    a: Tensor,
    b: Tensor,
    temperature: float | Tensor = 0.1,
    *,
    chunk: int | None = None,
    labels: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    r"""Bidirectional contrastive loss: each cell's two views find one another among those of all cells.

    With :math:`S_{ij}` the cosine of row i of one view and row j of the other, divided by the temperature, it is the
    mean of the two cross-entropies whose right answer is the diagonal,

    .. math:: L = \frac{1}{2n} \sum_i \left[ \log \sum_j e^{S_{ij}} + \log \sum_j e^{S_{ji}} - 2 S_{ii} \right].

    It is exact, and so are its gradients, but only some rows of S are held at a time: O(n * chunk) memory. All is
    computed in float32 at least, also under autocast. It can be differentiated once.

    Parameters
    ----------
    a, b
        The two views, each of shape (n, h); rows are scaled to unit length (zeros stay).
    temperature
        Above 0; a scalar tensor gets a gradient.
    chunk
        Rows of S at a time; ``None`` for about four million entries.
    labels
        Integers, shape (n,). Cells with the same label are not each other's negatives, as they are likely to be of one
        type; of a negative label nothing is known, and no pair is left out.
    groups
        Integers, shape (n,). Negatives come from the cell's own group only, such as its batch; else the loss would
        also learn to tell batches apart.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the contrastive loss.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> view = torch.eye(3)
    >>> round(st.nn.info_nce(view, view, temperature=1.0).item(), 4)  # log(1 + 2 / e)
    0.5514
    >>> round(st.nn.info_nce(view, view, labels=torch.zeros(3)).item(), 4)
    0.0
    """
    if a.shape != b.shape:
        msg = f"the two views must have the same shape, they have {tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(msg)
    if chunk is not None and chunk < 1:
        msg = f"chunk must be at least 1, got {chunk}"
        raise ValueError(msg)
    n = len(a)
    for name, given in (("labels", labels), ("groups", groups)):
        if given is not None and given.shape != (n,):
            msg = f"{name} must have shape ({n},), it has {tuple(given.shape)}"
            raise ValueError(msg)
    chunk = max(CHUNK_ENTRIES // max(n, 1), 1) if chunk is None else chunk
    with torch.autocast(a.device.type, enabled=False):
        a, b = unit_rows(a) / temperature, unit_rows(b)
        precision = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(precision), b.to(precision)
        log_sums = _MeanLogSumExp.apply(a, b, chunk, labels, groups)  # type: ignore[no-untyped-call]
        return log_sums - (a * b).sum(dim=1).mean()


class _MeanLogSumExp(torch.autograd.Function):
    """Mean of the logarithmic sums over rows and over columns of a @ b.T, some rows at a time."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, chunk: int, labels: Tensor | None, groups: Tensor | None) -> Tensor:
        of_rows, of_columns = a.new_empty(len(a)), a.new_full((len(a),), -torch.inf)
        for start in range(0, len(a), chunk):
            logits = _logits(a, b, start, chunk, labels, groups)
            of_rows[start : start + chunk] = logits.logsumexp(dim=1)
            of_columns = torch.logaddexp(of_columns, logits.logsumexp(dim=0))
        ctx.chunk, ctx.labels, ctx.groups = chunk, labels, groups
        ctx.save_for_backward(a, b, of_rows, of_columns)
        return (of_rows.mean() + of_columns.mean()) / 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        a, b, of_rows, of_columns = ctx.saved_tensors
        d_a, d_b = torch.empty_like(a), torch.zeros_like(b)
        for start in range(0, len(a), ctx.chunk):
            rows = slice(start, start + ctx.chunk)
            logits = _logits(a, b, start, ctx.chunk, ctx.labels, ctx.groups)
            share = (logits - of_rows[rows, None]).exp_()
            share += logits.sub_(of_columns).exp_()
            d_a[rows] = share @ b
            d_b.addmm_(share.T, a[rows])
        scale = gradient / (2 * len(a))
        return d_a.mul_(scale), d_b.mul_(scale), None, None, None


def _logits(a: Tensor, b: Tensor, start: int, chunk: int, labels: Tensor | None, groups: Tensor | None) -> Tensor:
    """Rows of a @ b.T, minus infinity where two different cells are no negatives of each other."""
    rows = slice(start, start + chunk)
    with torch.autocast(a.device.type, enabled=False):
        logits = a[rows] @ b.T
    if labels is None and groups is None:
        return logits
    left_out = torch.zeros_like(logits, dtype=torch.bool)
    if labels is not None:
        left_out |= (labels[rows, None] == labels) & (labels >= 0)
    if groups is not None:
        left_out |= groups[rows, None] != groups
    own = torch.arange(len(logits), device=a.device)
    left_out[own, start + own] = False
    return logits.masked_fill_(left_out, -torch.inf)
