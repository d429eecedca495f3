"""``pp.cell_semantics``: one semantic vector per cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from semtx import _keys
from semtx._logging import logger
from semtx._record import recorded_mask, run_record, working_copy, write_results
from semtx._validate import check_anndata, check_choice, check_integer, check_key_added, gene_mask, resolve_table
from semtx.pp._cell_inputs import gene_names, gene_vectors, normalized_expression
from semtx.semantics._cell import (
    RANKINGS,
    Ranking,
    cell_weights,
    top_genes,
    weighted_semantics,
)
from semtx.semantics._cell_text import prompt_semantics, resolve_prompt, sentence_semantics
from semtx.semantics._genes import DEFAULT_EXCLUDED, excluded_genes, group_names

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy import sparse

    from semtx.semantics._encoder import Encoder
    from semtx.semantics._prompt import Prompt
    from semtx.semantics._store import EmbeddingStore

Method = Literal["weighted", "top_genes", "prompt", "sentence"]
METHODS: tuple[str, ...] = get_args(Method)
_DEFAULT_TOP = {"weighted": None, "top_genes": 20, "prompt": 20, "sentence": 50}
_TEXT = ("prompt", "sentence")


def cell_semantics(
    adata: AnnData,
    method: Method = "weighted",
    *,
    n_top_genes: int | None = None,
    ranking: Ranking = "expression",
    layer: str | None = None,
    gene_semantics_key: str = _keys.GENE_SEMANTICS,
    encoder: str | Path | Encoder | None = None,
    prompt: Prompt | str | None = None,
    context: str = "",
    organism: str | None = None,
    gene_symbols: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    exclude: Collection[str] = DEFAULT_EXCLUDED,
    store: EmbeddingStore | str | Path | None = None,
    key_added: str = _keys.CELL_SEMANTICS,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Describe each cell or spot by what its genes mean.

    The first two methods average gene vectors: they cost one text per gene, once, and nothing per cell. The other two let
    a text encoder read each cell's list of genes; equal lists are read once, and everything read is kept on disk.

    Parameters
    ----------
    adata
        Raw counts in ``layer``, ``layers["counts"]``, ``X`` or ``raw``; log-normalised values are taken too.
    method
        - ``"weighted"``: mean of the gene vectors, weighted by the score of each gene in the cell.
        - ``"top_genes"``: plain mean over the vectors of the cell's ``n_top_genes`` best genes.
        - ``"prompt"``: the names of the best genes in a prompt, read by a causal language model, as in SemST (any other
          encoder serves too).
        - ``"sentence"``: the names of the best genes as a sentence, read by a text encoder; longer sentences than it can
          read are cut and the parts averaged.
    n_top_genes
        Genes per cell; ``None`` for all with ``"weighted"``, 20 with ``"top_genes"`` and ``"prompt"``, 50 with
        ``"sentence"``.
    ranking
        Score of a gene in a cell: ``"expression"`` (log-normalised), ``"zscore"`` (divided by the gene's standard
        deviation over cells) or ``"specificity"`` (share of the divergence from the mean profile); see
        :func:`semtx.semantics.score_genes`. Equal scores are ordered by gene name.
    layer
        Layer to read; ``None`` looks as described under ``adata``.
    gene_semantics_key
        Key of the gene vectors in ``adata.varm``. Where the default one is absent, the built-in vectors are computed and
        written as :func:`semtx.pp.gene_semantics` does.
    encoder
        What reads the texts of ``"prompt"`` and ``"sentence"``, see :func:`semtx.semantics.get_encoder`.
    prompt
        For ``"prompt"``: a :class:`semtx.semantics.Prompt`, or a text with ``{genes}`` where the list goes. ``None`` is a
        role, a task and the list as chat messages for a causal language model, else a plain sentence with the list.
    context
        For ``"prompt"``: tissue, species or condition in words, added to the prompt.
    organism
        ``"human"`` or ``"mouse"``; ``None`` tells from the names.
    gene_symbols
        Column of ``adata.var`` with gene names, where ``var_names`` are something else.
    mask_var
        Genes that may enter: a boolean column of ``adata.var`` such as ``"highly_variable"``, or a boolean array of
        shape (n_vars,). Expression is normalised over all genes in any case.
    exclude
        Groups of genes kept out: any of ``"mitochondrial"``, ``"ribosomal"``, ``"control"``, ``"haemoglobin"``; see
        :func:`semtx.semantics.excluded_genes`.
    store
        Where vectors of texts are kept, an :class:`semtx.semantics.EmbeddingStore` or its folder; ``None`` for the one in
        ``settings.cachedir``.
    key_added
        Key in ``adata.obsm``.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.obsm['X_semantics' | key_added]` : `numpy.ndarray` (dtype `float32`, shape `(n_obs, d)`)
        Cell vectors; zeros for a cell without a usable gene.
    `adata.uns['semantics' | f'{key_added}_record']` : `dict`
        Parameters, encoder and prompt, numbers of genes used and of cells without any.
    `adata.varm['gene_semantics']`, `adata.var['gene_semantics_matched']`, `adata.var['gene_semantics_match']`, `adata.uns['gene_semantics']`
        As :func:`semtx.pp.gene_semantics`, where they are needed and were absent.

    Raises
    ------
    KeyError
        ``layer``, ``gene_semantics_key``, ``gene_symbols`` or ``mask_var`` does not exist.
    ValueError
        The values are negative, NaN, or neither counts nor log-normalised; no gene is left to describe cells by; a method
        that reads text has no encoder.

    References
    ----------
    Long et al., When Genes Speak (arXiv 2511.11380): section on LLM semantic embeddings (``"prompt"``) and the supplement's
    average of gene embeddings (``"top_genes"``).

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue()
    >>> st.pp.cell_semantics(adata)
    >>> adata.obsm["X_semantics"].shape == (adata.n_obs, 384)
    True
    """
    adata = resolve_table(adata, table_key)
    check_key_added(key_added)
    check_anndata(adata)
    check_choice("method", method, METHODS)
    check_choice("ranking", ranking, RANKINGS)
    check_integer("n_top_genes", n_top_genes, minimum=1, maximum=adata.n_vars, optional=True)
    n_top_genes = n_top_genes or _DEFAULT_TOP[method]
    exclude = group_names(exclude)
    mask = gene_mask(adata, mask_var)
    symbols, written, found_organism = gene_names(adata, organism, gene_symbols)
    candidates = mask & ~excluded_genes(symbols, exclude)
    expression, source = normalized_expression(adata, layer)

    fields: dict[str, dict[str, Any]] = {}
    extra: dict[str, Any] = {}
    if method in _TEXT:
        reader, kept = _text_encoder(method, encoder, store)
        candidates &= written != ""
        _check_any(candidates, "has a known symbol; pass gene_symbols= if var_names are none")
        names = np.char.upper(written.astype(str)) if (method, found_organism) == ("sentence", "human") else written
        lists = _lists(expression[:, candidates], names[candidates], n_top_genes, ranking)
        if method == "prompt":
            prompt = resolve_prompt(prompt, reader)
            cells = prompt_semantics(lists, reader, kept, prompt=prompt, context=context)
            extra["prompt"] = prompt.render(["{genes}"], context)
        else:
            cells = sentence_semantics(lists, reader, kept)
        extra["encoder"] = {"name": reader.name, "identity": dict(reader.identity)}
    else:
        vectors, fields = gene_vectors(adata, gene_semantics_key, organism, gene_symbols)
        candidates &= vectors.any(axis=1)
        _check_any(candidates, f"has a vector in adata.varm[{gene_semantics_key!r}]")
        weights = cell_weights(
            expression[:, candidates], symbols[candidates], n_top_genes, ranking, alike=method == "top_genes"
        )
        cells = weighted_semantics(weights, vectors[candidates])

    empty = int((~cells.any(axis=1)).sum())
    if empty:
        logger.warning("%d of %d observations have no usable gene; their semantics are zeros", empty, adata.n_obs)
    params = {
        "method": method,
        "n_top_genes": n_top_genes,
        "ranking": ranking,
        "layer": layer,
        "gene_semantics_key": gene_semantics_key,
        "organism": found_organism,
        "gene_symbols": gene_symbols,
        "mask_var": recorded_mask(mask_var),
        "exclude": exclude,
        "key_added": key_added,
    }
    counts = {"expression": source, "n_genes": int(candidates.sum()), "n_empty": empty}
    record = run_record("pp.cell_semantics", params, **counts, **extra)
    adata = working_copy(adata) if copy else adata
    fields["obsm"] = {key_added: cells}
    fields["uns"] = {**fields.get("uns", {}), _record_key(key_added): record}
    write_results(adata, **fields)
    return adata if copy else None


def _record_key(key_added: str) -> str:
    return _keys.CELL_SEMANTICS_RECORD if key_added == _keys.CELL_SEMANTICS else f"{key_added}_record"


def _check_any(candidates: NDArray[np.bool_], condition: str) -> None:
    if not candidates.any():
        msg = (
            f"no gene is left to describe cells by: none of the {len(candidates)} genes that is in mask_var and not "
            f"excluded {condition}"
        )
        raise ValueError(msg)


def _text_encoder(
    method: str, encoder: str | Path | Encoder | None, store: EmbeddingStore | str | Path | None
) -> tuple[Encoder, EmbeddingStore]:
    from semtx.semantics._encoder import get_encoder
    from semtx.semantics._store import EmbeddingStore

    if encoder is None:
        examples = {
            "prompt": "encoder='llm:Qwen/Qwen3-0.6B' (a hub name or local folder)",
            "sentence": "encoder='all-MiniLM-L6-v2' (a hub name or local folder) or encoder='offline'",
        }
        msg = f"method={method!r} has text read: say by what, such as {examples[method]}"
        raise ValueError(msg)
    return get_encoder(encoder), store if isinstance(store, EmbeddingStore) else EmbeddingStore(store)


def _lists(
    expression: sparse.csr_matrix, names: NDArray[np.object_], n_top_genes: int | None, ranking: Ranking
) -> list[list[str]]:
    """Return the names of each cell's best genes, best first."""
    top = top_genes(expression, names, n_top_genes or expression.shape[1], ranking)
    return [[str(name) for name in names[row[row >= 0]]] for row in top]
