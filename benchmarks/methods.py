"""Every method of the benchmark: an AnnData without labels, a number of clusters and a seed in; cluster labels out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.baselines import pca_kmeans, smoothed_mixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

    Method = Callable[[AnnData, int, int], NDArray[Any]]


def semst(adata: AnnData, n_clusters: int, random_state: int, **options: Any) -> NDArray[Any]:
    """Run ``st.tl.semst`` and return its labels."""
    import semtx as st

    st.tl.semst(adata, n_clusters, random_state=random_state, show_progress_bar=False, **options)
    return np.asarray(adata.obs["semst"])


METHODS: dict[str, Method] = {
    "pca-kmeans": pca_kmeans,
    "smoothed-mixture": smoothed_mixture,
    "semst": semst,
    "semst-none": partial(semst, semantics=None),
    "semst-shuffled": partial(semst, semantics="shuffled"),
    "semst-random": partial(semst, semantics="random"),
    "semst-paper": partial(semst, preset="paper"),
    "semst-reference": partial(semst, preset="reference"),
}
