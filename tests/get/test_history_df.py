from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import semtx as st

if TYPE_CHECKING:
    from anndata import AnnData


def test_losses_of_each_epoch(tissue: AnnData) -> None:
    tissue.uns["mine"] = {"losses": {"total": np.array([3.0, 2.0]), "zinb": np.array([1.0, 0.5])}}
    table = st.get.history_df(tissue, "mine")
    assert table.index.tolist() == [1, 2]
    assert table.index.name == "epoch"
    assert table["zinb"].tolist() == [1.0, 0.5]


def test_a_loss_that_starts_or_ends_early_is_padded(tissue: AnnData) -> None:
    tissue.uns["semst"] = {"losses": {"total": [3.0, 2.0, 1.0], "spatial": [1.0]}}
    assert st.get.history_df(tissue)["spatial"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize("record", [{"params": {}}, {"losses": {}}, np.zeros(3)])
def test_no_losses(tissue: AnnData, record: object) -> None:
    with pytest.raises(KeyError, match=r"not in adata\.uns"):
        st.get.history_df(tissue)
    tissue.uns["semst"] = record
    with pytest.raises(KeyError, match="has no losses"):
        st.get.history_df(tissue)
