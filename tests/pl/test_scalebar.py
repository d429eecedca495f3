from __future__ import annotations

import numpy as np
import pytest

import semtx as st
from semtx.pl._scalebar import round_length


def _bars(ax) -> list:
    return [line for line in ax.lines if line.get_gid() == "scalebar"]


def test_no_bar_where_units_are_unknown(tissue):
    assert not _bars(st.pl.spatial(tissue, show=False))


def test_bar_is_as_long_as_it_says_and_below_the_tissue(tissue):
    ax = st.pl.spatial(tissue, scalebar_dx=0.5, show=False)
    (bar,) = _bars(ax)
    (start, end), (row, _) = bar.get_data()
    assert ax.texts[0].get_text() == f"{(end - start) * 0.5:g} µm"
    assert row > tissue.obsm["spatial"][:, 1].max() + 50
    assert ax.get_ylim()[0] > row


def test_long_bars_are_in_millimetres(tissue):
    assert st.pl.spatial(tissue, scalebar_dx=10, show=False).texts[0].get_text() == "5 mm"
    assert st.pl.spatial(tissue, scalebar_dx=1, scalebar_units="px", show=False).texts[0].get_text() == "500 px"


@pytest.mark.parametrize(
    ("factors", "found"),
    [
        ({"microns_per_pixel": 0.5}, 0.5),
        ({"spot_diameter_fullres": 55.0, "fiducial_diameter_fullres": 144.0}, 1.0),
        ({"spot_diameter_fullres": 20.0, "fiducial_diameter_fullres": 144.0}, None),
        ({"spot_diameter_fullres": 55.0}, None),
        ({}, None),
    ],
)
def test_units_are_read_from_scale_factors(tissue, factors, found):
    tissue.uns["spatial"] = {"one": {"scalefactors": factors}}
    bars = _bars(st.pl.spatial(tissue, show=False))
    assert len(bars) == (found is not None)
    if found:
        length = np.ptp(bars[0].get_xdata()) * found
        assert length == pytest.approx(round_length(length * (1 + 1e-9)))
    assert not _bars(st.pl.spatial(tissue, scalebar_dx=None, show=False))


@pytest.mark.parametrize(("largest", "expected"), [(1, 1), (1.9, 1), (49, 20), (730, 500), (0.03, 0.02)])
def test_round_lengths(largest, expected):
    assert round_length(largest) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0, -1])
def test_bad_units(tissue, value):
    with pytest.raises(ValueError, match="scalebar_dx"):
        st.pl.spatial(tissue, scalebar_dx=value)
