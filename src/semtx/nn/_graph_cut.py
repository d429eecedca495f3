from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from torch import Tensor

    from semtx.nn._cut_graph import CutGraph


def graph_cut(z: Tensor, graph: CutGraph, *, balance: float = 0.21, orthogonality: float = 0.32) -> Tensor:
    r"""Normalised-cut loss of an embedding on a graph and its square, with an orthogonality penalty.

    With :math:`\hat Z` the embedding with columns of unit length, h columns, and :math:`S` the normalised affinity:

    .. math:: L = -\frac{1}{h} \left[ b \, \mathrm{tr}(\hat Z^T S(A_1) \hat Z)
              + (1 - b) \, \mathrm{tr}(\hat Z^T S(A_2) \hat Z) \right]
              + \eta \, \frac{1}{h^2} \| \hat Z^T \hat Z - I \|_F^2.

    Columns of unit length bound the first part by -1 and 0 (for graphs of expression) and the second by 0 and 1,
    whatever the number of cells. The authors' code scales rows instead in its second phase, where the penalty grows as
    the square of the number of cells and outweighs all else.

    Parameters
    ----------
    z
        Embedding, shape (n, h).
    graph
        The two graphs.
    balance
        Weight b of the graph itself; 1 - b is that of its square.
    orthogonality
        Weight of the penalty.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`, the graph-cut loss.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> graph = st.nn.CutGraph(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]))
    >>> two_groups = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(st.nn.graph_cut(two_groups, graph).item(), 4)
    -1.0
    """
    # under autocast z may come in half precision, whose sum of squares over all cells overflows
    unit = normalize(z.to(graph.degrees.dtype), dim=0)
    first, second = graph.traces(unit)
    h = z.shape[1]
    with torch.autocast(z.device.type, enabled=False):
        gram = unit.T @ unit
    excess = (gram - torch.eye(h, dtype=gram.dtype, device=gram.device)).square().mean()
    return orthogonality * excess - (balance * first + (1 - balance) * second) / h
