"""Telling what counts that are not whole numbers were made of: the trace that normalising and logarithms leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

_N_ROWS = 300
_LARGEST_EXPONENT = 25
# a few roundings to float32, by normalisation, logarithm and storage
_ROUNDING = 8 * float(np.finfo(np.float32).eps)
_LOOSEST = 0.01
_CHANCE = 1e-3
_ONE_SUM = 0.01
# float32 has no third decimal to tell beyond
_MOST_WITH_DECIMALS = 100
# the smallest count of a row need not be 1
_SMALLEST_COUNTS = (1, 2, 3, 4)
# expected counts that are shared out evenly have the unit 1/2, 1/3, ...
_MOST_SHARES = 64

FractionKind = Literal["normalized", "lognormalized", "log2normalized", "logcounts", "log2counts"]


def kind_of_fractions(matrix: sparse.csr_matrix) -> FractionKind | None:
    """Tell what normalising or a logarithm made of raw counts from values that are none of these, such as expected counts.

    Normalising multiplies every row by a factor of its own, so that its values stay whole multiples of a unit, whichever
    genes are selected later. A sample of rows decides, each within the rounding of float32.

    Parameters
    ----------
    matrix
        CSR, non-negative and finite, not only whole numbers.
    """
    rows = _sampled_rows(matrix)
    if not rows:
        return None
    exponents: list[tuple[float, FractionKind, FractionKind]] = []
    if max(row.max() for row in rows) < _LARGEST_EXPONENT:
        exponents = [(np.e, "logcounts", "lognormalized"), (2.0, "log2counts", "log2normalized")]
    candidates: dict[FractionKind, tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]] = {
        "normalized": (rows, [np.zeros(len(row)) for row in rows])
    }
    for base, counts, normalized in exponents:
        powers = [np.expm1(row * np.log(base)) for row in rows]
        # what rounding x does to base**x - 1
        errors = [_ROUNDING * (1 + y) * (1 + x) for x, y in zip(rows, powers, strict=True)]
        if _is_whole(powers, errors):
            return counts
        candidates[normalized] = powers, errors
    spreads = {kind: _spread_of_sums(values) for kind, (values, _) in candidates.items()}
    likeliest = min(spreads, key=lambda kind: spreads[kind])
    if spreads[likeliest] < _ONE_SUM:
        return likeliest
    if _has_few_decimals(rows):
        del candidates["normalized"]
    shared = max(row.max() for row in rows) >= 1
    for kind, (values, errors) in candidates.items():
        if _have_units(values, errors, shared=shared and kind == "normalized"):
            return kind
    return None


def _sampled_rows(matrix: sparse.csr_matrix) -> list[NDArray[np.float64]]:
    """Return the positive values of rows from the whole length of the matrix."""
    filled = np.flatnonzero(np.diff(matrix.indptr) > 0)
    chosen = filled[np.unique(np.linspace(0, len(filled) - 1, min(_N_ROWS, len(filled))).astype(int))]
    rows = (matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.float64) for row in chosen)
    return [row[row > 0] for row in rows if (row > 0).any()]


def _spread_of_sums(rows: list[NDArray[np.float64]]) -> float:
    sums = np.array([row.sum() for row in rows])
    return float(np.std(sums) / np.mean(sums)) if len(sums) > 1 else np.inf


def _has_few_decimals(rows: list[NDArray[np.float64]]) -> bool:
    """Tell expected counts that were written with two or three decimals: they have a unit too, the same in all rows."""
    values = np.concatenate(rows)
    values = values[values < _MOST_WITH_DECIMALS]
    return bool(values.size and (np.abs(values - values.round(3)) <= _ROUNDING * values).all())


def _is_whole(rows: list[NDArray[np.float64]], errors: list[NDArray[np.float64]]) -> bool:
    values, error = np.concatenate(rows), np.concatenate(errors)
    exact = error < _LOOSEST
    values, error = values[exact], error[exact]
    return len(values) > 2 and bool((np.abs(values - np.rint(values)) <= error).all())


def _have_units(rows: list[NDArray[np.float64]], errors: list[NDArray[np.float64]], *, shared: bool = False) -> bool:
    """Tell whether most rows that can tell are whole multiples of a unit, other than that of evenly ``shared`` counts."""
    tested = (_has_unit(row, error, shared=shared) for row, error in zip(rows, errors, strict=True))
    votes = [vote for vote in tested if vote is not None]
    return len(votes) > 1 and sum(votes) > len(votes) / 2


def _has_unit(values: NDArray[np.float64], errors: NDArray[np.float64], *, shared: bool) -> bool | None:
    """Tell whether a row has a unit; ``None`` where a yes could be chance."""
    first = values.argmin()
    smallest = values[first]
    ratio = np.delete(values, first) / smallest
    error = (np.delete(errors, first) + ratio * errors[first]) / smallest + 2 * _ROUNDING * ratio
    # equal values stay equal under any function, so they tell nothing
    telling = (error * max(_SMALLEST_COUNTS) < _LOOSEST) & (ratio > 1 + error)
    ratio, error = ratio[telling], error[telling]
    if np.log(2 * max(_SMALLEST_COUNTS) * error).sum() > np.log(_CHANCE):
        return None
    for count in _SMALLEST_COUNTS:
        multiple = ratio * count
        if (np.abs(multiple - np.rint(multiple)) <= count * error).all():
            shares = count / smallest
            return not (shared and shares < _MOST_SHARES and abs(shares - np.rint(shares)) < _LOOSEST * shares)
    return False
