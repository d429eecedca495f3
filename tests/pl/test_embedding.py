from __future__ import annotations

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import semtx as st
from semtx.pl import _layout


@pytest.fixture
def clustered() -> AnnData:
    """Cells with a result as tl.scllm_dsc leaves it."""
    adata = st.datasets.cells(240)
    codes = adata.obs["ground_truth"].cat.codes.to_numpy()
    rng = np.random.default_rng(0)
    adata.obsm["X_scllm_dsc"] = (3 * np.eye(9)[codes] + rng.normal(size=(240, 9))).astype(np.float32)
    adata.obs["scllm_dsc"] = pd.Categorical(codes.astype(str))
    return adata


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What was laid out; in place of UMAP, which takes long to compile, the first two dimensions."""
    calls: list[dict] = []

    def quick(z: np.ndarray, **options: float) -> np.ndarray:
        calls.append(options)
        return z[:, :2].astype(np.float32)

    monkeypatch.setattr(_layout, "umap", quick)
    return calls


def _colors(ax: plt.Axes) -> list[str]:
    return [to_hex(color) for dots in ax.collections for color in dots.get_facecolors()]


def _legend(ax: plt.Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.slow
def test_umap_is_scanpys_and_parts_clusters(clustered: AnnData) -> None:
    import scanpy as sc

    st.pl.embedding(clustered, show=False)
    drawn = clustered.obsm["X_scllm_dsc_umap"]
    assert drawn.dtype == np.float32
    sc.pp.neighbors(clustered, use_rep="X_scllm_dsc")
    sc.tl.umap(clustered)
    np.testing.assert_allclose(drawn, clustered.obsm["X_umap"], rtol=1e-4, atol=1e-4)
    few = clustered[:5].copy()
    st.pl.embedding(few, random_state=1, show=False)
    assert np.isfinite(few.obsm["X_scllm_dsc_umap"]).all()


def test_clusters_by_default(clustered: AnnData, made: list) -> None:
    ax = st.pl.embedding(clustered, show=False)
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), clustered.obsm["X_scllm_dsc"][:, :2])
    colors = dict(zip(clustered.obs["scllm_dsc"].cat.categories, clustered.uns["scllm_dsc_colors"], strict=True))
    assert _colors(ax) == [colors[label] for label in clustered.obs["scllm_dsc"]]
    assert _legend(ax) == list(colors)
    assert ax.get_title() == "scllm_dsc"


def test_layout_is_kept_until_something_changes(clustered: AnnData, made: list, tmp_path) -> None:
    st.pl.embedding(clustered, show=False)
    st.pl.embedding(clustered, color="CD3D", show=False)
    assert made == [{"n_neighbors": 15, "min_dist": 0.5, "random_state": 0}]
    clustered.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad")
    st.pl.embedding(back, show=False)
    shuffled = back[np.random.default_rng(0).permutation(240)[:50]].copy()
    st.pl.embedding(shuffled, show=False)
    assert len(made) == 1, "any part of the cells is where it was"
    st.pl.embedding(clustered, random_state=1, show=False)
    assert len(made) == 2
    clustered.obsm["X_scllm_dsc"][7, 3] += 0.5
    st.pl.embedding(clustered, random_state=1, show=False)
    assert len(made) == 3
    st.pl.embedding(clustered, random_state=1, show=False)
    assert len(made) == 3


def test_a_layout_of_somebody_else_is_used(clustered: AnnData, made: list) -> None:
    clustered.obsm["X_scllm_dsc_umap"] = np.random.default_rng(0).normal(size=(240, 2))
    ax = st.pl.embedding(clustered, show=False)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), clustered.obsm["X_scllm_dsc_umap"])
    assert not made


def test_two_dimensions_are_drawn_as_they_are(clustered: AnnData, made: list) -> None:
    clustered.obsm["X_plane"] = np.random.default_rng(0).normal(size=(240, 2))
    ax = st.pl.embedding(clustered, use_rep="X_plane", show=False)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), clustered.obsm["X_plane"])
    assert "X_plane_umap" not in clustered.obsm
    assert not made


def test_another_embedding_without_clusters(clustered: AnnData, made: list) -> None:
    clustered.obsm["X_pca"] = clustered.obsm.pop("X_scllm_dsc")
    del clustered.obs["scllm_dsc"]
    ax = st.pl.embedding(clustered, use_rep="X_pca", show=False)
    assert len(set(_colors(ax))) == 1
    assert "X_pca_umap" in clustered.obsm


def test_several_colours(clustered: AnnData, made: list) -> None:
    clustered.obs["name"] = np.where(np.arange(240) < 100, "left", "right")
    axes = st.pl.embedding(
        clustered, color=["ground_truth", "CD3D", "name"], ncols=2, title=["a", "b", "c"], show=False
    )
    assert [ax.get_title() for ax in axes] == ["a", "b", "c"]
    assert _legend(axes[2]) == ["left", "right"]
    values = np.sort(clustered[:, "CD3D"].X.toarray().ravel())
    np.testing.assert_allclose(axes[1].collections[-1].get_array(), values)
    assert clustered.obs["name"].dtype == object, "scanpy would have made it categorical"


def test_missing_labels(clustered: AnnData, made: list) -> None:
    clustered.obs.loc[clustered.obs_names[:30], "scllm_dsc"] = np.nan
    ax = st.pl.embedding(clustered, show=False)
    assert _legend(ax)[-1] == "NA"
    assert _colors(ax).count("#d9d9d9") == 30
    named = st.pl.embedding(clustered, legend_loc="on data", show=False)
    assert named.get_legend() is None
    assert sorted(text.get_text() for text in named.texts) == sorted(clustered.obs["scllm_dsc"].cat.categories)


def test_palette_and_scanpys_options(clustered: AnnData, made: list) -> None:
    wanted = dict.fromkeys("012345678", "#0000ff") | {"3": "#ff0000"}
    ax = st.pl.embedding(clustered, palette=wanted, show=False)
    assert set(_colors(ax)) == {"#0000ff", "#ff0000"}
    assert clustered.uns["scllm_dsc_colors"][3] == "#ff0000"
    ax = st.pl.embedding(clustered, groups=["3"], size=3, show=False)
    assert set(_colors(ax)) == {"#d9d9d9", "#ff0000"}
    assert ax.collections[0].get_sizes()[0] == 3


def test_a_view_stays_a_view(clustered: AnnData, made: list) -> None:
    part = clustered[clustered.obs["scllm_dsc"] != "0"]
    st.pl.embedding(part, show=False)
    assert part.is_view
    assert "X_scllm_dsc_umap" not in part.obsm


def test_given_axes_and_figure(clustered: AnnData, made: list, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    _, ax = plt.subplots()
    assert st.pl.embedding(clustered, ax=ax) is ax
    assert isinstance(st.pl.embedding(clustered, return_fig=True), Figure)
    assert not shown
    assert st.pl.embedding(clustered) is None
    assert shown == [True]
    with pytest.raises(ValueError, match="one panel, but 2"):
        st.pl.embedding(clustered, color=["CD3D", "batch"], ax=ax)


def test_bad_input(clustered: AnnData, made: list) -> None:
    with pytest.raises(KeyError, match=r"use_rep='X_semst'.*run st.tl.scllm_dsc\(adata\) first"):
        st.pl.embedding(clustered, "semst")
    with pytest.raises(KeyError, match="color='nothing' is neither"):
        st.pl.embedding(clustered, color="nothing")
    with pytest.raises(ValueError, match="0 colours"):
        st.pl.embedding(clustered, color=[])
    with pytest.raises(ValueError, match="1 colours and 2 titles"):
        st.pl.embedding(clustered, title=["a", "b"])
    clustered.obsm["X_scllm_dsc"][3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        st.pl.embedding(clustered)
    assert not made
    assert "scllm_dsc_colors" not in clustered.uns


def test_too_few_cells(clustered: AnnData) -> None:
    with pytest.raises(ValueError, match="at least 5 observations, there are 4"):
        st.pl.embedding(clustered[:4].copy())


def test_the_legend_has_the_groups_that_are_shown(tissue):
    name = tissue.obs["ground_truth"].cat.categories[0]
    ax = st.pl.embedding(tissue, "ground_truth", use_rep="spatial", groups=[name], show=False)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [name, "NA"]
