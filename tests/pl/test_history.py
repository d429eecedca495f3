from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pytest

import semtx as st

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture
def trained(tissue: AnnData) -> AnnData:
    epochs = np.arange(1, 31)
    losses = {"total": 3 / epochs, "zinb": 1 / epochs, "spatial": np.full(30, 0.7)}
    tissue.uns["semst"] = {"losses": losses}
    return tissue


def test_one_panel_for_each_loss(trained: AnnData) -> None:
    axes = st.pl.history(trained, show=False)
    assert [panel.get_title() for panel in axes] == ["total", "zinb", "spatial"]
    epochs, losses = axes[0].lines[0].get_data()
    assert epochs[0] == 1
    np.testing.assert_allclose(losses, trained.uns["semst"]["losses"]["total"])


def test_values_are_read_from_the_axis(trained: AnnData) -> None:
    trained.uns["semst"]["losses"] = {"zinb": 1.461 + np.linspace(1e-3, 0, 30)}
    ax = st.pl.history(trained, show=False)
    ax.figure.canvas.draw()
    assert ax.yaxis.get_offset_text().get_text() == ""
    assert all(label.get_text().startswith("1.46") for label in ax.get_yticklabels())


def test_all_on_given_axes(trained: AnnData) -> None:
    _, ax = plt.subplots()
    assert st.pl.history(trained, ax=ax, log=True) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["total", "zinb", "spatial"]
    assert ax.get_yscale() == "log"


def test_chosen_losses(trained: AnnData) -> None:
    figure = st.pl.history(trained, losses=["zinb"], return_fig=True)
    assert len(figure.axes) == 1
    with pytest.raises(KeyError, match="losses='kl'"):
        st.pl.history(trained, losses=["kl"])


def test_nothing_trained(tissue: AnnData) -> None:
    with pytest.raises(KeyError, match=r"run st.tl.semst\(adata\) first"):
        st.pl.history(tissue)
