from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch_geometric.nn import GCNConv

from semtx.nn._sparse import sparse_input_product

if TYPE_CHECKING:
    from torch import Tensor


class GraphEncoder(nn.Module):
    r"""Two graph convolutions, :math:`H = \hat A \, \mathrm{ReLU}(\hat A X W_1 + b_1) W_2 + b_2`.

    Parameters
    ----------
    n_inputs, n_hidden, n_latent
        Widths of input, hidden and output.
    dropout
        Dropout probability after the first convolution.

    References
    ----------
    Section "Method" of SemST :cite:p:`Long2026`; the initialisation, uniform in +-1/sqrt(width), is the authors'.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> encoder = st.nn.GraphEncoder(n_inputs=5, n_hidden=4, n_latent=2)
    >>> adjacency = torch.eye(3).to_sparse_csr()
    >>> encoder(torch.randn(3, 5), adjacency).shape
    torch.Size([3, 2])
    """

    def __init__(self, n_inputs: int, n_hidden: int, n_latent: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = _convolution(n_inputs, n_hidden)
        self.second = _convolution(n_hidden, n_latent)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, adjacency: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Encode.

        Parameters
        ----------
        x
            Dense or sparse CSR, shape (n, n_inputs).
        adjacency
            Normalised graph with self-loops, sparse CSR, shape (n, n). Or a pair, of the inner and of the outer
            convolution, where ``x`` holds just what some rows read: shapes (b, n) and (n_rows, b).

        Returns
        -------
        Shape (n, n_latent), or (n_rows, n_latent).
        """
        inner, outer = adjacency if isinstance(adjacency, tuple) else (adjacency, adjacency)
        hidden = self.dropout(torch.relu(_convolve(self.first, x, inner)))
        return _convolve(self.second, hidden, outer)


def _convolve(layer: GCNConv, x: Tensor, adjacency: Tensor) -> Tensor:
    weight = layer.lin.weight
    # sparse products have no half precision
    with torch.autocast(x.device.type, enabled=False):
        support = sparse_input_product(x, weight.T) if x.layout == torch.sparse_csr else x.to(weight.dtype) @ weight.T
        return torch.sparse.mm(adjacency, support) + layer.bias


def _convolution(n_inputs: int, n_outputs: int) -> GCNConv:
    # the graph arrives normalised, so that row and symmetric normalisation are the caller's choice
    layer = GCNConv(n_inputs, n_outputs, normalize=False, add_self_loops=False)
    bound = n_outputs**-0.5
    nn.init.uniform_(layer.lin.weight, -bound, bound)
    nn.init.uniform_(layer.bias, -bound, bound)
    return layer
