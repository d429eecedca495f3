"""``tl.cluster``: clusters of any embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx import _keys
from semtx._record import labels_to_categorical, run_record, working_copy, write_results
from semtx._threads import limit_threads
from semtx._validate import (
    check_anndata,
    check_choice,
    check_integer,
    check_key,
    check_key_added,
    check_n_clusters,
    check_number,
    check_random_state,
    finite_matrix,
    resolve_table,
)
from semtx.models._clustering import CLUSTER_METHODS, N_INIT, ClusterMethod, cluster_and_smooth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from scipy import sparse

_FEWEST = 3


def cluster(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    use_rep: str = "X_pca",
    method: ClusterMethod = "mixture",
    resolution: float | None = None,
    n_init: int = N_INIT,
    n_smoothing: int = 0,
    neighbors_key: str = _keys.SPATIAL_NEIGHBORS,
    key_added: str = _keys.CLUSTER,
    random_state: int = 0,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Cluster an embedding into exactly ``n_clusters``, or as many as the data confirm; no label is read.

    Parameters
    ----------
    adata
        AnnData with an embedding.
    n_clusters
        Number of clusters. ``None`` chooses it: the smallest number on which random halves of the observations, clustered
        apart, agree clearly more than halves of a cloud without clusters do (mixture and k-means), or what
        ``resolution`` gives (Leiden).
    use_rep
        Key of the embedding in ``adata.obsm``.
    method
        ``"mixture"``: Gaussian mixture with one covariance matrix for all clusters, which does not mind that an
        embedding's dimensions differ in spread; ``"potts"``: the same, with labels that spatial neighbours share (a
        hidden Markov random field); ``"kmeans"``; ``"leiden"`` on 15 nearest neighbours, its resolution
        bisected until it gives ``n_clusters`` (a warning says so where it cannot).
    resolution
        Resolution of Leiden, in place of ``n_clusters``; 1 where neither is given.
    n_init
        Starts, of which the best is kept; of more than 5,000 observations, a mixture's starts compete on 5,000 of them.
        ``"potts"`` has fewer of more than 4,000.
    n_smoothing
        Rounds in which each observation takes the commonest label among itself and its spatial neighbours.
    neighbors_key
        Spatial graph for ``"potts"`` and for smoothing, as ``squidpy.gr.spatial_neighbors_knn`` writes it in ``adata.uns``.
    key_added
        Key in ``adata.obs`` and ``adata.uns``.
    random_state
        Seed.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.obs['cluster' | key_added]` : `pandas.Categorical` (categories `str`: '0', '1', ... from the largest)
        Clusters.
    `adata.uns['cluster' | key_added]` : `dict`
        Method, number asked, number got, criterion, and the table of candidates where the number was chosen.

    Raises
    ------
    KeyError
        ``use_rep`` or ``neighbors_key`` does not exist.
    ValueError
        ``n_clusters`` is below 2 or above the number of observations; the embedding has NaN; ``resolution`` is given with
        another method than Leiden.

    Examples
    --------
    >>> import scanpy as sc
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=200)
    >>> sc.pp.pca(adata, n_comps=10)
    >>> st.tl.cluster(adata, 5)
    >>> adata.obs["cluster"].cat.categories.tolist()
    ['0', '1', '2', '3', '4']
    """
    adata = resolve_table(adata, table_key)
    check_key_added(key_added, neighbors_key)
    check_anndata(adata, genes=False)
    check_n_clusters(n_clusters, adata.n_obs)
    check_choice("method", method, CLUSTER_METHODS)
    check_resolution(resolution, n_clusters, "method", method)
    check_random_state(random_state)
    if method == "leiden" and adata.n_obs < _FEWEST:
        msg = f"method='leiden' needs {_FEWEST} observations or more, for neighbours of each; there are {adata.n_obs}"
        raise ValueError(msg)
    check_integer("n_init", n_init, minimum=1)
    check_integer("n_smoothing", n_smoothing, minimum=0)
    fix = "compute it first, such as sc.pp.pca(adata) for 'X_pca' or st.tl.semst(adata) for 'X_semst'"
    z = finite_matrix(adata, use_rep, parameter="use_rep", fix=fix)
    graph = spatial_connectivities(adata, neighbors_key) if n_smoothing or method == "potts" else None
    with limit_threads():
        found = cluster_and_smooth(
            z,
            n_clusters,
            graph,
            n_smoothing,
            method=method,
            resolution=resolution,
            n_init=n_init,
            random_state=random_state,
        )
    params = {
        "use_rep": use_rep,
        "n_clusters": n_clusters,
        "method": method,
        "resolution": resolution,
        "n_init": n_init,
        "n_smoothing": n_smoothing,
        "random_state": random_state,
    }
    record = run_record("tl.cluster", params, **found.report)
    adata = working_copy(adata) if copy else adata
    write_results(adata, obs={key_added: labels_to_categorical(found.labels)}, uns={key_added: record})
    return adata if copy else None


def check_resolution(
    resolution: float | None, n_clusters: int | None, parameter: str, method: str, methods: Sequence[str] = ("leiden",)
) -> None:
    """Raise unless a resolution is what decides the number of clusters; ``parameter`` is what a function calls ``method``."""
    if resolution is None:
        return
    check_number("resolution", resolution, minimum=0, open_minimum=True)
    if method not in methods or n_clusters is not None:
        allowed = " or ".join(f"{parameter}={name!r}" for name in methods)
        msg = f"resolution belongs to {allowed} without n_clusters; give n_clusters or resolution, not both"
        raise ValueError(msg)


def spatial_connectivities(adata: AnnData, neighbors_key: str) -> sparse.csr_matrix:
    """Return the graph that squidpy or scanpy wrote under ``uns[neighbors_key]``, CSR.

    The spatial graph is also found by its key in ``obsp`` alone: ``anndata.concat`` keeps it, and not what is said of it.
    """
    from scipy import sparse

    fix = "run squidpy.gr.spatial_neighbors_knn(adata) first"
    place = _keys.SPATIAL_CONNECTIVITIES
    if neighbors_key != _keys.SPATIAL_NEIGHBORS or neighbors_key in adata.uns or place not in adata.obsp:
        entry = check_key(adata, "uns", neighbors_key, parameter="neighbors_key", fix=fix)
        if not hasattr(entry, "keys") or "connectivities_key" not in entry:
            msg = f"neighbors_key={neighbors_key!r}: adata.uns[{neighbors_key!r}] names no graph (no 'connectivities_key'); {fix}"
            raise KeyError(msg)
        place = entry["connectivities_key"]
    return sparse.csr_matrix(check_key(adata, "obsp", place, fix=fix))
