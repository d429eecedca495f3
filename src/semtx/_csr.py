"""Sparse CSR tensors without torch's note, once in every process, that they are in beta state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse
    from torch import Tensor


def sparse_csr(pointers: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a CSR tensor of its three parts."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(pointers, columns, values, size, check_invariants=False)


def csr_rows(matrix: sparse.csr_matrix, rows: slice) -> Tensor:
    """Return some rows of a scipy CSR matrix as a float32 CSR tensor, to be read only: it shares memory where it can."""
    import torch

    start, stop, _ = rows.indices(matrix.shape[0])
    pointers = matrix.indptr[start : stop + 1]
    entries = slice(pointers[0], pointers[-1])
    stored = (
        (pointers - pointers[0]).astype(np.int32, copy=False),
        matrix.indices[entries].astype(np.int32, copy=False),
        matrix.data[entries].astype(np.float32, copy=False),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        pointers, columns, values = (torch.from_numpy(part) for part in stored)
    return sparse_csr(pointers, columns, values, (stop - start, matrix.shape[1]))
