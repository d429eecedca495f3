"""Agreement of a clustering with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from semtx._logging import logger
from semtx._validate import check_key, resolve_table

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def clustering_scores(
    adata: AnnData, cluster_key: str, label_key: str = "ground_truth", *, table_key: str | None = None
) -> pd.Series:
    """Agreement of a clustering with labels, such as those of a pathologist.

    Observations without a label are left out and counted. Apart from ``semtx.metrics``, nothing in semtx reads labels.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    cluster_key
        Column of `adata.obs` with the clusters.
    label_key
        Column of `adata.obs` with the labels; NaN where there is none.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    A :class:`pandas.Series` named `cluster_key` with

    `ARI`
        Adjusted Rand index; 0 for chance, 1 for the same partition [1]_.
    `NMI`, `AMI`
        Mutual information normalised by the arithmetic mean of the entropies; the same adjusted for chance [2]_.
    `ACC`
        Part of the observations that agree when every cluster is given at most one label and every label at most one
        cluster, in the best way (Hungarian method).
    `F1_macro`, `F1_weighted`
        F1 of each label under the same matching, averaged over labels, or weighted by their size; a label without a
        cluster has 0.
    `homogeneity`, `completeness`
        Does a cluster hold one label only; does a label lie in one cluster only [3]_.
    `n_scored`, `n_unlabelled`, `n_unclustered`
        Observations scored; without a label; with a label but without a cluster (left out too, with a warning).
    `k_labels`, `k_clusters`
        Labels and clusters among the observations scored.

    Raises
    ------
    KeyError
        `cluster_key` or `label_key` is not a column of `adata.obs`.
    ValueError
        No observation has both a label and a cluster.

    References
    ----------
    .. [1] Hubert L, Arabie P. Comparing partitions. Journal of Classification 2, 193-218 (1985).
    .. [2] Vinh NX, Epps J, Bailey J. Information theoretic measures for clusterings comparison: variants, properties,
       normalization and correction for chance. JMLR 11, 2837-2854 (2010).
    .. [3] Rosenberg A, Hirschberg J. V-measure: a conditional entropy-based external cluster evaluation measure.
       EMNLP-CoNLL, 410-420 (2007).

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> adata.obs["merged"] = adata.obs["ground_truth"].astype(str).replace({"layer 1": "upper layers"})
    >>> st.metrics.clustering_scores(adata, "merged")[["homogeneity", "completeness", "k_clusters"]].round(2)
    homogeneity     0.83
    completeness    1.00
    k_clusters      4.00
    Name: merged, dtype: float64
    """
    from sklearn import metrics

    adata = resolve_table(adata, table_key)
    clusters = pd.Series(check_key(adata, "obs", cluster_key, parameter="cluster_key"))
    labels = pd.Series(check_key(adata, "obs", label_key, parameter="label_key"))
    labelled, clustered = labels.notna().to_numpy(), clusters.notna().to_numpy()
    scored = labelled & clustered
    if not scored.any():
        msg = f"no observation has both a label in adata.obs[{label_key!r}] and a cluster in adata.obs[{cluster_key!r}]"
        raise ValueError(msg)
    n_unclustered = int((labelled & ~clustered).sum())
    if n_unclustered:
        logger.warning("%d labelled observations have no cluster in adata.obs[%r]", n_unclustered, cluster_key)
    true, _ = pd.factorize(labels[scored])
    found, _ = pd.factorize(clusters[scored])
    accuracy, f1 = _matched(true, found)
    return pd.Series(
        {
            "ARI": metrics.adjusted_rand_score(true, found),
            "NMI": metrics.normalized_mutual_info_score(true, found),
            "AMI": metrics.adjusted_mutual_info_score(true, found),
            "ACC": accuracy,
            "F1_macro": f1.mean(),
            "F1_weighted": np.average(f1, weights=np.bincount(true)),
            "homogeneity": metrics.homogeneity_score(true, found),
            "completeness": metrics.completeness_score(true, found),
            "n_scored": scored.sum(),
            "n_unlabelled": (~labelled).sum(),
            "n_unclustered": n_unclustered,
            "k_labels": true.max() + 1,
            "k_clusters": found.max() + 1,
        },
        dtype=float,
        name=cluster_key,
    )


def _matched(true: NDArray[Any], found: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    """Accuracy, and F1 of every label, under the matching of clusters to labels that agrees most."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array

    table = coo_array((np.ones(true.size), (true, found))).toarray()
    rows, columns = linear_sum_assignment(table, maximize=True)
    agreed = table[rows, columns]
    f1 = np.zeros(table.shape[0])
    f1[rows] = 2 * agreed / (table.sum(axis=1)[rows] + table.sum(axis=0)[columns])
    return agreed.sum() / true.size, f1
