from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from torch import nn

from semtx.graphs import binary
from semtx.models._semst_preprocessing import csr_tensor, tensor
from semtx.nn import SemSTInputs, correlation_reduction, spatial_regularization
from semtx.train import TrainingRecord, fit

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor

    from semtx.models._semst_config import SemSTConfig
    from semtx.nn import SemSTNetwork
    from semtx.train import Checkpoint

# counts at which a gene's first slopes are half its own
_PRIOR_COUNTS = 100.0
# the encoder of a warm start moves slower than its decoder, whose start is a rougher one
_WARM_RATE = 0.05


class SemSTObjective(nn.Module):
    """The losses of SemST by name: one module, so that a wrapped forward pass covers all of them."""

    def __init__(self, network: SemSTNetwork, config: SemSTConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(
        self,
        inputs: SemSTInputs,
        target: Tensor,
        size_factors: Tensor | None,
        genes: Tensor | None,
        edges: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return reconstruction, and where they have a weight correlation reduction and spatial regularisation."""
        config = self.config
        z, spatial, feature = self.network(inputs)
        losses = {
            "zinb": self.network.decoder.loss(
                z, target, size_factors=size_factors, genes=genes, ridge=config.zinb_ridge
            )
        }
        if config.correlation_weight and feature is not None:
            losses["correlation"] = correlation_reduction(spatial, feature, weighting=config.correlation_weighting)
        if edges is not None:
            losses["spatial"] = spatial_regularization(
                z, edges, method=config.spatial_loss, balance=config.spatial_balance
            )
        return losses


def train_network(
    network: SemSTNetwork,
    config: SemSTConfig,
    inputs: SemSTInputs,
    target: sparse.csr_matrix,
    graph: sparse.csr_matrix,
    fabric: Fabric,
    *,
    show_progress_bar: bool | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainingRecord:
    """Minimise the weighted sum of the losses.

    Parameters
    ----------
    network, config
        The network and its settings.
    inputs
        What the network reads, on the CPU.
    target
        What the decoder reconstructs, CSR, shape (n, n_genes).
    graph
        Spatial graph, for the spatial term.
    fabric, show_progress_bar, checkpoint
        As in :func:`semtx.train.fit`.
    """
    n, n_genes = target.shape
    device = fabric.device
    factors = _size_factors(target) if config.target == "counts" else None
    if factors is not None and config.decoder_hidden_dim is None:
        _start_decoder(network, inputs, target, factors)
    optimizer = torch.optim.Adam(_parameter_groups(network, config), weight_decay=config.weight_decay)
    objective, optimizer = fabric.setup(SemSTObjective(network, config), optimizer)
    objective.train()

    edges = None
    if config.spatial_weight:
        edges = csr_tensor(binary(graph)).to(device)
    # the spatial term is a sum over pairs of all observations
    full = config.batch_size is None or config.batch_size >= n or edges is not None
    all_genes = config.n_decoded_genes is None or config.n_decoded_genes >= n_genes
    whole = csr_tensor(target).to(device) if full and all_genes else None
    if full:
        inputs = inputs.to(device)

    n_batches = 1 if full or config.batch_size is None else math.ceil(n / config.batch_size)
    shuffled = torch.arange(n)

    def losses(epoch: int, batch: int) -> dict[str, Tensor]:
        nonlocal shuffled
        del epoch
        if batch == 0 and not full:
            shuffled = torch.randperm(n)
        # batches of nearly one size, so that none is of a few observations
        rows = None if full else shuffled.tensor_split(n_batches)[batch].sort().values
        genes = None if all_genes else torch.randperm(n_genes)[: config.n_decoded_genes].sort().values
        part_inputs = inputs if rows is None else _rows_of(inputs, rows).to(device)
        part = _dense_part(target, rows, genes).to(device) if whole is None else whole
        row_factors = factors if factors is None or rows is None else factors[rows]
        row_factors = None if row_factors is None else row_factors.to(device)
        return objective(part_inputs, part, row_factors, None if genes is None else genes.to(device), edges)

    weights = {"zinb": 1.0, "correlation": config.correlation_weight, "spatial": config.spatial_weight}
    return fit(
        losses,
        weights,
        optimizer,
        fabric,
        max_epochs=config.max_epochs,
        n_batches=n_batches,
        description="SemST",
        show_progress_bar=show_progress_bar,
        checkpoint=checkpoint,
        module=objective,
    )


def _size_factors(counts: sparse.csr_matrix) -> Tensor:
    """Return each observation's share of the counts, with mean 1."""
    totals = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1)
    return tensor((totals / totals.mean()).astype(np.float32))


def _start_decoder(network: SemSTNetwork, inputs: SemSTInputs, counts: sparse.csr_matrix, factors: Tensor) -> None:
    """Start a linear decoder at the first-order solution: each gene's relative change along each latent dimension.

    With r the rate of a gene (counts by size factor) and z centred, d log r / dz is about cov(z, r) / var(z) / mean(r).
    A gene with few counts, whose slope is mostly noise, is drawn towards none.
    """
    with torch.no_grad():
        z = network(inputs).z.double().numpy()
    n = len(z)
    centre = z.mean(axis=0)
    rates = sparse.csr_matrix(sparse.diags(1 / factors.double().numpy()) @ counts)
    means = np.asarray(rates.mean(axis=0), dtype=np.float64).ravel()
    covariance = (rates.T @ (z - centre)) / n
    gram = np.cov(z.T, ddof=0) + 1e-8 * np.eye(z.shape[1])
    slopes = np.linalg.solve(gram, covariance.T).T / np.maximum(means, 1e-12)[:, None]
    slopes *= (n * means / (n * means + _PRIOR_COUNTS))[:, None]
    with torch.no_grad():
        network.decoder.mu.weight.copy_(torch.from_numpy(slopes))
        network.decoder.mu.bias.copy_(torch.from_numpy(np.log(np.maximum(means, 1e-5)) - slopes @ centre))


def _parameter_groups(network: SemSTNetwork, config: SemSTConfig) -> list[dict]:
    if config.encoder == "convolution":
        return [{"params": list(network.parameters()), "lr": config.learning_rate}]
    decoder = list(network.decoder.parameters())
    rest = [parameter for name, parameter in network.named_parameters() if not name.startswith("decoder.")]
    return [
        {"params": decoder, "lr": config.learning_rate},
        {"params": rest, "lr": config.learning_rate * _WARM_RATE},
    ]


def _rows_of(inputs: SemSTInputs, rows: Tensor) -> SemSTInputs:
    semantics = None if inputs.semantics is None else inputs.semantics[rows]
    return SemSTInputs(inputs.x[rows], semantics)


def _dense_part(target: sparse.csr_matrix, rows: Tensor | None, genes: Tensor | None) -> Tensor:
    part = target if rows is None else target[rows.numpy()]
    part = part if genes is None else part[:, genes.numpy()]
    dense: NDArray[np.float32] = part.toarray()
    return tensor(dense)
