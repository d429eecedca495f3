"""One run: a method on a data set with one seed, measured from outside the method."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def measure(path: Path, method: str, seed: int, keep: Path | None = None) -> dict[str, object]:
    """Run a method and score it; the labels of the truth are taken out before the method sees the data."""
    import anndata

    from benchmarks.machine import Clock, machine, peak_gb, versions
    from benchmarks.methods import METHODS
    from benchmarks.peers import PACKAGES, run_peer

    _import_what_it_needs(method)
    clock = Clock()
    adata = anndata.read_h5ad(path)
    truth = adata.obs.pop("ground_truth")
    for key in list(adata.obs.columns):
        del adata.obs[key]
    n_clusters = int(truth.nunique())
    if method in PACKAGES:
        labels, cost = run_peer(adata, n_clusters, seed, peer=method)
    else:
        labels = METHODS[method](adata, n_clusters, seed)
        spent = clock.spent()
        used = versions("semtx", "torch", "scanpy", "scikit-learn")
        cost = {**spent, "peak_gb": peak_gb(), "versions": used}
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True)
        np.save(keep, np.unique(np.asarray(labels).astype(str), return_inverse=True)[1])
    run = {"data": path.stem, "method": method, "seed": seed}
    return {**run, **scores(adata, truth, labels), **cost, "machine": machine()}


def _import_what_it_needs(method: str) -> None:
    """Import what a method imports when it is called, so that the seconds are those of the work."""
    from benchmarks.methods import METHODS

    if method in METHODS:
        import scanpy  # noqa: F401
    if method.startswith(("semst", "scllm-dsc")):
        import lightning.fabric  # noqa: F401
        import squidpy  # noqa: F401
        import torch  # noqa: F401


def scores(adata: AnnData, truth: pd.Series, labels: object) -> dict[str, float]:
    """Score labels against the truth and, where there are coordinates, by themselves."""
    import anndata

    import semtx as st

    obsm = {"spatial": adata.obsm["spatial"]} if "spatial" in adata.obsm else {}
    scored = anndata.AnnData(obs=adata.obs[[]].copy(), obsm=obsm)
    scored.obs["ground_truth"] = truth.astype("category")
    scored.obs["found"] = np.asarray(labels).astype(str)
    scored.obs["found"] = scored.obs["found"].astype("category")
    found = st.metrics.clustering_scores(scored, "found").to_dict()
    return {**found, **(st.metrics.spatial_scores(scored, "found").to_dict() if obsm else {})}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *map(Path, sys.argv[4:]))))
