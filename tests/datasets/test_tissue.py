from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial import cKDTree

import semtx as st


def test_what_it_holds() -> None:
    adata = st.datasets.tissue()
    assert adata.shape == (1200, 705)
    assert sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32
    assert (adata.X.data == np.rint(adata.X.data)).all()
    assert adata.X.data.min() > 0
    assert adata.obs["ground_truth"].nunique() == 5
    assert adata.obs["ground_truth"].value_counts().min() > 60
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    assert "library_id" not in adata.obs
    assert adata.uns["dataset"]["params"] == {"n_obs": 1200, "n_sections": 1, "random_state": 0}


def test_grid_is_hexagonal_with_pitch_100() -> None:
    adata = st.datasets.tissue(400)
    distances, _ = cKDTree(adata.obsm["spatial"]).query(adata.obsm["spatial"], k=7)
    np.testing.assert_allclose(distances[:, 1], 100)
    inside = np.isclose(distances[:, 6], 100).mean()
    assert inside > 0.75


def test_same_seed_same_tissue() -> None:
    first, again, other = (st.datasets.tissue(80, random_state=seed) for seed in (3, 3, 4))
    assert (first.X != again.X).nnz == 0
    assert first.obs.equals(again.obs)
    assert (first.X != other.X).nnz > 0


def test_no_seed_is_recorded() -> None:
    adata = st.datasets.tissue(60, random_state=None)
    again = st.datasets.tissue(60, random_state=adata.uns["dataset"]["params"]["random_state"])
    assert (adata.X != again.X).nnz == 0


def test_counts_are_overdispersed() -> None:
    adata = st.datasets.tissue()
    adata = adata[adata.obs["ground_truth"] == "white matter"]
    genes = adata.var["program"] == "housekeeping"
    counts = adata.X.toarray()[:, genes]
    counts = counts / counts.sum(axis=1, keepdims=True) * counts.sum(axis=1).mean()
    assert np.median(counts.var(axis=0) / counts.mean(axis=0)) > 1.5


@pytest.mark.parametrize(
    ("domain", "gene"),
    [("white matter", "MBP"), ("layer 1", "AQP4"), ("vascular niche", "CLDN5"), ("upper layers", "CUX2")],
)
def test_markers_mark_their_domain(domain: str, gene: str) -> None:
    adata = st.datasets.tissue()
    values = adata.X[:, adata.var_names.get_loc(gene)].toarray().ravel()
    means = adata.obs.assign(value=values).groupby("ground_truth", observed=True)["value"].mean()
    assert means.idxmax() == domain


def test_sections() -> None:
    adata = st.datasets.tissue(100, 3)
    assert adata.n_obs == 300
    assert adata.obs_names.is_unique
    assert adata.obs["library_id"].cat.categories.tolist() == ["section1", "section2", "section3"]
    assert adata.obs["library_id"].value_counts().tolist() == [100, 100, 100]
    first, second = (adata[adata.obs["library_id"] == f"section{number}"] for number in (1, 2))
    np.testing.assert_array_equal(first.obsm["spatial"], second.obsm["spatial"])
    assert (first.obs["ground_truth"].to_numpy() != second.obs["ground_truth"].to_numpy()).any()


def test_neighbourhood_is_what_tells_domains_apart() -> None:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import adjusted_rand_score

    adata = st.datasets.tissue()
    counts = adata.X.toarray()
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    alone = PCA(15, random_state=0).fit_transform(values)
    _, neighbours = cKDTree(adata.obsm["spatial"]).query(adata.obsm["spatial"], k=7)
    smooth = alone
    for _ in range(3):
        smooth = smooth[neighbours].mean(axis=1)
    truth = adata.obs["ground_truth"]
    score_alone, score_smooth = (
        adjusted_rand_score(truth, KMeans(5, n_init=3, random_state=0).fit_predict(z)) for z in (alone, smooth)
    )
    assert score_alone < 0.6
    assert score_smooth > 0.8


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"n_obs": 10}, ValueError), ({"n_sections": 0}, ValueError), ({"n_obs": 99.5}, TypeError)],
)
def test_bad_input(arguments: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        st.datasets.tissue(**arguments)


def test_written_and_read_again(tmp_path) -> None:
    from anndata import read_h5ad

    adata = st.datasets.tissue(60, 2)
    adata.write_h5ad(tmp_path / "tissue.h5ad")
    assert read_h5ad(tmp_path / "tissue.h5ad").uns["dataset"]["params"]["n_sections"] == 2
