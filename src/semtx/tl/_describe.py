"""``tl.describe``: what sets each cluster apart, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from semtx import _keys
from semtx._logging import logger
from semtx._record import recorded_mask, run_record, working_copy, write_results
from semtx._validate import (
    check_anndata,
    check_choice,
    check_integer,
    check_key_added,
    check_number,
    gene_mask,
    resolve_table,
)
from semtx.pp._cell_inputs import normalized_expression
from semtx.pp._gene_names import match_of
from semtx.semantics import excluded_genes, load_vocabulary, score_genes
from semtx.semantics._enrichment import enrichment, raised_profile, strata_of
from semtx.semantics._genes import DEFAULT_EXCLUDED, group_names
from semtx.tl._describe_terms import Evidence, check_genes, clusters, term_table, term_weights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from anndata import AnnData
    from numpy.typing import NDArray


def describe(
    adata: AnnData,
    groupby: str = _keys.SEMST,
    *,
    terms: Mapping[str, Iterable[str]] | None = None,
    evidence: Evidence = "both",
    n_terms: int = 50,
    max_redundancy: float | None = 0.7,
    min_genes: int = 5,
    min_cells: int = 10,
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    exclude: Collection[str] = DEFAULT_EXCLUDED,
    organism: str | None = None,
    gene_symbols: str | None = None,
    key_added: str = _keys.DESCRIBE,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Say in words what sets each cluster apart.

    A cluster's profile is how far it raises each gene against all other cells. A term (a GO term or a gene family, see
    :func:`semtx.semantics.load_vocabulary`) has a weight on each gene: 1 for genes that records say belong to it, and 1
    more for genes whose vector is among the nearest to that of the term's name. The score is the product of the two, and is
    tested against giving the terms' weights to other genes of like mean expression at random: the p-values follow from the
    exact mean, variance and skewness over all such permutations [1]_, so nothing is drawn and no seed is needed. They are
    corrected over all terms and clusters together (Benjamini and Hochberg).

    Permuting genes, not cells, asks whether it is these genes of all that the cluster raises, as clusters made from
    the same cells differ in some genes in any case. Genes that are expressed together count as if they were independent:
    take p-values as a ranking with a scale rather than as error rates. Terms say what genes do; which layer of cortex a
    domain is, or which type a cell, is not in them except where a function gives it away. Bring your own sets with
    ``terms`` for that.

    Parameters
    ----------
    adata
        Raw counts or log-normalised values, and clusters in ``adata.obs[groupby]``.
    groupby
        Column of ``adata.obs``; cells without a value are left out.
    terms
        Your own terms in place of the vocabulary: name to gene names. They have no vectors: records are the evidence.
    evidence
        ``"records"`` (who belongs to a term), ``"vectors"`` (who is near it; 30 genes, or 2 % of few) or ``"both"``. The
        built-in vectors serve whatever ``adata.varm`` holds, since those of the terms were made by the same encoder.
    n_terms
        Terms to keep for each cluster; all are tested.
    max_redundancy
        A term whose genes, weighted by what each adds to the score, have a cosine above this with those of a better term
        of the same cluster is not kept. ``None`` keeps them.
    min_genes
        Least number of genes of a term in the data.
    min_cells
        Least number of cells that a gene is found in.
    layer
        Layer to read; ``None`` looks into ``layers["counts"]``, ``X`` and ``raw``.
    mask_var
        Genes that may enter: a boolean column of ``adata.var`` or a boolean array of shape (n_vars,).
    exclude
        Groups of genes kept out, see :func:`semtx.semantics.excluded_genes`.
    organism
        ``"human"`` or ``"mouse"``; ``None`` tells from the names.
    gene_symbols
        Column of ``adata.var`` with gene names, where ``var_names`` are something else.
    key_added
        Key of the result.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['describe' | key_added]` : `pandas.DataFrame`
        One row per cluster and term: ``group``, ``term``, ``id``, ``effect`` (how many standard deviations the term's genes
        are raised beyond others of like expression, a weighted mean), ``pval``, ``pval_adj``, ``n_genes`` (of the term in the
        data), ``genes`` (up to ten that carry the term in this cluster, the strongest first) and ``rank`` (from 1; 0 for a
        term that is kept for the sake of another cluster). Get it with :func:`semtx.get.describe_df`.
    `adata.uns['describe_record']` : `dict`
        Parameters, numbers of genes and terms, where the vocabulary comes from.

    Raises
    ------
    KeyError
        ``groupby``, ``layer``, ``gene_symbols`` or ``mask_var`` does not exist.
    ValueError
        There are not two clusters to compare, no gene or no term is left, or the values are no expression.

    References
    ----------
    .. [1] Larson JL, Owen AB. Moment based gene set tests. BMC Bioinformatics 16, 132 (2015). Their moments of linear
       statistics, here of permutations of genes within strata.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.cells(300)
    >>> st.tl.describe(adata, "ground_truth")
    >>> best = st.get.describe_df(adata).groupby("group").first()
    >>> best.loc["B", "term"], bool(best.loc["B", "pval_adj"] < 0.05)
    ('B cell receptor signaling pathway', True)
    """
    adata = resolve_table(adata, table_key)
    check_key_added(key_added, groupby)
    check_anndata(adata)
    check_choice("evidence", evidence, get_args(Evidence))
    check_integer("n_terms", n_terms, minimum=1)
    check_integer("min_genes", min_genes, minimum=1)
    check_integer("min_cells", min_cells, minimum=1)
    if max_redundancy is not None:
        check_number("max_redundancy", max_redundancy, minimum=0, maximum=1)
    groups = clusters(adata, groupby)
    mask = gene_mask(adata, mask_var)
    match = match_of(adata, gene_symbols, organism)
    exclude = group_names(exclude)
    expression, source = normalized_expression(adata, layer)
    log = score_genes(expression)[(groups.codes >= 0).nonzero()[0]]
    used = mask & match.matched & ~excluded_genes(match.symbols, exclude) & (log.getnnz(axis=0) >= min_cells)
    check_genes(used, match, min_cells)
    codes = groups.codes[groups.codes >= 0].astype(np.intp)
    profile, mean = raised_profile(log[:, np.flatnonzero(used)], codes, len(groups.categories))

    own = terms is not None
    evidence = "records" if own else evidence
    found, weights = term_weights(match, used, terms, evidence, min_genes)
    result = enrichment(weights, profile, strata_of(mean))
    names = np.asarray(adata.var_names, dtype=object)[used]
    table = term_table(groups.categories, found, result, weights, profile, names, n_terms, max_redundancy)
    significant = table[(table["rank"] > 0) & (table["pval_adj"] < 0.05)].groupby("group", sort=False).size().to_dict()
    logger.info("%d terms tested; of those kept, below 0.05: %s", len(found), significant)

    params = {
        "groupby": groupby,
        "terms": "own" if own else "vocabulary",
        "evidence": evidence,
        "n_terms": n_terms,
        "max_redundancy": max_redundancy,
        "min_genes": min_genes,
        "min_cells": min_cells,
        "layer": layer,
        "mask_var": recorded_mask(mask_var),
        "exclude": exclude,
        "gene_symbols": gene_symbols,
        "key_added": key_added,
    }
    record = run_record(
        "tl.describe",
        params,
        organism=match.organism,
        expression=source,
        n_genes=int(used.sum()),
        n_terms_tested=len(found),
        n_cells={str(name): int(n) for name, n in zip(groups.categories, np.bincount(codes), strict=True)},
        vocabulary={} if own else load_vocabulary(match.organism).provenance,
    )
    adata = working_copy(adata) if copy else adata
    write_results(adata, uns={key_added: table, key_added + _keys.RECORD_SUFFIX: record})
    return adata if copy else None
