from __future__ import annotations

from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from sklearn.metrics import adjusted_rand_score

import semtx as st
from semtx.pl._contingency import crossings, diagonal_order, untangled_order
from semtx.pl._flow import spread


def _labelled(first: list | np.ndarray, second: list | np.ndarray) -> AnnData:
    obs = pd.DataFrame(
        {"first": pd.Categorical(first), "second": pd.Categorical(second)},
        index=[f"cell{i}" for i in range(len(first))],
    )
    return AnnData(np.zeros((len(first), 1), dtype=np.float32), obs=obs)


@pytest.fixture
def compared() -> AnnData:
    """Thirteen types, one of them of five cells, and clusters that are permuted, merged, split and noisy."""
    sizes = [284, 173, 600, 500, 300, 120, 200, 180, 90, 55, 25, 7, 5]
    types = np.repeat(np.arange(13), sizes)
    rng = np.random.default_rng(0)
    clusters = np.random.default_rng(1).permutation(13)[types]
    noisy = rng.random(types.size) < 0.1
    clusters[noisy] = rng.choice(clusters, noisy.sum())
    clusters[(types == 2) & (rng.random(types.size) < 0.3)] = 13
    names = np.array([f"a type with a long name {i}" if i % 2 else f"type {i}" for i in range(13)])
    adata = _labelled(names[types], clusters.astype(str))
    adata.obs.loc[adata.obs_names[:3], "first"] = np.nan
    adata.obs.loc[adata.obs_names[2:6], "second"] = np.nan
    return adata


def _names(labels: list) -> list[str]:
    return [label.get_text().rsplit(" (", 1)[0] for label in labels]


def test_heatmap_counts_and_shares(compared: AnnData) -> None:
    ax = st.pl.agreement(compared, "first", "second", show=False)
    table = pd.crosstab(compared.obs["first"], compared.obs["second"])
    rows, columns = _names(ax.get_yticklabels()), _names(ax.get_xticklabels())
    table = table.loc[rows, columns]
    assert set(rows) == set(compared.obs["first"].cat.categories)
    np.testing.assert_allclose(ax.images[0].get_array(), 100 * table.to_numpy() / table.sum(axis=1).to_numpy()[:, None])
    texts = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert int(texts[0, 0].split("\n")[1].replace(",", "")) == table.iloc[0, 0]
    assert all(texts[i, j] == "" for i, j in np.argwhere(table.to_numpy() == 0))


def test_matches_lie_on_the_framed_diagonal(compared: AnnData) -> None:
    from scipy.optimize import linear_sum_assignment

    ax = st.pl.agreement(compared, "first", "second", normalize=None, show=False)
    counts = np.asarray(ax.images[0].get_array())
    best = counts[linear_sum_assignment(counts, maximize=True)].sum()
    assert counts.diagonal().sum() == best
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(frames) == 13
    assert all(frame.get_x() == frame.get_y() for frame in frames)


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [
        ("first", [[75, 25], [0, 100]]),
        ("second", [[100, 100 / 3], [0, 200 / 3]]),
        ("jaccard", [[75, 100 / 6], [0, 200 / 3]]),
        (None, [[3, 1], [0, 2]]),
    ],
)
def test_normalization(normalize: str | None, expected: list) -> None:
    adata = _labelled(list("aaaabb"), list("xxxyyy"))
    ax = st.pl.agreement(adata, "first", "second", normalize=normalize, show=False)
    np.testing.assert_allclose(ax.images[0].get_array(), expected)


@pytest.mark.parametrize("kind", ["heatmap", "flow"])
def test_title_tells_the_index_and_who_is_left_out(compared: AnnData, kind: str) -> None:
    ax = st.pl.agreement(compared, "first", "second", kind=kind, show=False)
    both = compared.obs.dropna()
    ari = adjusted_rand_score(both["first"], both["second"])
    assert ax.get_title() == f"ARI {ari:.2f}, {len(both):,} cells (6 without a label left out)"
    assert st.pl.agreement(compared, "first", "second", kind=kind, title="mine", show=False).get_title() == "mine"


def test_clusters_without_a_partner_come_last() -> None:
    counts = np.array([[0, 5, 0, 2], [7, 0, 0, 0], [6, 0, 0, 0], [0, 0, 3, 0], [0, 2, 0, 0]])
    rows, columns, n = diagonal_order(counts)
    assert n == 3
    assert rows.tolist() == [0, 1, 3, 2, 4]
    assert columns.tolist() == [1, 0, 2, 3]


def test_flow_is_as_thick_as_the_cells(compared: AnnData) -> None:
    ax = st.pl.agreement(compared, "first", "second", kind="flow", show=False)
    both = compared.obs.dropna()
    table = pd.crosstab(both["first"], both["second"])
    bands = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    assert len(bands) == (table.to_numpy() > 0).sum()
    thickness = sorted(np.ptp(band.get_path().vertices[[0, 7], 1]) for band in bands)
    np.testing.assert_allclose(thickness / sum(thickness), np.sort(table.to_numpy()[table > 0].ravel()) / len(both))
    colors = dict(zip(compared.obs["first"].cat.categories, compared.uns["first_colors"], strict=True))
    assert {to_hex(band.get_facecolor()) for band in bands} == set(colors.values())
    assert "second_colors" not in compared.uns


def test_every_cluster_of_the_flow_is_named_and_no_name_covers_another(compared: AnnData) -> None:
    figure = st.pl.agreement(compared, "first", "second", kind="flow", return_fig=True)
    figure.draw_without_rendering()
    names = [text for text in figure.axes[0].texts if text.get_text().endswith(")")]
    assert len(names) == 13 + 14
    boxes = [text.get_window_extent() for text in names]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 for box in boxes)


def test_crossings_against_brute_force() -> None:
    w = np.random.default_rng(0).integers(9, size=(5, 6)).astype(float)
    pairs = [(i, j, p, q) for i in range(5) for j in range(6) for p in range(i + 1, 5) for q in range(j)]
    assert crossings(w) == sum(w[i, j] * w[p, q] for i, j, p, q in pairs)


def test_few_bands_cross() -> None:
    rng = np.random.default_rng(0)
    got, best = [], []
    for _ in range(12):
        w = rng.integers(50, size=(4, 4)) * (rng.random((4, 4)) < 0.6) + np.diag(rng.integers(1, 50, 4))
        rows, columns = untangled_order(w)
        assert sorted(rows) == sorted(columns) == [0, 1, 2, 3]
        got.append(crossings(w[np.ix_(rows, columns)].astype(float)))
        orders = list(permutations(range(4)))
        best.append(min(crossings(w[np.ix_(a, b)].astype(float)) for a in orders for b in orders))
    assert sum(got) <= 1.05 * sum(best)
    assert np.mean(np.equal(got, best)) >= 0.75


def test_the_same_partition_does_not_cross_and_keeps_its_order() -> None:
    w = np.diag(np.arange(1, 14))[:, np.random.default_rng(0).permutation(13)]
    rows, columns = untangled_order(w)
    assert rows.tolist() == list(range(13))
    assert crossings(w[np.ix_(rows, columns)].astype(float)) == 0


def test_spread() -> None:
    wanted = np.array([0.0, 0.01, 0.02, 0.5, 0.99, 1.0])
    got = spread(wanted, 0.1, 0, 1)
    assert np.diff(got).min() > 0.1 - 1e-9
    assert got.min() >= 0
    assert got.max() <= 1 + 1e-9
    assert got[3] == 0.5
    np.testing.assert_allclose(spread(np.array([0.2, 0.6]), 0.1, 0, 1), [0.2, 0.6])


def test_given_axes_and_figure(compared: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    _, (left, right) = plt.subplots(1, 2)
    assert st.pl.agreement(compared, "first", "second", ax=left) is left
    assert st.pl.agreement(compared, "first", "second", kind="flow", ax=right) is right
    assert isinstance(st.pl.agreement(compared, "first", "second", return_fig=True), Figure)
    assert not shown
    assert st.pl.agreement(compared, "first", "second") is None
    assert shown == [True]


@pytest.mark.parametrize("kind", ["heatmap", "flow"])
def test_one_cluster_and_text(kind: str) -> None:
    adata = _labelled(["a"] * 5, ["x"] * 4 + ["y"])
    adata.obs["second"] = adata.obs["second"].astype(object)
    figure = st.pl.agreement(adata, "first", "second", kind=kind, return_fig=True)
    figure.draw_without_rendering()
    assert figure.axes[0].get_title() == "ARI 0.00, 5 cells"


def test_views_and_names_twice(compared: AnnData) -> None:
    part = compared[compared.obs["first"] != "type 0"]
    ax = st.pl.agreement(part, "first", "second", kind="flow", show=False)
    assert part.is_view
    assert not [text for text in ax.texts if text.get_text().startswith("type 0 ")]
    twice = compared.copy()
    twice.obs_names = ["cell"] * twice.n_obs
    assert st.pl.agreement(twice, "first", "second", show=False).get_title().startswith("ARI")


def test_bad_input(compared: AnnData) -> None:
    with pytest.raises(KeyError, match=r"second='semst' is not in adata\.obs, which has 'first', 'second'"):
        st.pl.agreement(compared, "first", "semst")
    with pytest.raises(ValueError, match="kind must be one of 'heatmap', 'flow'"):
        st.pl.agreement(compared, "first", "second", kind="bars")
    with pytest.raises(ValueError, match="normalize"):
        st.pl.agreement(compared, "first", "second", normalize="rows")
    compared.obs["number"] = np.arange(compared.n_obs) / 7
    with pytest.raises(ValueError, match="different values; at most 150"):
        st.pl.agreement(compared, "first", "number")
    compared.obs["none"] = None
    with pytest.raises(ValueError, match="no observation has a label both"):
        st.pl.agreement(compared, "first", "none")
