"""Clustering of an embedding: Potts mixture, mixture, k-means or Leiden, with k given or chosen without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from semtx._logging import logger
from semtx._threads import one_order_of_sums
from semtx.models._agreement import choose_by_agreement
from semtx.models._potts import potts_mixtures
from semtx.models._votes import agreed_clusters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy import sparse

ClusterMethod = Literal["potts", "mixture", "kmeans", "leiden"]
CLUSTER_METHODS: tuple[str, ...] = get_args(ClusterMethod)
MAX_CLUSTERS = 20
# few starts leave a mixture at a lesser optimum, and the seed decides which
N_INIT = 30
_START_SAMPLE = 5000
_LEIDEN_NEIGHBORS = 15
_BISECTIONS = 25
_CHOICE_SAMPLE = 5000
_PEAK_SHARE = 0.8
# fewer observations have no halves that could confirm a number
_MIN_FOR_CHOICE = 10


@dataclass
class Clustering:
    """Labels and how they came about.

    Attributes
    ----------
    labels
        Cluster numbers from 0, largest cluster first, shape (n,).
    report
        Method, k asked and got, and what decided.
    """

    labels: NDArray[np.int64]
    report: dict[str, Any] = field(default_factory=dict)


def cluster_embedding(
    z: NDArray[np.floating],
    n_clusters: int | None,
    *,
    method: ClusterMethod = "mixture",
    graph: sparse.csr_matrix | None = None,
    views: Sequence[NDArray[np.floating]] = (),
    resolution: float | None = None,
    n_init: int = N_INIT,
    random_state: int = 0,
) -> Clustering:
    """Cluster an embedding.

    Parameters
    ----------
    z
        Embedding, shape (n, d).
    n_clusters
        Clusters wanted; ``None`` chooses without labels (see :func:`choose_n_clusters`, and with ``views``
        :func:`semtx.models._agreement.choose_by_agreement`; Leiden takes its resolution).
    method
        ``"potts"``: :func:`semtx.models._potts.potts_mixtures`; ``"mixture"``: Gaussian mixture with one covariance for
        all clusters; ``"kmeans"``; ``"leiden"`` on the graph of 15 nearest neighbours, whose resolution is bisected to
        the number wanted.
    graph
        Spatial graph of ``"potts"``, CSR, shape (n, n).
    views
        Other embeddings of the same observations, each of shape (n, d'), for ``"potts"``: each is clustered apart, and
        the clusters are those on which all agree, see :func:`semtx.models._votes.agreed_clusters`.
    resolution
        Resolution of Leiden, instead of ``n_clusters``.
    n_init
        Starts of mixture and k-means; the likeliest wins.
    random_state
        Seed.
    """
    report: dict[str, Any] = {"method": method, "n_clusters_asked": n_clusters, "criterion": "given"}
    z = np.asarray(z, dtype=np.float64)
    if method == "leiden":
        labels, used = _leiden(z, n_clusters, resolution, random_state)
        report |= {"resolution": used, "criterion": "resolution" if n_clusters is None else "given"}
    else:
        if n_clusters is None:
            if views:
                n_clusters, table = choose_by_agreement([z, *views], candidate_numbers(len(z)), random_state)
            else:
                n_clusters, table = choose_n_clusters(z, method=method, random_state=random_state)
            report |= {"criterion": "agreement" if views else "stability", "candidates": table}
        if method == "potts":
            labels = _potts_consensus([z, *views], graph, n_clusters, n_init, random_state)
        else:
            labels = _partition(z, n_clusters, method, n_init, random_state)
    labels = by_size(labels)
    report["n_clusters"] = int(labels.max()) + 1
    asked = report["n_clusters_asked"]
    if asked is not None and report["n_clusters"] != asked:
        logger.warning("asked for %d clusters, %s found %d", asked, method, report["n_clusters"])
    return Clustering(labels, report)


def cluster_and_smooth(
    z: NDArray[np.floating],
    n_clusters: int | None,
    graph: sparse.csr_matrix | None = None,
    n_smoothing: int = 0,
    *,
    method: ClusterMethod = "mixture",
    views: Sequence[NDArray[np.floating]] = (),
    resolution: float | None = None,
    n_init: int = N_INIT,
    random_state: int = 0,
) -> Clustering:
    """Cluster an embedding and smooth the labels over a spatial graph; a warning says what smoothing has removed.

    Parameters
    ----------
    z, n_clusters, method, views, resolution, n_init, random_state
        As in :func:`cluster_embedding`.
    graph, n_smoothing
        As in :func:`cluster_embedding` and :func:`smooth_labels`; no graph or no rounds leave the labels as they are.
    """
    found = cluster_embedding(
        z,
        n_clusters,
        method=method,
        graph=graph,
        views=views,
        resolution=resolution,
        n_init=n_init,
        random_state=random_state,
    )
    if graph is None or not n_smoothing:
        return found
    labels = by_size(smooth_labels(found.labels, graph, n_smoothing))
    before, after = found.report["n_clusters"], int(labels.max()) + 1
    if after != before:
        logger.warning(
            "n_smoothing=%d left %d of %d clusters: the others are outvoted by their neighbours everywhere; "
            "smooth in fewer rounds to keep them",
            n_smoothing,
            after,
            before,
        )
    return Clustering(labels, {**found.report, "n_clusters": after})


@one_order_of_sums()
def choose_n_clusters(
    z: NDArray[np.floating],
    *,
    method: ClusterMethod = "mixture",
    candidates: range | None = None,
    n_repeats: int = 4,
    random_state: int = 0,
) -> tuple[int, dict[str, NDArray]]:
    """Choose the number of clusters that halves of the data confirm, beyond what a shapeless cloud would.

    For each candidate k, two random halves are clustered apart, each partition is carried to all observations, and the
    two are compared by the adjusted Rand index: the stability. A cloud without clusters has some too, above all for
    few clusters, which cut it across its longest axes; so the stability of one Gaussian with the covariance of the data
    is subtracted. The choice is the smallest k at a peak of at least 80 % of the highest excess.

    Parameters
    ----------
    z
        Embedding, shape (n, d); of more than 5,000 observations, 5,000 drawn at random are used.
    method
        ``"kmeans"``; others are taken as ``"mixture"``.
    candidates
        Numbers to try; 2 to 20, and fewer where there are few observations.
    n_repeats
        Pairs of halves.
    random_state
        Seed.

    Returns
    -------
    The number, and a table of all candidates: ``n_clusters``, ``stability`` and ``null_stability``.

    Raises
    ------
    ValueError
        There are fewer than 10 observations.
    """
    if candidates is None:
        candidates = candidate_numbers(len(z))
    generator = np.random.default_rng(random_state)
    if len(z) > _CHOICE_SAMPLE:
        z = z[generator.choice(len(z), _CHOICE_SAMPLE, replace=False)]
    n = len(z)
    shapeless = generator.multivariate_normal(z.mean(axis=0), np.atleast_2d(np.cov(z.T)), size=n)
    stability, null = (
        np.array([_stability(data, k, method, n_repeats, random_state) for k in candidates]) for data in (z, shapeless)
    )
    excess = stability - null
    padded = np.concatenate([[-np.inf], excess, [-np.inf]])
    peak = (excess >= padded[:-2]) & (excess >= padded[2:])
    good = np.flatnonzero(peak & (excess >= _PEAK_SHARE * excess.max()))
    # where nothing is more stable than the cloud, the least unstable number is as good as any
    chosen = int(good[0]) if excess.max() > 0 else int(excess.argmax())
    table = {
        "n_clusters": np.asarray(candidates),
        "stability": stability.astype(np.float32),
        "null_stability": null.astype(np.float32),
    }
    return int(candidates[chosen]), table


def candidate_numbers(n: int) -> range:
    """Return the numbers of clusters to try for so many observations; ten are the least to choose from."""
    if n < _MIN_FOR_CHOICE:
        msg = f"{n} observations are too few to choose the number of clusters from; give n_clusters"
        raise ValueError(msg)
    return range(2, min(MAX_CLUSTERS, max(n // 10, 2)) + 1)


def _stability(z: NDArray[np.floating], k: int, method: str, n_repeats: int, random_state: int) -> float:
    from sklearn.metrics import adjusted_rand_score

    generator = np.random.default_rng(random_state)
    scores = []
    for _ in range(n_repeats):
        halves = np.array_split(generator.permutation(len(z)), 2)
        first, second = (_model(method, k, 2, random_state).fit(z[half]).predict(z) for half in halves)
        scores.append(adjusted_rand_score(first, second))
    return float(np.mean(scores))


def smooth_labels(labels: NDArray[np.integer], graph: sparse.csr_matrix, n_rounds: int) -> NDArray[np.int64]:
    """Give each observation the commonest label among itself and its neighbours; a tie keeps its own.

    Parameters
    ----------
    labels
        Shape (n,), from 0.
    graph
        Spatial graph, CSR, shape (n, n).
    n_rounds
        How often.
    """
    from scipy import sparse

    smooth: NDArray[np.int64] = np.asarray(labels, dtype=np.int64)
    n = len(smooth)
    neighbors = sparse.csr_matrix((np.ones(graph.nnz), graph.indices, graph.indptr), shape=graph.shape)
    for _ in range(n_rounds):
        membership = sparse.csr_matrix((np.ones(n), (np.arange(n), smooth)), shape=(n, smooth.max() + 1))
        votes = np.asarray((neighbors @ membership + 1.5 * membership).todense())
        smooth = votes.argmax(axis=1)
    return smooth


def by_size(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number clusters from the largest to the smallest; equal sizes in order of first appearance."""
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse]


def _potts_consensus(
    views: Sequence[NDArray[np.floating]],
    graph: sparse.csr_matrix | None,
    n_clusters: int,
    n_init: int,
    random_state: int,
) -> NDArray[np.int64]:
    if graph is None:
        msg = "method='potts' couples the labels of neighbours and needs their graph"
        raise ValueError(msg)
    votes = potts_mixtures(views, graph, n_clusters, n_init=n_init, random_state=random_state)
    if len(views) == 1:
        return votes[:, 0]
    return agreed_clusters(votes, np.ones(len(views)), n_clusters, random_state, by_share=True)


@one_order_of_sums()
def _partition(
    z: NDArray[np.floating], n_clusters: int, method: str, n_init: int, random_state: int
) -> NDArray[np.int64]:
    model = _model(method, n_clusters, n_init, random_state)
    if method == "kmeans" or len(z) <= _START_SAMPLE:
        return model.fit_predict(z)
    # the starts compete on a sample, and the best goes on with all
    rows = np.random.default_rng(random_state).choice(len(z), _START_SAMPLE, replace=False)
    start = model.fit(z[np.sort(rows)])
    model = _model(method, n_clusters, 1, random_state)
    model.set_params(weights_init=start.weights_, means_init=start.means_, precisions_init=start.precisions_)
    return model.fit_predict(z)


def _model(method: str, n_clusters: int, n_init: int, random_state: int) -> Any:
    if method == "kmeans":
        from sklearn.cluster import KMeans

        return KMeans(n_clusters, n_init=n_init, random_state=random_state)
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(n_clusters, covariance_type="tied", n_init=n_init, random_state=random_state)


def _leiden(
    z: NDArray[np.floating], n_clusters: int | None, resolution: float | None, random_state: int
) -> tuple[NDArray[np.int64], float]:
    import scanpy as sc
    from anndata import AnnData

    holder = AnnData(np.zeros((len(z), 0), dtype=np.float32), obsm={"z": z})
    sc.pp.neighbors(holder, n_neighbors=min(_LEIDEN_NEIGHBORS, len(z) - 1), use_rep="z", random_state=random_state)

    def partition(at: float) -> NDArray[np.int64]:
        sc.tl.leiden(holder, resolution=at, flavor="igraph", n_iterations=2, directed=False, random_state=random_state)
        return holder.obs["leiden"].cat.codes.to_numpy().astype(np.int64)

    if n_clusters is None:
        used = 1.0 if resolution is None else resolution
        return partition(used), used
    # twice the resolution until there are enough clusters, then bisection
    low, high = 0.0, 0.5
    labels = partition(high)
    while labels.max() + 1 < n_clusters and high < 64:
        low, high = high, 2 * high
        labels = partition(high)
    best, used = labels, high
    for _ in range(_BISECTIONS):
        if best.max() + 1 == n_clusters:
            break
        middle = (low + high) / 2
        labels = partition(middle)
        if abs(labels.max() + 1 - n_clusters) <= abs(best.max() + 1 - n_clusters):
            best, used = labels, middle
        low, high = (middle, high) if labels.max() + 1 < n_clusters else (low, middle)
    return best, used
