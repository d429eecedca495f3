"""Scores of weighted genes in cells, calibrated against random genes of like expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from semtx._counts import standard_deviations
from semtx.semantics._enrichment import strata_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 20_000
_TINY = 1e-12


def calibrated_scores(
    expression: sparse.csr_matrix, weights: NDArray[np.floating], usable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    r"""Score cells by weighted genes, as z-scores against random gene sets.

    The score of a cell is :math:`T = \sum_j w_j z_j` with the expression of each gene standardised over cells. Its
    calibration gives the same weights to other genes at random, within strata of like mean expression: over all such
    permutations T has, in each cell, the mean :math:`\sum_s \bar{z}_s \sum_{j \in s} w_j` and the variance
    :math:`\sum_s \frac{1}{n_s - 1} \sum (z - \bar{z}_s)^2 \sum (w - \bar{w}_s)^2`, so that the z-score is what infinitely
    many random gene sets would give, and nothing is drawn. Time is linear in cells.

    Parameters
    ----------
    expression
        Log-normalised, CSR, shape (n_obs, n_vars).
    weights
        Weight of each gene in each score, of either sign, shape (n_scores, n_vars); 0 where not ``usable``.
    usable
        Genes that scores and random sets are made of, shape (n_vars,); constant ones must not be among them.

    Returns
    -------
    Shape (n_obs, n_scores); 0 where a cell expresses all genes of like expression alike.
    """
    genes = np.flatnonzero(usable)
    x = expression[:, genes]
    mean = np.asarray(x.mean(axis=0, dtype=np.float64)).ravel()
    deviation = standard_deviations(x)
    strata = strata_of(mean)
    n = np.bincount(strata).astype(np.float64)
    belongs = np.eye(len(n))[strata]
    centre = mean / deviation

    w = np.asarray(weights, dtype=np.float64)[:, genes].T
    w = w - (belongs @ ((belongs.T @ w) / n[:, None]))  # what is equal within a stratum shifts mean and score alike
    spread = (belongs.T @ w**2) / np.maximum(n - 1, 1)[:, None]
    linear = np.hstack([w, belongs])
    by_value = linear / deviation[:, None]
    by_square = belongs / (deviation**2)[:, None]
    twice = belongs * (2 * centre / deviation)[:, None]
    at_zero, square_at_zero = centre @ linear, centre**2 @ belongs

    scores = np.empty((x.shape[0], w.shape[1]))
    for start in range(0, x.shape[0], _CHUNK):
        part = x[start : start + _CHUNK]
        squared = sparse.csr_matrix((part.data.astype(np.float64) ** 2, part.indices, part.indptr), part.shape)
        sums = part @ by_value - at_zero
        total, z = sums[:, : w.shape[1]], sums[:, w.shape[1] :]
        squares = squared @ by_square - part @ twice + square_at_zero
        variance = np.maximum(squares - z**2 / n, 0) @ spread
        known = variance > _TINY
        scores[start : start + _CHUNK] = np.divide(
            total, np.sqrt(np.maximum(variance, _TINY)), out=np.zeros_like(total), where=known
        )
    return scores
