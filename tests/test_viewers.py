"""Results are read by other tools as they are: what cellxgene, Vitessce, spatialdata-plot and squidpy look for is there."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

import semtx as st

CLUSTERS = ("semst", "scllm_dsc")


@pytest.fixture
def clustered(tissue):
    st.tl.semst(tissue, 4, max_epochs=2)
    st.tl.scllm_dsc(tissue, 3, max_epochs=2)
    st.tl.query(tissue, "myelin sheath", encoder="vocabulary")
    st.pl.spatial(tissue, "semst", show=False)
    return tissue


def test_cellxgene(clustered, tmp_path):
    """Embeddings by names that begin with X_, of finite numbers and two columns at least; categories; unique names."""
    clustered.write_h5ad(tmp_path / "section.h5ad")
    with h5py.File(tmp_path / "section.h5ad") as file:
        for key in CLUSTERS:
            column, embedding = file["obs"][key], file["obsm"][f"X_{key}"]
            assert column.attrs["encoding-type"] == "categorical"
            assert sorted(column["categories"].asstr()) == [str(i) for i in range(3 + (key == "semst"))]
            assert embedding.dtype == np.float32
            assert embedding.shape[1] >= 2
            assert np.isfinite(embedding[:]).all()
        assert len(file["uns"]["semst_colors"]) == 4, "cellxgene takes the colours too"
    assert clustered.obs_names.is_unique
    assert clustered.var_names.is_unique


def test_vitessce(clustered, tmp_path):
    """Paths into a zarr store: sets of cells, embeddings, places and values."""
    zarr = pytest.importorskip("zarr")
    clustered.write_zarr(tmp_path / "section.zarr")
    store = zarr.open(str(tmp_path / "section.zarr"), mode="r")
    for key in CLUSTERS:
        column = store[f"obs/{key}"]
        assert column.attrs["encoding-type"] == "categorical"
        assert np.issubdtype(column["codes"].dtype, np.integer)
        assert store[f"obsm/X_{key}"].attrs["encoding-type"] == "array"
    assert store["obsm/spatial"].shape == (clustered.n_obs, 2)
    assert store["obs/query"].dtype == np.float32


def test_squidpy(clustered):
    """Clusters are categories, and the graph has squidpy's keys."""
    import squidpy as sq

    sq.gr.nhood_enrichment(clustered, cluster_key="semst", seed=0, n_perms=5, show_progress_bar=False)
    assert clustered.uns["semst_nhood_enrichment"]["zscore"].shape == (4, 4)
    sq.gr.spatial_autocorr(clustered, mode="moran", attr="obs", genes=["query"])
    assert clustered.uns["moranI"].loc["query", "I"] > 0


@pytest.mark.slow
def test_spatialdata_plot(clustered, tmp_path):
    """Shapes coloured by a column of the table, after a way through the disk."""
    sd = pytest.importorskip("spatialdata")
    pytest.importorskip("spatialdata_plot")
    import matplotlib.pyplot as plt
    from spatialdata.models import ShapesModel, TableModel

    circles = ShapesModel.parse(clustered.obsm["spatial"], geometry=0, radius=55, index=clustered.obs_names)
    clustered.obs["region"] = pd.Categorical(["spots"] * clustered.n_obs)
    clustered.obs["spot"] = clustered.obs_names
    table = TableModel.parse(clustered, region="spots", region_key="region", instance_key="spot")
    sd.SpatialData(shapes={"spots": circles}, tables={"table": table}).write(tmp_path / "section.zarr")
    _, ax = plt.subplots()
    sd.read_zarr(tmp_path / "section.zarr").pl.render_shapes("spots", color="semst").pl.show(ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1", "2", "3"]
    plt.close("all")
