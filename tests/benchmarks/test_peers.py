from __future__ import annotations

import json
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from benchmarks.methods import METHODS, NAMES
from benchmarks.peer_runner import MODULES, PEERS, _bisected, lattice, main
from benchmarks.peers import ENVS, PACKAGES, run_peer
from scipy import sparse


def made() -> anndata.AnnData:
    x = sparse.csr_matrix(np.arange(12, dtype=np.float32).reshape(4, 3))
    obs = pd.DataFrame({"ground_truth": list("aabb")}, index=list("wxyz"))
    return anndata.AnnData(x, obs=obs, obsm={"spatial": np.arange(8.0).reshape(4, 2)}, uns={"truth": "aabb"})


def test_every_peer_has_a_package_a_runner_and_a_method() -> None:
    assert set(PEERS) == set(MODULES) == set(PACKAGES)
    assert set(NAMES) == set(METHODS) | set(PACKAGES)


def test_a_peer_sees_counts_and_coordinates_and_no_label(tmp_path, monkeypatch) -> None:
    python = tmp_path / "banksy" / "bin" / "python"
    python.parent.mkdir(parents=True)
    script = tmp_path / "peer.py"
    script.write_text(
        "import sys, anndata, numpy as np\n"
        "adata = anndata.read_h5ad(sys.argv[4])\n"
        "seen = [adata.obs.shape[1], len(adata.uns), int(adata.X.sum()), adata.obsm['spatial'].shape[1]]\n"
        "np.save(sys.argv[7], [*seen, int(sys.argv[5]), int(sys.argv[6])])\n"
        "open(sys.argv[8], 'w').write('{\"seconds\": 1.5}')\n"
    )
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(ENVS, str(tmp_path))
    labels, cost = run_peer(made(), 2, 7, peer="banksy")
    assert labels.tolist() == [0, 0, 66, 2, 2, 7]
    assert cost == {"seconds": 1.5}


def test_a_peer_tells_its_own_cost(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(PEERS, "scvi", lambda adata, n_clusters, seed: np.full(adata.n_obs, n_clusters + seed))
    monkeypatch.setitem(MODULES, "scvi", "json")
    source, target, told = (str(tmp_path / name) for name in ("in.h5ad", "labels.npy", "told.json"))
    made().write_h5ad(source)
    main("scvi", source, 2, 7, target, told)
    assert np.load(target).tolist() == [9, 9, 9, 9]
    cost = json.loads((tmp_path / "told.json").read_text())
    assert set(cost) == {"seconds", "cpu_seconds", "peak_gb", "versions"}
    assert cost["seconds"] > 0
    assert "scanpy" in cost["versions"]


def test_a_peer_that_fails_says_why(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(ENVS, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="pip install pybanksy"):
        run_peer(made(), 2, 0, peer="banksy")
    python = tmp_path / "banksy" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'no module named banksy' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeError, match="banksy: no module named banksy"):
        run_peer(made(), 2, 0, peer="banksy")


def test_lattices_are_told_apart() -> None:
    i, j = np.divmod(np.arange(400.0), 20)
    assert lattice(np.column_stack([i, j])) == "square"
    assert lattice(np.column_stack([i * np.sqrt(3) / 2, j + (i % 2) / 2])) == "hexagon"
    assert lattice(np.random.default_rng(0).random((400, 2))) is None


def test_bisection_finds_the_resolution_that_gives_k() -> None:
    found = _bisected(lambda resolution: np.arange(100) % max(1, int(resolution * 10)), 7)
    assert len(np.unique(found)) == 7
