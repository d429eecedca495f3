from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import semtx as st

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture
def clustered() -> AnnData:
    """Nine clusters, of which 3 and 5 are hard to tell apart and 0 is certain."""
    adata = st.datasets.cells(400)
    codes = adata.obs["ground_truth"].cat.codes.to_numpy()
    weights = np.random.default_rng(0).random((400, 9)) + 6 * np.eye(9)[codes]
    for one, other in ((3, 5), (5, 3)):
        weights[codes == one, other] += np.random.default_rng(one).uniform(2, 6, (codes == one).sum())
    weights[codes == 0, 0] += 100
    adata.obs["scllm_dsc"] = pd.Categorical(codes.astype(str))
    proba = weights / weights.sum(axis=1, keepdims=True)
    adata.obsm["scllm_dsc_proba"] = proba.astype(np.float32)
    adata.obs["scllm_dsc_confidence"] = proba.max(axis=1).astype(np.float32)
    return adata


def _rows(ax: plt.Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def _notes(ax: plt.Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_least_certain_come_first(clustered: AnnData) -> None:
    left, _ = st.pl.confidence(clustered, show=False)
    names = [row.split(" ")[0] for row in _rows(left)]
    assert set(names[:2]) == {"3", "5"}
    assert names[-1] == "0"
    sizes = clustered.obs["scllm_dsc"].value_counts()
    assert _rows(left) == [f"{name} ({sizes[name]})" for name in names]
    unsorted, _ = st.pl.confidence(clustered, sort=False, show=False)
    assert [row.split(" ")[0] for row in _rows(unsorted)] == list("012345678")


def test_share_below_the_threshold(clustered: AnnData) -> None:
    left, _ = st.pl.confidence(clustered, threshold=0.55, sort=False, show=False)
    low = (clustered.obs["scllm_dsc_confidence"] < 0.55).groupby(clustered.obs["scllm_dsc"], observed=True).mean()
    expected = [f"{100 * share:.0f}%" for share in low]
    assert _notes(left) == [*expected, "below 0.55"]
    assert left.lines[-1].get_xdata()[0] == 0.55


def test_confusion_is_the_mean_probability(clustered: AnnData) -> None:
    left, right = st.pl.confidence(clustered, show=False)
    order = [int(row.split(" ")[0]) for row in _rows(left)]
    codes = clustered.obs["scllm_dsc"].cat.codes.to_numpy()
    mean = np.stack([clustered.obsm["scllm_dsc_proba"][codes == code].mean(axis=0) for code in range(9)])
    drawn = right.images[0].get_array()
    expected = mean[np.ix_(order, order)]
    outside = ~np.eye(9, dtype=bool)
    np.testing.assert_allclose(np.asarray(drawn)[outside], expected[outside], rtol=1e-5)
    assert np.ma.getmaskarray(np.ma.masked_invalid(drawn)).diagonal().all()
    assert [label.get_text() for label in right.get_xticklabels()] == [str(code) for code in order]


@pytest.mark.parametrize("kind", ["violin", "box"])
def test_few_cells_are_drawn_one_by_one(clustered: AnnData, kind: str) -> None:
    left, _ = st.pl.confidence(clustered, kind=kind, sort=False, show=False)
    (few,) = [c for c in left.collections if len(c.get_offsets()) == 4]
    cells = clustered.obs["scllm_dsc_confidence"][clustered.obs["scllm_dsc"] == "8"]
    np.testing.assert_allclose(few.get_offsets()[:, 0], cells, rtol=1e-5)


def test_beside_another_plot_the_likely_cluster_is_named(clustered: AnnData) -> None:
    _, ax = plt.subplots()
    assert st.pl.confidence(clustered, ax=ax) is ax
    notes = dict(zip([row.split(" ")[0] for row in _rows(ax)], _notes(ax)[:-1], strict=True))
    assert notes["3"].endswith(", 5")
    assert notes["5"].endswith(", 3")
    assert _notes(ax)[-1] == "below 0.5, may be"


def test_without_probabilities(clustered: AnnData) -> None:
    assert isinstance(st.pl.confidence(clustered, confusion=False, show=False), plt.Axes)
    del clustered.obsm["scllm_dsc_proba"]
    assert isinstance(st.pl.confidence(clustered, show=False), plt.Axes)
    with pytest.raises(KeyError, match=r"'scllm_dsc_proba' is not in adata\.obsm"):
        st.pl.confidence(clustered, confusion=True)


def test_part_of_the_cells(clustered: AnnData) -> None:
    """Columns of clusters that are not there are left out, by number or by name."""
    part = clustered[clustered.obs["scllm_dsc"].isin(["3", "5", "8"])]
    left, right = st.pl.confidence(part, sort=False, show=False)
    assert part.is_view
    codes = part.obs["scllm_dsc"].astype(int).to_numpy()
    expected = part.obsm["scllm_dsc_proba"][codes == 3].mean(axis=0)[5]
    assert right.images[0].get_array()[0, 1] == pytest.approx(expected, rel=1e-5)
    assert len(_rows(left)) == 3
    named = part.copy()
    named.obs["scllm_dsc"] = named.obs["scllm_dsc"].cat.rename_categories({"3": "x", "5": "y", "8": "z"})
    with pytest.raises(ValueError, match=r"shape \(\d+, 9\).*3 categories.*confusion=False"):
        st.pl.confidence(named)
    names = [*"abc", "x", "d", "y", *"ef", "z"]
    named.obsm["scllm_dsc_proba"] = pd.DataFrame(named.obsm["scllm_dsc_proba"], index=named.obs_names, columns=names)
    _, right = st.pl.confidence(named, sort=False, show=False)
    assert right.images[0].get_array()[0, 1] == pytest.approx(expected, rel=1e-5)


def test_missing_values_and_one_cluster(clustered: AnnData) -> None:
    clustered.obs.loc[clustered.obs_names[:10], "scllm_dsc_confidence"] = np.nan
    clustered.obs.loc[clustered.obs_names[10:15], "scllm_dsc"] = np.nan
    left, _ = st.pl.confidence(clustered, show=False)
    assert sum(int(row.split("(")[1][:-1]) for row in _rows(left)) == 385
    clustered.obs["one"] = pd.Categorical(["a"] * 400)
    clustered.obs["one_confidence"] = 1.0
    clustered.obsm["one_proba"] = np.ones((400, 1))
    left, _ = st.pl.confidence(clustered, "one", show=False)
    assert _notes(left)[0] == "0%"
    left.figure.draw_without_rendering()


def test_colours_are_those_of_the_other_plots(clustered: AnnData) -> None:
    clustered.uns["scllm_dsc_colors"] = ["#00000" + str(i) for i in range(9)]
    left, _ = st.pl.confidence(clustered, sort=False, show=False)
    violin = left.collections[0].get_facecolor()[0]
    assert tuple(np.round(violin[:3] * 255)) == (0, 0, 0)
    st.pl.confidence(clustered, palette="tab10", show=False)
    assert clustered.uns["scllm_dsc_colors"][1] == "#ff7f0e"


def test_bad_input(clustered: AnnData) -> None:
    with pytest.raises(KeyError, match=r"key='semst' is not in adata.obs.*key_added"):
        st.pl.confidence(clustered, "semst")
    with pytest.raises(KeyError, match=r"'batch_confidence' is not in adata.obs"):
        st.pl.confidence(clustered, "batch")
    with pytest.raises(ValueError, match="threshold"):
        st.pl.confidence(clustered, threshold=2)
    with pytest.raises(ValueError, match="kind"):
        st.pl.confidence(clustered, kind="bar")
    clustered.obs["scllm_dsc_confidence"] = np.nan
    with pytest.raises(ValueError, match="no observation has both a cluster"):
        st.pl.confidence(clustered)


def test_names_of_columns_tell_more_than_places(clustered: AnnData) -> None:
    _, right = st.pl.confidence(clustered, show=False)
    wanted = right.images[0].get_array()
    proba = pd.DataFrame(clustered.obsm["scllm_dsc_proba"], index=clustered.obs_names, columns=list("012345678"))
    clustered.obsm["scllm_dsc_proba"] = proba.iloc[:, ::-1]
    _, right = st.pl.confidence(clustered, show=False)
    np.testing.assert_array_equal(right.images[0].get_array(), wanted)
