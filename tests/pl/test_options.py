"""What all plots have in common."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from anndata import AnnData

import semtx as st
from semtx.pl._palette import NA_COLOR, default_colors

# of readers without one kind of cone (Machado et al., 2009, severity 1)
_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


@pytest.mark.parametrize("name", st.pl.__all__)
def test_conventions(name):
    options = inspect.signature(getattr(st.pl, name)).parameters
    assert {"show", "return_fig", "table_key"} <= set(options)
    if name != "domains_report":  # a page of several panels
        assert "ax" in options
        assert options["ax"].default is None
    # colours of categories, of numbers, or those of pl.spatial
    assert {"palette", "cmap", "options"} & set(options)
    assert all(options[o].kind is inspect.Parameter.KEYWORD_ONLY for o in ("show", "return_fig", "table_key"))


@pytest.mark.parametrize("blindness", _BLINDNESS)
def test_default_colours_are_told_apart(blindness):
    from matplotlib.colors import to_rgba_array

    srgb = to_rgba_array([*default_colors(24), NA_COLOR])[:, :3]
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(_BLINDNESS[blindness]).T, 0, 1)
    to_cones = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
    to_lab = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
    lab = np.cbrt(seen @ np.array(to_cones).T) @ np.array(to_lab).T
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(25, dtype=bool)]
    assert apart.min() > 0.035  # the closest of Okabe and Ito's; scanpy's 20 have 0.005


def _cells(n: int) -> AnnData:
    rng = np.random.default_rng(0)
    cells = AnnData(np.zeros((n, 1), dtype=np.float32), obsm={"spatial": rng.random((n, 2))})
    cells.obs["cluster"] = rng.integers(8, size=n).astype(str)
    cells.obs["value"] = rng.random(n)
    cells.obs["cluster_confidence"] = rng.beta(8, 1, n)
    cells.obsm["cluster_modulation"] = rng.normal(size=(n, 4))
    return cells


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_vector_output_of_many_cells_stays_small(tmp_path, suffix):
    cells = _cells(100_000)
    for name, figure in {
        "map": st.pl.spatial(cells, "cluster", return_fig=True),
        "plane": st.pl.embedding(cells, "cluster", use_rep="spatial", return_fig=True),
        "certainty": st.pl.confidence(cells, "cluster", kind="box", return_fig=True),
        "modulation": st.pl.modulation(cells, "cluster", part="scale", return_fig=True),
    }.items():
        file = tmp_path / f"{name}.{suffix}"
        figure.savefig(file, dpi=100)
        assert file.stat().st_size < 1_000_000, name
        if suffix == "svg":
            # text stays text, or at least shapes: only points are pixels
            assert file.read_text(encoding="utf-8").count("<image ") <= 8, name


@pytest.mark.parametrize(
    "draw",
    [
        lambda cells, **options: st.pl.spatial(cells, "cluster", **options),
        lambda cells, **options: st.pl.spatial(cells, "value", **options),
        lambda cells, **options: st.pl.embedding(cells, "cluster", use_rep="spatial", **options),
        lambda cells, **options: st.pl.modulation(cells, "cluster", part="scale", **options),
    ],
    ids=["categories", "values", "plane", "modulation"],
)
def test_legends_do_not_cover_tissue(draw):
    figure = draw(_cells(500), return_fig=True)
    figure.draw_without_rendering()
    panel = figure.axes[0]
    legend = panel.get_legend() or panel.child_axes[0]
    assert legend.get_tightbbox().x0 >= panel.get_window_extent().x1
    assert legend.get_tightbbox().x1 <= figure.bbox.width
