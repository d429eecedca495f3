"""Checks of the arrays that models are given, and what to say of them where training breaks down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semtx._validate import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray
    from scipy import sparse

    from semtx.models._scllm_dsc_config import ScLLMDSCConfig
    from semtx.models._semst_config import SemSTConfig

_LARGE_COUNT = 1e6
_LARGE_SHARE = 0.5
_LARGE_SEMANTICS = 1e3
_LARGE_RATE = 0.1


def check_counts(counts: sparse.csr_matrix) -> None:
    """Raise unless all counts are finite and none is negative."""
    if not np.isfinite(counts.data).all():
        msg = f"counts must be finite; {(~np.isfinite(counts.data)).sum()} values are NaN or infinite"
        raise ValueError(msg)
    if counts.data.size and counts.data.min() < 0:
        msg = f"counts must not be negative; the least is {counts.data.min():g}, as in scaled data"
        raise ValueError(msg)


def check_graph(graph: sparse.csr_matrix, n: int, of: str) -> None:
    """Raise unless the graph joins ``n`` observations with finite weights; ``of`` says which array has ``n`` rows."""
    if graph.shape != (n, n):
        msg = f"graph must have shape ({n}, {n}) to go with {of}, got {graph.shape}"
        raise ValueError(msg)
    if not np.isfinite(graph.data).all():
        msg = "graph must have finite weights; some are NaN or infinite"
        raise ValueError(msg)


def check_semantics(semantics: NDArray[np.floating], n: int, of: str) -> None:
    """Raise unless semantics are finite, with a row for each of ``n`` observations."""
    if semantics.ndim != 2 or len(semantics) != n or semantics.shape[1] == 0:
        msg = f"semantics must have shape ({n}, d) to go with {of}, got {semantics.shape}"
        raise ValueError(msg)
    broken = ~np.isfinite(semantics).all(axis=1)
    if broken.any():
        msg = f"semantics must be finite; {broken.sum()} rows have NaN or infinite values"
        raise ValueError(msg)


def check_cells(
    x: sparse.csr_matrix | NDArray[np.floating],
    *,
    counts: bool,
    gene_vectors: NDArray[np.floating] | None,
    semantics: NDArray[np.floating] | None,
    library_sizes: NDArray[np.floating] | None,
    batch: ArrayLike | None,
    least: int = 2,
) -> None:
    """Raise unless what scLLM-DSC is given goes together, and is finite; ``counts`` must not be negative."""
    from scipy import sparse

    n, n_inputs = x.shape
    of = f"x of shape {x.shape}"
    if n < least or n_inputs < 2:
        msg = f"scLLM-DSC needs {least} cells and 2 columns or more, got {of}"
        raise ValueError(msg)
    if counts:
        check_counts(sparse.csr_matrix(x))
    elif not np.isfinite(x.data if sparse.issparse(x) else x).all():
        msg = "x must be finite; some values are NaN or infinite"
        raise ValueError(msg)
    if gene_vectors is not None:
        if gene_vectors.ndim != 2 or len(gene_vectors) != n_inputs or not np.isfinite(gene_vectors).all():
            msg = f"gene_vectors must be finite, of shape ({n_inputs}, d) to go with {of}; got {gene_vectors.shape}"
            raise ValueError(msg)
        if not gene_vectors.any():
            msg = "no gene has a vector: all of gene_vectors is zero"
            raise ValueError(msg)
    if semantics is not None:
        check_semantics(semantics, n, of)
    for name, given in (("library_sizes", library_sizes), ("batch", batch)):
        if given is not None and np.shape(given) != (n,):
            msg = f"{name} must have shape ({n},) to go with {of}, got {np.shape(given)}"
            raise ValueError(msg)


def check_gene_names(known: Sequence[str] | None, given: Sequence[str] | None) -> None:
    """Raise unless the genes are those of the training, in its order; unknown names are let through."""
    if given is None or known is None or list(given) == list(known):
        return
    other = [name for name in given if name not in set(known)]
    what = f"it does not know {listed(other, 5)}" if other else "they come in another order"
    msg = f"gene_names differ from the model's: {what}; select model.gene_names in that order"
    raise ValueError(msg)


def explain_divergence(
    x: sparse.csr_matrix | NDArray[np.floating],
    semantics: NDArray[np.floating] | None,
    config: SemSTConfig | ScLLMDSCConfig,
) -> str:
    """Say which input looks wrong where a loss is no longer finite, with what it looks like."""
    from scipy import sparse

    values = abs(sparse.csr_matrix(x))
    largest = float(values.data.max(initial=0))
    facts = {f"learning_rate ({config.learning_rate:g})": config.learning_rate > _LARGE_RATE}
    if config.expression == "given":
        facts = {f"x (largest absolute value {largest:g})": largest > _LARGE_COUNT, **facts}
    else:
        per_gene = np.asarray(values.sum(axis=0, dtype=np.float64)).ravel()
        share = float(per_gene.max(initial=0) / max(per_gene.sum(), 1e-300))
        fact = f"counts (largest value {largest:g}, {share:.0%} of all in one gene)"
        facts = {fact: largest > _LARGE_COUNT or share > _LARGE_SHARE, **facts}
    if semantics is not None:
        extreme = float(np.abs(semantics).max(initial=0))
        facts[f"semantics (largest absolute value {extreme:g})"] = extreme > _LARGE_SEMANTICS
    wrong = [fact for fact, is_wrong in facts.items() if is_wrong]
    if wrong:
        return f"what looks wrong: {'; '.join(wrong)}"
    return f"no input looks wrong: {'; '.join(facts)}; a lower learning_rate may help"
