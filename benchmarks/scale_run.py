"""One run at one size: seconds and peak memory of each step, measured from outside. Started by ``benchmarks.scale``."""

from __future__ import annotations

import functools
import importlib.util
import json
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy import sparse

# the functions that a step is made of; what one of them calls belongs to it
STEPS: dict[str, dict[str, list[str]]] = {
    "semst": {
        "counts": ["semtx.tl._semst.find_counts"],
        "gene selection": ["semtx.tl._semst.select_genes"],
        "graph": ["semtx.tl._semst.find_graph"],
        "semantics": ["semtx.tl._semst.find_semantics"],
        "components": ["semtx.models._semst.SemSTPreprocessing.fit"],
        "training": ["semtx.models._semst.train_network"],
        "embedding": ["semtx.models._semst.SemST._embed"],
        "clustering": ["semtx.tl._semst.cluster_and_smooth"],
    },
    "scllm_dsc": {
        "counts": ["semtx.tl._scllm_dsc_inputs.find_counts"],
        "gene selection": ["semtx.tl._scllm_dsc_inputs.select_genes"],
        "graph": ["semtx.models._scllm_dsc.cut_graphs"],
        "semantics": [f"semtx.tl._scllm_dsc.{name}" for name in ("find_gene_vectors", "find_states", "find_text")],
        "components": [
            "semtx.models._scllm_dsc.ScLLMDSCPreprocessing.fit",
            "semtx.models._scllm_dsc.warm_start_autoencoder",
            "semtx.models._scllm_dsc.warm_start_heads",
        ],
        "training": ["semtx.models._scllm_dsc.train_network"],
        "embedding": ["semtx.models._scllm_dsc.views_of"],
        "clustering": [f"semtx.models._scllm_dsc.ScLLMDSC.{name}" for name in ("_start_centers", "_finish")],
    },
}
_REST = "other"


class Clock:
    """Seconds and peak memory (GiB) of the steps of this process; all that is in no step is ``"other"``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.peak: dict[str, float] = defaultdict(float)
        self._step = _REST
        self._since = time.perf_counter()
        _forget_peak()

    def watch(self, path: str, step: str) -> None:
        """Measure each call of the function at a dotted path as a part of a step."""
        owner, name = _resolve(path)
        function = inspected = vars(owner)[name]
        if isinstance(inspected, classmethod):
            function = inspected.__func__

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            before = self._step
            self.enter(step if before == _REST else before)
            try:
                return function(*args, **kwargs)
            finally:
                self.enter(before)

        setattr(owner, name, classmethod(watched) if isinstance(inspected, classmethod) else watched)

    def enter(self, step: str) -> None:
        """Close the books of the present step and go on with another."""
        now = time.perf_counter()
        self.seconds[self._step] += now - self._since
        self.peak[self._step] = max(self.peak[self._step], _peak())
        _forget_peak()
        self._step, self._since = step, time.perf_counter()

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each step, and one for the whole."""
        self.enter(_REST)
        rows = [{"step": step, "seconds": self.seconds[step], "peak_gb": self.peak[step]} for step in self.seconds]
        total = {"step": "total", "seconds": sum(self.seconds.values()), "peak_gb": max(self.peak.values())}
        return [*rows, total]


def _resolve(path: str) -> tuple[Any, str]:
    parts = path.split(".")
    module = next(end for end in range(len(parts) - 1, 0, -1) if _is_module(".".join(parts[:end])))
    owner = importlib.import_module(".".join(parts[:module]))
    for part in parts[module:-1]:
        owner = getattr(owner, part)
    return owner, parts[-1]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _forget_peak() -> None:
    # Linux starts the high-water mark anew; elsewhere it only rises, and a step's is that of all before it
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


def enlarged(source: AnnData, n_obs: int, n_vars: int, random_state: int = 0) -> AnnData:
    """Return ``n_obs`` observations like those of ``source``: copies of it side by side, each count drawn anew.

    Copies come one after the other and stay sparse, so that a million observations need no more memory than they have.
    """
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    counts = sparse.csr_matrix(source.X)
    genes = np.arange(source.n_vars)
    if n_vars and n_vars < source.n_vars:
        genes = np.sort(np.argsort(-np.asarray(counts.sum(axis=0)).ravel(), kind="stable")[:n_vars])
    counts = counts[:, genes]
    # a copy of part of the section is a strip, not a thinned-out section
    rows = np.argsort(source.obsm["spatial"][:, 0], kind="stable") if "spatial" in source.obsm else None
    parts = list(_drawn(counts if rows is None else counts[rows], n_obs, np.random.default_rng(random_state)))
    made = AnnData(sparse.vstack(parts, format="csr"), obs=pd.DataFrame(index=pd.RangeIndex(n_obs).astype(str)))
    made.var_names = source.var_names[genes]
    if rows is not None:
        made.obsm["spatial"] = _side_by_side(source.obsm["spatial"][rows], n_obs)
    return made


def _drawn(counts: sparse.csr_matrix, n_obs: int, generator: np.random.Generator) -> Iterator[sparse.csr_matrix]:
    for start in range(0, n_obs, counts.shape[0]):
        part = counts[: n_obs - start].copy()
        part.data = generator.poisson(part.data).astype(np.float32)
        part.eliminate_zeros()
        yield part


def _side_by_side(places: NDArray[np.floating], n_obs: int) -> NDArray[np.floating]:
    size = np.ptp(places, axis=0) * (1 + 1 / np.sqrt(len(places)))
    copy, spot = np.divmod(np.arange(n_obs), len(places))
    columns = int(np.ceil(np.sqrt(copy[-1] + 1)))
    return places[spot] + np.column_stack(np.divmod(copy, columns)) * size


def measure(method: str, n_obs: int, data: str, n_clusters: int, n_vars: int) -> dict[str, Any]:
    """Run a method once; what every run imports is imported before."""
    import lightning.fabric  # noqa: F401
    import scanpy  # noqa: F401
    import squidpy  # noqa: F401
    import torch  # noqa: F401

    import semtx as st

    if data:
        import anndata

        source = anndata.read_h5ad(data)
    else:
        source = st.datasets.tissue(4000) if method == "semst" else st.datasets.cells(4000)
    adata = enlarged(source, n_obs or source.n_obs, n_vars)
    del source
    run: Callable[..., Any] = getattr(st.tl, method)
    _forget_peak()
    held = _peak()
    clock = Clock()
    for step, paths in STEPS[method].items():
        for path in paths:
            clock.watch(path, step)
    clock.enter(_REST)
    run(adata, n_clusters, show_progress_bar=False)
    told = {"method": method, "n_obs": adata.n_obs, "n_vars": adata.n_vars, "data_gb": held}
    return {**told, "steps": clock.rows()}


def measure_dense(n_obs: int, n_vars: int) -> tuple[float, float]:
    """Return seconds of one epoch of the dense losses, and the gigabytes that it adds."""
    from benchmarks.dense_losses import dense_epoch

    dense_epoch(64, n_vars)()
    _forget_peak()
    before = _peak()
    epoch = dense_epoch(n_obs, n_vars)
    started = time.perf_counter()
    epoch()
    return time.perf_counter() - started, _peak() - before


if __name__ == "__main__":
    name, *given = sys.argv[1:]
    if name == "dense":
        print(json.dumps(measure_dense(*map(int, given))))
    else:
        size, path, k, genes = given
        print(json.dumps(measure(name, int(size), path, int(k), int(genes))))
