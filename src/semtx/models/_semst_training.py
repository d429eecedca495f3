from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import nn

from semtx._counts import ROWS_AT_A_TIME
from semtx.graphs import binary
from semtx.models._semst_batches import InParts, InputRows
from semtx.models._semst_preprocessing import csr_tensor, tensor
from semtx.nn import SemSTInputs, correlation_reduction, spatial_regularization
from semtx.nn._batch_norm import BatchNorm
from semtx.nn._spatial_estimate import spatial_estimate
from semtx.nn._zinb_decoder import chunk_entries
from semtx.train import Batch, Batches, Share, TrainingRecord, Uncast, fit, summed_over_processes

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor

    from semtx.models._semst_config import SemSTConfig
    from semtx.nn import SemSTNetwork
    from semtx.train import Checkpoint

# bytes of a number, of a sparse entry (int32 column), and of a weight with gradient and the two moments of Adam
_NUMBER, _ENTRY, _WEIGHT = 4, 8, 20
# numbers that the likelihood holds of each entry decoded at a time
_OF_LIKELIHOOD = 24
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

    def forward(self, given: Uncast[Step]) -> dict[str, Tensor]:
        """Return reconstruction, and where they have a weight correlation reduction and spatial regularisation."""
        config, step = self.config, given.value
        z, spatial, feature = step.inputs.outputs(self.network)
        zinb = self.network.decoder.loss(
            z, step.target, size_factors=step.size_factors, genes=step.genes, ridge=config.zinb_ridge
        )
        losses = {"zinb": step.weight * step.share.weight * zinb}
        if config.correlation_weight and feature is not None:
            spatial, feature = step.share.together(spatial), step.share.together(feature)
            losses["correlation"] = correlation_reduction(spatial, feature, weighting=config.correlation_weighting)
        if step.edges is None:
            return losses
        z = step.share.together(z)
        if step.batch.patch is None:
            losses["spatial"] = spatial_regularization(
                z, step.edges, method=config.spatial_loss, balance=config.spatial_balance
            )
        else:
            losses["spatial"] = spatial_estimate(
                z,
                step.edges,
                step.batch.patch.to(z.device),
                n_patches=step.batch.n_patches,
                n_obs=step.n_obs,
                n_edges=step.n_edges,
                method=config.spatial_loss,
                balance=config.spatial_balance,
            )
        return losses


class Step(NamedTuple):
    """What a step of training is of.

    Attributes
    ----------
    batch, share
        The observations, and which of them are this process's.
    inputs, target, size_factors
        What the network reads, some rows at a time, what its decoder reconstructs, and the size factors, all of this process's rows.
    genes
        Genes decoded, or ``None`` for all.
    edges
        Spatial graph of the batch, for the spatial term.
    weight
        Of the reconstruction, so that its mean over the batch is unbiased.
    n_obs, n_edges
        Of the whole section.
    """

    batch: Batch
    share: Share
    inputs: InParts
    target: Tensor
    size_factors: Tensor | None
    genes: Tensor | None
    edges: Tensor | None
    weight: float
    n_obs: int
    n_edges: int


def train_network(
    network: SemSTNetwork,
    config: SemSTConfig,
    inputs: SemSTInputs,
    target: sparse.csr_matrix,
    graph: sparse.csr_matrix,
    fabric: Fabric,
    *,
    random_state: int = 0,
    show_progress_bar: bool | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainingRecord:
    """Minimise the weighted sum of the losses.

    Several processes share every batch (:class:`semtx.train.Share`): each encodes and decodes its rows, and the terms of
    pairs of rows and of columns are computed of all rows of the batch by each.

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
    random_state
        Seed of the patches that batches with the spatial term are made of.
    """
    factors = _size_factors(target) if config.target == "counts" else None
    if factors is not None and config.decoder_hidden_dim is None:
        _start_decoder(network, inputs, target, factors)
    optimizer = torch.optim.Adam(_parameter_groups(network, config), weight_decay=config.weight_decay)
    objective, optimizer = fabric.setup(SemSTObjective(network, config), optimizer)
    objective.train()
    if fabric.world_size > 1:
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.sum_over_processes = summed_over_processes
    steps = _Steps(config, inputs, target, factors, graph, fabric, random_state)
    weights = {"zinb": 1.0, "correlation": config.correlation_weight, "spatial": config.spatial_weight}
    try:
        return fit(
            lambda _, number: objective(Uncast(steps.draw(number))),
            weights,
            optimizer,
            fabric,
            max_epochs=config.max_epochs,
            n_batches=steps.batches.n_batches,
            description="SemST",
            show_progress_bar=show_progress_bar,
            checkpoint=checkpoint,
            module=objective,
            halve=steps.halve,
        )
    finally:
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.sum_over_processes = None


class _Steps:
    """The steps of an epoch, each put on the device as it is drawn; what all steps have in common stays there."""

    def __init__(
        self,
        config: SemSTConfig,
        inputs: SemSTInputs,
        target: sparse.csr_matrix,
        factors: Tensor | None,
        graph: sparse.csr_matrix,
        fabric: Fabric,
        random_state: int,
    ) -> None:
        self._target, self._factors, self._fabric = target, factors, fabric
        self._n, self._n_genes = target.shape
        self._n_decoded = config.n_decoded_genes or self._n_genes
        self._edges = binary(graph) if config.spatial_weight else None
        # the authors' epochs are single steps of all observations: those of convolutions stay so, and a batch is what is
        # encoded at a time
        at_a_time, batch_size = config.batch_size, None
        if config.encoder == "propagated":
            at_a_time, batch_size = None, config.batch_size
        self.batches = Batches(self._n, batch_size, None if self._edges is None else graph, random_state)
        self._at_a_time = None if at_a_time is None or at_a_time >= self._n else at_a_time
        self._inputs = InputRows(inputs)
        # the one step of a full batch is the same in each epoch, but for the genes
        self._whole: tuple[Share, InParts, Tensor | None, Tensor | None] | None = None

    def draw(self, number: int) -> Step:
        """Return a step of an epoch."""
        device = self._fabric.device
        batch = self.batches.draw(number)
        genes = None
        if self._n_decoded < self._n_genes:
            genes = torch.randperm(self._n_genes)[: self._n_decoded].sort().values
        if self._whole is None or batch.rows is not None:
            self._whole = None
            made = self._step_of(batch.rows, all_genes=genes is None)
            self._whole = made if batch.rows is None else None
        else:
            made = self._whole
        share, inputs, target, edges = made
        rows = (torch.arange(self._n) if batch.rows is None else batch.rows)[share.rows]
        if target is None:
            target = _dense_part(self._target, None if len(rows) == self._n else rows, genes).to(device)
        weight = 1.0
        if batch.rows is not None and batch.patch is not None:
            # patches differ in size: the sum over the batch by the share of patches that was drawn
            weight = len(batch.rows) * batch.n_patches / (self._n * batch.n_chosen)
        factors = None if self._factors is None else self._factors[rows].to(device)
        on_device = None if genes is None else genes.to(device)
        n_edges = 0 if self._edges is None else self._edges.nnz
        return Step(batch, share, inputs, target, factors, on_device, edges, weight, self._n, n_edges)

    def halve(self) -> int:
        """Take half as many rows at a time and return the number of batches; 0 where they are too few."""
        self._whole = None
        if not self._inputs.convolved:
            return self.batches.halve()
        at_a_time = (self._at_a_time or self._n) // 2
        if at_a_time < 2:
            return 0
        self._at_a_time = at_a_time
        return 1

    def _step_of(self, rows: Tensor | None, *, all_genes: bool) -> tuple[Share, InParts, Tensor | None, Tensor | None]:
        """Return what a step is of; its target where it is sparse, of all observations and genes."""
        fabric, edges, target = self._fabric, self._edges, None
        share = Share(self._n if rows is None else len(rows), fabric.global_rank, fabric.world_size)
        if rows is not None and edges is not None:
            chosen = rows.numpy()
            edges = sparse.csr_matrix(edges[chosen][:, chosen])
        own = None
        if rows is not None or fabric.world_size > 1:
            own = (torch.arange(self._n) if rows is None else rows)[share.rows]
        if rows is None and all_genes:
            target = csr_tensor(self._target if own is None else self._target[own.numpy()]).to(fabric.device)
        inputs = InParts(self._inputs, own, self._at_a_time, fabric.device)
        return share, inputs, target, None if edges is None else csr_tensor(edges).to(fabric.device)


def bytes_of_training(
    rows: int,
    config: SemSTConfig,
    network: SemSTNetwork,
    inputs: SemSTInputs,
    target: sparse.csr_matrix,
    device: torch.device,
) -> int:
    """Estimate the memory of training with so many rows in a step, beside what is there already."""
    n, n_genes = target.shape
    decoded = min(rows, max(chunk_entries(device) // n_genes, 1)) * (config.n_decoded_genes or n_genes)
    weights = sum(parameter.numel() for parameter in network.parameters())
    made = _WEIGHT * weights + _NUMBER * _OF_LIKELIHOOD * decoded
    # the target of a step, sparse where it is of all rows
    made += _ENTRY * target.nnz if rows == n else _NUMBER * rows * n_genes
    width = 0 if inputs.semantics is None else inputs.semantics.shape[1]
    of_row = 2 * width + 12 * config.latent_dim + 4 * (config.decoder_hidden_dim or 0)
    if config.encoder == "propagated":
        return made + _NUMBER * rows * (2 * inputs.x.shape[1] + of_row)
    # the step is of all rows, and what is encoded at a time reads up to all of them: in each view its product with the
    # weights, and the hidden layer with its gradient; of all at a time both views keep theirs
    layers = 6 if rows == n else 3
    made += _NUMBER * n * (of_row + 3 * config.hidden_dim + layers * config.hidden_dim)
    return made if rows == n else made + _ENTRY * inputs.x.values().numel()


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
    means, covariance = np.zeros(counts.shape[1]), np.zeros((counts.shape[1], z.shape[1]))
    for start in range(0, n, ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        rates = sparse.csr_matrix(sparse.diags(1 / factors[rows].double().numpy()) @ counts[rows])
        means += np.asarray(rates.sum(axis=0)).ravel() / n
        covariance += (rates.T @ (z[rows] - centre)) / n
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


def _dense_part(target: sparse.csr_matrix, rows: Tensor | None, genes: Tensor | None) -> Tensor:
    part = target if rows is None else target[rows.numpy()]
    part = part if genes is None else part[:, genes.numpy()]
    dense: NDArray[np.float32] = part.toarray()
    return tensor(dense)
