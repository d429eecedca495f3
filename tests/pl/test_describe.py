from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

import semtx as st


@pytest.fixture
def described(tissue):
    st.tl.describe(tissue, "ground_truth")
    return tissue


def labels(axis):
    return [tick.get_text() for tick in axis]


def test_dots_are_effect_and_p_value(described):
    ax = st.pl.describe(described, n_terms=3, show=False)
    dots = ax.collections[0]
    rows, columns = labels(ax.get_yticklabels()), labels(ax.get_xticklabels())
    table = st.get.describe_df(described, all_terms=True).set_index(["term", "group"])
    assert columns == list(described.obs["ground_truth"].cat.categories)
    assert len(dots.get_offsets()) == len(rows) * len(columns), "each cluster has each term"
    sizes, effects = dots.get_sizes(), dots.get_array()
    full = {name: name for name in table.index.get_level_values(0)}
    for (x, y), size, effect in zip(dots.get_offsets(), sizes, effects, strict=True):
        name = rows[int(y)]
        if name not in full:  # shortened
            continue
        entry = table.loc[(name, columns[int(x)])]
        assert effect == pytest.approx(max(entry["effect"], 0))
        assert size / sizes.max() == pytest.approx(
            np.log10(entry["pval_adj"]) / np.log10(table["pval_adj"].min()), abs=1e-6
        )


def test_rims_tell_what_passes(described):
    ax = st.pl.describe(described, max_pval_adj=0.01, show=False)
    table = st.get.describe_df(described, all_terms=True)
    table = table[table["term"].isin(st.get.describe_df(described, max_pval_adj=0.01, n_terms=5)["term"])]
    rims = ax.collections[0].get_edgecolors()[:, 0]
    assert (rims < 0.5).sum() == (table["pval_adj"] <= 0.01).sum() > 0


def test_terms_come_once_in_the_order_of_clusters(described):
    ax = st.pl.describe(described, ["white matter", "layer 1"], n_terms=2, show=False)
    assert labels(ax.get_xticklabels()) == ["white matter", "layer 1"]
    assert labels(ax.get_yticklabels())[0] == "myelination"
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first on top"


def test_swapped(described):
    ax = st.pl.describe(described, "white matter", n_terms=1, swap_axes=True, title="mine", show=False)
    assert labels(ax.get_xticklabels()) == ["myelination"]
    assert labels(ax.get_yticklabels()) == ["white matter"]
    assert ax.get_title() == "mine"


def test_figure_and_axes(described):
    assert isinstance(st.pl.describe(described, return_fig=True), Figure)
    figure, ax = plt.subplots(figsize=(4, 2))
    assert st.pl.describe(described, ax=ax, vmax=1.0, cmap="Blues") is ax
    assert ax.collections[0].norm.vmax == 1
    assert ax.figure is figure


def test_nothing_passes(described):
    with pytest.raises(ValueError, match="no term of these clusters has an adjusted p-value of 0 or less"):
        st.pl.describe(described, max_pval_adj=0)


def test_no_result(tissue):
    with pytest.raises(KeyError, match=r"run st.tl.describe\(adata\) first"):
        st.pl.describe(tissue)


def test_no_such_cluster(described):
    with pytest.raises(KeyError, match="group 'missing'"):
        st.pl.describe(described, ["missing"])
