"""Where training starts: graphs of cells, and the closed forms of the ``default`` preset."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from scipy import sparse

from semtx._settings import settings
from semtx.graphs import feature_graph
from semtx.models._scllm_dsc_clusters import views_of
from semtx.models._scllm_dsc_preprocessing import principal_axes
from semtx.models._semst_preprocessing import csr_tensor
from semtx.nn import CutGraph, ResidualPerceptron

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from semtx.models._scllm_dsc_config import ScLLMDSCConfig
    from semtx.models._scllm_dsc_preprocessing import Cells
    from semtx.nn import ScLLMDSCNetwork


def cut_graphs(
    cells: Cells, config: ScLLMDSCConfig, device: torch.device, random_state: int
) -> Callable[[NDArray[np.int64] | None], CutGraph]:
    """Return what gives the graph of some cells, or of all for ``None``: cosines, or else nearest neighbours."""
    matrix = cells.matrix
    if isinstance(matrix, sparse.csr_matrix) and (not matrix.nnz or matrix.data.min() >= 0):
        return lambda rows: CutGraph(csr_tensor(matrix if rows is None else matrix[rows]).to(device))
    dense = matrix.toarray() if isinstance(matrix, sparse.csr_matrix) else matrix
    n_neighbors = min(config.n_neighbors, len(dense) - 1)
    directed = feature_graph(dense, n_neighbors, random_state=random_state, n_jobs=settings.n_jobs)
    # with ones on the diagonal, as cosines have them
    graph = sparse.csr_matrix((directed + directed.T > 0).astype(np.float32) + sparse.identity(len(dense)))

    def of_rows(rows: NDArray[np.int64] | None) -> CutGraph:
        part = graph if rows is None else graph[rows][:, rows]
        return CutGraph.from_adjacency(csr_tensor(sparse.csr_matrix(part)).to(device))

    return of_rows


def warm_start_autoencoder(network: ScLLMDSCNetwork, cells: Cells, random_state: int) -> None:
    """Start encoder and decoder at the principal components, scaled to a mean variance of 1."""
    encoder, decoder = (cast("ResidualPerceptron", part).linear for part in (network.encoder, network.decoder))
    axes = principal_axes(cells, encoder.out_features, random_state)
    squares = sum(float(np.square(cells.expression(rows).numpy() @ axes.T).sum()) for rows in cells.chunks())
    scale = float(np.sqrt(squares / len(cells) / len(axes))) or 1.0
    with torch.no_grad():
        encoder.weight.copy_(torch.from_numpy(axes / scale))
        encoder.bias.zero_()
        # the indicators of the batches start without effect
        decoder.weight.zero_()
        decoder.weight[:, : len(axes)].copy_(torch.from_numpy(axes.T * scale))
        decoder.bias.zero_()


def warm_start_heads(network: ScLLMDSCNetwork, cells: Cells) -> None:
    """Start the heads at the rotations (orthogonal Procrustes) that bring the two views closest.

    A rotation keeps the geometry of each view, so that neither is lost in the other before training has begun.
    """
    structure = cast("ResidualPerceptron", network.structure_head).linear
    width = structure.out_features
    if network.text_head is None:
        _start(structure, np.eye(structure.in_features, width))
        return
    text_head = cast("ResidualPerceptron", network.text_head).linear
    cross = np.zeros((structure.in_features, text_head.in_features))
    latent = views_of(network, cells).latent
    for rows in cells.chunks():
        text = cells.text_rows(rows)
        if text is not None:
            with torch.no_grad():
                mixed = network.mixed(text.to(network.omega_logit.device)).cpu()
                cross += (latent[rows].double().T @ mixed.double()).numpy()
    left, _, right = np.linalg.svd(cross)
    _start(structure, left[:, :width])
    _start(text_head, right.T[:, :width])


def _start(layer: torch.nn.Linear, rotation: NDArray[np.float64]) -> None:
    padded = np.zeros((layer.out_features, layer.in_features))
    padded[: rotation.shape[1]] = rotation.T
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(padded))
        layer.bias.zero_()
