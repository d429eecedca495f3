"""Sparse CSR tensors without torch's note, once in every process, that they are in beta state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def sparse_csr(pointers: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a CSR tensor of its three parts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(pointers, columns, values, size, check_invariants=False)


def adjacency_of(edge_index: Tensor, values: Tensor, n: int) -> Tensor:
    """Return the CSR adjacency, shape (n, n), of directed edges, shape (2, n_edges), and their values."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_coo_tensor(edge_index, values, (n, n), check_invariants=False).to_sparse_csr()
