from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from semtx._csr import sparse_csr

if TYPE_CHECKING:
    from torch import Tensor


class CutGraph:
    r"""Two graphs of the same cells for :func:`graph_cut`, kept as one sparse factor and never as an N x N matrix.

    Of non-negative expression X with its rows scaled to unit length, :math:`\hat X`, the graphs are the cosines of all
    pairs of cells and their square,

    .. math:: A_1 = \hat X \hat X^T, \qquad A_2 = A_1 A_1^T,

    and the normalised affinity of each is :math:`S(A) = D^{-1/2} A D^{-1/2}` with :math:`D = \mathrm{diag}(A 1)`; the
    rows of cells without any count are zero. The traces that a cut needs follow exactly from products with the factor:

    .. math:: \mathrm{tr}(Z^T S(A_1) Z) = \| \hat X^T D_1^{-1/2} Z \|_F^2, \qquad
              \mathrm{tr}(Z^T S(A_2) Z) = \| \hat X \hat X^T D_2^{-1/2} Z \|_F^2.

    Where the input is negative (scaled) or reduced (principal components), a neighbour graph stands for the cosines:
    see :meth:`from_adjacency`.

    Parameters
    ----------
    expression
        Non-negative, shape (n, n_genes), sparse CSR or dense. A batch of rows gives the graphs within the batch.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the graph-cut loss.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> graph = st.nn.CutGraph(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]))
    >>> graph.degrees.tolist()
    [2.0, 2.0, 1.0]
    >>> [trace.item() for trace in graph.traces(torch.eye(3))]
    [2.0, 2.0]
    """

    def __init__(self, expression: Tensor) -> None:
        values = expression.values() if expression.layout == torch.sparse_csr else expression
        if values.numel() and not (torch.isfinite(values).all() and values.min() >= 0):
            msg = (
                "expression has negative or non-finite entries, of which cosines make no affinity; "
                "use CutGraph.from_adjacency with a neighbour graph"
            )
            raise ValueError(msg)
        self._factor = _with_unit_rows(expression)
        self._transposed = _transposed(self._factor)
        self._is_adjacency = False
        ones = values.new_ones(len(expression), 1)
        once = self._second(self._first(ones))
        self._set_degrees(once, self._second(self._first(once)))

    @classmethod
    def from_adjacency(cls, adjacency: Tensor) -> CutGraph:
        r"""Take a graph as :math:`A_1` itself, and again its square as :math:`A_2`.

        Parameters
        ----------
        adjacency
            Symmetric and non-negative, shape (n, n), sparse CSR or dense; such as a graph of nearest neighbours. With
            ones on the diagonal, as cosines have them, the affinities keep clear of -1.
        """
        values = adjacency.values() if adjacency.layout == torch.sparse_csr else adjacency
        if adjacency.shape[0] != adjacency.shape[1]:
            msg = f"adjacency must be square, its shape is {tuple(adjacency.shape)}"
            raise ValueError(msg)
        if values.numel() and not (torch.isfinite(values).all() and values.min() >= 0):
            msg = "adjacency has negative or non-finite entries"
            raise ValueError(msg)
        graph = cls.__new__(cls)
        graph._factor = graph._transposed = adjacency
        graph._is_adjacency = True
        once = _product(adjacency, values.new_ones(len(adjacency), 1))
        other_way = _product(_transposed(adjacency), values.new_ones(len(adjacency), 1))
        if not torch.allclose(once, other_way, rtol=1e-4, atol=1e-6):
            msg = "adjacency is not symmetric; take (adjacency + adjacency.T) / 2"
            raise ValueError(msg)
        graph._set_degrees(once, _product(adjacency, once))
        return graph

    def __len__(self) -> int:
        return len(self.degrees)

    def traces(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the traces of Z' S(A) Z for the graph and for its square, in O(nnz * h) time.

        Parameters
        ----------
        z
            Shape (n, h); scaled by nothing but the degrees. The traces have the precision of the factor.
        """
        if len(z) != len(self):
            msg = f"z has {len(z)} rows, the graph {len(self)} cells"
            raise ValueError(msg)
        h = z.shape[1]
        z = z.to(self.degrees.dtype)
        first, second = z * self._scale[:, :1], z * self._scale[:, 1:]
        through = self._first(torch.cat([first, second], dim=1))
        if self._is_adjacency:
            return (first * through[:, :h]).sum(), through[:, h:].square().sum()
        return through[:, :h].square().sum(), self._second(through[:, h:]).square().sum()

    def _set_degrees(self, first: Tensor, second: Tensor) -> None:
        self.degrees, self.second_degrees = first[:, 0], second[:, 0]
        degrees = torch.cat([first, second], dim=1)
        self._scale = torch.where(degrees > 0, degrees, torch.inf).rsqrt()

    def _first(self, values: Tensor) -> Tensor:
        return _Product.apply(self._transposed, self._factor, values)  # type: ignore[no-untyped-call]

    def _second(self, values: Tensor) -> Tensor:
        return _Product.apply(self._factor, self._transposed, values)  # type: ignore[no-untyped-call]


class _Product(torch.autograd.Function):
    """Product with a constant sparse matrix whose transpose is at hand: both passes are fast row by row."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, values: Tensor) -> Tensor:
        ctx.transposed = transposed
        return _product(matrix, values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _product(ctx.transposed, gradient)


def _product(matrix: Tensor, values: Tensor) -> Tensor:
    with torch.autocast(values.device.type, enabled=False):
        return matrix @ values


def _with_unit_rows(expression: Tensor) -> Tensor:
    if expression.layout != torch.sparse_csr:
        return normalize(expression, dim=1)
    pointers, values = expression.crow_indices(), expression.values()
    rows = torch.repeat_interleave(torch.arange(len(expression), device=values.device), pointers.diff())
    squares = values.new_zeros(len(expression)).index_add_(0, rows, values.square())
    length = squares.sqrt().clamp_min(torch.finfo(values.dtype).tiny)
    return sparse_csr(pointers, expression.col_indices(), values / length[rows], (len(expression), expression.shape[1]))


def _transposed(matrix: Tensor) -> Tensor:
    if matrix.layout != torch.sparse_csr:
        return matrix.T
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR|CSC) tensor support is in beta state")
        return matrix.transpose(0, 1).to_sparse_csr()
