"""The centres of scLLM-DSC: where they start, how cells are assigned to them, and which of them make up one cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from semtx._threads import one_order_of_sums
from semtx.nn import ScLLMDSCViews, student_t

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from semtx.models._scllm_dsc_preprocessing import Cells
    from semtx.nn import ScLLMDSCNetwork

# k-means starts compete on this many cells, and the best goes on with all
_START_SAMPLE = 20_000
_N_INIT = 10
_LEAST_CELLS = 3
_CHUNK = 16_384


class Centers(nn.Module):
    """Centres in one view of the cells, learned with the network.

    Parameters
    ----------
    start
        Shape (m, projection_dim).
    view
        ``"fused"``, ``"structure"`` or ``"text"``.
    dof
        Degrees of freedom of the soft assignments.
    scale
        Distances are measured in this unit.
    text_weight
        As in :func:`one_view`.
    """

    def __init__(
        self, start: NDArray[np.floating], view: str, dof: float, scale: float, text_weight: float = 0.5
    ) -> None:
        super().__init__()
        self.view = view
        self.dof = dof
        self.scale = scale
        self.text_weight = text_weight
        self.position = nn.Parameter(torch.as_tensor(np.asarray(start), dtype=torch.float32).clone())

    def view_of(self, views: ScLLMDSCViews) -> Tensor:
        """Return the view of cells in which the centres lie."""
        return one_view(views, self.view, self.text_weight)

    def scaled(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return cells and centres in units of the scale."""
        return z / self.scale, self.position / self.scale


def one_view(views: ScLLMDSCViews, name: str, text_weight: float = 0.5) -> Tensor:
    """Return ``"structure"``, ``"text"``, or their mean, ``"fused"``; structure stands for all where there is no text."""
    if views.text is None or name == "structure":
        return views.structure
    return views.text if name == "text" else (1 - text_weight) * views.structure + text_weight * views.text


def views_of(network: ScLLMDSCNetwork, cells: Cells) -> ScLLMDSCViews:
    """Return the views of all cells, on the CPU."""
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    made: list[Tensor | None] = []
    with torch.no_grad():
        for rows in cells.chunks():
            text = cells.text_rows(rows)
            views = network(cells.expression(rows).to(device), None if text is None else text.to(device))
            if not made:
                # filled part by part: parts that are put together at the end need twice the memory
                made = [
                    None if view is None else view.new_empty(len(cells), view.shape[1], device="cpu") for view in views
                ]
            for whole, view in zip(made, views, strict=True):
                if whole is not None:
                    whole[rows] = view.cpu()
    network.train(training)
    latent, structure, text = made
    if not all(view is None or bool(torch.isfinite(view).all()) for view in (structure, text)):
        # the last step has no loss after it that would tell
        msg = "the embedding of the cells is not finite"
        raise FloatingPointError(msg)
    return ScLLMDSCViews(cast("Tensor", latent), cast("Tensor", structure), text)


def log_assignments(network: ScLLMDSCNetwork, centers: Centers, cells: Cells) -> Tensor:
    """Return the logarithms of the soft assignments of all cells, shape (n, m), on the CPU."""
    return assigned(centers, centers.view_of(views_of(network, cells)))


def assigned(centers: Centers, z: Tensor) -> Tensor:
    """Return the logarithms of the soft assignments of cells whose view is at hand, shape (n, m), on the CPU."""
    with torch.no_grad():
        place = centers.position.detach().cpu() / centers.scale
        parts = [
            student_t(z[start : start + _CHUNK] / centers.scale, place, dof=centers.dof, log=True)
            for start in range(0, len(z), _CHUNK)
        ]
    return torch.cat(parts)


def sample(n: int, random_state: int) -> NDArray[np.intp]:
    """Return the cells among which starts compete: all, or so many in ascending order."""
    if n <= _START_SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(random_state).choice(n, _START_SAMPLE, replace=False))


@one_order_of_sums()
def k_means(
    z: NDArray[np.floating], n_clusters: int, random_state: int, n_init: int = _N_INIT
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return centres and labels; of many cells, a sample decides which start goes on with all."""
    from sklearn.cluster import KMeans

    start: str | NDArray[np.floating] = "k-means++"
    rows = sample(len(z), random_state)
    if len(rows) < len(z):
        start = KMeans(n_clusters, n_init=n_init, random_state=random_state).fit(z[rows]).cluster_centers_
        n_init = 1
    found = KMeans(n_clusters, init=start, n_init=n_init, random_state=random_state).fit(z)
    return np.asarray(found.cluster_centers_, dtype=np.float64), found.labels_.astype(np.int64)


def spread_within(z: NDArray[np.floating], labels: NDArray[np.integer], centers: NDArray[np.floating]) -> float:
    """Return the root mean square deviation from the centres, per dimension in which cells vary.

    Where all cells of a cluster are alike, that is rounding error; a hundredth of the deviation from the mean stands for it.
    """
    z = np.asarray(z, dtype=np.float64)
    total = np.var(z, axis=0)
    varies = total > 0
    if not varies.any():
        return 1.0
    within = np.mean((z - centers[labels]) ** 2, axis=0)[varies]
    return float(np.sqrt(max(within.mean(), 1e-4 * total[varies].mean())))


def count_distinct(z: NDArray[np.floating]) -> int:
    """Return how many rows differ by more than rounding error."""
    spread = float(np.std(z, axis=0).max(initial=0)) or 1.0
    return len(np.unique(np.round((z - np.mean(z, axis=0)) / spread, 4), axis=0))


def merge_prototypes(
    view: NDArray[np.floating], labels: NDArray[np.integer], n_prototypes: int, n_clusters: int
) -> NDArray[np.int64]:
    """Merge prototypes whose cells point the same way, until so many clusters are left.

    The distance of two prototypes is one minus the cosine of the means of their cells; linkage is average. Cosines let a
    cluster be as far from the mean of all cells as it is: the nearer of two prototypes that point one way is often the
    same type at lower depth. One or two odd cells make no cluster: as long as there are enough other prototypes, theirs
    join the nearest.

    Parameters
    ----------
    view
        View of the cells, shape (n, d).
    labels
        Prototype of each cell, from 0, shape (n,).
    n_prototypes, n_clusters
        Before and after.

    Returns
    -------
    Cluster of each prototype, from 0, shape (n_prototypes,); a prototype without cells joins the first cluster.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    sizes = np.bincount(labels, minlength=n_prototypes)
    filled = np.flatnonzero(sizes)
    merged = np.zeros(n_prototypes, dtype=np.int64)
    if len(filled) <= n_clusters:
        merged[filled] = np.arange(len(filled))
        return merged
    means = mean_by_label(view - np.mean(view, axis=0), labels, n_prototypes)
    unit = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    distance = np.clip(1 - unit @ unit.T, 0, 2)
    large = np.flatnonzero(sizes >= _LEAST_CELLS)
    if len(large) < n_clusters:
        large = filled
    tree = linkage(squareform(distance[np.ix_(large, large)], checks=False), "average")
    merged[large] = fcluster(tree, n_clusters, "maxclust") - 1
    small = np.setdiff1d(filled, large)
    merged[small] = merged[large[distance[np.ix_(small, large)].argmin(axis=1)]]
    return merged


def mean_by_label(z: NDArray[np.floating], labels: NDArray[np.integer], n_labels: int) -> NDArray[np.float64]:
    """Return the mean of each label's rows, shape (n_labels, d); zeros where there are none."""
    from scipy import sparse

    n = len(labels)
    membership = sparse.csr_matrix((np.ones(n), (labels, np.arange(n))), shape=(n_labels, n))
    counts = np.bincount(labels, minlength=n_labels)
    return np.asarray(membership @ z, dtype=np.float64) / np.maximum(counts, 1)[:, None]
