"""Other packages, each run by the Python of its own environment: ``python -m benchmarks.peer_runner PEER IN K SEED OUT TOLD``.

IN holds counts and coordinates and no label; OUT takes one cluster number per observation, TOLD the peer's own seconds,
peak memory and versions. Settings are those that each
package recommends; where it leaves the clustering to R's mclust (model EEE), a Gaussian mixture with a tied covariance.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.baselines import leiden
from benchmarks.machine import Clock, peak_gb, versions
from benchmarks.peers import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

_N_GENES = 3000


def nichepca(adata: AnnData, n_clusters: int, seed: int) -> Labels:
    """NichePCA as its README: 25 neighbours, 30 components, Leiden brought to k by its own search."""
    import nichepca as npc
    import scanpy as sc

    adata = _variable(adata)
    npc.wf.nichepca(adata, knn=25)
    sc.pp.neighbors(adata, use_rep="X_npca", random_state=seed)
    npc.cl.leiden_with_nclusters(adata, n_clusters, seed=seed, random_state=seed)
    return adata.obs["leiden"].cat.codes.to_numpy()


def cellcharter(adata: AnnData, n_clusters: int, seed: int) -> Labels:
    """CellCharter as its tutorial for transcripts: scVI, Delaunay graph without long links, 3 layers, its own mixture."""
    import cellcharter as cc
    import scvi
    import squidpy as sq

    adata = _variable(adata)
    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(adata)
    model = scvi.model.SCVI(adata)
    model.train(early_stopping=True, accelerator="cpu", enable_progress_bar=False, logger=None)
    adata.obsm["X_scVI"] = model.get_latent_representation().astype(np.float32)
    sq.gr.spatial_neighbors(adata, coord_type="generic", delaunay=True)
    cc.gr.remove_long_links(adata)
    cc.gr.aggregate_neighbors(adata, n_layers=3, use_rep="X_scVI")
    mixture = cc.tl.Cluster(n_clusters, random_state=seed, trainer_params={"accelerator": "cpu"})
    mixture.fit(adata)
    return np.asarray(mixture.predict(adata)).astype(np.int64)


def banksy(adata: AnnData, n_clusters: int, seed: int) -> Labels:
    """BANKSY for domains, 20 components, its own Leiden.

    Lambda is 0.8 with 15 neighbours for cells (its STARmap notebook), and 0.2 with 18 for spots, which hold several cells
    each (its DLPFC notebook).
    """
    import scanpy as sc
    from banksy.embed_banksy import generate_banksy_matrix
    from banksy.initialize_banksy import initialize_banksy
    from banksy.main import LeidenPartition
    from sklearn.decomposition import PCA

    neighbours, weight = (18, 0.2) if lattice(adata.obsm["spatial"]) else (15, 0.8)
    genes = _variable(adata).var_names
    sc.pp.normalize_total(adata)
    adata = adata[:, genes].copy()
    plots = dict.fromkeys(("plt_edge_hist", "plt_nbr_weights", "plt_agf_angles", "plt_theta"), False)
    weights = initialize_banksy(adata, ("x", "y", "spatial"), num_neighbours=neighbours, max_m=1, **plots)
    _, matrix = generate_banksy_matrix(adata, weights, [weight], 1)
    z = PCA(20, random_state=seed).fit_transform(np.nan_to_num(np.asarray(matrix.X)))
    partition = LeidenPartition(z, num_nn=50)
    return _bisected(
        lambda resolution: np.asarray(partition.partition(resolution, n_iterations=-1, seed=seed)[0].dense), n_clusters
    )


def spagcn(adata: AnnData, n_clusters: int, seed: int) -> Labels:
    """SpaGCN's tutorial without a histology image; labels refined where spots lie on a lattice."""
    from SpaGCN import ez_mode

    x, y = adata.obsm["spatial"].T
    seeds = {"r_seed": seed, "t_seed": seed, "n_seed": seed}
    found = ez_mode.detect_spatial_domains_ez_mode(
        _variable(adata), None, x, y, x, y, n_clusters, histology=False, **seeds
    )
    shape = lattice(adata.obsm["spatial"])
    if shape:
        names = adata.obs_names.tolist()
        found = ez_mode.spatial_domains_refinement_ez_mode(names, list(found), x, y, shape=shape)
    return np.asarray(found)


def network(adata: AnnData, n_clusters: int, seed: int, *, host: str) -> Labels:
    """STAGATE or GraphST as in :mod:`benchmarks.plug_in_hosts`, and a tied Gaussian mixture."""
    from sklearn.mixture import GaussianMixture

    from benchmarks.plug_in_hosts import HOSTS

    z = HOSTS[host](adata, seed, None, None)
    labels = GaussianMixture(n_clusters, covariance_type="tied", n_init=5, random_state=seed).fit_predict(z)
    if host == "graphst" and lattice(adata.obsm["spatial"]) == "hexagon":
        # its tutorial for Visium asks for this
        from GraphST.utils import refine_label

        adata.obs["found"] = labels
        labels = np.asarray(refine_label(adata, radius=50, key="found")).astype(np.int64)
    return labels


def scvi(adata: AnnData, n_clusters: int, seed: int) -> Labels:
    """SCVI with its defaults on 2,000 genes, and Leiden brought to k."""
    from benchmarks.plug_in_hosts import HOSTS

    return leiden(HOSTS["scvi"](_variable(adata, 2000), seed, None, None), n_clusters, seed)


PEERS: dict[str, Callable[[AnnData, int, int], Labels]] = {
    "nichepca": nichepca,
    "cellcharter": cellcharter,
    "banksy": banksy,
    "spagcn": spagcn,
    "stagate": partial(network, host="stagate"),
    "graphst": partial(network, host="graphst"),
    "scvi": scvi,
}
MODULES = {
    "nichepca": "nichepca",
    "cellcharter": "cellcharter",
    "banksy": "banksy",
    "spagcn": "SpaGCN",
    "stagate": "STAGATE_pyG",
    "graphst": "GraphST",
    "scvi": "scvi",
}


def lattice(spatial: NDArray[Any]) -> str | None:
    """Return "hexagon" or "square" where most spots have six or four equally near neighbours."""
    from sklearn.neighbors import NearestNeighbors

    distances = NearestNeighbors(n_neighbors=7).fit(spatial).kneighbors()[0]
    near = np.median((distances < 1.25 * np.median(distances[:, 0])).sum(axis=1))
    regular = distances[:, 0].std() < 0.1 * distances[:, 0].mean()
    return {6: "hexagon", 4: "square"}.get(int(near)) if regular else None


def _variable(adata: AnnData, n_top_genes: int = _N_GENES) -> AnnData:
    import scanpy as sc

    adata = adata.copy()
    if adata.n_vars > n_top_genes:
        sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=n_top_genes, subset=True)
    return adata


def _bisected(cluster: Callable[[float], Labels], n_clusters: int) -> Labels:
    low, high = 0.0, 4.0
    best = cluster(1.0)
    for _ in range(20):
        if len(np.unique(best)) == n_clusters:
            break
        middle = (low + high) / 2
        labels = cluster(middle)
        found = len(np.unique(labels))
        if abs(found - n_clusters) <= abs(len(np.unique(best)) - n_clusters):
            best = labels
        low, high = (middle, high) if found < n_clusters else (low, middle)
    return best


def main(peer: str, source: str, n_clusters: int, seed: int, target: str, told: str) -> None:
    """Run one peer, and save its labels and what they cost."""
    import anndata

    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        # imported first, as for every method: the seconds are those of the work
        importlib.import_module(MODULES[peer])
        clock = Clock()
        labels = PEERS[peer](anndata.read_h5ad(source), n_clusters, seed)
        spent = clock.spent()
    np.save(target, np.asarray(labels))
    used = versions(PACKAGES[peer].split("[")[0], "torch", "scanpy")
    cost = {**spent, "peak_gb": peak_gb(), "versions": used}
    Path(told).write_text(json.dumps(cost))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6])
