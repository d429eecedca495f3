"""The number of clusters on which several embeddings agree."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from semtx._threads import one_order_of_sums
from semtx.models._potts import best_mixture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SAMPLE = 3000
_N_REPEATS = 2
_N_INIT = 4


@one_order_of_sums()
def choose_by_agreement(
    views: Sequence[NDArray[np.floating]], candidates: range, random_state: int
) -> tuple[int, dict[str, NDArray]]:
    r"""Choose the number of clusters that searches in several embeddings agree on more than on one less or one more.

    For each number k the embeddings are clustered apart, twice each, from few starts: where the data have k groups, the
    searches find the same ones. With a(k) the mean adjusted Rand index between labels of different embeddings, and
    a(1) = 1, the choice is the k with the highest

    .. math:: \log k \, \bigl( a(k) - \tfrac12 [a(k - 1) + a(k + 1)] \bigr),

    how far the agreement stands out, as :cite:t:`Evanno2005` look at it, times what a label then tells at most: a few
    large groups are agreed on easily.

    Parameters
    ----------
    views
        Embeddings of the same observations, each of shape (n, d), two or more; of more than 3,000 observations, 3,000
        drawn at random are used.
    candidates
        Numbers to try.
    random_state
        Seed.

    Returns
    -------
    The number, and a table of all candidates: ``n_clusters``, ``agreement`` and ``prominence``.
    """
    from sklearn.metrics import adjusted_rand_score

    n = len(views[0])
    if n > _SAMPLE:
        rows = np.sort(np.random.default_rng(random_state).choice(n, _SAMPLE, replace=False))
        views = [view[rows] for view in views]

    def agreement(k: int) -> float:
        if k == 1:
            return 1.0
        seeds = np.random.SeedSequence([random_state, k]).generate_state(len(views) * _N_REPEATS * _N_INIT)
        found = [
            (index, best_mixture(view, k, starts).labels)
            for index, (view, of_view) in enumerate(zip(views, np.split(seeds, len(views)), strict=True))
            for starts in np.split(of_view, _N_REPEATS)
        ]
        between = [adjusted_rand_score(a, b) for (i, a), (j, b) in combinations(found, 2) if i != j]
        return float(np.mean(between))

    agreed = np.array([agreement(k) for k in range(candidates[0] - 1, candidates[-1] + 2)])
    prominence = np.log(candidates) * (agreed[1:-1] - (agreed[:-2] + agreed[2:]) / 2)
    table = {
        "n_clusters": np.asarray(candidates),
        "agreement": agreed[1:-1].astype(np.float32),
        "prominence": prominence.astype(np.float32),
    }
    return int(candidates[int(prominence.argmax())]), table
