from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from semtx.pl._column import as_categories, as_drawn


@pytest.mark.parametrize("values", [["b", None, "a"], [True, None, False], pd.Categorical(["b", None, "a"])])
def test_labels_become_categories_and_missing_ones_stay_missing(values: object) -> None:
    drawn = as_drawn(pd.Series(values), is_view=False)
    assert isinstance(drawn.dtype, pd.CategoricalDtype)
    assert drawn.isna().tolist() == [False, True, False]


def test_numbers_become_float_without_infinity() -> None:
    drawn = as_drawn(pd.Series([1, 2]), is_view=False)
    assert drawn.dtype == float
    np.testing.assert_array_equal(as_drawn(pd.Series([1.0, np.inf, np.nan]), is_view=False), [1.0, np.nan, np.nan])


def test_numbers_become_categories_where_labels_are_asked() -> None:
    assert list(as_categories(pd.Series([2, 1, 2]), is_view=False).cat.categories) == [1, 2]


def test_a_view_drops_the_categories_that_it_lost() -> None:
    column = pd.Series(pd.Categorical(["a", "b"]))
    assert list(as_categories(column[:1], is_view=True).cat.categories) == ["a"]
    assert list(as_categories(column, is_view=False)[:1].cat.categories) == ["a", "b"]
