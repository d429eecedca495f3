from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.csgraph import connected_components

from semtx._logging import logger

if TYPE_CHECKING:
    from scipy import sparse

_DENSE = 100


def graph_report(adjacency: sparse.csr_matrix) -> dict[str, float]:
    """Report mean and largest degree, isolated observations and connected components; warn where they look wrong.

    Parameters
    ----------
    adjacency
        Graph without self-loops, shape (n, n).
    """
    degrees = np.diff(adjacency.indptr)
    isolated = int((degrees == 0).sum())
    report = {
        "mean_degree": float(degrees.mean()),
        "max_degree": int(degrees.max(initial=0)),
        "n_isolated": isolated,
        "n_components": int(connected_components(adjacency, directed=False)[0]),
    }
    if isolated:
        logger.warning("%d observations have no neighbour in the graph; they are seen without surroundings", isolated)
    if report["mean_degree"] > _DENSE:
        logger.warning(
            "the spatial graph has %.0f neighbours per observation; domains will be very smooth", report["mean_degree"]
        )
    return report
