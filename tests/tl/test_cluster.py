from __future__ import annotations

import anndata
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import semtx as st


@pytest.fixture
def adata(tissue):
    """A section whose embedding tells three stripes apart, but for noise in one spot of ten."""
    depth = tissue.obsm["spatial"][:, 1]
    stripe = np.searchsorted(np.quantile(depth, [0.4, 0.7]), depth)
    generator = np.random.default_rng(0)
    wrong = generator.random(300) < 0.1
    seen = np.where(wrong, generator.integers(0, 3, 300), stripe)
    tissue.obs["stripe"] = stripe
    tissue.obsm["X_pca"] = 5 * np.eye(4)[seen] + 0.3 * generator.normal(size=(300, 4))
    return tissue


@pytest.fixture
def with_graph(adata):
    import squidpy

    squidpy.gr.spatial_neighbors_knn(adata, n_neighs=6)
    return adata


@pytest.mark.parametrize("method", ["mixture", "kmeans", "leiden"])
def test_clusters_and_record(adata, method):
    st.tl.cluster(adata, 3, method=method)
    labels = adata.obs["cluster"]
    assert labels.cat.categories.tolist() == ["0", "1", "2"]
    assert labels.value_counts().is_monotonic_decreasing
    assert adjusted_rand_score(adata.obs["stripe"], labels) > 0.7
    record = adata.uns["cluster"]
    assert (record["n_clusters_asked"], record["n_clusters"]) == (3, 3)
    assert record["method"] == method
    assert record["params"]["use_rep"] == "X_pca"


def test_chooses_the_number(adata):
    st.tl.cluster(adata)
    assert adata.obs["cluster"].nunique() == 3
    assert adata.uns["cluster"]["criterion"] == "stability"
    assert len(adata.uns["cluster"]["candidates"]["stability"]) == 19


def test_resolution(adata):
    st.tl.cluster(adata, method="leiden", resolution=0.05, key_added="coarse")
    st.tl.cluster(adata, method="leiden", resolution=3.0, key_added="fine")
    assert adata.obs["coarse"].nunique() < adata.obs["fine"].nunique()


def test_smoothing_over_the_tissue_repairs_noise(with_graph):
    for rounds in (0, 3):
        st.tl.cluster(with_graph, 3, n_smoothing=rounds, key_added=f"smooth{rounds}")
    rough, smooth = (adjusted_rand_score(with_graph.obs["stripe"], with_graph.obs[f"smooth{r}"]) for r in (0, 3))
    assert smooth > rough + 0.1
    assert with_graph.uns["smooth3"]["params"]["n_smoothing"] == 3


def test_the_number_got_is_counted_after_smoothing(with_graph):
    """One spot alone in its cluster is outvoted."""
    z = np.zeros((300, 2)) + np.random.default_rng(0).normal(0, 0.01, (300, 2))
    z[:150] += 5
    z[170] = [50, -50]
    with_graph.obsm["X_pca"] = z
    st.tl.cluster(with_graph, 3, method="kmeans")
    assert with_graph.uns["cluster"]["n_clusters"] == 3
    st.tl.cluster(with_graph, 3, method="kmeans", n_smoothing=1)
    assert with_graph.obs["cluster"].nunique() == 2
    assert with_graph.uns["cluster"]["n_clusters"] == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_smoothing": 1}, KeyError, "'spatial_neighbors' is not in adata.uns.*squidpy.gr.spatial_neighbors_knn"),
        ({"n_smoothing": -1}, ValueError, "n_smoothing must be at least 0"),
        ({"n_init": 0}, ValueError, "n_init must be at least 1"),
        ({"resolution": 1.0}, ValueError, "resolution belongs to method='leiden' without n_clusters"),
        ({"resolution": 1.0, "method": "leiden", "n_clusters": 3}, ValueError, "n_clusters or resolution, not both"),
        ({"resolution": 0, "method": "leiden"}, ValueError, "resolution must be finite, above 0"),
        ({"key_added": "a/b"}, ValueError, "key_added must not be empty nor contain '/'"),
        ({"key_added": "spatial"}, ValueError, "key_added='spatial' is what is read or keeps images"),
        ({"use_rep": "X_umap"}, KeyError, r"use_rep='X_umap' is not in adata.obsm.*sc\.pp\.pca"),
        ({"use_rep": "broken"}, ValueError, r"obsm\['broken'\] must be a matrix of numbers without NaN"),
    ],
)
def test_bad_input(adata, options, error, message):
    adata.obsm["broken"] = np.full((300, 2), np.nan)
    with pytest.raises(error, match=message):
        st.tl.cluster(adata, **options)
    assert "cluster" not in adata.obs
    assert "cluster" not in adata.uns


@pytest.mark.parametrize("method", ["mixture", "kmeans"])
def test_few_observations(adata, method):
    few = adata[:4].copy()
    st.tl.cluster(few, 4, method=method)
    assert few.obs["cluster"].nunique() == 4
    with pytest.raises(ValueError, match="give n_clusters"):
        st.tl.cluster(few, method=method, key_added="chosen")
    assert "chosen" not in few.obs


def test_a_spatial_graph_without_its_entry(with_graph):
    st.tl.cluster(with_graph, 3, n_smoothing=1)
    wanted = with_graph.obs["cluster"].tolist()
    # as after anndata.concat(..., pairwise=True)
    del with_graph.uns["spatial_neighbors"]
    st.tl.cluster(with_graph, 3, n_smoothing=1)
    assert with_graph.obs["cluster"].tolist() == wanted
    with_graph.uns["other"] = {"params": {}}
    with pytest.raises(KeyError, match="names no graph"):
        st.tl.cluster(with_graph, 3, n_smoothing=1, neighbors_key="other")


@pytest.mark.parametrize("random_state", [None, -1, 1.5, "a", 2**32])
def test_what_is_no_seed(adata, random_state):
    with pytest.raises((TypeError, ValueError), match="random_state must be"):
        st.tl.cluster(adata, 3, random_state=random_state)


def test_leiden_of_too_few(adata):
    with pytest.raises(ValueError, match="needs 3 observations"):
        st.tl.cluster(adata[:2].copy(), 2, method="leiden")


def test_the_graph_is_not_replaced_by_the_record(with_graph):
    with pytest.raises(ValueError, match="is what is read"):
        st.tl.cluster(with_graph, 3, n_smoothing=1, key_added="spatial_neighbors")


def test_a_view_of_a_file_is_refused_before_the_work(adata, tmp_path):
    adata.write_h5ad(tmp_path / "file.h5ad")
    view = anndata.read_h5ad(tmp_path / "file.h5ad", backed="r")[:100]
    for call in (lambda: st.tl.cluster(view, 3), lambda: st.tl.semst(view, 3), lambda: st.pp.cell_semantics(view)):
        with pytest.raises(ValueError, match=r"call adata = adata\.to_memory\(\) first"):
            call()
