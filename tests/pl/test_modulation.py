from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import semtx as st


@pytest.fixture
def modulated(tissue):
    tissue.obsm["semst_modulation"] = np.random.default_rng(0).normal(size=(tissue.n_obs, 12)).astype(np.float32)
    return tissue


def values(axes):
    """Values of the spots drawn, in the order of the observations' values."""
    return np.sort(axes.collections[0].get_array())


def test_it_draws_the_mean_size_of_scales_and_shifts(modulated):
    columns = list(modulated.obs)
    scale, shift = st.pl.modulation(modulated, show=False)
    stored = np.abs(modulated.obsm["semst_modulation"].astype(float))
    np.testing.assert_allclose(values(scale), np.sort(stored[:, :6].mean(axis=1)), rtol=1e-5)
    np.testing.assert_allclose(values(shift), np.sort(stored[:, 6:].mean(axis=1)), rtol=1e-5)
    assert list(modulated.obs) == columns


def test_one_part_on_given_axes(modulated):
    _, axes = plt.subplots()
    got = st.pl.modulation(modulated, part="shift", ax=axes, cmap="magma", title="shift")
    assert got is axes
    assert axes.get_title() == "shift"
    assert axes.collections[0].get_cmap().name == "magma"
    with pytest.raises(ValueError, match="ax= takes one panel"):
        st.pl.modulation(modulated, ax=axes)


def test_sections_and_another_key(sections):
    sections.obsm["mine_modulation"] = np.ones((sections.n_obs, 4))
    axes = st.pl.modulation(sections, "mine", library_key="library_id", show=False)
    assert len(axes) == 4


def test_bad_input(modulated):
    with pytest.raises(KeyError, match=r"'x_modulation' is not in adata\.obsm.*store_modulation=True.*key_added='x'"):
        st.pl.modulation(modulated, "x")
    with pytest.raises(ValueError, match="part must be 'scale', 'shift' or None"):
        st.pl.modulation(modulated, part="alpha")
    modulated.obsm["semst_modulation"] = modulated.obsm["semst_modulation"][:, :5]
    with pytest.raises(ValueError, match=r"scales and shifts side by side, its shape is \(300, 5\)"):
        st.pl.modulation(modulated)
