from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.spatial.distance import cdist

import semtx as st


def _adata(places: np.ndarray, codes: np.ndarray, **obs) -> AnnData:
    index = [f"cell{number}" for number in range(len(codes))]
    table = pd.DataFrame({"domain": pd.Categorical(codes), **obs}, index=index)
    return AnnData(np.ones((len(codes), 2), dtype=np.float32), obs=table, obsm={"spatial": places})


def _brute_force(places: np.ndarray, codes: np.ndarray, n_neighbors: int) -> dict[str, float]:
    n = len(codes)
    distance = cdist(places, places)
    np.fill_diagonal(distance, np.inf)
    pitch = np.median(distance.min(axis=1))
    same = [distance[i, codes == codes[i]].min() for i in range(n) if (codes == codes[i]).sum() > 1]
    order = np.argsort(distance, axis=1)
    abnormal = [(codes[order[i, :10]] != codes[i]).sum() >= 6 for i in range(n)]
    weights = np.zeros((n, n))
    for i in range(n):
        weights[i, order[i, :n_neighbors]] = weights[order[i, :n_neighbors], i] = 1
    morans, variances = [], []
    for code in np.unique(codes):
        z = (codes == code) - np.mean(codes == code)
        morans.append(n / weights.sum() * (z @ weights @ z) / (z @ z))
        variances.append(z @ z)
    return {
        "CHAOS": np.mean(same) / pitch,
        "PAS": np.mean(abnormal),
        "moran": np.average(morans, weights=variances),
        "join": weights[codes[:, None] == codes].sum() / weights.sum(),
    }


@pytest.mark.parametrize(("seed", "n_neighbors", "dimensions"), [(0, 6, 2), (1, 4, 2), (2, 12, 2), (3, 6, 3)])
def test_against_brute_force(seed: int, n_neighbors: int, dimensions: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.random((90, dimensions)) * 50
    codes = np.where(rng.random(90) < 0.7, (places[:, 0] // 17).astype(int), rng.integers(3, size=90))
    codes[0] = 7
    scores = st.metrics.spatial_scores(_adata(places, codes), "domain", n_neighbors=n_neighbors)
    for name, value in _brute_force(places, codes, n_neighbors).items():
        assert scores[name] == pytest.approx(value), name
    assert scores["n_single"] == 1


def test_smooth_beats_shuffled(tissue: AnnData) -> None:
    tissue.obs["shuffled"] = np.random.default_rng(0).permutation(tissue.obs["ground_truth"])
    smooth = st.metrics.spatial_scores(tissue, "ground_truth")
    noise = st.metrics.spatial_scores(tissue, "shuffled")
    assert smooth["CHAOS"] < noise["CHAOS"]
    assert smooth["PAS"] < 0.2 < 0.5 < noise["PAS"]
    assert abs(noise["moran"]) < 0.1 < 0.7 < smooth["moran"]


def test_unit_of_the_coordinates_does_not_matter(tissue: AnnData) -> None:
    before = st.metrics.spatial_scores(tissue, "ground_truth")
    tissue.obsm["spatial"] = tissue.obsm["spatial"] * 0.125
    pd.testing.assert_series_equal(before, st.metrics.spatial_scores(tissue, "ground_truth"))


def test_sections_are_scored_apart_and_averaged(sections: AnnData) -> None:
    both = st.metrics.spatial_scores(sections, "ground_truth", library_key="library_id")
    each = [
        st.metrics.spatial_scores(sections[sections.obs["library_id"] == name], "ground_truth")
        for name in ("section1", "section2")
    ]
    for score in ("CHAOS", "PAS", "moran", "join"):
        assert both[score] == pytest.approx(np.mean([scores[score] for scores in each]))
    assert both["n_libraries"] == 2
    assert both["n_scored"] == 300


def test_duplicate_places_and_missing_domains() -> None:
    places = np.repeat(np.arange(20.0), 2)[:, None] * [1, 0]
    codes = np.tile([0.0, 1.0], 20)
    codes[-1] = np.nan
    scores = st.metrics.spatial_scores(_adata(places, codes), "domain")
    assert scores["CHAOS"] == pytest.approx(1)
    assert scores["n_unclustered"] == 1


def test_one_domain() -> None:
    scores = st.metrics.spatial_scores(_adata(np.random.default_rng(0).random((20, 2)), np.zeros(20)), "domain")
    assert np.isnan(scores["moran"])
    assert scores["join"] == 1
    assert scores["PAS"] == 0


def test_many_observations_need_no_distance_matrix() -> None:
    places = np.random.default_rng(0).random((50_000, 2))
    scores = st.metrics.spatial_scores(_adata(places, (places[:, 0] * 5).astype(int)), "domain")
    assert scores["moran"] > 0.95


def test_bad_input(tissue: AnnData) -> None:
    with pytest.raises(KeyError, match="cluster_key='semst'"):
        st.metrics.spatial_scores(tissue, "semst")
    with pytest.raises(KeyError, match="spatial_key='pixels'"):
        st.metrics.spatial_scores(tissue, "ground_truth", spatial_key="pixels")
    with pytest.raises(ValueError, match="n_neighbors"):
        st.metrics.spatial_scores(tissue, "ground_truth", n_neighbors=0)
    with pytest.raises(ValueError, match="three are the least"):
        st.metrics.spatial_scores(tissue[:2], "ground_truth")
    tissue.obsm["spatial"][3, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        st.metrics.spatial_scores(tissue, "ground_truth")
