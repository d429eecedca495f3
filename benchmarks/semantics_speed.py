"""Speed of gene and cell semantics: ``python -m benchmarks.semantics_speed``; medians of one run, on one thread of torch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_N_GENES, _N_CELLS, _GENES_PER_CELL, _DIMENSION = 30_000, 10_000, 300, 384


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of a call, after one that is not counted."""
    call()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def main() -> None:
    """Print seconds for all genes, and cells a second beside torch's sparse product on the same arrays."""
    import torch
    from anndata import AnnData
    from scipy import sparse

    import semtx as st
    from semtx.semantics import load_gene_table, weighted_semantics

    names = load_gene_table("human")["symbol"].astype(str).drop_duplicates()[:_N_GENES]
    adata = AnnData(sparse.csr_matrix((1, len(names)), dtype=np.float32))
    adata.var_names = names.to_list()
    print(f"pp.gene_semantics, {len(names)} genes: {seconds(lambda: st.pp.gene_semantics(adata)):.2f} s")

    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    n = _N_CELLS * _GENES_PER_CELL
    starts = np.arange(0, n + 1, _GENES_PER_CELL)
    stored = (generator.random(n, dtype=np.float32), generator.integers(0, 2000, n), starts)
    weights = sparse.csr_matrix(stored, (_N_CELLS, 2000))
    weights.sum_duplicates()
    vectors = generator.normal(size=(2000, _DIMENSION)).astype(np.float32)
    arrays = (torch.from_numpy(part) for part in (weights.indptr, weights.indices, weights.data))
    product, factors = torch.sparse_csr_tensor(*arrays, weights.shape), torch.from_numpy(vectors)
    ours, theirs = seconds(lambda: weighted_semantics(weights, vectors)), seconds(lambda: product @ factors)
    print(f"weighted: {_N_CELLS / ours:.0f} cells/s; torch {_N_CELLS / theirs:.0f}; ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
