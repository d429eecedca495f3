"""What ``pp.cell_semantics`` reads from an AnnData: names, expression, gene vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semtx import _keys
from semtx._counts import find_counts, kind_of, normalize_rows, to_csr
from semtx._logging import logger
from semtx._validate import stored_gene_vectors
from semtx.pp._gene_names import match_of, names_of

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy import sparse

# not counts, yet as good where rows are normalised anyway
_USABLE = {"normalized": "normalised", "lognormalized": "log-normalised", "logcounts": "logarithm of counts"}


def gene_names(
    adata: AnnData, organism: str | None, gene_symbols: str | None
) -> tuple[NDArray[np.object_], NDArray[np.object_], str]:
    """Return each gene's symbol, or its name where it is not known; what to write in a text, if anything; the organism."""
    match = match_of(adata, gene_symbols, organism)
    symbols = np.where(match.matched, match.symbols, np.array(names_of(adata, gene_symbols), dtype=object))
    # clone names and codewords mean nothing to a reader; what the user calls symbols does
    return symbols, match.symbols if gene_symbols is None else symbols, match.organism


def normalized_expression(adata: AnnData, layer: str | None) -> tuple[sparse.csr_matrix, str]:
    """Return expression with equal row sums, not on a log scale, and where it comes from."""
    try:
        counts = find_counts(adata, layer=layer)
    except ValueError:
        stored = adata.X if layer is None else adata.layers[layer]
        matrix = None if stored is None else to_csr(stored)
        if matrix is None or (kind := kind_of(matrix)) not in _USABLE:
            raise
        if kind != "normalized":
            np.expm1(matrix.data, out=matrix.data)
        place = "X" if layer is None else f"layers[{layer!r}]"
        return normalize_rows(matrix), f"{place}, {_USABLE[kind]}"
    return normalize_rows(counts.matrix), counts.source


def gene_vectors(
    adata: AnnData, key: str, organism: str | None, gene_symbols: str | None
) -> tuple[NDArray[np.float32], dict[str, dict[str, Any]]]:
    """Return the gene vectors and, where they were not there, the fields to write beside the result."""
    source, fields = adata, {}
    if key not in adata.varm and key == _keys.GENE_SEMANTICS:
        from anndata import AnnData
        from scipy import sparse

        from semtx.pp._gene_semantics import gene_semantics

        logger.info("adata.varm has no %r: computing it with the built-in vectors", key)
        # on the side: if anything fails later, adata is as it was
        source = AnnData(sparse.csr_matrix((1, adata.n_vars), dtype=np.float32), var=adata.var.copy())
        gene_semantics(source, organism=organism, gene_symbols=gene_symbols)
        columns = (key + _keys.MATCHED_SUFFIX, key + _keys.MATCH_SUFFIX)
        fields = {
            "varm": {key: source.varm[key]},
            "var": {column: source.var[column] for column in columns},
            "uns": {key: source.uns[key]},
        }
    fix = f"call pp.gene_semantics(adata, key_added={key!r})"
    return stored_gene_vectors(source, key, parameter="gene_semantics_key", fix=fix), fields
