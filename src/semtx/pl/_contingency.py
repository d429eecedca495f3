"""Two labelings counted against each other, and the orders in which they are best read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from semtx._validate import listed
from semtx.pl._column import as_categories

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Order = NDArray[np.intp]

_MOST = 150  # clusters that can be told apart in a plot
_ROUNDS = 20
_STARTS = 6


class Contingency(NamedTuple):
    """Cells of every pair of clusters, shape (clusters of the first labeling, clusters of the second)."""

    counts: NDArray[np.int64]
    rows: list[object]
    columns: list[object]
    ari: float
    left_out: int


def labels_of(adata: AnnData, key: str, parameter: str) -> pd.Series:
    """Return a column of `obs` as categories, or raise where it does not hold labels."""
    if key not in adata.obs:
        msg = f"{parameter}={key!r} is not in adata.obs, which has {listed(adata.obs.columns)}"
        raise KeyError(msg)
    values = as_categories(adata.obs[key], is_view=adata.is_view)
    used = values.nunique()
    if used > _MOST:
        msg = f"{parameter}={key!r} has {used} different values; at most {_MOST} can be told apart in a plot"
        raise ValueError(msg)
    return values


def contingency(first: pd.Series, second: pd.Series) -> Contingency:
    """Count the cells of every pair of clusters; cells without a label in either are left out and counted."""
    from sklearn.metrics import adjusted_rand_score

    labelled = (first.notna() & second.notna()).to_numpy()
    if not labelled.any():
        msg = f"no observation has a label both in adata.obs[{first.name!r}] and in adata.obs[{second.name!r}]"
        raise ValueError(msg)
    rows, columns = (labels[labelled].cat.remove_unused_categories().cat for labels in (first, second))
    counts = np.zeros((len(rows.categories), len(columns.categories)), dtype=np.int64)
    np.add.at(counts, (rows.codes, columns.codes), 1)
    ari = float(adjusted_rand_score(rows.codes, columns.codes))
    return Contingency(counts, list(rows.categories), list(columns.categories), ari, int((~labelled).sum()))


def diagonal_order(counts: NDArray[np.int64]) -> tuple[Order, Order, int]:
    """Orders of rows and columns that put the best matching on the diagonal, and the length of the matching.

    Rows keep their order. What has no partner comes last: rows in their order, columns in that of the rows they share
    most with.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(counts, maximize=True)
    # partners without a common cell are none
    real = counts[rows, columns] > 0
    rows, columns = rows[real], columns[real]
    other_rows = np.setdiff1d(np.arange(counts.shape[0]), rows)
    other_columns = np.setdiff1d(np.arange(counts.shape[1]), columns)
    ordered = np.concatenate([rows, other_rows])
    most = np.argsort(ordered)[counts[:, other_columns].argmax(axis=0)]
    return ordered, np.concatenate([columns, other_columns[np.argsort(most, kind="stable")]]), len(rows)


def in_either(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cells that are in a row's cluster, in a column's, or in both, for every pair."""
    return counts.sum(axis=1, keepdims=True) + counts.sum(axis=0) - counts


def crossings(counts: Array) -> float:
    """Pairs of cells whose bands cross when rows and columns stand in this order."""
    below = counts[::-1].cumsum(axis=0)[::-1] - counts
    # a band crosses those that start below it and end above it
    return float((counts * (below.cumsum(axis=1) - below)).sum())


def untangled_order(counts: NDArray[np.int64]) -> tuple[Order, Order]:
    """Orders of rows and columns in which few pairs of cells cross, by sifting from several starts.

    Of an order and its reverse, which cross alike, the one nearer to the order given.
    """
    w = counts.astype(np.float64)
    n = len(w)
    rng = np.random.default_rng(0)
    best, fewest = (np.arange(n), np.arange(w.shape[1])), np.inf
    for start in (np.arange(n), _spectral(w), *(rng.permutation(n) for _ in range(_STARTS))):
        rows, columns = start, np.arange(w.shape[1])
        reached = np.inf
        for _ in range(_ROUNDS):
            columns = _sifted(_barycentres(w[rows]), w[rows])
            rows = _sifted(_barycentres(w[:, columns].T), w[:, columns].T)
            now = crossings(w[np.ix_(rows, columns)])
            if now >= reached:
                break
            reached = now
        if reached < fewest:
            best, fewest = (rows, columns), reached
    rows, columns = best
    place = np.argsort(rows)
    in_order = (place[:, None] > place) & np.tri(n, k=-1, dtype=bool)
    if in_order.sum() * 4 < n * (n - 1):
        rows, columns = rows[::-1], columns[::-1]
    return rows, columns


def _barycentres(w: Array) -> Order:
    """Columns by the mean place of their cells in the rows."""
    return np.argsort(np.arange(len(w)) @ w / np.maximum(w.sum(axis=0), 1), kind="stable")


def _sifted(order: Order, w: Array) -> Order:
    """Columns moved, one by one, to where they cross least while the rows stay, until none moves."""
    below = w[::-1].cumsum(axis=0)[::-1] - w
    # crossings of the bands of u with those of v when u stands before v
    cost = below.T @ w
    places = list(order)
    for _ in range(_ROUNDS):
        moved = False
        for column in order:
            now = places.index(column)
            rest = places[:now] + places[now + 1 :]
            change = np.append(0.0, np.cumsum(cost[rest, column] - cost[column, rest]))
            to = int(np.argmin(change))
            if change[to] < change[now]:
                places = [*rest[:to], column, *rest[to:]]
                moved = True
        if not moved:
            break
    return np.array(places)


def _spectral(w: Array) -> Order:
    """Rows along the first axis of correspondence analysis."""
    rows, columns = np.sqrt(w.sum(axis=1)), np.sqrt(w.sum(axis=0))
    vectors, _, _ = np.linalg.svd(w / np.outer(rows, columns) - np.outer(rows, columns) / w.sum())
    return np.argsort(vectors[:, 0] / rows, kind="stable")
