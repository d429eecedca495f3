"""The losses of a training as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from semtx import _keys
from semtx._validate import check_key, listed, resolve_table

if TYPE_CHECKING:
    from anndata import AnnData


def history_df(adata: AnnData, key: str = _keys.SEMST, *, table_key: str | None = None) -> pd.DataFrame:
    """Losses of each epoch of a training.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    key
        Key of `adata.uns` with the run record that a tool wrote (its `key_added`).
    table_key
        Table of a SpatialData object.

    Returns
    -------
    A :class:`pandas.DataFrame` with one row for each epoch, counted from 1, and one column for each loss.

    Raises
    ------
    KeyError
        There is no such record, or it has no losses.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=60)
    >>> adata.uns["semst"] = {"losses": {"total": [3.0, 2.0], "zinb": [1.0, 0.5]}}
    >>> st.get.history_df(adata)
           total  zinb
    epoch
    1        3.0   1.0
    2        2.0   0.5
    """
    adata = resolve_table(adata, table_key)
    record = check_key(adata, "uns", key, parameter="key", fix="run st.tl.semst(adata) first")
    losses = record.get("losses") if hasattr(record, "get") else None
    if not losses:
        known = listed(record) if hasattr(record, "keys") else type(record).__name__
        msg = f"adata.uns[{key!r}] has no losses, it has {known}; give the key of a trained model's record"
        raise KeyError(msg)
    columns = {name: pd.Series(np.asarray(values, dtype=float).ravel()) for name, values in losses.items()}
    table = pd.DataFrame(columns)
    table.index = pd.RangeIndex(1, len(table) + 1, name="epoch")
    return table
