from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import semtx as st
from semtx.pl._palette import NA_COLOR, default_colors

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes


def _spots(ax: Axes) -> list[EllipseCollection]:
    return [artist for artist in ax.collections if isinstance(artist, EllipseCollection)]


def _legend(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def pictured(tissue: AnnData) -> AnnData:
    """A section with an image of a fifth of its resolution, brighter in its lower half."""
    width, height = (np.ceil(tissue.obsm["spatial"].max(axis=0) + 200) / 5).astype(int)
    pixels = np.zeros((height, width, 3))
    pixels[height // 2 :] = 0.9
    tissue.uns["spatial"] = {
        "first": {
            "images": {"hires": pixels, "lowres": pixels[::4, ::4]},
            "scalefactors": {"tissue_hires_scalef": 0.2, "tissue_lowres_scalef": 0.05, "spot_diameter_fullres": 55.0},
        }
    }
    return tissue


def test_domains(tissue: AnnData) -> None:
    ax = st.pl.spatial(tissue, "ground_truth", show=False)
    (spots,) = _spots(ax)
    np.testing.assert_allclose(spots.get_offsets(), tissue.obsm["spatial"])
    categories = tissue.obs["ground_truth"].cat.categories
    expected = dict(zip(categories, tissue.uns["ground_truth_colors"], strict=True))
    assert [to_hex(color) for color in spots.get_facecolors()] == [expected[c] for c in tissue.obs["ground_truth"]]
    assert _legend(ax) == categories.tolist()
    assert ax.get_title() == "ground_truth"


def test_true_proportion_and_y_down(tissue: AnnData) -> None:
    ax = st.pl.spatial(tissue, "ground_truth", show=False)
    assert ax.get_aspect() == 1
    bottom, top = ax.get_ylim()
    assert bottom > top
    left, right = ax.get_xlim()
    assert left < tissue.obsm["spatial"][:, 0].min()
    assert right > tissue.obsm["spatial"][:, 0].max()


@pytest.mark.parametrize("scale", [1, 0.01])
def test_spot_size_follows_the_pitch(tissue: AnnData, scale: float) -> None:
    tissue.obsm["spatial"] = tissue.obsm["spatial"] * scale
    (spots,) = _spots(st.pl.spatial(tissue, size=0.5, show=False))
    np.testing.assert_allclose(np.ravel(spots.get_widths()), 50 * scale)


def test_gene_from_x_and_layer(tissue: AnnData) -> None:
    tissue.layers["double"] = tissue.X * 2
    counts = np.sort(tissue[:, "MBP"].X.toarray().ravel())
    for layer, factor in ((None, 1), ("double", 2)):
        (spots,) = _spots(st.pl.spatial(tissue, "MBP", layer=layer, show=False))
        np.testing.assert_allclose(spots.get_array(), factor * counts)
    with pytest.raises(KeyError, match="layer='missing'"):
        st.pl.spatial(tissue, "MBP", layer="missing", show=False)


def test_missing_values_are_grey(tissue: AnnData) -> None:
    tissue.obs.loc[tissue.obs_names[:5], "ground_truth"] = np.nan
    tissue.obs["depth"] = np.arange(300.0)
    tissue.obs.loc[tissue.obs_names[:7], "depth"] = np.nan
    domains, depth = st.pl.spatial(tissue, ["ground_truth", "depth"], show=False)
    assert {to_hex(color) for color in _spots(domains)[0].get_facecolors()[:5]} == {NA_COLOR}
    assert _legend(domains)[-1] == "NA"
    grey, shown = _spots(depth)
    assert len(grey.get_offsets()) == 7
    assert shown.get_clim() == (7, 299)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0])
def test_a_column_without_contrast(tissue: AnnData, value: float) -> None:
    tissue.obs["flat"] = value
    figure = st.pl.spatial(tissue, "flat", return_fig=True)
    figure.canvas.draw()
    assert len(_spots(figure.axes[0])[0].get_offsets()) == 300


def test_no_genes_needed(tissue: AnnData) -> None:
    ax = st.pl.spatial(tissue[:, []].copy(), "ground_truth", show=False)
    assert len(_spots(ax)[0].get_offsets()) == 300


def test_backed(tissue: AnnData, tmp_path) -> None:
    from anndata import read_h5ad

    tissue.write_h5ad(tmp_path / "tissue.h5ad")
    backed = read_h5ad(tmp_path / "tissue.h5ad", backed="r")
    domains, gene = st.pl.spatial(backed, ["ground_truth", "MBP"], show=False)
    np.testing.assert_allclose(_spots(gene)[0].get_array(), np.sort(tissue[:, "MBP"].X.toarray().ravel()))
    assert _legend(domains) == tissue.obs["ground_truth"].cat.categories.tolist()
    backed.file.close()


def test_limits(tissue: AnnData) -> None:
    (spots,) = _spots(st.pl.spatial(tissue, "MBP", vmin=1, vmax=3, cmap="magma", show=False))
    assert spots.get_clim() == (1, 3)
    assert spots.get_cmap().name == "magma"


@pytest.mark.parametrize(
    ("palette", "expected"),
    [
        (["red", "blue", "lime", "cyan", "magenta"], ["#ff0000", "#0000ff", "#00ff00", "#00ffff", "#ff00ff"]),
        ("tab10", ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"]),
        (["k", "w"], ["#000000", "#ffffff", "#000000", "#ffffff", "#000000"]),
    ],
)
def test_palette_is_used_and_kept(tissue: AnnData, palette: object, expected: list[str]) -> None:
    st.pl.spatial(tissue, "ground_truth", palette=palette, show=False)
    assert list(tissue.uns["ground_truth_colors"]) == expected
    st.pl.spatial(tissue, "ground_truth", show=False)
    assert list(tissue.uns["ground_truth_colors"]) == expected


@pytest.mark.parametrize("plot", [st.pl.spatial, partial(st.pl.embedding, key="ground_truth", use_rep="spatial")])
def test_palette_of_another_column(tissue: AnnData, plot: Callable[..., object]) -> None:
    """Each group has the colour of its partner in the best matching; one without a partner a colour of its own."""
    tissue.obs["ground_truth"] = tissue.obs["ground_truth"].cat.add_categories(["rare"])
    names = tissue.obs["ground_truth"].cat.categories[:-1]
    partner = dict(zip(["d", "a", "c", "e", "b"], names, strict=True))
    found = tissue.obs["ground_truth"].map({name: group for group, name in partner.items()}).astype(str)
    found.iloc[::7] = "without"
    found.iloc[1::50] = "a"
    # all that is left to match: too little
    tissue.obs.loc[tissue.obs_names[[0, 7]], "ground_truth"] = "rare"
    tissue.obs["found"] = pd.Categorical(found)
    plot(tissue, color=["found", "ground_truth"], palette="ground_truth", show=False)
    true = dict(zip([*names, "rare"], tissue.uns["ground_truth_colors"], strict=True))
    colors = dict(zip(tissue.obs["found"].cat.categories, tissue.uns["found_colors"], strict=True))
    assert {group: colors[group] for group in partner} == {group: true[name] for group, name in partner.items()}
    assert colors["without"] not in true.values()


def test_a_group_without_partner_takes_no_color_of_the_other_column(tissue: AnnData) -> None:
    """However other packages have spelled them."""
    tissue.uns["ground_truth_colors"] = [color.upper() for color in default_colors(5)]
    tissue.obs["found"] = pd.Categorical(
        tissue.obs["ground_truth"].astype(str).where(np.arange(300) % 7 > 0, "without")
    )
    st.pl.spatial(tissue, "found", palette="ground_truth", show=False)
    assert len({to_hex(color) for color in (*tissue.uns["found_colors"], *tissue.uns["ground_truth_colors"])}) == 6


def test_palette_of_the_column_itself(tissue: AnnData) -> None:
    """Colours stay as they are, that of a category without spots too."""
    tissue.obs["ground_truth"] = tissue.obs["ground_truth"].cat.add_categories(["nowhere"])
    st.pl.spatial(tissue, "ground_truth", show=False)
    before = list(tissue.uns["ground_truth_colors"])
    st.pl.spatial(tissue, "ground_truth", palette="ground_truth", show=False)
    assert list(tissue.uns["ground_truth_colors"]) == before


def test_palette_by_name(tissue: AnnData) -> None:
    categories = tissue.obs["ground_truth"].cat.categories
    palette = dict.fromkeys(categories, "black") | {"layer 1": "red"}
    st.pl.spatial(tissue, "ground_truth", palette=palette, show=False)
    assert tissue.uns["ground_truth_colors"][categories.get_loc("layer 1")] == "#ff0000"
    with pytest.raises(ValueError, match="no colour for layer 1"):
        st.pl.spatial(tissue, "ground_truth", palette={c: "red" for c in categories if c != "layer 1"}, show=False)
    with pytest.raises(ValueError, match="'no colour'"):
        st.pl.spatial(tissue, "ground_truth", palette=["no colour"], show=False)


@pytest.mark.parametrize("n", [8, 15, 40, 150])
def test_many_categories_have_colours_of_their_own(tissue: AnnData, n: int) -> None:
    tissue.obs["cluster"] = (np.arange(300) % n).astype(str)
    tissue.obs["cluster"] = tissue.obs["cluster"].astype("category")
    st.pl.spatial(tissue, "cluster", show=False)
    colors = list(tissue.uns["cluster_colors"])
    assert len(set(colors)) == len(colors) == n


def test_a_view_stays_a_view(tissue: AnnData) -> None:
    part = tissue[tissue.obs["ground_truth"] != "layer 1"]
    ax = st.pl.spatial(part, "ground_truth", show=False)
    assert part.is_view
    assert "ground_truth_colors" not in part.uns
    assert "layer 1" not in _legend(ax)


def test_a_view_keeps_the_colours_of_the_whole(tissue: AnnData) -> None:
    st.pl.spatial(tissue, "ground_truth", show=False)
    whole = dict(zip(tissue.obs["ground_truth"].cat.categories, tissue.uns["ground_truth_colors"], strict=True))
    part = tissue[tissue.obs["ground_truth"] == "white matter"]
    (spots,) = _spots(st.pl.spatial(part, "ground_truth", show=False))
    assert {to_hex(color) for color in spots.get_facecolors()} == {whole["white matter"]}


def test_text_and_truth_values(tissue: AnnData) -> None:
    tissue.obs["name"] = np.where(np.arange(300) < 100, "left", "right")
    tissue.obs["flag"] = np.arange(300) < 100
    name, flag = st.pl.spatial(tissue, ["name", "flag"], show=False)
    assert _legend(name) == ["left", "right"]
    assert _legend(flag) == ["False", "True"]


def test_several_sections_side_by_side(sections: AnnData) -> None:
    axes = st.pl.spatial(sections, ["ground_truth", "MBP"], library_key="library_id", show=False)
    titles = ["section1: ground_truth", "section2: ground_truth", "section1: MBP", "section2: MBP"]
    assert [ax.get_title() for ax in axes] == titles
    inside = (sections.obs["library_id"] == "section2").to_numpy()
    np.testing.assert_allclose(_spots(axes[1])[0].get_offsets(), sections.obsm["spatial"][inside])
    limits = {_spots(ax)[0].get_clim() for ax in axes[2:]}
    assert len(limits) == 1
    assert axes[0].get_legend() is None
    assert axes[1].get_legend() is not None


def test_one_of_several_sections(sections: AnnData) -> None:
    ax = st.pl.spatial(sections, "MBP", library_key="library_id", library_id="section2", show=False)
    assert len(_spots(ax)[0].get_offsets()) == 150
    with pytest.raises(KeyError, match="library_id='section9'"):
        st.pl.spatial(sections, library_key="library_id", library_id="section9", show=False)
    with pytest.raises(KeyError, match="needs library_key="):
        st.pl.spatial(sections, library_id="section2", show=False)


def test_image_lies_under_the_spots(pictured: AnnData) -> None:
    ax = st.pl.spatial(pictured, "ground_truth", show=False)
    (image,) = ax.images
    height, width = image.get_array().shape[:2]
    left, right, bottom, top = image.get_extent()
    assert (right - left, bottom - top) == pytest.approx((width * 5, height * 5))
    assert image.get_zorder() < _spots(ax)[0].get_zorder()
    # the bright half is the lower one: large y, drawn at the bottom
    assert bottom > top
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_image_on_and_off(pictured: AnnData) -> None:
    assert not st.pl.spatial(pictured, img=False, show=False).images
    coarse = st.pl.spatial(pictured, img_key="lowres", show=False).images[0].get_extent()
    fine = st.pl.spatial(pictured, img_key="hires", show=False).images[0].get_extent()
    np.testing.assert_allclose(coarse, fine, atol=80)
    with pytest.raises(KeyError, match="img_key='fullres'"):
        st.pl.spatial(pictured, img_key="fullres", show=False)


def test_image_of_each_section(sections: AnnData) -> None:
    sections.uns["spatial"] = {
        f"section{number}": {"images": {"hires": np.full((20, 20), number / 10)}, "scalefactors": {}}
        for number in (1, 2)
    }
    axes = st.pl.spatial(sections, library_key="library_id", show=False)
    assert [ax.images[0].get_array().max() for ax in axes] == [0.1, 0.2]
    # which of the two belongs to everything at once cannot be known
    assert not st.pl.spatial(sections, show=False).images


def test_many_spots_become_pixels(tissue: AnnData) -> None:
    assert not _spots(st.pl.spatial(tissue, show=False))[0].get_rasterized()
    places = np.random.default_rng(0).random((10_001, 2))
    cells = AnnData(np.ones((10_001, 1), dtype=np.float32), obsm={"spatial": places})
    assert _spots(st.pl.spatial(cells, show=False))[0].get_rasterized()


def test_given_axes_and_figure(tissue: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    _, ax = plt.subplots()
    assert st.pl.spatial(tissue, "MBP", ax=ax, title="Myelin") is ax
    assert ax.get_title() == "Myelin"
    assert isinstance(st.pl.spatial(tissue, "MBP", return_fig=True), Figure)
    assert not shown
    assert st.pl.spatial(tissue, "MBP") is None
    assert shown == [True]
    with pytest.raises(ValueError, match="one panel, but 2"):
        st.pl.spatial(tissue, ["MBP", "PLP1"], ax=ax)


def test_saved(pictured: AnnData, tmp_path) -> None:
    figure = st.pl.spatial(pictured, ["ground_truth", "MBP"], return_fig=True)
    for suffix in ("png", "pdf"):
        figure.savefig(tmp_path / f"map.{suffix}", dpi=50)
        assert (tmp_path / f"map.{suffix}").stat().st_size > 1000


def test_one_spot_and_one_place() -> None:
    for n in (1, 5):
        cells = AnnData(np.ones((n, 1), dtype=np.float32), obsm={"spatial": np.ones((n, 2))})
        ax = st.pl.spatial(cells, show=False)
        assert len(_spots(ax)[0].get_offsets()) == n


def test_spatialdata_is_accepted(tissue: AnnData) -> None:
    class Container:
        tables = {"first": tissue, "second": tissue}  # noqa: RUF012

    assert st.pl.spatial(Container(), "MBP", table_key="second", show=False).get_title() == "MBP"
    with pytest.raises(ValueError, match="table_key="):
        st.pl.spatial(Container(), "MBP")


def test_bad_input(tissue: AnnData) -> None:
    with pytest.raises(KeyError, match=r"color='semst' is neither in adata\.obs"):
        st.pl.spatial(tissue, "semst")
    with pytest.raises(KeyError, match="spatial_key='pixels'"):
        st.pl.spatial(tissue, spatial_key="pixels")
    with pytest.raises(KeyError, match="library_key='slide'"):
        st.pl.spatial(tissue, library_key="slide")
    with pytest.raises(ValueError, match="nothing to draw"):
        st.pl.spatial(tissue, [])
    with pytest.raises(ValueError, match="size"):
        st.pl.spatial(tissue, size=0)
    tissue.var_names = ["MBP", "MBP", *tissue.var_names[2:]]
    with pytest.raises(ValueError, match="names 2 genes"):
        st.pl.spatial(tissue, "MBP")
    with pytest.raises(ValueError, match="3 entries for 1"):
        st.pl.spatial(tissue, title=["a", "b", "c"])


@pytest.mark.data
@pytest.mark.parametrize("name", ["DLPFC_151673", "STARmap_MVC", "MERFISH_hypothalamus_A1_bregma-0.09"])
def test_real_sections(test_data, name: str) -> None:
    from anndata import read_h5ad

    adata = read_h5ad(test_data / "spatial" / f"{name}.h5ad")
    figure = st.pl.spatial(adata, ["ground_truth", adata.var_names[0]], return_fig=True)
    figure.canvas.draw()
    assert "NA" in _legend(figure.axes[0])


def test_sections_that_are_numbers(pictured: AnnData) -> None:
    pictured.uns["spatial"] = {"1": pictured.uns["spatial"]["first"]}
    pictured.obs["lib"] = pd.Categorical([1] * 200 + [2] * 100)
    axes = st.pl.spatial(pictured, "ground_truth", library_key="lib", show=False)
    assert [len(ax.images) for ax in axes] == [1, 0]
    for one in (1, "1", [1], ["1"]):
        ax = st.pl.spatial(pictured, "ground_truth", library_key="lib", library_id=one, show=False)
        assert len(_spots(ax)[0].get_offsets()) == 200


def test_several_sections_need_their_column(pictured: AnnData) -> None:
    pictured.uns["spatial"]["second"] = pictured.uns["spatial"]["first"]
    with pytest.raises(KeyError, match="needs library_key="):
        st.pl.spatial(pictured, "ground_truth", library_id=["first", "second"])


def test_a_gene_of_a_view_of_a_file(tissue: AnnData, tmp_path) -> None:
    import anndata

    wanted = _spots(st.pl.spatial(tissue[:50].copy(), "MBP", show=False))[0].get_array()
    tissue.write_h5ad(tmp_path / "file.h5ad")
    view = anndata.read_h5ad(tmp_path / "file.h5ad", backed="r")[:50]
    np.testing.assert_array_equal(_spots(st.pl.spatial(view, "MBP", show=False))[0].get_array(), wanted)


def test_colors_of_a_view_that_keeps_unused_categories(tissue: AnnData) -> None:
    import anndata

    st.pl.spatial(tissue, "ground_truth", show=False)
    names, colors = tissue.obs["ground_truth"].cat.categories, tissue.uns["ground_truth_colors"]
    with anndata.settings.override(remove_unused_categories=False):
        view = tissue[tissue.obs["ground_truth"].isin(names[[1, 3]])]
        ax = st.pl.spatial(view, "ground_truth", show=False)
    drawn = {to_hex(color) for color in _spots(ax)[0].get_facecolors()}
    assert drawn == {colors[1], colors[3]}


def test_nothing_to_draw_with(tissue: AnnData) -> None:
    with pytest.raises(ValueError, match="palette is empty"):
        st.pl.spatial(tissue, "ground_truth", palette=[])
    empty = AnnData(obs=tissue.obs, var=tissue.var, obsm={"spatial": tissue.obsm["spatial"]})
    with pytest.raises(ValueError, match=r"adata\.X is empty"):
        st.pl.spatial(empty, "MBP")
