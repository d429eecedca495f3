"""Time and peak memory of ``st.tl.scllm_dsc`` on more and more cells: ``python -m benchmarks.cells_scale 10000 100000``.

The cells are drawn with replacement from the embedded ones, or from an .h5ad file, and each count is drawn anew from a
Poisson distribution with it as mean. Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

if TYPE_CHECKING:
    from anndata import AnnData


def resampled(source: AnnData, n_obs: int, seed: int = 0) -> AnnData:
    """Return cells drawn with replacement, with counts of their own."""
    import anndata
    from scipy import sparse

    generator = np.random.default_rng(seed)
    x = sparse.csr_matrix(source.X)[generator.integers(source.n_obs, size=n_obs)]
    x.data = generator.poisson(x.data).astype(np.float32)
    x.eliminate_zeros()
    return anndata.AnnData(x, var=source.var[[]].copy())


def measure(n_obs: int, path: str, n_clusters: int, n_vars: int) -> dict[str, float]:
    """Run once and return seconds and gigabytes."""
    import anndata
    import lightning.fabric  # noqa: F401
    import torch  # noqa: F401

    import semtx as st

    source = anndata.read_h5ad(path) if path else st.datasets.cells()
    if n_vars and source.n_vars > n_vars:
        most = np.argsort(-np.asarray(source.X.sum(axis=0)).ravel(), kind="stable")[:n_vars]
        source = source[:, np.sort(most)].copy()
    adata = resampled(source, n_obs)
    del source
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = time.perf_counter()
    st.tl.scllm_dsc(adata, n_clusters, show_progress_bar=False)
    record = adata.uns["scllm_dsc"]
    return {
        "n_obs": n_obs,
        "n_vars": adata.n_vars,
        "seconds": time.perf_counter() - started,
        "training_seconds": float(record["training_seconds"]),
        "n_epochs": int(record["n_epochs"]),
        "gb_before": before,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main(
    sizes: Annotated[list[int], typer.Argument(help="Numbers of cells.")],
    data: Annotated[Path | None, typer.Option(help="An .h5ad file with raw counts; else the embedded cells.")] = None,
    n_clusters: Annotated[int, typer.Option(help="Clusters.")] = 9,
    n_vars: Annotated[int, typer.Option(help="Keep so many genes with most counts; 0 for all.")] = 0,
) -> None:
    """Measure each size in a process of its own."""
    for n_obs in sizes:
        call = f"from benchmarks.cells_scale import *; print(json.dumps(measure({n_obs}, {str(data or '')!r}, {n_clusters}, {n_vars})))"
        result = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True)
        print(json.loads(result.stdout.strip().splitlines()[-1]), flush=True)


if __name__ == "__main__":
    typer.run(main)
