"""``pp.gene_semantics``: one vector per gene of what is written about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from semtx import _keys
from semtx._record import recorded_mask, run_record, working_copy, write_results
from semtx._validate import check_anndata, check_choice, check_key_added, gene_mask, resolve_table
from semtx.pp._gene_names import check_coverage, ensembl_of, names_of
from semtx.semantics._builtin import NAME, builtin_provenance, builtin_vectors
from semtx.semantics._lookup import lookup_vectors
from semtx.semantics._match import METHODS, GeneMatch, match_genes
from semtx.semantics._organism import detect_organism
from semtx.semantics._table import ORGANISMS, SCIENTIFIC_NAME

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from semtx.semantics._encoder import Encoder
    from semtx.semantics._store import EmbeddingStore
    from semtx.semantics._text import Template


def gene_semantics(
    adata: AnnData,
    encoder: str | Path | Encoder | pd.DataFrame | Mapping[str, Any] = NAME,
    *,
    knowledge: Literal["builtin", "ncbi"] | pd.DataFrame = NAME,
    template: Template = "full",
    organism: str | None = None,
    gene_symbols: str | None = None,
    ensembl_ids: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    center: bool | None = None,
    standardize: bool | None = None,
    store: EmbeddingStore | str | Path | None = None,
    key_added: str = _keys.GENE_SEMANTICS,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Give every gene a vector of what is written about it.

    Genes are matched to a table of human or mouse genes by official symbol, alias, Ensembl id or orthologue
    (:func:`semtx.semantics.match_genes`); each then gets the vector that ships with the package, or one that an encoder
    makes of its text. The vectors tell molecular function well and cell types or layers badly: that is not what gene
    descriptions say.

    Parameters
    ----------
    adata
        Genes in ``var_names``, human or mouse. The expression values are not read.
    encoder
        - ``"builtin"``: the vectors of the package (384 numbers, all-MiniLM-L6-v2); needs no model and no network
        - what :func:`semtx.semantics.get_encoder` understands: a sentence-transformers name or folder, ``"offline"``,
          ``"llm:<model>"``, ``"openai:<model>"``, or an encoder object
        - your own vectors: a DataFrame indexed by gene, a dict, or a file that :func:`semtx.semantics.read_vectors`
          reads (npz, parquet, text as of gene2vec; a pickle, if you trust it)
    knowledge
        Where an encoder's texts come from: ``"builtin"`` (names only, as summaries are not part of the package),
        ``"ncbi"`` (downloads current names and summaries), or a table like
        :func:`semtx.semantics.load_gene_table`'s, with further columns ``summary`` and ``go`` if you have them.
    template
        How a text is written, see :func:`semtx.semantics.gene_texts`.
    organism
        ``"human"`` or ``"mouse"``; ``None`` tells from the names.
    gene_symbols
        Column of ``adata.var`` with the gene names, where ``var_names`` are something else.
    ensembl_ids
        Column of ``adata.var`` with Ensembl ids; ``None`` uses ``"gene_ids"``, ``"ensembl"`` or any column that looks so.
    mask_var
        Genes that get a vector: a boolean column of ``adata.var`` such as ``"highly_variable"``, or a boolean array of
        shape (n_vars,). Saves work where an encoder is slow or costs money.
    center
        Subtract the mean over genes; ``None`` does so for encoders and leaves your own vectors as they are. The built-in
        vectors come centred. Centred vectors are scaled to unit length.
    standardize
        Divide every dimension by its standard deviation over genes, before the scaling to unit length; ``None`` does so
        for hidden states of a causal language model, a few of whose dimensions drown the others.
    store
        Where vectors of encoders are kept, an :class:`semtx.semantics.EmbeddingStore` or its folder; ``None`` for the
        one in ``settings.cachedir``.
    key_added
        Name of the results.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.varm['gene_semantics' | key_added]` : `numpy.ndarray` (dtype `float32`, shape `(n_vars, d)`)
        One vector per gene; exactly 0 for genes that have none. No NaN.
    `adata.var['gene_semantics_matched']` : `pandas.Series` (dtype `bool`)
        Whether the gene has a vector.
    `adata.var['gene_semantics_match']` : `pandas.Series` (dtype `category`)
        How: symbol, alias, ensembl, ortholog; or why not: ambiguous (an alias of several genes), none.
    `adata.uns['gene_semantics']` : `dict`
        Parameters, organism, coverage, where the vectors come from, what they were centred and divided by.

    Raises
    ------
    ValueError
        If no gene matches, names are not unique, or the encoder returns something that is no vector per gene.
    KeyError
        If a column of ``adata.var`` that a parameter names is not there.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue()
    >>> st.pp.gene_semantics(adata)
    >>> adata.varm["gene_semantics"].shape[1]
    384
    >>> adata.uns["gene_semantics"]["organism"]
    'human'
    """
    adata = resolve_table(adata, table_key)
    check_key_added(key_added)
    check_anndata(adata)
    if organism is not None:
        check_choice("organism", organism, ORGANISMS)
    names = names_of(adata, gene_symbols)
    identifiers, ensembl_ids = ensembl_of(adata, ensembl_ids)
    mask = gene_mask(adata, mask_var)
    organism = organism or detect_organism(names, identifiers)
    match = match_genes(names, organism=organism, ensembl_ids=identifiers, table=_knowledge_table(knowledge, organism))

    own = _own_vectors(encoder)
    method = match.method
    if own is not None:
        vectors, method = lookup_vectors(match, own)
    # Before anything is embedded: it may be slow, or cost money.
    check_coverage(method, adata, names, organism, gene_symbols)
    if np.isin(method[mask], ("none", "ambiguous")).all():
        msg = f"none of the {mask.sum()} genes that mask_var selects matches a known {organism} gene"
        raise ValueError(msg)
    if own is not None:
        provenance: dict[str, Any] = {"name": "own vectors"}
    elif isinstance(encoder, str) and encoder == NAME:
        vectors = builtin_vectors(match)
        provenance = {"name": NAME, **builtin_provenance()}
    else:
        vectors, provenance = _encode(match, mask, encoder, template, store)
        center = True if center is None else center
        if standardize is None:
            standardize = provenance["identity"].get("backend") == "causal-lm"
    vectors, scaling = _scaled(vectors, vectors.any(axis=1) & mask, center=bool(center), standardize=bool(standardize))
    has_vector = vectors.any(axis=1)

    if match.table.attrs:
        provenance["knowledge"] = match.table.attrs
    params = {
        "encoder": provenance["name"],
        "knowledge": knowledge if isinstance(knowledge, str) else "table",
        "template": template,
        "gene_symbols": gene_symbols,
        "ensembl_ids": ensembl_ids,
        "mask_var": recorded_mask(mask_var),
        "center": bool(center),
        "standardize": bool(standardize),
        "key_added": key_added,
    }
    counts = {how: int((method == how).sum()) for how in METHODS}
    coverage = {
        "n_genes": len(method),
        "n_with_vector": int(has_vector.sum()),
        "fraction": 1 - (counts["none"] + counts["ambiguous"]) / len(method),
        **counts,
    }
    record = run_record(
        "pp.gene_semantics", params, organism=organism, coverage=coverage, provenance=provenance, scaling=scaling
    )
    adata = working_copy(adata) if copy else adata
    write_results(
        adata,
        varm={key_added: vectors},
        var={
            key_added + _keys.MATCHED_SUFFIX: has_vector,
            key_added + _keys.MATCH_SUFFIX: pd.Categorical(method, categories=list(METHODS)),
        },
        uns={key_added: record},
    )
    return adata if copy else None


def _knowledge_table(knowledge: Any, organism: str) -> pd.DataFrame | None:
    """Return the table to match against, ``None`` for the shipped one."""
    if isinstance(knowledge, pd.DataFrame):
        return knowledge
    check_choice("knowledge", knowledge, (NAME, "ncbi"))
    if knowledge == NAME:
        return None
    from semtx.semantics._knowledge import load_online_table

    return load_online_table(organism)


def _own_vectors(encoder: Any) -> Mapping[str, NDArray[np.float32]] | None:
    """Read the user's own vectors, ``None`` where ``encoder`` is an encoder."""
    from semtx.semantics._vectors import SUFFIXES, read_vectors

    is_file = isinstance(encoder, (str, Path)) and Path(encoder).suffix.lower() in SUFFIXES
    if not is_file and not isinstance(encoder, (pd.DataFrame, Mapping)):
        return None
    return read_vectors(encoder)


def _encode(
    match: GeneMatch, mask: NDArray[np.bool_], encoder: Any, template: Template, store: Any
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Embed the texts of the genes that matched and lie in the mask."""
    from semtx.semantics._encoder import get_encoder
    from semtx.semantics._store import EmbeddingStore
    from semtx.semantics._text import gene_texts, template_key

    encoder = get_encoder(encoder)
    if not isinstance(store, EmbeddingStore):
        store = EmbeddingStore(store)
    used = match.matched & mask
    records = match.table.iloc[match.rows[used]]
    if "organism" not in records:
        records = records.assign(organism=SCIENTIFIC_NAME[match.organism])
    texts = gene_texts(records, template)
    embedded = store.embed(encoder, texts, template_key(template))
    vectors = np.zeros((len(used), embedded.shape[1]), dtype=np.float32)
    vectors[used] = embedded
    return vectors, {"name": encoder.name, "identity": dict(encoder.identity), "template": template_key(template)}


def _scaled(
    vectors: NDArray[np.float32], used: NDArray[np.bool_], *, center: bool, standardize: bool
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Centre the used rows, standardise their dimensions, scale them to unit length; the others become 0.

    Also returns what was subtracted and divided by, which a text's vector needs to be compared with them.
    """
    rows = vectors[used].astype(np.float64)
    scaling = {}
    if center and len(rows) > 1:
        scaling["mean"] = rows.mean(axis=0)
        rows -= scaling["mean"]
    if standardize and len(rows) > 1:
        spread = rows.std(axis=0)
        scaling["deviation"] = np.where(spread > 0, spread, 1)
        rows /= scaling["deviation"]
    if center or standardize:
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.where(length > 0, length, 1)
    result = np.zeros(vectors.shape, dtype=np.float32)
    result[used] = rows
    return result, {name: values.astype(np.float32) for name, values in scaling.items()}
