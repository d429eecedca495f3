from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss

from semtx.models._scllm_dsc_clusters import log_assignments
from semtx.nn import (
    CutGraph,
    ScLLMDSCViews,
    assignment_divergence,
    graph_cut,
    info_nce,
    optimal_transport_target,
    student_t,
    variance_hinge,
)
from semtx.nn._info_nce import CHUNK_ENTRIES
from semtx.train import Batches, Share, TrainingRecord, Uncast, fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning.fabric import Fabric
    from numpy.typing import NDArray
    from torch import Tensor

    from semtx.models._scllm_dsc_clusters import Centers
    from semtx.models._scllm_dsc_config import ScLLMDSCConfig
    from semtx.models._scllm_dsc_preprocessing import Cells
    from semtx.nn import ScLLMDSCNetwork
    from semtx.train import Checkpoint


_WARM_RATE = 0.05


class Step(NamedTuple):
    """What a step of training is of.

    Attributes
    ----------
    x, text
        Expression and text of the cells of this process.
    batch, graph, target
        Of all cells of the step: their batches, their graph, and the assignments to come near to, where there are any.
    share
        Which cells are this process's.
    """

    x: Tensor
    text: Tensor | None
    batch: Tensor
    graph: CutGraph | None
    target: Tensor | None
    share: Share


class ScLLMDSCObjective(nn.Module):
    """The losses of scLLM-DSC by name: one module, so that a wrapped forward pass covers all of them."""

    def __init__(self, network: ScLLMDSCNetwork, config: ScLLMDSCConfig, centers: Centers | None = None) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.centers = centers

    def forward(self, given: Uncast[Step]) -> dict[str, Tensor]:
        """Return reconstruction and cut; with centres also clustering and, where there is text, alignment."""
        config = self.config
        x, text, batch, graph, target, share = given.value
        views = self.network(x, None if self.centers is None else text)
        decoded = self.network.decode(views.latent, batch[share.rows])
        losses = {"reconstruction": share.weight * mse_loss(decoded.to(x.dtype), x)}
        # the other losses are of pairs of cells; under autocast views may come in half precision, whose sums lose digits
        latent, structure = (share.together(view.to(x.dtype)) for view in (views.latent, views.structure))
        text = None if views.text is None else share.together(views.text.to(x.dtype))
        views = ScLLMDSCViews(latent, structure, text)
        if graph is not None:
            losses["cut"] = graph_cut(
                views.latent, graph, balance=config.cut_balance, orthogonality=config.orthogonality
            )
        if self.centers is None or target is None:
            return losses
        if views.text is not None:
            losses["alignment"] = self._alignment(views.structure, views.text, batch, target)
        log_q = student_t(*self.centers.scaled(self.centers.view_of(views)), dof=self.centers.dof, log=True)
        losses["clustering"] = assignment_divergence(target, log_q)
        return losses

    def _alignment(self, u: Tensor, v: Tensor, batch: Tensor, target: Tensor) -> Tensor:
        config = self.config
        labels = target.argmax(dim=1)
        if config.prototypes_per_cluster > 1:
            # one cell's two views share the noise of its counts, and aligned as they are they would learn little else
            # selected and not indexed, whose gradient adds up in the order in which threads come
            v = _mean_by_label(v, labels, target.shape[1]).index_select(0, labels)
        contrast = info_nce(
            v,
            u,
            config.temperature,
            labels=labels if config.leave_out_cluster else None,
            groups=batch if self.network.n_batches else None,
        )
        return contrast + config.variance_weight * (variance_hinge(u) + variance_hinge(v))


def _parameter_groups(objective: ScLLMDSCObjective) -> list[dict[str, Any]]:
    """Let an encoder that starts in closed form move slower than the rest: its many weights are small."""
    if objective.config.encoder != "residual":
        return [{"params": list(objective.parameters())}]
    encoder = list(objective.network.encoder.parameters())
    of_encoder = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in objective.parameters() if id(parameter) not in of_encoder]
    return [{"params": rest}, {"params": encoder, "lr": objective.config.learning_rate * _WARM_RATE}]


def _mean_by_label(x: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    sums = x.new_zeros(n_labels, x.shape[1]).index_add_(0, labels, x)
    counts = torch.bincount(labels, minlength=n_labels).clamp_min(1)
    return sums / counts[:, None].to(x.dtype)


def train_network(
    network: ScLLMDSCNetwork,
    config: ScLLMDSCConfig,
    cells: Cells,
    fabric: Fabric,
    *,
    cut_graph: Callable[[NDArray[np.int64] | None], CutGraph],
    centers: Centers | None = None,
    show_progress_bar: bool | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainingRecord:
    """Minimise the weighted sum of the losses: without ``centers`` those of the autoencoder alone, with them all.

    Parameters
    ----------
    network, config, cells
        The network, its settings, and what it reads.
    fabric, show_progress_bar, checkpoint
        As in :func:`semtx.train.fit`.
    cut_graph
        Graph of some cells, or of all for ``None``.
    centers
        Centres to learn, in place.
    """
    n = len(cells)
    device = fabric.device
    if centers is None and not config.pretrain_epochs:
        return TrainingRecord(device=str(device), stop_reason="no epochs asked for")
    objective = ScLLMDSCObjective(network, config, centers)
    optimizer = torch.optim.Adam(
        _parameter_groups(objective), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    # all parameters on one device, of which Fabric takes the first
    objective, optimizer = fabric.setup(objective.to(device), optimizer)
    objective.train()
    batch = torch.from_numpy(cells.batch)
    everything = np.arange(n)
    batches = Batches(n, config.batch_size)

    def part(rows: NDArray[np.int64]) -> tuple[Share, Tensor, Tensor | None, CutGraph | None]:
        share = Share(len(rows), fabric.global_rank, fabric.world_size)
        own = rows[share.rows]
        graph = cut_graph(None if len(rows) == n else rows) if config.cut_weight else None
        return share, cells.expression(own).to(device), _to(cells.text_rows(own), device), graph

    # a full batch is the same in each epoch
    whole = part(everything) if batches.full else None
    # target and labels of the last refresh
    state: dict[str, Tensor] = {}

    def losses(epoch: int, number: int) -> dict[str, Tensor]:
        nonlocal whole
        del epoch
        drawn = batches.draw(number).rows
        rows = everything if drawn is None else drawn.numpy()
        if drawn is not None:
            whole = None
        share, x, text, graph = whole or part(rows)
        target = state["target"][rows].to(device) if "target" in state else None
        return objective(Uncast(Step(x, text, batch[rows].to(device), graph, target, share)))

    def refresh(epoch: int) -> str | None:
        if centers is None or (epoch + 1) % config.target_interval:
            return None
        before, log_q = state.get("labels"), log_assignments(network, centers, cells)
        state["target"] = optimal_transport_target(log_q, sharpness=config.sharpness)
        state["labels"] = log_q.argmax(dim=1)
        changed = 1.0 if before is None else float((before != state["labels"]).double().mean())
        if changed < config.tolerance:
            return f"{changed:.2%} of the cells changed their cluster, fewer than {config.tolerance:.2%}"
        return None

    if centers is not None:
        refresh(config.target_interval - 1)
    weights = {
        "reconstruction": config.reconstruction_weight,
        "cut": config.cut_weight,
        "alignment": config.alignment_weight,
        "clustering": config.clustering_weight,
    }
    return fit(
        losses,
        weights,
        optimizer,
        fabric,
        max_epochs=config.pretrain_epochs if centers is None else config.max_epochs,
        n_batches=batches.n_batches,
        after_epoch=refresh,
        description="scLLM-DSC" if centers is not None else "scLLM-DSC, autoencoder",
        show_progress_bar=show_progress_bar,
        checkpoint=checkpoint,
        module=objective,
        state=state,
        halve=batches.halve,
    )


def bytes_of_training(rows: int, config: ScLLMDSCConfig, network: ScLLMDSCNetwork, n_inputs: int, n_text: int) -> int:
    """Estimate the memory of training with so many cells in a step, beside what is there already."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    # expression, its reconstruction and the gradients of both; then each view, hidden layers, and blocks of pairs
    of_row = 5 * n_inputs + 2 * n_text + 8 * config.hidden_dim + 16 * config.projection_dim
    pairs = min(rows**2, 4 * CHUNK_ENTRIES)
    return 4 * (5 * weights + rows * of_row + pairs)


def joined_record(first: TrainingRecord, second: TrainingRecord) -> TrainingRecord:
    """Put the two phases in one record; a loss has NaN in the epochs of the phase that does not have it."""
    lengths = [len(record.losses.get("total", [])) for record in (first, second)]
    losses = {
        name: first.losses.get(name, [math.nan] * lengths[0]) + second.losses.get(name, [math.nan] * lengths[1])
        for name in {**first.losses, **second.losses}
    }
    return replace(
        second, losses=losses, seconds=first.seconds + second.seconds, memory={**first.memory, **second.memory}
    )


def _to(x: Tensor | None, device: torch.device) -> Tensor | None:
    return None if x is None else x.to(device)
