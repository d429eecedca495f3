from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse


def binary(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return a graph of ones without self-loops."""
    graph = sparse.csr_matrix(graph, dtype=np.float32, copy=True)
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph.data[:] = 1
    return graph


def normalize_adjacency(
    adjacency: sparse.csr_matrix, how: Literal["row", "symmetric"], *, self_loops: bool = True
) -> sparse.csr_matrix:
    r"""Normalise a graph for convolution.

    Parameters
    ----------
    adjacency
        Non-negative weights, shape (n, n).
    how
        ``"symmetric"``: :math:`D^{-1/2} (A + I) D^{-1/2}`, as the paper writes; ``"row"``: :math:`D^{-1} (A + I)`, as
        the authors' code does.
    self_loops
        Add the identity; an isolated observation then keeps its own values.
    """
    graph = sparse.csr_matrix(adjacency, dtype=np.float32, copy=True)
    if self_loops:
        graph = sparse.csr_matrix(graph + sparse.identity(graph.shape[0], dtype=np.float32, format="csr"))
    degree = np.asarray(graph.sum(axis=1)).ravel()
    with np.errstate(divide="ignore"):
        inverse = np.where(degree > 0, 1 / degree, 0).astype(np.float32)
    if how == "row":
        return sparse.csr_matrix(sparse.diags(inverse) @ graph)
    root = sparse.diags(np.sqrt(inverse))
    return sparse.csr_matrix(root @ graph @ root)
