"""Products and parts of sparse CSR tensors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from semtx._csr import sparse_csr

if TYPE_CHECKING:
    from torch import Tensor

# entries made dense at a time: 16 MiB
_ENTRIES = 2**22
# what is below counts as zero
_ZERO = 1e-8


def adjacency_of(edge_index: Tensor, values: Tensor, n: int) -> Tensor:
    """Return the CSR adjacency, shape (n, n), of directed edges, shape (2, n_edges), and their values."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_coo_tensor(edge_index, values, (n, n), check_invariants=False).to_sparse_csr()


def dense_rows(matrix: Tensor, rows: slice) -> Tensor:
    """Return some rows of a dense or sparse CSR matrix, dense."""
    if matrix.layout != torch.sparse_csr:
        return matrix[rows]
    pointers = matrix.crow_indices()[rows.start : rows.stop + 1]
    first, last = int(pointers[0]), int(pointers[-1])
    columns, values = matrix.col_indices()[first:last], matrix.values()[first:last]
    return sparse_csr(pointers - first, columns, values, (len(pointers) - 1, matrix.shape[1])).to_dense()


def stored_entries(matrix: Tensor, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
    """Return where some rows of a dense or sparse CSR matrix are above zero, counted row by row, and the values there."""
    if matrix.layout != torch.sparse_csr:
        entries = matrix[rows].reshape(-1)
        stored = (entries >= _ZERO).nonzero().ravel()
        return stored, entries[stored]
    start, stop, _ = rows.indices(matrix.shape[0])
    pointers = matrix.crow_indices()[start : stop + 1]
    first, last = int(pointers[0]), int(pointers[-1])
    values = matrix.values()[first:last]
    # 32 bits are too few to count the entries of large matrices
    stored = torch.repeat_interleave(pointers.diff()).long() * matrix.shape[1] + matrix.col_indices()[first:last]
    above = values >= _ZERO
    return stored[above], values[above]


def sparse_input_product(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply counts, sparse CSR, shape (n, d), by weights, shape (d, h); the gradient is that of the weights.

    Rows are made dense in chunks, again in the backward pass: a quarter of the counts of a section are not zero, and there
    dense products take half the time of sparse ones.
    """
    return _InputProduct.apply(x, weight)  # type: ignore[no-untyped-call]


class _InputProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.x, ctx.shape = x, weight.shape
        made = weight.new_empty(x.shape[0], weight.shape[1])
        for rows in _chunks(x):
            made[rows] = dense_rows(x, rows) @ weight
        return made

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        total = gradient.new_zeros(ctx.shape)
        for rows in _chunks(ctx.x):
            total.addmm_(dense_rows(ctx.x, rows).T, gradient[rows])
        return None, total


def _chunks(x: Tensor) -> list[slice]:
    n, d = x.shape
    step = max(_ENTRIES // d, 1)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
