"""Modulation of an embedding that exists already, learned without labels from what the neighbours' embedding tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats

from semtx.graphs import binary, normalize_adjacency
from semtx.models._expression import PrincipalComponents
from semtx.models._semst_preprocessing import spread_of_columns
from semtx.nn._fusions import make_fusion
from semtx.train import fit, make_fabric, seeded

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from numpy.typing import NDArray
    from scipy import sparse
    from torch import Tensor

N_FOLDS = 5
# tiles along each of the first two coordinates, or as many groups at random; a fold is a fifth of them
_N_TILES = 5
_LEVEL = 0.05
_BATCH = 4096
# the read-out predicts at most so many directions of the neighbours' mean
_N_TARGETS = 50
_RIDGE = 1e-3
_PATIENCE = 20
# standard deviations beyond which a semantic component is drawn in: cells with few counts lie far out
_CLIP = 3.0


@dataclass(frozen=True)
class Modulation:
    """A modulated embedding.

    Attributes
    ----------
    z
        Shape (n, d), float32.
    report
        What held-out observations said: shares of the neighbours' mean that the embedding explains without and with
        semantics, the gain, its standard error over groups of them, the epochs that were best, whether it was modulated.
    losses
        ``"heldout"``: what is left unexplained in held-out observations, by epoch.
    device
        Where it was trained.
    """

    z: NDArray[np.float32]
    report: dict[str, Any]
    losses: dict[str, NDArray[np.float32]]
    device: str

    @classmethod
    def of_nothing(cls, z: NDArray[np.floating], device: str) -> Modulation:
        """Keep an embedding for which there is nothing to learn from."""
        unknown = dict.fromkeys(("explained", "explained_modulated", "gain", "gain_error"), math.nan)
        return cls(np.array(z, dtype=np.float32), {"modulated": False, "n_epochs": 0, **unknown}, {}, device)


def modulate_embedding(
    z: NDArray[np.floating],
    semantics: NDArray[np.floating],
    graph: sparse.csr_matrix,
    groups: NDArray[np.intp],
    *,
    fusion: str,
    max_scale: float | None,
    n_components: int,
    max_epochs: int,
    learning_rate: float,
    random_state: int,
    accelerator: str | None,
    show_progress_bar: bool | None,
) -> Modulation:
    r"""Learn a fusion of embedding and semantics under which the embedding predicts its neighbours best.

    With :math:`t_i` the mean embedding of the neighbours of i, and C, c the linear read-out that predicts it best from the
    embedding as it is, the fusion minimises :math:`\sum_i \lVert C^\top z_i' + c - t_i \rVert^2`. C stays fixed: what a
    rescaling or a shift of whole columns could give it gives already, so that only what semantics tell is left to learn.

    Parameters
    ----------
    z
        Embedding, shape (n, d).
    semantics
        Shape (n, d_semantics); their principal components modulate.
    graph
        Neighbours, CSR, shape (n, n); its diagonal and weights are not used.
    groups
        Result of :func:`make_groups`: what is held out together.
    fusion, max_scale, n_components, max_epochs, learning_rate, random_state, accelerator, show_progress_bar
        As in :func:`semtx.tl.modulate`.
    """
    fabric = make_fabric(accelerator, 1)
    embedding = np.asarray(z, dtype=np.float64)
    mean, spread = embedding.mean(axis=0), spread_of_columns(embedding)
    task = _Task.make((embedding - mean) / spread, semantics, graph, n_components, random_state)
    if task is None:
        return Modulation.of_nothing(z, str(fabric.device))
    options = {"max_scale": max_scale} if fusion == "fsm" else {}
    settings: dict[str, Any] = {
        "fusion": fusion,
        "options": options,
        "learning_rate": learning_rate,
        "random_state": random_state,
    }
    errors = np.zeros((groups.max() + 1, max_epochs + 1))
    for fold in range(N_FOLDS):
        held = groups[task.rows] % N_FOLDS == fold
        _, found = _train(
            task,
            task.rows[~held],
            task.rows[held],
            fabric,
            groups=groups,
            max_epochs=max_epochs,
            description=f"modulate, fold {fold + 1} of {N_FOLDS}",
            show_progress_bar=show_progress_bar,
            **settings,
        )
        # a fold that stopped early stays at what it stopped with
        errors += np.pad(found, ((0, 0), (0, max_epochs + 1 - found.shape[1])), mode="edge")
    sizes = np.bincount(groups[task.rows], minlength=len(errors))
    average = errors.sum(axis=0) / sizes.sum()
    best = int(average.argmin())
    gain = float(average[0] - average[best])
    gains = ((errors[:, 0] - errors[:, best]) / np.maximum(sizes, 1))[sizes > 0]
    error = float(gains.std(ddof=1) / math.sqrt(len(gains)))
    found_z = np.array(z, dtype=np.float32)
    modulated = best > 0 and gain > stats.t.ppf(1 - _LEVEL, len(gains) - 1) * error
    if modulated:
        module, _ = _train(
            task,
            task.rows,
            None,
            fabric,
            groups=groups,
            max_epochs=best,
            description="modulate",
            show_progress_bar=show_progress_bar,
            **settings,
        )
        found_z = (_apply(module, task) * spread + mean).astype(np.float32)
    report = {
        "modulated": modulated,
        "n_epochs": best if modulated else 0,
        "explained": float(1 - average[0]),
        "explained_modulated": float(1 - average[best]),
        "gain": gain,
        "gain_error": error,
    }
    return Modulation(found_z, report, {"heldout": average[1:].astype(np.float32)}, str(fabric.device))


def make_groups(
    coordinates: NDArray[np.floating] | None, sections: NDArray[Any] | None, n: int, random_state: int
) -> NDArray[np.intp]:
    """Return what is held out together, numbered in random order: tiles of each section, else cells at random.

    What lies beside each other has neighbours in common, so that single spots held out would not be unseen.
    """
    generator = np.random.default_rng(random_state)
    if coordinates is None:
        return generator.permutation(n) % min(_N_TILES**2, n)
    tiles = np.zeros(n, dtype=np.int64)
    numbers = np.zeros(n, dtype=np.int64) if sections is None else np.unique(sections, return_inverse=True)[1].ravel()
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        tile = np.full(len(rows), number, dtype=np.int64)
        for column in coordinates[rows, :2].T:
            ranks = np.argsort(np.argsort(column, kind="stable"), kind="stable")
            tile = tile * _N_TILES + ranks * _N_TILES // len(rows)
        tiles[rows] = tile
    _, tiles = np.unique(tiles, return_inverse=True)
    return generator.permutation(tiles.max() + 1)[tiles]


@dataclass(frozen=True)
class _Task:
    """What is predicted from what, as float32 arrays; ``rows`` have neighbours."""

    z: NDArray[np.float32]
    semantics: NDArray[np.float32]
    target: NDArray[np.float32]
    rows: NDArray[np.intp]

    @classmethod
    def make(
        cls,
        z: NDArray[np.float64],
        semantics: NDArray[np.floating],
        graph: sparse.csr_matrix,
        n_components: int,
        random_state: int,
    ) -> _Task | None:
        """Return ``None`` where there is nothing to learn: equal semantics, a constant embedding, no neighbours."""
        meaning = np.asarray(semantics, dtype=np.float32)
        if min(meaning.shape) - 1 > n_components:
            meaning = PrincipalComponents.fit(meaning, n_components, random_state).transform(meaning)
        meaning = meaning - meaning.mean(axis=0)
        reach = _CLIP * meaning.std(axis=0)
        meaning = np.clip(meaning, -reach, reach)
        average = normalize_adjacency(binary(graph), "row", self_loops=False)
        rows = np.flatnonzero(np.diff(average.indptr))
        target = average @ z
        if len(rows) < 2 * N_FOLDS or not meaning.std(axis=0).any() or not target[rows].std(axis=0).any():
            return None
        if target.shape[1] > _N_TARGETS:
            target = PrincipalComponents.fit(target[rows], _N_TARGETS, random_state).transform(target)
        return cls(
            z.astype(np.float32),
            (meaning / spread_of_columns(meaning)).astype(np.float32),
            np.asarray(target, dtype=np.float32),
            rows,
        )


def _train(
    task: _Task,
    rows: NDArray[np.intp],
    held: NDArray[np.intp] | None,
    fabric: Fabric,
    *,
    groups: NDArray[np.intp],
    fusion: str,
    options: dict[str, Any],
    learning_rate: float,
    random_state: int,
    max_epochs: int,
    description: str,
    show_progress_bar: bool | None,
) -> tuple[torch.nn.Module, NDArray[np.float64]]:
    """Train on ``rows``; return the module and what is unexplained in each group of ``held``, summed over its rows.

    The sums have shape (groups, epochs + 1): the first column is of before training.
    """
    weights, bias = (torch.from_numpy(part).to(fabric.device) for part in _read_out(task, rows))
    z, semantics, target = (torch.from_numpy(part).to(fabric.device) for part in (task.z, task.semantics, task.target))
    scale = _variance(task.target[rows])
    curve: list[NDArray[Any]] = []
    with seeded(random_state, fabric.device):
        made = make_fusion(fusion, task.z.shape[1], task.semantics.shape[1], **options)
        module, optimizer = fabric.setup(made, torch.optim.Adam(made.parameters(), lr=learning_rate))
        n_batches = math.ceil(len(rows) / _BATCH)
        order = torch.from_numpy(rows)

        def unexplained(part: Tensor) -> Tensor:
            predicted = module(z[part], semantics[part]) @ weights + bias
            return (predicted - target[part]).square().sum(dim=1) / scale

        def losses(epoch: int, batch: int) -> dict[str, Tensor]:
            nonlocal order
            del epoch
            if batch == 0 and n_batches > 1:
                order = order[torch.randperm(len(order))]
            return {"unexplained": unexplained(order.tensor_split(n_batches)[batch].to(fabric.device)).mean()}

        def after_epoch(epoch: int) -> str | None:
            del epoch
            if held is None:
                return None
            with torch.no_grad():
                # in parts of the size of a batch, so that memory is that of training
                parts = torch.split(torch.from_numpy(held).to(fabric.device), _BATCH)
                each = torch.cat([unexplained(part) for part in parts]).cpu().numpy()
            curve.append(np.bincount(groups[held], weights=each, minlength=groups.max() + 1))
            totals = np.sum(curve, axis=1)
            stale = len(totals) - 1 - int(totals.argmin())
            return f"held-out loss has not fallen for {_PATIENCE} epochs" if stale >= _PATIENCE else None

        after_epoch(-1)
        fit(
            losses,
            {"unexplained": 1.0},
            optimizer,
            fabric,
            max_epochs=max_epochs,
            n_batches=n_batches,
            after_epoch=after_epoch,
            description=description,
            show_progress_bar=show_progress_bar,
        )
    return module, np.asarray(curve).T


def _apply(module: torch.nn.Module, task: _Task) -> NDArray[np.float64]:
    device = next(module.parameters()).device
    with torch.no_grad():
        pairs = zip(
            torch.split(torch.from_numpy(task.z), _BATCH),
            torch.split(torch.from_numpy(task.semantics), _BATCH),
            strict=True,
        )
        parts = [module(z.to(device), semantics.to(device)).cpu().numpy() for z, semantics in pairs]
    return np.concatenate(parts).astype(np.float64)


def _read_out(task: _Task, rows: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the linear map, and its bias, that predicts the target best from the embedding as it is."""
    z, target = task.z[rows].astype(np.float64), task.target[rows].astype(np.float64)
    mean, target_mean = z.mean(axis=0), target.mean(axis=0)
    gram = (z - mean).T @ (z - mean)
    gram += (_RIDGE * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram))
    weights = np.linalg.solve(gram, (z - mean).T @ (target - target_mean))
    return weights.astype(np.float32), (target_mean - mean @ weights).astype(np.float32)


def _variance(x: NDArray[np.floating]) -> float:
    return float(x.var(axis=0, dtype=np.float64).sum()) or 1.0
