"""Gaussian mixtures whose neighbouring observations share labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semtx._threads import one_order_of_sums
from semtx.graphs import binary, normalize_adjacency

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from scipy import sparse

#: Log-odds that a neighbourhood of one label adds to that label.
STRENGTH = 6.0
# of more observations starts cost more, and fewer of them do
_FEW = 4000
_START_SAMPLE = 20_000
_MAX_ITERATIONS = 200
# a gain in log-likelihood for an observation that is not worth another iteration
_LEAST_GAIN = 1e-3
_MAX_EXCHANGES = 5


class Fit(NamedTuple):
    """A fitted mixture: the bound of its mean log-likelihood, and its labels."""

    bound: float
    labels: NDArray[np.int64]


@one_order_of_sums()
def potts_mixtures(
    views: Sequence[NDArray[np.floating]],
    graph: sparse.csr_matrix,
    n_clusters: int,
    *,
    strength: float = STRENGTH,
    n_init: int,
    random_state: int,
) -> NDArray[np.int64]:
    r"""Fit to each view a Gaussian mixture with one covariance, coupled over a graph: a hidden Markov random field.

    Mean-field expectation maximisation :cite:p:`Celeux2003` of the model in which labels c have the prior probability

    .. math:: p(c) \propto \prod_i \pi_{c_i} \exp \bigl( \tfrac{\beta}{2} \sum_j \hat A_{ij} [c_i = c_j] \bigr)

    with :math:`\hat A` the graph with self-loops, rows normalised to 1. The update is the usual short one: an observation's
    own belief counts as that of one neighbour, which makes assignments a little surer than the model's mean field, and
    :math:`\hat A` stands for the mean of itself and its transpose, so that the bound is approximate where degrees differ.
    Each start is a run of k-means, from which the mixture is fitted without the graph, and then with it; the one with the
    highest bound of the likelihood is kept. Then each view starts from the labels of the others, too, and takes what is
    likelier than its own, until none gains: views of the same observations have much the same optima, and what one search
    has missed another may have found. An iteration takes O(n k d + edges k).

    Parameters
    ----------
    views
        Embeddings of the same observations, each of shape (n, d), with any d.
    graph
        Graph, CSR, shape (n, n); its diagonal and weights are not used.
    n_clusters
        Number of clusters; some may end up without an observation.
    strength
        :math:`\beta`.
    n_init
        Starts of one view, and of each of several this by the root of their number; fewer of more than 4,000
        observations.
    random_state
        Seed.

    Returns
    -------
    Labels from 0 in each view, shape (n, n_views).
    """
    around = normalize_adjacency(binary(graph), "row")
    # several views search for each other, too
    n_starts = max(1, int(n_init * min(_FEW / graph.shape[0], 1) / np.sqrt(len(views))))
    seeds = np.random.SeedSequence(random_state).generate_state(len(views) * n_starts).reshape(len(views), -1)
    found = [
        best_mixture(view, n_clusters, seeds_of, around, strength) for view, seeds_of in zip(views, seeds, strict=True)
    ]
    fresh = list(range(len(views)))
    for _ in range(_MAX_EXCHANGES):
        rivals = {
            index: _likeliest(
                _ascend(points, around, np.eye(n_clusters)[found[other].labels], strength)
                for other in fresh
                if other != index
            )
            for index, points in enumerate(map(_centred, views))
            if fresh != [index]
        }
        fresh = [index for index, rival in rivals.items() if rival.bound > found[index].bound + _LEAST_GAIN]
        for index in fresh:
            found[index] = rivals[index]
        if not fresh:
            break
    return np.column_stack([fit.labels for fit in found])


def best_mixture(
    z: NDArray[np.floating],
    n_clusters: int,
    seeds: NDArray[np.integer],
    around: sparse.csr_matrix | None = None,
    strength: float = 0.0,
) -> Fit:
    """Return the likeliest of the mixtures that one start each leads to, coupled over a graph where there is one."""
    points = _centred(z)

    def fits() -> Iterator[tuple[float, NDArray[np.float64]]]:
        for seed in seeds:
            bound, proba = _ascend(points, None, _start(points, n_clusters, int(seed % 2**31)), 0.0)
            yield (bound, proba) if around is None else _ascend(points, around, proba, strength)

    return _likeliest(fits())


def _likeliest(fits: Iterable[tuple[float, NDArray[np.float64]]]) -> Fit:
    highest = Fit(-np.inf, np.zeros(0, dtype=np.int64))
    for bound, proba in fits:
        if bound > highest.bound:
            highest = Fit(bound, proba.argmax(axis=1))
    return highest


def _centred(z: NDArray[np.floating]) -> NDArray[np.float64]:
    points: NDArray[np.float64] = np.asarray(z, dtype=np.float64)
    return points - points.mean(axis=0)


def _start(z: NDArray[np.float64], n_clusters: int, seed: int) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    few = len(z) <= _START_SAMPLE
    sample = z if few else z[np.random.default_rng(seed).choice(len(z), _START_SAMPLE, replace=False)]
    with warnings.catch_warnings():
        # observations that are all alike have fewer clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(n_clusters, n_init=1, random_state=seed).fit(sample)
    return np.eye(n_clusters)[model.labels_ if few else model.predict(z)]


def _ascend(
    z: NDArray[np.float64], around: sparse.csr_matrix | None, proba: NDArray[np.float64], strength: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the bound of the mean log-likelihood, and the assignments, where they no longer change."""
    n, d = z.shape
    gram = z.T @ z / n
    jitter = 1e-6 * max(np.trace(gram) / d, 1e-12) * np.eye(d)
    bound = -np.inf
    for _ in range(_MAX_ITERATIONS):
        sizes = proba.sum(axis=0) + 1e-9
        means = proba.T @ z / sizes[:, None]
        precision = np.linalg.inv(gram - (means.T * sizes) @ means / n + jitter)
        # less what all labels have in common, which is added to the bound
        evidence = z @ (precision @ means.T) - 0.5 * ((means @ precision) * means).sum(axis=1) + np.log(sizes / n)
        common = 0.5 * np.linalg.slogdet(precision)[1] - 0.5 * (precision * gram).sum()
        neighbors = 0.0 if around is None else strength * (around @ proba)
        field = evidence + neighbors
        highest = field.max(axis=1, keepdims=True)
        proba = np.exp(field - highest)
        total = proba.sum(axis=1, keepdims=True)
        proba /= total
        # sum of p log p is that of p times the field, less the log of the normaliser; pairs are counted twice in the field
        previous, bound = bound, common + float((np.log(total) + highest).mean())
        if around is not None:
            bound -= 0.5 * float((proba * neighbors).sum()) / n
        if abs(bound - previous) < _LEAST_GAIN:
            break
    return bound, proba
