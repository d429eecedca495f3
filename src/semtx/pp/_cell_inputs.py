"""What ``pp.cell_semantics`` reads from an AnnData: names, expression, gene vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semtx import _keys
from semtx._counts import CountsNotFoundError, find_counts, kind_of, normalize_rows, raw_holds_genes, to_csr
from semtx._logging import logger, without_hints
from semtx._validate import stored_gene_vectors
from semtx.pp._gene_names import match_of, names_of

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy import sparse

# not counts, yet as good where rows are normalised anyway: what they are called, and the base of their logarithm
_USABLE = {
    "normalized": ("normalised", None),
    "lognormalized": ("log-normalised", np.e),
    "logcounts": ("logarithm of counts", np.e),
    "log2normalized": ("log2-normalised", 2.0),
    "log2counts": ("base-2 logarithm of counts", 2.0),
}


def gene_names(
    adata: AnnData, organism: str | None, gene_symbols: str | None
) -> tuple[NDArray[np.object_], NDArray[np.object_], str]:
    """Return each gene's symbol, or its name where it is not known; what to write in a text, if anything; the organism."""
    match = match_of(adata, gene_symbols, organism)
    symbols = np.where(match.matched, match.symbols, np.array(names_of(adata, gene_symbols), dtype=object))
    # clone names and codewords mean nothing to a reader; what the user calls symbols does
    return symbols, match.symbols if gene_symbols is None else symbols, match.organism


def normalized_expression(adata: AnnData, layer: str | None) -> tuple[sparse.csr_matrix, str]:
    """Return expression with equal row sums, not on a log scale, and where it comes from.

    Of counts, else of normalised or log-normalised values in ``layer``, else in ``X``, else in ``raw``, where scanpy keeps
    them while it scales ``X``.

    Raises
    ------
    KeyError
        ``layer`` does not exist.
    ValueError
        There are neither counts nor normalised values.
    """
    try:
        counts = find_counts(adata, layer=layer)
    except CountsNotFoundError as error:
        found = _from_normalized(adata, layer)
        if found is None:
            msg = (
                f"counts or log-normalised values are needed, but {error.seen}. Keep counts with adata.layers['counts'] = "
                "adata.X.copy() before scaling, or name another layer with layer="
            )
            raise ValueError(msg) from error
        return found
    return normalize_rows(counts.matrix), counts.source


def _from_normalized(adata: AnnData, layer: str | None) -> tuple[sparse.csr_matrix, str] | None:
    places = {"X": adata.X} if layer is None else {f"layers[{layer!r}]": adata.layers[layer]}
    if layer is None and raw_holds_genes(adata):
        places["raw"] = adata.raw.X
    for place, stored in places.items():
        if stored is None:
            continue
        matrix = to_csr(stored)
        kind = kind_of(matrix)
        if kind == "expected" and layer is None and "log1p" in adata.uns:
            called, base = "log-normalised, as uns['log1p'] says", adata.uns["log1p"].get("base") or np.e
        elif kind in _USABLE:
            called, base = _USABLE[kind]
        else:
            continue
        if base is not None:
            matrix.data = np.expm1(matrix.data * np.float32(np.log(base)))
        if place == "raw":
            # of all genes in raw, those left out later too
            totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
            genes = adata.raw.var_names.get_indexer(adata.var_names)
            return normalize_rows(matrix[:, genes], totals), f"{place}, {called}"
        return normalize_rows(matrix), f"{place}, {called}"
    return None


def with_built_in_vectors(adata: AnnData, organism: str | None, gene_symbols: str | None) -> AnnData:
    """Return an object of its own with the genes of ``adata`` and the built-in vectors, so that ``adata`` stays as it is."""
    from anndata import AnnData
    from scipy import sparse

    from semtx.pp._gene_semantics import gene_semantics

    holder = AnnData(sparse.csr_matrix((1, adata.n_vars), dtype=np.float32), var=adata.var.copy())
    with without_hints():
        gene_semantics(holder, organism=organism, gene_symbols=gene_symbols)
    return holder


def gene_vectors(
    adata: AnnData, key: str, organism: str | None, gene_symbols: str | None
) -> tuple[NDArray[np.float32], dict[str, dict[str, Any]]]:
    """Return the gene vectors and, where they were not there, the fields to write beside the result."""
    source, fields = adata, {}
    if key not in adata.varm and key == _keys.GENE_SEMANTICS:
        logger.info("adata.varm has no %r: computing it with the built-in vectors", key)
        source = with_built_in_vectors(adata, organism, gene_symbols)
        columns = (key + _keys.MATCHED_SUFFIX, key + _keys.MATCH_SUFFIX)
        fields = {
            "varm": {key: source.varm[key]},
            "var": {column: source.var[column] for column in columns},
            "uns": {key: source.uns[key]},
        }
    fix = f"call pp.gene_semantics(adata, key_added={key!r})"
    return stored_gene_vectors(source, key, parameter="gene_semantics_key", fix=fix), fields
