"""Gene vectors that the package ships: no model, no network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from semtx.semantics._match import match_genes
from semtx.semantics._table import ORGANISMS, shared_gene_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semtx.semantics._match import GeneMatch

NAME = "builtin"


@dataclass(frozen=True)
class _Vectors:
    values: NDArray[np.int8]
    mean: NDArray[np.float32]
    rows: dict[str, NDArray[np.int32]]  # of each row of the shipped table
    provenance: dict[str, Any]


def builtin_vectors(match: GeneMatch) -> NDArray[np.float32]:
    """Return the shipped vector of each matched gene.

    They were computed with all-MiniLM-L6-v2 from the text ``SYMBOL: name. summary GO terms`` of every described human gene,
    minus the mean over genes. A mouse gene has the vector of its human orthologue, or its own where it has none. Genes
    without a description (most non-coding RNA, pseudogenes, predicted genes) share the vector of their class.

    Parameters
    ----------
    match
        Genes, as `match_genes` found them.

    Returns
    -------
    Shape (n, 384), float32. Rows have unit length, so that long texts weigh no more than short ones; a gene without
    match is exactly 0.

    Examples
    --------
    >>> from semtx.semantics import builtin_vectors, match_genes
    >>> vectors = builtin_vectors(match_genes(["COL1A1", "COL1A2", "GFAP", "Blank-1"]))
    >>> vectors.shape
    (4, 384)
    >>> bool(vectors[0] @ vectors[1] > 0.5), bool(vectors[0] @ vectors[2] < 0.3), bool(vectors[3].any())
    (True, True, False)
    """
    shipped = _load()
    rows = _rows(match, shipped.rows[match.organism])
    found = rows >= 0
    result = np.zeros((len(rows), shipped.values.shape[1]), dtype=np.float32)
    # The scale of a row cancels in its unit length.
    vectors = shipped.values[rows[found]].astype(np.float32)
    result[found] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


def builtin_provenance() -> dict[str, Any]:
    """Tell where the shipped vectors come from: model and its hash, template, release of the tables, attribution."""
    return dict(_load().provenance)


def builtin_mean() -> NDArray[np.float32]:
    """Return what was subtracted from the shipped vectors, shape (384,): take it from a new text's vector to compare."""
    return _load().mean.copy()


def _rows(match: GeneMatch, rows: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the row of the vectors for each gene, -1 for none."""
    if match.table is not shared_gene_table(match.organism):
        # A table of the user's or of later date: ask by which name the shipped one knows its symbols.
        match = match_genes(match.symbols, organism=match.organism)
    return np.where(match.matched, rows[match.rows], -1).astype(np.intp)


@lru_cache(maxsize=1)
def _load() -> _Vectors:
    path = files("semtx.semantics") / "data" / "gene_vectors.npz"
    with as_file(path) as local, np.load(local, allow_pickle=False) as stored:
        rows = {organism: stored[f"{organism}_rows"] for organism in ORGANISMS}
        return _Vectors(stored["values"], stored["mean"], rows, json.loads(str(stored["provenance"])))
