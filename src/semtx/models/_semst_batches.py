"""What the network reads of some observations."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from scipy import sparse

from semtx.models._semst_preprocessing import csr_tensor
from semtx.nn import SemSTInputs
from semtx.train import neighborhood

if TYPE_CHECKING:
    from torch import Tensor


class InputRows:
    """Inputs of all observations, kept on the CPU, from which those of some are taken.

    Parameters
    ----------
    inputs
        What the network reads of all.
    """

    def __init__(self, inputs: SemSTInputs) -> None:
        self._inputs = inputs
        graphs = (inputs.spatial_graph, inputs.feature_graph)
        self._graphs = [csr_matrix_of(cast("Tensor", graph)) for graph in graphs if graph is not None]
        self._x = csr_matrix_of(inputs.x) if self._graphs else None

    def of(self, rows: Tensor) -> SemSTInputs:
        """Return the inputs of some rows; of graph convolutions, all that these rows depend on."""
        semantics = None if self._inputs.semantics is None else self._inputs.semantics[rows]
        if self._x is None:
            return SemSTInputs(self._inputs.x[rows], semantics)
        x, graphs = [], []
        for graph in self._graphs:
            columns, inner, outer = neighborhood(graph, rows.numpy())
            x.append(csr_tensor(self._x[columns]))
            graphs.append((csr_tensor(inner), csr_tensor(outer)))
        return SemSTInputs(x[0], semantics, graphs[0], graphs[1], x[1])


def csr_matrix_of(tensor: Tensor) -> sparse.csr_matrix:
    """Return a CSR tensor as a scipy matrix, without a copy of its values."""
    parts = (tensor.values(), tensor.col_indices(), tensor.crow_indices())
    return sparse.csr_matrix(tuple(part.numpy() for part in parts), tuple(tensor.shape))
