from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass
class ScLLMDSCResult:
    """What :class:`ScLLMDSC` says of cells.

    Attributes
    ----------
    labels
        Clusters from 0, the largest of the training first, shape (n,).
    proba
        Soft assignments, rows sum to 1, shape (n, n_clusters).
    fused, structure
        Embeddings, shape (n, projection_dim).
    text
        Text view, shape (n, projection_dim), or ``None`` without semantics.
    """

    labels: NDArray[np.int64]
    proba: NDArray[np.float32]
    fused: NDArray[np.float32]
    structure: NDArray[np.float32]
    text: NDArray[np.float32] | None
