"""``tl.describe``: what sets each cluster apart, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from scipy import sparse, stats

from semtx import _keys
from semtx._logging import logger
from semtx._record import run_record, working_copy, write_results
from semtx._validate import (
    check_anndata,
    check_choice,
    check_integer,
    check_key,
    check_key_added,
    check_number,
    gene_mask,
    resolve_table,
)
from semtx.semantics import builtin_vectors, excluded_genes, load_vocabulary, match_genes, score_genes
from semtx.semantics._enrichment import distinct_rows, enrichment, nearest_genes, raised_profile, strata_of
from semtx.semantics._genes import DEFAULT_EXCLUDED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    from semtx.semantics import GeneMatch
    from semtx.semantics._enrichment import Enrichment

Evidence = Literal["both", "records", "vectors"]
COLUMNS = ("group", "term", "id", "effect", "pval", "pval_adj", "n_genes", "genes")
_NEAREST = 30
_NEAREST_SHARE = 0.02
_CANDIDATES = 20  # terms looked at for each that is kept


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
        One row per cluster and term kept, best first: ``group``, ``term``, ``id``, ``effect`` (how many standard deviations
        the term's genes are raised beyond others of like expression, a weighted mean), ``pval``, ``pval_adj``, ``n_genes`` (of
        the term in the data) and ``genes`` (up to ten that carry the term in this cluster, the strongest first). Get it
        with :func:`semtx.get.describe_df`.
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
    check_key_added(key_added)
    check_anndata(adata)
    check_choice("evidence", evidence, get_args(Evidence))
    check_integer("n_terms", n_terms, minimum=1)
    check_integer("min_genes", min_genes, minimum=1)
    check_integer("min_cells", min_cells, minimum=1)
    if max_redundancy is not None:
        check_number("max_redundancy", max_redundancy, minimum=0, maximum=1)
    groups = _groups(adata, groupby)
    mask = gene_mask(adata, mask_var)
    from semtx.pp._cell_inputs import normalized_expression
    from semtx.pp._gene_names import ensembl_of, names_of

    match = match_genes(names_of(adata, gene_symbols), organism=organism, ensembl_ids=ensembl_of(adata, None)[0])
    exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    expression, source = normalized_expression(adata, layer)
    log = score_genes(expression)[(groups.codes >= 0).nonzero()[0]]
    used = mask & match.matched & ~excluded_genes(match.symbols, exclude) & (log.getnnz(axis=0) >= min_cells)
    _check_genes(used, match, min_cells)
    codes = groups.codes[groups.codes >= 0].astype(np.intp)
    profile, mean = raised_profile(log[:, np.flatnonzero(used)], codes, len(groups.categories))

    found, members, weights = _weights(match, used, terms, "records" if terms is not None else evidence, min_genes)
    result = enrichment(weights, profile, strata_of(mean))
    names = np.asarray(adata.var_names, dtype=object)[used]
    size = members.getnnz(axis=1)
    table = _table(
        groups.categories, found.assign(n_genes=size), result, weights, profile, names, n_terms, max_redundancy
    )
    significant = table[table["pval_adj"] < 0.05].groupby("group", sort=False).size().to_dict()
    logger.info("%d terms tested; of those kept, below 0.05: %s", len(found), significant)

    params = {
        "groupby": groupby,
        "terms": "vocabulary" if terms is None else "own",
        "evidence": evidence if terms is None else "records",
        "n_terms": n_terms,
        "max_redundancy": max_redundancy,
        "min_genes": min_genes,
        "min_cells": min_cells,
        "layer": layer,
        "mask_var": mask_var if isinstance(mask_var, str) or mask_var is None else "array",
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
        vocabulary=load_vocabulary(match.organism).provenance if terms is None else {},
    )
    adata = working_copy(adata) if copy else adata
    write_results(adata, uns={key_added: table, key_added + _keys.RECORD_SUFFIX: record})
    return adata if copy else None


def _groups(adata: AnnData, groupby: str) -> pd.Categorical:
    """Return the clusters that have a cell."""
    column = check_key(
        adata,
        "obs",
        groupby,
        parameter="groupby",
        fix="run st.tl.semst(adata) first, or name a column of clusters with groupby=",
    )
    groups = column.astype("category").cat.remove_unused_categories().array
    if len(groups.categories) < 2:
        msg = f"adata.obs[{groupby!r}] has {len(groups.categories)} cluster; what sets it apart needs another to compare with"
        raise ValueError(msg)
    if 2 * len(groups.categories) > len(groups) + 2:
        msg = (
            f"adata.obs[{groupby!r}] has {len(groups.categories)} values for {len(groups)} observations; name a column of "
            "clusters with groupby="
        )
        raise ValueError(msg)
    return groups


def _check_genes(used: NDArray[np.bool_], match: GeneMatch, min_cells: int) -> None:
    if used.sum() < 3:
        msg = (
            f"{used.sum()} of {len(used)} genes are left to describe clusters by: {int(match.matched.sum())} match a known "
            f"{match.organism} gene; those in mask_var, not excluded and found in {min_cells} or more cells are used. Lower "
            "min_cells, or pass gene_symbols= if var_names are no gene names"
        )
        raise ValueError(msg)


def _weights(
    match: GeneMatch,
    used: NDArray[np.bool_],
    own: Mapping[str, Iterable[str]] | None,
    evidence: Evidence,
    min_genes: int,
) -> tuple[pd.DataFrame, sparse.csr_matrix, sparse.csr_matrix]:
    """Return terms of enough genes, their members and the weights of genes in them, shape (n_terms, n_genes)."""
    rows = match.rows[used]
    if own is not None:
        found, belongs = _own_terms(own, match)
    else:
        vocabulary = load_vocabulary(match.organism)
        found, belongs = vocabulary.terms[["name", "id"]], vocabulary.members
    members = belongs[:, rows].tocsr().astype(np.float64)
    enough = members.getnnz(axis=1) >= min_genes
    if not enough.any():
        msg = f"no term has {min_genes} or more of the {len(rows)} genes that are used; lower min_genes"
        raise ValueError(msg)
    found, members = found[enough].reset_index(drop=True), members[enough]
    if evidence == "records":
        return found, members, members
    n_nearest = min(_NEAREST, max(1, round(_NEAREST_SHARE * len(rows))))
    near = nearest_genes(load_vocabulary(match.organism).vectors[enough], builtin_vectors(match)[used], n_nearest)
    return found, members, near if evidence == "vectors" else (members + near).tocsr()


def _own_terms(own: Mapping[str, Iterable[str]], match: GeneMatch) -> tuple[pd.DataFrame, sparse.csr_matrix]:
    """Find the genes of the user's own terms in the facts table."""
    if not own:
        msg = "terms is empty; give a dict from the name of a term to its genes, or None for the vocabulary"
        raise ValueError(msg)
    genes = [[genes] if isinstance(genes, str) else list(genes) for genes in own.values()]
    matched = match_genes([gene for one in genes for gene in one], organism=match.organism)
    which = np.repeat(np.arange(len(genes)), [len(one) for one in genes])[matched.matched]
    shape = (len(genes), len(match.table))
    members = sparse.csr_matrix((np.ones(len(which)), (which, matched.rows[matched.matched])), shape)
    members.data[:] = 1
    names = [str(name) for name in own]
    return pd.DataFrame({"name": names, "id": names}), members


def _table(
    groups: pd.Index,
    terms: pd.DataFrame,
    result: Enrichment,
    weights: sparse.csr_matrix,
    profile: NDArray[np.float64],
    names: NDArray[np.object_],
    n_terms: int,
    max_redundancy: float | None,
) -> pd.DataFrame:
    """Return the best terms of each group, those that say the same left out."""
    adjusted = stats.false_discovery_control(result.pval, axis=None).reshape(result.pval.shape)
    parts = []
    for code, group in enumerate(groups):
        # among equal p-values, as where they are too small for a float, the larger effect comes first
        order = np.lexsort((-result.effect[:, code], result.pval[:, code]))[: n_terms * _CANDIDATES]
        adds = weights[order].multiply(profile[code]).tocsr()
        adds.eliminate_zeros()
        kept = distinct_rows(adds, n_terms, max_redundancy)
        chosen = order[kept]
        parts.append(
            pd.DataFrame(
                {
                    "group": str(group),
                    "term": terms["name"].to_numpy()[chosen],
                    "id": terms["id"].to_numpy()[chosen],
                    "effect": result.effect[chosen, code],
                    "pval": result.pval[chosen, code],
                    "pval_adj": adjusted[chosen, code],
                    "n_genes": terms["n_genes"].to_numpy()[chosen],
                    "genes": [", ".join(_strongest(adds, row, names)) for row in kept],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _strongest(adds: sparse.csr_matrix, row: int, names: NDArray[np.object_], n_genes: int = 10) -> NDArray[np.object_]:
    span = slice(adds.indptr[row], adds.indptr[row + 1])
    best = np.argsort(-adds.data[span], kind="stable")[:n_genes]
    strongest: NDArray[np.object_] = names[adds.indices[span][best]]
    return strongest
