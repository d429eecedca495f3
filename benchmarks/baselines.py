"""Cheap baselines: what any method has to beat."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def components(adata: AnnData, n_top_genes: int, n_components: int) -> NDArray[np.float32]:
    """Return PCs of scaled log-normalised expression of the highly variable genes."""
    import scanpy as sc

    adata = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if adata.n_vars > n_top_genes:
            sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=n_top_genes)
            adata = adata[:, adata.var["highly_variable"]].copy()
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.scale(adata, max_value=10)
        sc.pp.pca(adata, n_comps=min(n_components, adata.n_vars - 1), random_state=0)
    return adata.obsm["X_pca"]


def smoothed_mixture(adata: AnnData, n_clusters: int, random_state: int) -> NDArray[np.int64]:
    """PCA 15, three averagings over self and 6 spatial neighbours, tied Gaussian mixture with 5 starts."""
    from scipy import sparse
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import NearestNeighbors

    z = components(adata, 3000, 15)
    n, k = adata.n_obs, 7
    indices = NearestNeighbors(n_neighbors=k).fit(adata.obsm["spatial"]).kneighbors(return_distance=False)[:, : k - 1]
    indices = np.hstack([np.arange(n)[:, None], indices])
    average = sparse.csr_matrix((np.full(n * k, 1 / k), (np.repeat(np.arange(n), k), indices.ravel())), shape=(n, n))
    for _ in range(3):
        z = average @ z
    return GaussianMixture(n_clusters, covariance_type="tied", n_init=5, random_state=random_state).fit_predict(z)


def pca_kmeans(adata: AnnData, n_clusters: int, random_state: int, n_top_genes: int = 3000) -> NDArray[np.int64]:
    """PCA 30 and k-means with 10 starts: no use of space."""
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, n_init=10, random_state=random_state).fit_predict(components(adata, n_top_genes, 30))


def pca_leiden(adata: AnnData, n_clusters: int, random_state: int, n_top_genes: int = 3000) -> NDArray[np.int64]:
    """PCA 30 and scanpy's Leiden on 15 neighbours, its resolution bisected to the number of clusters."""
    return leiden(components(adata, n_top_genes, 30), n_clusters, random_state)


def leiden(z: NDArray[np.float32], n_clusters: int, random_state: int) -> NDArray[np.int64]:
    """Leiden on 15 neighbours in an embedding, its resolution bisected to the number of clusters."""
    import scanpy as sc
    from anndata import AnnData

    holder = AnnData(obsm={"z": z})
    sc.pp.neighbors(holder, use_rep="z", n_neighbors=15, random_state=random_state)
    low, high, best = 0.0, 4.0, np.zeros(len(z), dtype=np.int64)
    for _ in range(25):
        middle = (low + high) / 2
        sc.tl.leiden(
            holder, resolution=middle, flavor="igraph", n_iterations=2, directed=False, random_state=random_state
        )
        labels = holder.obs["leiden"].cat.codes.to_numpy().astype(np.int64)
        if abs(labels.max() + 1 - n_clusters) <= abs(best.max() + 1 - n_clusters):
            best = labels
        if best.max() + 1 == n_clusters:
            break
        low, high = (middle, high) if labels.max() + 1 < n_clusters else (low, middle)
    return best
