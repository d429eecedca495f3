"""How several processes share a batch, so that the gradient is that of one process.

All processes draw the same batches. Each computes what takes time, encoder and decoder, of its share of the rows. A loss
that is a mean over rows is weighted by the size of the share. A loss of pairs of rows is no sum over shares: the
embeddings, which are small, are put together, and each process computes it of the whole batch. Gradients are averaged
over processes at last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Share:
    """The rows of a batch that are one process's.

    Parameters
    ----------
    n_rows
        Rows of the batch, which all processes draw alike.
    rank, n_processes
        Number of this process, and of all.
    """

    def __init__(self, n_rows: int, rank: int = 0, n_processes: int = 1) -> None:
        if n_rows < n_processes:
            msg = f"{n_processes} processes cannot share a batch of {n_rows} rows; use fewer devices or a larger batch_size"
            raise ValueError(msg)
        self.n_processes = n_processes
        sizes = [n_rows // n_processes + (number < n_rows % n_processes) for number in range(n_processes)]
        start = sum(sizes[:rank])
        self._sizes = sizes
        #: rows of this process
        self.rows = slice(start, start + sizes[rank])
        #: what the mean over these rows is multiplied by, so that the mean over processes is the mean over the batch
        self.weight = sizes[rank] * n_processes / n_rows

    def together(self, part: Tensor) -> Tensor:
        """Return the rows of all processes, in order; gradients flow back to those of this process.

        Every process must go on to compute the same loss of them.
        """
        if self.n_processes == 1:
            return part
        return _Together.apply(part, self.rows, self._sizes)  # type: ignore[no-untyped-call]


class _Together(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, rows: slice, sizes: list[int]) -> Tensor:
        from torch import distributed

        ctx.rows, ctx.n_processes = rows, len(sizes)
        padded = part.new_zeros(max(sizes), *part.shape[1:])
        padded[: len(part)] = part
        received = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(received, padded)
        return torch.cat([of[:size] for of, size in zip(received, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # all processes hold the same gradient of the same loss, and the average over them divides by their number
        return gradient[ctx.rows] * ctx.n_processes, None, None


def summed_over_processes(values: Tensor) -> Tensor:
    """Add up a tensor over all processes; the gradient is added up as well."""
    return _Summed.apply(values)  # type: ignore[no-untyped-call]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        from torch import distributed

        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        from torch import distributed

        total = gradient.clone()
        distributed.all_reduce(total)
        return total
