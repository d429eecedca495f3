from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch_geometric.nn import GCNConv

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

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        x
            Shape (n, n_inputs).
        adjacency
            Normalised graph with self-loops, sparse CSR, shape (n, n).

        Returns
        -------
        Shape (n, n_latent).
        """
        hidden = self.dropout(torch.relu(self.first(x, adjacency)))
        return self.second(hidden, adjacency)


def _convolution(n_inputs: int, n_outputs: int) -> GCNConv:
    # the graph arrives normalised, so that row and symmetric normalisation are the caller's choice
    layer = GCNConv(n_inputs, n_outputs, normalize=False, add_self_loops=False)
    bound = n_outputs**-0.5
    nn.init.uniform_(layer.lin.weight, -bound, bound)
    nn.init.uniform_(layer.bias, -bound, bound)
    return layer
