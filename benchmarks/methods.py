"""Methods that run in this Python: an AnnData without labels, a number of clusters and a seed in; cluster labels out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.baselines import pca_kmeans, pca_leiden, smoothed_mixture
from benchmarks.peers import PACKAGES

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


def semst_with(adata: AnnData, n_clusters: int, random_state: int, **changes: Any) -> NDArray[Any]:
    """Run the default of ``st.tl.semst`` with other settings."""
    import semtx as st

    return semst(adata, n_clusters, random_state, preset=st.models.SEMST_PRESETS["default"].updated(**changes))


def scllm_dsc(adata: AnnData, n_clusters: int, random_state: int, **options: Any) -> NDArray[Any]:
    """Run ``st.tl.scllm_dsc`` and return its labels."""
    import semtx as st

    st.tl.scllm_dsc(adata, n_clusters, random_state=random_state, show_progress_bar=False, **options)
    return np.asarray(adata.obs["scllm_dsc"])


METHODS: dict[str, Method] = {
    "pca-kmeans": pca_kmeans,
    "smoothed-mixture": smoothed_mixture,
    "semst": semst,
    "semst-none": partial(semst, semantics=None),
    "semst-shuffled": partial(semst, semantics="shuffled"),
    "semst-random": partial(semst, semantics="random"),
    # what parts of the default add
    "semst-one-view": partial(semst_with, consensus=False),
    "semst-mixture": partial(semst_with, consensus=False, cluster_method="mixture"),
    "semst-paper": partial(semst, preset="paper"),
    "semst-reference": partial(semst, preset="reference"),
    "cells-kmeans": partial(pca_kmeans, n_top_genes=2000),
    "cells-leiden": partial(pca_leiden, n_top_genes=2000),
    "scllm-dsc": scllm_dsc,
    "scllm-dsc-none": partial(scllm_dsc, semantics=None),
    "scllm-dsc-shuffled": partial(scllm_dsc, semantics="shuffled"),
    "scllm-dsc-random": partial(scllm_dsc, semantics="random"),
    "scllm-dsc-paper": partial(scllm_dsc, preset="paper", n_top_genes=2000),
    "scllm-dsc-reference": partial(scllm_dsc, preset="reference", n_top_genes=2000),
}
NAMES = (*METHODS, *PACKAGES)
