"""What the network reads of some observations, and how it encodes many in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from scipy import sparse
from torch.utils.checkpoint import checkpoint

from semtx.models._semst_preprocessing import csr_tensor
from semtx.nn import SemSTInputs, SemSTNetwork
from semtx.nn._semst_network import SemSTOutputs
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
        self.all = inputs
        graphs = (inputs.spatial_graph, inputs.feature_graph)
        self._graphs = [csr_matrix_of(cast("Tensor", graph)) for graph in graphs if graph is not None]
        self._x = csr_matrix_of(inputs.x) if self._graphs else None

    @property
    def convolved(self) -> bool:
        """Whether rows depend on their neighbours in graphs."""
        return bool(self._graphs)

    def of(self, rows: Tensor) -> SemSTInputs:
        """Return the inputs of some rows; of graph convolutions, all that these rows depend on."""
        semantics = None if self.all.semantics is None else self.all.semantics[rows]
        if self._x is None:
            return SemSTInputs(self.all.x[rows], semantics)
        x, graphs = [], []
        for graph in self._graphs:
            columns, inner, outer = neighborhood(graph, rows.numpy())
            x.append(csr_tensor(self._x[columns]))
            graphs.append((csr_tensor(inner), csr_tensor(outer)))
        return SemSTInputs(x[0], semantics, graphs[0], graphs[1], x[1])


class InParts:
    """Some rows, which the network encodes a part at a time.

    What a part takes is let go of once it is encoded, and computed again in the backward pass. So the embeddings, and what
    losses say of all of them together, are those of all rows at once.

    Parameters
    ----------
    inputs
        Inputs of all observations.
    rows
        Rows to encode; ``None`` for all.
    at_a_time
        Rows of a part; ``None`` for all at once.
    device
        Where they are encoded.
    """

    def __init__(self, inputs: InputRows, rows: Tensor | None, at_a_time: int | None, device: torch.device) -> None:
        self._inputs, self._device = inputs, device
        self._parts: list[Tensor] = []
        if at_a_time is not None:
            rows = torch.arange(len(inputs.all.x)) if rows is None else rows
            self._parts = list(torch.split(rows, at_a_time))
        elif rows is None:
            self._whole = inputs.all.to(device)
        else:
            self._whole = inputs.of(rows).to(device)

    def outputs(self, network: SemSTNetwork) -> SemSTOutputs:
        """Encode."""
        if not self._parts:
            return network(self._whole)
        parts = [checkpoint(self._encoded, network, rows, use_reentrant=False) for rows in self._parts]
        z, spatial, feature = (None if column[0] is None else torch.cat(column) for column in zip(*parts, strict=True))
        return SemSTOutputs(cast("Tensor", z), cast("Tensor", spatial), feature)

    def _encoded(self, network: SemSTNetwork, rows: Tensor) -> SemSTOutputs:
        return network(self._inputs.of(rows).to(self._device))


def csr_matrix_of(tensor: Tensor) -> sparse.csr_matrix:
    """Return a CSR tensor as a scipy matrix, without a copy of its values."""
    parts = (tensor.values(), tensor.col_indices(), tensor.crow_indices())
    return sparse.csr_matrix(tuple(part.numpy() for part in parts), tuple(tensor.shape))
