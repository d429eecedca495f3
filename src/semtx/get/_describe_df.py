"""The terms that set clusters apart as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from semtx import _keys
from semtx._validate import check_integer, check_key, check_number, resolve_table
from semtx.get._groups import wanted_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def describe_df(
    adata: AnnData,
    group: str | Sequence[str] | None = None,
    *,
    max_pval_adj: float = 1.0,
    n_terms: int | None = None,
    all_terms: bool = False,
    key: str = _keys.DESCRIBE,
    table_key: str | None = None,
) -> pd.DataFrame:
    """Terms that set clusters apart.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    group
        One cluster or several, in the order they are to have; all by default.
    max_pval_adj
        Leave out terms with an adjusted p-value above it.
    n_terms
        Terms of each cluster, the best ones; all by default.
    all_terms
        Also how each cluster does in the terms that are kept for others: those of rank 0, after its own.
    key
        Key of `adata.uns` with the result of :func:`semtx.tl.describe` (its `key_added`).
    table_key
        Table of a SpatialData object.

    Returns
    -------
    A :class:`pandas.DataFrame`, a copy, with the columns that :func:`semtx.tl.describe` names, best terms first in each
    cluster.

    Raises
    ------
    KeyError
        There is no such result, or no such cluster in it.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(300)
    >>> st.tl.describe(adata, "ground_truth")
    >>> st.get.describe_df(adata, "white matter", n_terms=1)[["group", "term"]]
              group         term
    0  white matter  myelination
    """
    adata = resolve_table(adata, table_key)
    check_number("max_pval_adj", max_pval_adj, minimum=0, maximum=1)
    check_integer("n_terms", n_terms, minimum=1, optional=True)
    table = check_key(adata, "uns", key, parameter="key", fix="run st.tl.describe(adata) first")
    if not isinstance(table, pd.DataFrame) or not {"group", "term", "pval_adj", "rank"} <= set(table):
        msg = f"adata.uns[{key!r}] is no result of st.tl.describe; give its key_added as key="
        raise KeyError(msg)
    wanted = wanted_groups(table, group, key)
    shown = table[(table["pval_adj"] <= max_pval_adj) & (all_terms | (table["rank"] > 0))]
    parts = [shown[shown["group"] == one].head(n_terms or len(table)) for one in wanted]
    return pd.concat([shown[:0], *parts], ignore_index=True)
