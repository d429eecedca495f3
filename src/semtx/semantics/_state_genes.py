"""Genes that tell the state of a cell rather than its type, found by what is written about them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Human symbols of genes at the heart of programmes that cells of any type run for a while.
PROGRAMMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "interferon response": ("ISG15", "IFI6", "IFIT1", "IFIT3", "MX1", "OAS1", "STAT1", "IFI44L"),
        "cell cycle": ("MKI67", "TOP2A", "CDK1", "CCNB1", "PCNA", "MCM5", "TYMS", "AURKB"),
        "heat shock": ("HSPA1A", "HSPA1B", "DNAJB1", "HSP90AA1", "HSPH1", "HSPE1", "HSPD1", "HSPA8"),
        "immediate early response": ("FOS", "JUN", "EGR1", "ATF3", "IER2", "FOSB", "JUNB", "DUSP1"),
    }
)
# of fewer genes there is no telling how alike those of a programme are
_LEAST_GENES = 3
# drawn sets of genes that those of a programme must be more alike than, all but one in a hundred: where vectors mean
# nothing, they are not
_N_DRAWN = 200
_LEAST_PERCENTILE = 99.0


def state_genes(symbols: NDArray[np.object_], gene_vectors: NDArray[np.floating]) -> dict[str, NDArray[np.intp]]:
    """Return the genes of each programme of :data:`PROGRAMMES`: those written about as its known genes are.

    A gene belongs to a programme if its vector is as close to the mean of the known ones as half of these are to the mean
    of the others. Known genes that are no more alike than genes drawn at random are no programme.

    Parameters
    ----------
    symbols
        Official symbols, human or mouse, ``""`` where a gene is unknown, shape (n_genes,).
    gene_vectors
        Shape (n_genes, d); zeros for a gene without one.

    Returns
    -------
    Indices by programme; none where fewer than three of its known genes have a vector, or these say nothing.
    """
    vectors = np.array(gene_vectors, dtype=np.float64)
    known = np.asarray(vectors.any(axis=1))
    found = {name: np.zeros(0, dtype=np.intp) for name in PROGRAMMES}
    if not known.any():
        return found
    vectors[known] = _unit(vectors[known] - vectors[known].mean(axis=0))
    row = {str(symbol).upper(): index for index, symbol in enumerate(symbols) if known[index]}
    generator = np.random.default_rng(0)
    for name, members in PROGRAMMES.items():
        rows = [row[symbol] for symbol in members if symbol in row]
        if len(rows) < _LEAST_GENES:
            continue
        draws = (generator.choice(np.flatnonzero(known), len(rows), replace=False) for _ in range(_N_DRAWN))
        drawn = [_coherence(vectors[draw]) for draw in draws]
        coherence = _coherence(vectors[rows])
        if coherence > np.percentile(drawn, _LEAST_PERCENTILE):
            found[name] = np.flatnonzero(known & (vectors @ _unit(vectors[rows].mean(axis=0)) >= coherence))
    return found


def _coherence(vectors: NDArray[np.float64]) -> float:
    """Return the median cosine of each vector of length 1 and the mean of the others."""
    others = _unit(vectors.sum(axis=0) - vectors)
    return float(np.median(np.einsum("ij,ij->i", vectors, others)))


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.finfo(np.float64).tiny)
