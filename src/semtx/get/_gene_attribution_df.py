"""Genes that move the modulation of domains, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from semtx import _keys
from semtx._validate import check_integer, check_key, resolve_table
from semtx.get._groups import wanted_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def gene_attribution_df(
    adata: AnnData,
    group: str | Sequence[str] | None = None,
    *,
    n_genes: int | None = None,
    key: str = _keys.GENE_ATTRIBUTION,
    table_key: str | None = None,
) -> pd.DataFrame:
    """Genes that move the modulation of each domain, best first.

    Parameters
    ----------
    adata
        Result of :func:`semtx.tl.gene_attribution`.
    group
        Groups to show; all by default.
    n_genes
        Genes of each group that push it most; all by default, which sum to the whole.
    key
        Key of `adata.uns`.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    A :class:`pandas.DataFrame` with the columns ``group``, ``gene``, ``attribution``, ``share`` (of the group's total;
    they sum to 1), ``scale`` and ``shift`` (the parts of the attribution that go through alpha and beta) and ``weight``
    (share of the gene in the group's mean semantics, minus its share in all).

    Raises
    ------
    KeyError
        There is no such result, or no such group.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> st.tl.semst(adata, 5, max_epochs=10, accelerator="cpu", store_modulation=True)
    >>> st.tl.gene_attribution(adata)
    >>> table = st.get.gene_attribution_df(adata, "0")
    >>> f"{table['share'].sum():.3f}"
    '1.000'
    """
    adata = resolve_table(adata, table_key)
    check_integer("n_genes", n_genes, minimum=1, optional=True)
    table = check_key(adata, "uns", key, parameter="key", fix="run st.tl.gene_attribution(adata) first")
    if not isinstance(table, pd.DataFrame) or not {"group", "gene", "attribution"} <= set(table):
        msg = f"adata.uns[{key!r}] is no result of st.tl.gene_attribution; give its key_added as key="
        raise KeyError(msg)
    table = table[table["group"].isin(wanted_groups(table, group, key))]
    if n_genes is not None:
        table = table.groupby("group", sort=False).head(n_genes)
    found: pd.DataFrame = table.reset_index(drop=True)
    return found
