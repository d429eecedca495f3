"""``pp.cell_semantics``: one semantic vector per cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from semtx import _keys
from semtx._counts import find_counts, kind_of, to_csr
from semtx._logging import logger
from semtx._record import run_record, working_copy, write_results
from semtx._validate import check_anndata, check_choice, check_integer, check_key, listed, resolve_table
from semtx.semantics._cell import (
    RANKINGS,
    Ranking,
    normalize_rows,
    score_genes,
    selection,
    top_genes,
    weighted_semantics,
)
from semtx.semantics._genes import DEFAULT_EXCLUDED, excluded_genes

if TYPE_CHECKING:
    from collections.abc import Collection

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy import sparse

Method = Literal["weighted", "top_genes"]
METHODS: tuple[str, ...] = get_args(Method)
_DEFAULT_TOP = {"weighted": None, "top_genes": 20}


def cell_semantics(
    adata: AnnData,
    method: Method = "weighted",
    *,
    n_top_genes: int | None = None,
    ranking: Ranking = "expression",
    layer: str | None = None,
    gene_semantics_key: str = _keys.GENE_SEMANTICS,
    gene_symbols: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    exclude: Collection[str] = DEFAULT_EXCLUDED,
    key_added: str = _keys.CELL_SEMANTICS,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Describe each cell or spot by what its genes mean.

    Parameters
    ----------
    adata
        Raw counts in ``layer``, ``layers["counts"]``, ``X`` or ``raw``; log-normalised values are taken too.
    method
        - ``"weighted"``: mean of the gene vectors, weighted by the score of each gene in the cell.
        - ``"top_genes"``: plain mean over the cell's ``n_top_genes`` best genes.
    n_top_genes
        Genes per cell; ``None`` for all with ``"weighted"`` and 20 with ``"top_genes"``.
    ranking
        Score of a gene in a cell: ``"expression"`` (log-normalised), ``"zscore"`` (divided by the gene's standard
        deviation over cells) or ``"specificity"`` (share of the divergence from the mean profile); see
        :func:`semtx.semantics.score_genes`.
    layer
        Layer to read; ``None`` looks as described under ``adata``.
    gene_semantics_key
        Key of the gene vectors in ``adata.varm``. Where it is absent and the default, :func:`semtx.pp.gene_semantics`
        is called first.
    gene_symbols
        Column of ``adata.var`` with gene symbols, where ``var_names`` are none; used to tell the genes of ``exclude``.
    mask_var
        Genes that may enter: a boolean column of ``adata.var`` such as ``"highly_variable"``, or a boolean array of
        shape (n_vars,). Normalisation always uses all genes.
    exclude
        Groups of genes kept out: any of ``"mitochondrial"``, ``"ribosomal"``, ``"control"``, ``"haemoglobin"``.
    key_added
        Key in ``adata.obsm``.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.obsm["X_semantics" | key_added]` : float32, shape (n_obs, d)
        Cell vectors; zeros for a cell without a usable gene.
    `adata.uns["semantics" | f"{key_added}_record"]` : dict
        Parameters, provenance, numbers of genes and cells used.

    Raises
    ------
    KeyError
        ``layer``, ``gene_semantics_key``, ``gene_symbols`` or ``mask_var`` does not exist.
    ValueError
        The values are negative, NaN or neither counts nor log-normalised; no gene is left to describe cells by.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue()
    >>> st.pp.cell_semantics(adata)
    >>> adata.obsm["X_semantics"].shape[0] == adata.n_obs
    True
    """
    adata = resolve_table(adata, table_key)
    check_anndata(adata)
    check_choice("method", method, METHODS)
    check_choice("ranking", ranking, RANKINGS)
    check_integer("n_top_genes", n_top_genes, minimum=1, maximum=adata.n_vars, optional=True)
    n_top_genes = n_top_genes or _DEFAULT_TOP[method]
    if copy:
        adata = working_copy(adata)
    candidates = _candidates(adata, mask_var, exclude, gene_symbols)
    expression, source = _normalized_expression(adata, layer)
    vectors = _gene_vectors(adata, gene_semantics_key, gene_symbols)
    candidates &= vectors.any(axis=1)
    if not candidates.any():
        msg = (
            f"no gene is left to describe cells by: none of the {adata.n_vars} genes has a vector in "
            f"adata.varm[{gene_semantics_key!r}], lies in mask_var and is not excluded"
        )
        raise ValueError(msg)

    expression = expression[:, candidates]
    names = adata.var_names[candidates].to_numpy(dtype=str)
    weights = score_genes(expression, ranking)
    if n_top_genes is not None:
        top = selection(top_genes(expression, names, n_top_genes, ranking), len(names))
        weights = weights.multiply(top).tocsr() if method == "weighted" else top
    cells = weighted_semantics(weights, vectors[candidates])

    empty = int((~cells.any(axis=1)).sum())
    if empty:
        logger.warning("%d of %d observations have no usable gene; their semantics are zeros", empty, adata.n_obs)
    record = run_record(
        "pp.cell_semantics",
        {
            "method": method,
            "n_top_genes": n_top_genes,
            "ranking": ranking,
            "layer": layer,
            "gene_semantics_key": gene_semantics_key,
            "gene_symbols": gene_symbols,
            "mask_var": mask_var if isinstance(mask_var, str) or mask_var is None else "array",
            "exclude": list(exclude),
            "key_added": key_added,
        },
        expression=source,
        n_genes=int(candidates.sum()),
        n_empty=empty,
        dimension=int(cells.shape[1]),
    )
    write_results(adata, obsm={key_added: cells}, uns={_record_key(key_added): record})
    return adata if copy else None


def _record_key(key_added: str) -> str:
    return _keys.CELL_SEMANTICS_RECORD if key_added == _keys.CELL_SEMANTICS else f"{key_added}_record"


def _normalized_expression(adata: AnnData, layer: str | None) -> tuple[sparse.csr_matrix, str]:
    """Return expression with equal row sums, not on a log scale, and where it comes from."""
    try:
        counts = find_counts(adata, layer=layer)
    except ValueError:
        stored = adata.X if layer is None else adata.layers[layer]
        matrix = None if stored is None else to_csr(stored)
        if matrix is None or kind_of(matrix) != "lognormalized":
            raise
        np.expm1(matrix.data, out=matrix.data)
        place = "X" if layer is None else f"layers[{layer!r}]"
        return normalize_rows(matrix), f"{place}, log-normalised"
    return normalize_rows(counts.matrix), counts.source


def _gene_vectors(adata: AnnData, key: str, gene_symbols: str | None) -> NDArray[np.float32]:
    if key not in adata.varm and key == _keys.GENE_SEMANTICS:
        from semtx.pp._gene_semantics import gene_semantics

        logger.info("adata.varm has no %r: calling pp.gene_semantics with the built-in vectors", key)
        options: dict[str, Any] = {} if gene_symbols is None else {"gene_symbols": gene_symbols}
        gene_semantics(adata, **options)
    stored = check_key(
        adata, "varm", key, parameter="gene_semantics_key", fix=f"call pp.gene_semantics(adata, key_added={key!r})"
    )
    vectors = np.asarray(stored.toarray() if hasattr(stored, "toarray") else stored, dtype=np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        msg = f"adata.varm[{key!r}] must hold finite vectors of shape (n_vars, d); its shape is {vectors.shape}"
        raise ValueError(msg)
    return vectors


def _candidates(
    adata: AnnData, mask_var: str | NDArray[np.bool_] | None, exclude: Collection[str], gene_symbols: str | None
) -> NDArray[np.bool_]:
    """Return which genes may describe a cell."""
    if isinstance(exclude, str):
        exclude = (exclude,)
    symbols = adata.var_names
    if gene_symbols is not None:
        symbols = check_key(adata, "var", gene_symbols, parameter="gene_symbols").astype(str)
    keep = ~excluded_genes(symbols, exclude)
    if mask_var is None:
        return keep
    if isinstance(mask_var, str):
        mask_var = check_key(adata, "var", mask_var, parameter="mask_var").to_numpy()
    mask = np.asarray(mask_var)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        msg = (
            f"mask_var must be boolean of shape ({adata.n_vars},), got {mask.dtype} of shape {mask.shape}; "
            f"columns of adata.var: {listed(adata.var.columns)}"
        )
        raise ValueError(msg)
    return keep & mask
