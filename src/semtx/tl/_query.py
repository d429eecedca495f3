"""``tl.query``: ask the tissue a question in words."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from semtx import _keys
from semtx._counts import standard_deviations
from semtx._logging import logger
from semtx._record import recorded_mask, run_record, working_copy, write_results
from semtx._validate import check_anndata, check_choice, check_integer, gene_mask, resolve_table
from semtx.pp._cell_inputs import gene_vectors, normalized_expression
from semtx.pp._gene_names import match_of, names_of
from semtx.semantics._builtin import NAME
from semtx.semantics._calibrate import calibrated_scores
from semtx.semantics._cell import score_genes
from semtx.semantics._query_encoder import find_encoder
from semtx.semantics._query_space import QuerySpace, relevance
from semtx.semantics._store import EmbeddingStore
from semtx.semantics._vocabulary import load_vocabulary
from semtx.tl._query_inputs import Kind, Reader, hint_gene_set, read_negatives, read_queries

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from semtx.semantics._encoder import Encoder

    Asked = str | Collection[str]

_MAX_GENES = 100
_MIN_GENES = 5
_SHARE = 20  # of few genes, at most one in so many


def query(
    adata: AnnData,
    query: Asked | Sequence[Asked] | Mapping[str, Asked],
    *,
    negative: Asked | Sequence[Asked] | Mapping[str, Any] | None = None,
    kind: Kind = "auto",
    encoder: str | Path | Encoder | None = None,
    n_genes: int | None = None,
    layer: str | None = None,
    gene_semantics_key: str = _keys.GENE_SEMANTICS,
    organism: str | None = None,
    gene_symbols: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    store: EmbeddingStore | str | Path | None = None,
    key_added: str = _keys.QUERY,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Ask in words, and score every cell by how much it expresses genes of that meaning.

    A text is encoded by the encoder that made the gene vectors, and joined with what the genes of the nearest terms of the
    vocabulary (:func:`semtx.semantics.load_vocabulary`) have in common. The genes nearest to the result, weighted by their
    squared cosine, make the score of a cell: :math:`\sum_j w_j z_{ij}`, with each gene's log-normalised expression standardised
    over cells. It is calibrated against random gene sets: the result is the z-score that the same weights on other genes
    of like mean expression would give, over all such sets, by their exact mean and variance. Nothing is drawn, and 0
    means no more than chance.

    Where that encoder is not at hand, texts are read by terms of the vocabulary that share words with them, and a warning
    says so. What is written about genes tells what they do: myelin, synapses, blood vessels. Places that have no function of
    their own, such as "white matter" or a layer of cortex, are not in it; a warning says when no term is near.

    Parameters
    ----------
    adata
        Raw counts or log-normalised values, of human or mouse.
    query
        - a text: ``"cholesterol biosynthesis and myelination"``
        - a gene: ``"MBP"``, as it is written in the data or officially; asks for genes like it. A single word in capitals
          or with a digit may be any name of a gene, such as an alias or that of an orthologue. A warning tells where a word
          that looks like a gene, or is another spelling of one, was taken for a text
        - a term: ``"GO:0042552"``
        - several of them in a list, or in a dict by name; an entry that is a list of genes, or a set, is one gene set:
          ``{"myelin": ["MBP", "PLP1"], "vessels": "blood vessels"}``
    negative
        What counts against it, in the same forms: one or several for every query, or a dict by the queries' names.
    kind
        ``"auto"`` tells texts, genes and terms apart; ``"text"`` takes everything that is no list for a text;
        ``"genes"`` takes everything but terms for genes.
    encoder
        ``None`` takes the one that made the gene vectors, if it is installed or in the local cache; for the built-in
        vectors that is ``"offline"`` of ``semtx[offline]``, whose weights are checked by hash. Else what
        :func:`semtx.semantics.get_encoder` understands: it must be the encoder that made the gene vectors. Or
        ``"vocabulary"``, to use none.
    n_genes
        Genes that make a score; ``None`` takes 100, or a twentieth of the genes that can be used, where that is less.
    layer
        Layer to read; ``None`` looks in ``layers["counts"]``, ``X`` and ``raw``.
    gene_semantics_key
        Key of the gene vectors in ``adata.varm``. Where the default one is absent, the built-in vectors are computed and
        written as :func:`semtx.pp.gene_semantics` does.
    organism
        ``"human"`` or ``"mouse"``; ``None`` tells from the names.
    gene_symbols
        Column of ``adata.var`` with gene names, where ``var_names`` are something else.
    mask_var
        Genes that may enter: a boolean column of ``adata.var``, or a boolean array of shape (n_vars,).
    store
        Where vectors of texts are kept, an :class:`semtx.semantics.EmbeddingStore` or its folder; ``None`` for the one in
        ``settings.cachedir``.
    key_added
        Key of a single query in ``adata.obs``, and the beginning of the keys of several.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.obs['query' | key_added]` : `pandas.Series` (dtype `float32`)
        z-score of each cell. Of a list ``obs['query_0']``, ``obs['query_1']``, ...; of a dict ``obs['query_name']``.
    `adata.uns['query' | key_added]` : `dict`
        Run record of the last call: each query, what it was taken for and read by; ``"genes"``, a table of the genes of
        each query with their weights, and ``"terms"``, one of the terms that had a part in it.
    `adata.varm['gene_semantics']`, `adata.var['gene_semantics_matched']`, `adata.var['gene_semantics_match']`, `adata.uns['gene_semantics']`
        As :func:`semtx.pp.gene_semantics`, where they were absent.

    Raises
    ------
    KeyError
        ``gene_semantics_key``, ``layer``, ``gene_symbols`` or ``mask_var`` does not exist.
    TypeError
        A query is neither text nor a list of genes.
    ValueError
        A query is empty, names no known gene or term, or has no word in the vocabulary where there is no encoder; the
        encoder is another one than made the gene vectors.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue()
    >>> st.tl.query(adata, {"myelin": "GO:0042552", "synapse": "synaptic transmission"}, encoder="vocabulary")
    >>> adata.obs.groupby("ground_truth", observed=True)["query_myelin"].mean().idxmax()
    'white matter'
    """
    adata = resolve_table(adata, table_key)
    check_choice("kind", kind, get_args(Kind))
    asked = read_queries(query, key_added, gene_semantics_key)
    against = read_negatives(negative, query, asked)
    check_anndata(adata)
    check_integer("n_genes", n_genes, minimum=1, maximum=adata.n_vars, optional=True)
    mask = gene_mask(adata, mask_var)
    reader, provenance, fields = _reader(adata, gene_semantics_key, organism, gene_symbols)
    space = reader.space
    questions = {key: reader.question(entry, kind) for key, entry in asked.items()}
    negatives = {key: [reader.question(entry, kind) for entry in entries] for key, entries in against.items()}
    hint_gene_set(list(questions.values()))
    how = "terms of the vocabulary"
    if encoder is not None or any(one.kind == "text" for one in [*questions.values(), *chain(*negatives.values())]):
        found = find_encoder(encoder, provenance, space.vectors.shape[1], gene_semantics_key)
        if found is not None:
            how = f"encoder {found.name}"
            kept = store if isinstance(store, EmbeddingStore) else EmbeddingStore(store)
            space = reader.space = replace(space, encode=lambda text: kept.embed(found, [text], "query")[0])

    expression, source = normalized_expression(adata, layer)
    expression = score_genes(expression)
    usable = mask & space.vectors.any(axis=1) & (standard_deviations(expression) > 0)
    if usable.sum() < 2:
        msg = (
            f"only {usable.sum()} of {adata.n_vars} genes have a vector in adata.varm[{gene_semantics_key!r}], are in "
            "mask_var and differ between cells; a query needs two or more"
        )
        raise ValueError(msg)
    n_genes = n_genes or int(np.clip(usable.sum() // _SHARE, _MIN_GENES, _MAX_GENES))
    weights, genes, terms = _weights(reader, space, questions, negatives, usable, n_genes, adata.var_names)
    scores = calibrated_scores(expression, weights, usable).astype(np.float32)
    taken = {
        key: {
            "asked": str(question),
            "kind": question.kind,
            "read_by": how if question.kind == "text" else "gene vectors",
            "negative": [str(other) for other in negatives[key]],
        }
        for key, question in questions.items()
    }
    for key, told in taken.items():
        logger.info("%s: %s %r, read by %s", key, told["kind"], told["asked"], told["read_by"])
    params = {
        "kind": kind,
        "n_genes": n_genes,
        "layer": layer,
        "gene_semantics_key": gene_semantics_key,
        "organism": space.match.organism,
        "gene_symbols": gene_symbols,
        "mask_var": recorded_mask(mask_var),
        "key_added": key_added,
    }
    record = run_record(
        "tl.query",
        params,
        queries=taken,
        expression=source,
        n_usable_genes=int(usable.sum()),
        genes=genes,
        terms=terms,
    )
    adata = working_copy(adata) if copy else adata
    fields["uns"] = {**fields.get("uns", {}), key_added: record}
    write_results(adata, obs={key: scores[:, place] for place, key in enumerate(questions)}, **fields)
    return adata if copy else None


def _reader(
    adata: AnnData, key: str, organism: str | None, gene_symbols: str | None
) -> tuple[Reader, Mapping[str, Any], dict[str, dict[str, Any]]]:
    """Return what reads questions, where the gene vectors come from, and the fields to write where they were absent."""
    names = names_of(adata, gene_symbols)
    vectors, fields = gene_vectors(adata, key, organism, gene_symbols)
    record = fields.get("uns", {}).get(key, adata.uns.get(key, {}))
    record = record if hasattr(record, "get") else {}
    match = match_of(adata, gene_symbols, organism or record.get("organism"))
    provenance, scaling = record.get("provenance", {}), record.get("scaling", {})
    is_builtin = provenance.get("name") == NAME and vectors.shape[1] == load_vocabulary("human").vectors.shape[1]
    space = QuerySpace(
        vectors, match, is_builtin, mean=scaling.get("mean", 0.0), deviation=scaling.get("deviation", 1.0)
    )
    return Reader(space, names), provenance, fields


def _weights(
    reader: Reader,
    space: QuerySpace,
    questions: Mapping[str, Any],
    negatives: Mapping[str, list[Any]],
    usable: NDArray[np.bool_],
    n_genes: int,
    names: pd.Index,
) -> tuple[NDArray[np.float64], pd.DataFrame, pd.DataFrame]:
    """Return the weights of genes in each query, shape (n_queries, n_vars), and tables of the genes and terms in it."""
    weights = np.zeros((len(questions), len(usable)))
    genes, terms = [], []
    for place, (key, question) in enumerate(questions.items()):
        entries = [(question, 1.0), *((other, -1.0 / len(negatives[key])) for other in negatives[key])]
        for entry, sign in entries:
            answer = reader.answer(entry)
            found = relevance(space.vectors, answer, usable, n_genes)
            if not found.any():
                msg = f"no gene in the data has a meaning near to {str(entry)!r}"
                raise ValueError(msg)
            weights[place] += sign * found / found.sum()
            told = space.vocabulary.terms.iloc[list(answer.terms)]
            terms.append(
                pd.DataFrame(
                    {
                        "query": key,
                        "asked": str(entry),
                        "term": told["name"].to_numpy(),
                        "id": told["id"].to_numpy(),
                        "similarity": list(answer.terms.values()),
                    }
                )
            )
        used = np.flatnonzero(weights[place])
        if not len(used):
            logger.warning("%s: what is asked and what counts against it are the same genes; every score is 0", key)
        used = used[np.argsort(-weights[place, used], kind="stable")]
        genes.append(pd.DataFrame({"query": key, "gene": names[used].astype(str), "weight": weights[place, used]}))
    return weights, pd.concat(genes, ignore_index=True), pd.concat(terms, ignore_index=True)
