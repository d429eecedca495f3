"""Peers as methods of the benchmark: data out by file, labels back by file, no label of the truth with them.

The pins of the peers conflict, so each has an environment of its own, ``ENVS/PEER/bin/python``.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

ENVS = "BENCHMARK_ENVS"
PACKAGES = {
    "nichepca": "nichepca",
    "cellcharter": "cellcharter[transcriptomics]",
    "banksy": "pybanksy",
    "spagcn": "spagcn-modern",
    "stagate": "stagate-modern",
    "graphst": "graphst-modern",
    "scvi": "scvi-tools",
}


def run_peer(
    adata: AnnData, n_clusters: int, random_state: int, *, peer: str
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Run a peer by the Python of its environment; return its labels, and what it measured of itself."""
    import anndata

    python = Path(os.environ.get(ENVS, "envs")) / peer / "bin" / "python"
    if not python.exists():
        msg = f"{peer} has no environment: make one with `pip install {PACKAGES[peer]} scanpy scikit-misc` and name its parent by --envs"
        raise FileNotFoundError(msg)
    obsm = {"spatial": np.asarray(adata.obsm["spatial"])} if "spatial" in adata.obsm else {}
    bare = anndata.AnnData(adata.X, obs=adata.obs[[]], var=adata.var[[]], obsm=obsm)
    with tempfile.TemporaryDirectory() as folder:
        source, target, told = (Path(folder) / name for name in ("in.h5ad", "labels.npy", "told.json"))
        bare.write_h5ad(source)
        command = [python, "-m", "benchmarks.peer_runner", peer, source, n_clusters, random_state, target, told]
        root = Path(__file__).parents[1]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=root)
        if done.returncode:
            msg = f"{peer}: {why(done)}"
            raise RuntimeError(msg)
        return np.load(target), json.loads(told.read_text())


def why(failed: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a process wrote before it failed, or its exit status."""
    return (failed.stderr.strip().splitlines() or [f"exit status {failed.returncode}"])[-1]
