"""What ``tl.describe`` reads and writes: clusters, terms with the weights of their genes, the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy import sparse, stats

from semtx._validate import check_key
from semtx.semantics import builtin_vectors, load_vocabulary, match_genes
from semtx.semantics._enrichment import distinct_rows, nearest_genes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from numpy.typing import NDArray

    from semtx.semantics import GeneMatch
    from semtx.semantics._enrichment import Enrichment

Evidence = Literal["both", "records", "vectors"]
_NEAREST = 30
_NEAREST_SHARE = 0.02
_CANDIDATES = 20  # terms looked at for each that is kept
_CARRIERS = 10


def clusters(adata: AnnData, groupby: str) -> pd.Categorical:
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


def check_genes(used: NDArray[np.bool_], match: GeneMatch, min_cells: int) -> None:
    if used.sum() < 3:
        msg = (
            f"{used.sum()} of {len(used)} genes are left to describe clusters by: {int(match.matched.sum())} match a known "
            f"{match.organism} gene; those in mask_var, not excluded and found in {min_cells} or more cells are used. Lower "
            "min_cells, or pass gene_symbols= if var_names are no gene names"
        )
        raise ValueError(msg)


def term_weights(
    match: GeneMatch,
    used: NDArray[np.bool_],
    own: Mapping[str, Iterable[str]] | None,
    evidence: Evidence,
    min_genes: int,
) -> tuple[pd.DataFrame, sparse.csr_matrix]:
    """Return the terms of enough genes (``name``, ``id``, ``n_genes``) and the weight of each gene in each of them."""
    rows = match.rows[used]
    if own is not None:
        found, belongs = _own_terms(own, match)
    else:
        vocabulary = load_vocabulary(match.organism)
        found, belongs = vocabulary.terms[["name", "id"]], vocabulary.members
    members = belongs[:, rows].tocsr().astype(np.float64)
    found = found.assign(n_genes=members.getnnz(axis=1))
    enough = (found["n_genes"] >= min_genes).to_numpy()
    if not enough.any():
        msg = f"no term has {min_genes} or more of the {len(rows)} genes that are used; lower min_genes"
        raise ValueError(msg)
    found, members = found[enough].reset_index(drop=True), members[enough]
    if evidence == "records":
        return found, members
    n_nearest = min(_NEAREST, max(1, round(_NEAREST_SHARE * len(rows))))
    near = nearest_genes(load_vocabulary(match.organism).vectors[enough], builtin_vectors(match)[used], n_nearest)
    return found, near if evidence == "vectors" else (members + near).tocsr()


def _own_terms(own: Mapping[str, Iterable[str]], match: GeneMatch) -> tuple[pd.DataFrame, sparse.csr_matrix]:
    """Find the genes of the user's own terms in the facts table."""
    if not isinstance(own, Mapping):
        msg = f"terms must be a dict from the name of a term to its genes, or None for the vocabulary; got {own!r}"
        raise TypeError(msg)
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


def term_table(
    groups: pd.Index,
    terms: pd.DataFrame,
    result: Enrichment,
    weights: sparse.csr_matrix,
    profile: NDArray[np.float64],
    names: NDArray[np.object_],
    n_terms: int,
    max_redundancy: float | None,
) -> pd.DataFrame:
    """Return the best terms of each group, ranked, those that say the same left out; then what other groups have kept."""
    adjusted = stats.false_discovery_control(result.pval, axis=None).reshape(result.pval.shape)
    # among equal p-values, as where they are too small for a float, the larger effect comes first
    orders = [np.lexsort((-result.effect[:, code], result.pval[:, code])) for code in range(len(groups))]
    best = []
    for code, order in enumerate(orders):
        candidates = order[: n_terms * _CANDIDATES]
        best.append(candidates[distinct_rows(_added(weights, profile, candidates, code), n_terms, max_redundancy)])
    kept = np.zeros(len(terms), dtype=bool)
    kept[np.concatenate(best)] = True
    parts = []
    for code, (group, own, order) in enumerate(zip(groups, best, orders, strict=True)):
        rest = order[kept[order] & ~np.isin(order, own)]
        chosen = np.concatenate([own, rest])
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
                    "genes": _carriers(_added(weights, profile, chosen, code), names),
                    "rank": np.concatenate([np.arange(len(own)) + 1, np.zeros(len(rest), dtype=np.intp)]),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _added(
    weights: sparse.csr_matrix, profile: NDArray[np.float64], rows: NDArray[np.intp], code: int
) -> sparse.csr_matrix:
    """Return what each gene adds to the score of some terms in a group."""
    adds = weights[rows].multiply(profile[code]).tocsr()
    adds.eliminate_zeros()
    return adds


def _carriers(adds: sparse.csr_matrix, names: NDArray[np.object_]) -> list[str]:
    """Name the genes that add most to each term."""
    carriers = []
    for start, stop in zip(adds.indptr[:-1], adds.indptr[1:], strict=True):
        strongest = np.argsort(-adds.data[start:stop], kind="stable")[:_CARRIERS]
        carriers.append(", ".join(str(name) for name in names[adds.indices[start:stop][strongest]]))
    return carriers
