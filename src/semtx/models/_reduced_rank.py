"""The closed form from which the ``default`` preset starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semtx._counts import ROWS_AT_A_TIME

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reduced_rank_regression(
    x: NDArray[np.floating], y: NDArray[np.floating], rank: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    r"""Find the few directions of ``x`` that predict ``y`` best.

    Minimises :math:`\lVert Y - X B \rVert^2 + \lambda \lVert B \rVert^2` over matrices B of rank ``rank``, with
    :math:`\lambda` the mean eigenvalue of :math:`X^\top X` times :math:`d_y / n`, which matters where observations are
    few. The columns of the result are ordered by how much of ``y`` they explain. Cost O(n d^2), in one pass over the rows.

    Parameters
    ----------
    x
        Predictors, shape (n, d_x).
    y
        Responses, shape (n, d_y).
    rank
        Number of directions.

    Returns
    -------
    Weights, shape (d_x, rank), and bias, shape (rank,), of ``x @ weights + bias``, which has mean zero.
    """
    mean, mean_response = (values.mean(axis=0, dtype=np.float64) for values in (x, y))
    gram, cross = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
    for start in range(0, len(x), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        centred = x[rows] - mean
        gram += centred.T @ centred
        cross += centred.T @ (y[rows] - mean_response)
    # of few observations it keeps each from being predicted by its own noise in that of its neighbours
    ridge = y.shape[1] / len(x) * np.trace(gram) / len(gram) + 1e-12
    coefficients = np.linalg.solve(gram + ridge * np.eye(len(gram)), cross)
    # the best rank-k fit projects the full fit on its own principal directions
    fitted_gram = coefficients.T @ gram @ coefficients
    _, directions = np.linalg.eigh(fitted_gram)
    directions = directions[:, ::-1][:, :rank]
    # a sign that does not depend on the linear algebra library
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    weights = coefficients @ directions
    return weights.astype(np.float32), (-mean @ weights).astype(np.float32)
