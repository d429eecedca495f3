"""The closed form from which the ``default`` preset starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RIDGE = 0.01


def reduced_rank_regression(
    x: NDArray[np.floating], y: NDArray[np.floating], rank: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    r"""Find the few directions of ``x`` that predict ``y`` best.

    Minimises :math:`\lVert Y - X B \rVert^2 + \lambda \lVert B \rVert^2` over matrices B of rank ``rank``; the columns
    of the result are ordered by how much of ``y`` they explain. Cost O(n d^2), in one pass over the rows.

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
    mean = x.mean(axis=0, dtype=np.float64)
    centred = x - mean
    response = y - y.mean(axis=0, dtype=np.float64)
    gram = centred.T @ centred
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)) + 1e-12 * np.eye(len(gram))
    coefficients = np.linalg.solve(gram, centred.T @ response)
    # the best rank-k fit projects the full fit on its own principal directions
    fitted_gram = coefficients.T @ (centred.T @ centred) @ coefficients
    _, directions = np.linalg.eigh(fitted_gram)
    directions = directions[:, ::-1][:, :rank]
    # a sign that does not depend on the linear algebra library
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    weights = coefficients @ directions
    return weights.astype(np.float32), (-mean @ weights).astype(np.float32)
