"""How well batches mix in an embedding; no labels needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from semtx._nearest_others import nearest_others
from semtx._settings import settings
from semtx._threads import limit_threads
from semtx._validate import check_integer, check_key, check_random_state, finite_matrix, resolve_table

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.integer[Any]]

_DRAWS = 4000


def batch_scores(
    adata: AnnData,
    batch_key: str,
    *,
    use_rep: str,
    n_neighbors: int = 30,
    random_state: int = 0,
    table_key: str | None = None,
) -> pd.Series:
    r"""How well batches mix among nearest neighbours in an embedding; needs no labels.

    A score of 1 is what cells get whose neighbours are drawn at random from all other cells, whatever the sizes of the
    batches. Mixing is not correctness: an embedding of pure noise mixes best, and batches that hold different cell types
    ought not to mix. Read it beside a score of the clusters.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    batch_key
        Column of `adata.obs` with the batches; at least two. Observations without one (NaN) are left out.
    use_rep
        Key of `adata.obsm` with the embedding, shape (n_obs, d); distances are Euclidean.
    n_neighbors
        Neighbours of each observation, itself left out; at most all others.
    random_state
        Seed of the approximate search for neighbours, which starts above 20,000 observations so that time stays nearly
        proportional to their number, and of the draws that `lisi_expected` is the mean of.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    A :class:`pandas.Series` named `use_rep` with

    `lisi`
        Mean over observations of the inverse Simpson index :math:`1 / \sum_b p_{ib}^2`, with :math:`p_{ib}` the part of
        the neighbours of i that are of batch b: the effective number of batches around an observation. This is the
        iLISI of [1]_ with equal weights for all neighbours.
    `lisi_expected`
        The same for neighbours drawn at random from all others (mean of 4,000 draws for each batch).
    `mixing`
        :math:`(\mathrm{lisi} - 1) / (\mathrm{lisi\_expected} - 1)`, at most 1: 0 where no neighbour is of another
        batch, about 1 where batches do not matter.
    `purity`
        Mean part of the neighbours that are of the observation's own batch.
    `purity_ratio`
        `purity` over what random neighbours would give: about 1 where batches do not matter, more where they lie apart.
    `mixing:{batch}`, `purity_ratio:{batch}`
        The same over the observations of each batch.
    `n_scored`, `n_without_batch`, `n_batches`
        Observations scored; without a batch; batches.

    Raises
    ------
    KeyError
        A key does not exist.
    ValueError
        There are fewer than two batches or three observations, or the embedding has NaN or infinite values.

    References
    ----------
    .. [1] Korsunsky I, et al. Fast, sensitive and accurate integration of single-cell data with Harmony. Nature Methods
       16, 1289-1296 (2019).

    Examples
    --------
    >>> import numpy as np
    >>> import semtx as st
    >>> adata = st.datasets.cells(400)
    >>> adata.obsm["mixed"] = np.random.default_rng(0).normal(size=(400, 5))
    >>> adata.obsm["apart"] = adata.obsm["mixed"] + 9 * (adata.obs["batch"] == "batch1").to_numpy()[:, None]
    >>> st.metrics.batch_scores(adata, "batch", use_rep="mixed")[["mixing", "purity_ratio"]].round(1)
    mixing          1.0
    purity_ratio    1.0
    Name: mixed, dtype: float64
    >>> st.metrics.batch_scores(adata, "batch", use_rep="apart")[["mixing", "purity_ratio"]].round(1)
    mixing          0.0
    purity_ratio    1.9
    Name: apart, dtype: float64
    """
    adata = resolve_table(adata, table_key)
    check_integer("n_neighbors", n_neighbors, minimum=1)
    check_random_state(random_state)
    column = pd.Series(check_key(adata, "obs", batch_key, parameter="batch_key"))
    z = finite_matrix(adata, use_rep, parameter="use_rep", fix="compute the embedding first")
    scored = column.notna().to_numpy()
    # categories without an observation are no batches
    codes, names = pd.factorize(column[scored], sort=True)
    if len(names) < 2 or scored.sum() < 3:
        msg = (
            f"adata.obs[{batch_key!r}] has {len(names)} batches in {scored.sum()} observations; mixing takes at least two "
            "batches and three observations"
        )
        raise ValueError(msg)
    k = min(n_neighbors, len(codes) - 1)
    with limit_threads():
        neighbors = nearest_others(z[scored], k, "euclidean", random_state=random_state, n_jobs=settings.n_jobs)
    scores = _mixing(codes[neighbors], codes, random_state=random_state)
    own = {
        f"{name}:{batch}": scores[name, code] for name in ("mixing", "purity_ratio") for code, batch in enumerate(names)
    }
    overall = {name: value for name, value in scores.items() if isinstance(name, str)}
    counts = {"n_scored": scored.sum(), "n_without_batch": (~scored).sum(), "n_batches": len(names)}
    return pd.Series({**overall, **own, **counts}, dtype=float, name=use_rep)


def _mixing(around: Indices, codes: Indices, *, random_state: int) -> dict[Any, float]:
    """Scores from the batches around each observation, shape (n, k); those of a batch have the key ``(name, code)``."""
    n, k = around.shape
    sizes = np.bincount(codes)
    simpson, purity = np.zeros(n), np.empty(n)
    for batch in range(len(sizes)):
        part = (around == batch).sum(axis=1) / k
        simpson += part**2
        purity[codes == batch] = part[codes == batch]
    lisi = 1 / simpson

    expected_purity = (sizes - 1) / (n - 1)
    rng = np.random.default_rng(random_state)
    expected_lisi = np.empty(len(sizes))
    for batch in range(len(sizes)):
        others = sizes - (np.arange(len(sizes)) == batch)
        drawn = rng.multivariate_hypergeometric(others, k, size=_DRAWS, method="marginals") / k
        expected_lisi[batch] = (1 / (drawn**2).sum(axis=1)).mean()

    def summarized(inside: NDArray[np.bool_] | slice) -> dict[str, float]:
        wanted, pure = expected_lisi[codes[inside]].mean(), expected_purity[codes[inside]].mean()
        # one neighbour is of one batch, always
        mixing = min((lisi[inside].mean() - 1) / (wanted - 1), 1.0) if wanted > 1 else np.nan
        return {
            "mixing": mixing,
            "lisi": lisi[inside].mean(),
            "lisi_expected": wanted,
            "purity": purity[inside].mean(),
            "purity_ratio": purity[inside].mean() / pure if pure > 0 else np.nan,
        }

    scores: dict[Any, float] = dict(summarized(slice(None)))
    for batch in range(len(sizes)):
        scores.update({(name, batch): value for name, value in summarized(codes == batch).items()})
    return scores
