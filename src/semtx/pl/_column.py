"""A column of ``obs`` or ``var`` as it is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd


def as_categories(column: pd.Series, *, is_view: bool) -> pd.Series:
    """Return labels as categories; of a view, only those that it still has."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object).where(column.notna(), None).astype("category")
    return column.cat.remove_unused_categories() if is_view else column


def as_drawn(column: pd.Series, *, is_view: bool) -> pd.Series:
    """Return numbers as float, NaN where they are not finite, and anything else as categories."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(float).replace([np.inf, -np.inf], np.nan)
    return as_categories(column, is_view=is_view)
