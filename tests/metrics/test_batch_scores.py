from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.spatial.distance import cdist

import semtx as st
from semtx import _nearest_others


def _adata(z: np.ndarray, batches: list | np.ndarray) -> AnnData:
    obs = pd.DataFrame({"batch": pd.Categorical(batches)}, index=[f"cell{i}" for i in range(len(z))])
    return AnnData(np.ones((len(z), 1), dtype=np.float32), obs=obs, obsm={"X_z": z})


def _brute_force(z: np.ndarray, batches: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    distance = cdist(z, z)
    np.fill_diagonal(distance, np.inf)
    lisi, purity = [], []
    for i in range(len(z)):
        around = batches[np.argsort(distance[i])[:k]]
        lisi.append(1 / sum(np.mean(around == b) ** 2 for b in np.unique(batches)))
        purity.append(np.mean(around == batches[i]))
    return np.array(lisi), np.array(purity)


@pytest.mark.parametrize(("seed", "k"), [(0, 10), (1, 1), (2, 25)])
def test_against_brute_force(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    batches = rng.choice(["a", "b", "c"], 120, p=[0.6, 0.3, 0.1])
    z = rng.normal(size=(120, 4)) + 0.8 * (batches == "a")[:, None]
    scores = st.metrics.batch_scores(_adata(z, batches), "batch", use_rep="X_z", n_neighbors=k)
    lisi, purity = _brute_force(z, batches, k)
    assert scores["lisi"] == pytest.approx(lisi.mean())
    assert scores["purity"] == pytest.approx(purity.mean())
    sizes = pd.Series(batches).value_counts()
    chance = np.array([(sizes[b] - 1) / 119 for b in batches])
    assert scores["purity_ratio"] == pytest.approx(purity.mean() / chance.mean())
    for batch in sizes.index:
        ratio = purity[batches == batch].mean() / (sizes[batch] - 1) * 119
        assert scores[f"purity_ratio:{batch}"] == pytest.approx(ratio)
    assert scores[["n_scored", "n_without_batch", "n_batches"]].tolist() == [120, 0, 3]


def test_expected_index_is_that_of_all_possible_neighbourhoods() -> None:
    batches = np.array(list("aaaabbbbc"))
    z = np.random.default_rng(0).normal(size=(9, 2))
    scores = st.metrics.batch_scores(_adata(z, batches), "batch", use_rep="X_z", n_neighbors=4)

    def expected(own: str) -> float:
        others = list("aaaabbbbc")
        others.remove(own)
        return np.mean([1 / sum((chosen.count(b) / 4) ** 2 for b in "abc") for chosen in combinations(others, 4)])

    each = {batch: expected(batch) for batch in "abc"}
    assert scores["lisi_expected"] == pytest.approx(np.mean([each[b] for b in batches]), abs=0.02)
    lisi, _ = _brute_force(z, batches, 4)
    own = (lisi[batches == "a"].mean() - 1) / (each["a"] - 1)
    assert scores["mixing:a"] == pytest.approx(min(own, 1), abs=0.03)


@pytest.mark.parametrize("sizes", [(300, 300), (570, 30), (400, 100, 60, 40)])
def test_batches_without_effect_score_one_whatever_their_sizes(sizes: tuple[int, ...]) -> None:
    z = np.random.default_rng(0).normal(size=(600, 5))
    batches = np.repeat(np.arange(len(sizes)), sizes)
    apart = z + 30 * batches[:, None]
    mixed, separate = (
        st.metrics.batch_scores(_adata(places, batches), "batch", use_rep="X_z", n_neighbors=20)
        for places in (z, apart)
    )
    assert 0.93 < mixed["mixing"] <= 1
    assert mixed["purity_ratio"] == pytest.approx(1, abs=0.05)
    assert separate["mixing"] == 0
    assert separate["lisi"] == separate["purity"] == 1
    assert separate["purity_ratio"] > 1


def test_one_batch_apart_is_seen_in_its_own_score() -> None:
    z = np.random.default_rng(0).normal(size=(600, 5))
    z[550:] += 30
    batches = np.array(["a", "b"]).repeat(300)
    batches[550:] = "c"
    scores = st.metrics.batch_scores(_adata(z, batches), "batch", use_rep="X_z", n_neighbors=20)
    assert scores["mixing:c"] == 0
    # around a and b lie only these, in equal parts, where a twelfth of c would be expected too
    assert scores["mixing:a"] == pytest.approx(0.744, abs=0.04)
    assert scores["purity_ratio:c"] == pytest.approx(599 / 49)


def test_duplicates_and_missing_batches() -> None:
    # every place is held by one observation of each batch: the one neighbour is the other
    z = np.repeat(np.arange(20.0), 2)[:, None] * [1, 0]
    batches = np.array(["a", "b"] * 20, dtype=object)
    before = st.metrics.batch_scores(_adata(z, batches), "batch", use_rep="X_z", n_neighbors=1)
    assert before["purity"] == 0
    assert np.isnan(before["mixing"])
    z, batches = np.vstack([z, np.zeros((3, 2))]), np.append(batches, [None] * 3)
    after = st.metrics.batch_scores(_adata(z, batches), "batch", use_rep="X_z", n_neighbors=1)
    assert after["n_without_batch"] == 3
    assert after["purity"] == 0


def test_a_batch_of_one_cell() -> None:
    z = np.random.default_rng(0).normal(size=(50, 3))
    scores = st.metrics.batch_scores(_adata(z, ["a"] * 25 + ["b"] * 24 + ["c"]), "batch", use_rep="X_z")
    assert np.isnan(scores["purity_ratio:c"])
    assert np.isfinite(scores[["mixing", "purity_ratio", "mixing:a", "mixing:c"]]).all()


@pytest.mark.slow
def test_approximate_neighbours_give_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    batches = rng.integers(2, size=1500)
    adata = _adata(rng.normal(size=(1500, 6)) + 0.7 * batches[:, None], batches)
    exact = st.metrics.batch_scores(adata, "batch", use_rep="X_z")
    monkeypatch.setattr(_nearest_others, "EXACT_LIMIT", 1000)
    pd.testing.assert_series_equal(exact, st.metrics.batch_scores(adata, "batch", use_rep="X_z"), rtol=0.02)


def test_generated_batches_lie_somewhat_apart() -> None:
    adata = st.datasets.cells(600)
    adata.obsm["X_log"] = np.log1p(adata.X.toarray())
    scores = st.metrics.batch_scores(adata, "batch", use_rep="X_log")
    assert 0.8 < scores["mixing"] < 0.97
    assert scores["purity_ratio"] > 1.05


def test_bad_input() -> None:
    adata = _adata(np.random.default_rng(0).normal(size=(10, 2)), ["a"] * 10)
    with pytest.raises(KeyError, match="batch_key='lane'"):
        st.metrics.batch_scores(adata, "lane", use_rep="X_z")
    with pytest.raises(KeyError, match="use_rep='X_pca'"):
        st.metrics.batch_scores(adata, "batch", use_rep="X_pca")
    with pytest.raises(ValueError, match="1 batches in 10 observations"):
        st.metrics.batch_scores(adata, "batch", use_rep="X_z")
    adata.obs["batch"] = ["a", "b"] * 5
    with pytest.raises(ValueError, match="n_neighbors"):
        st.metrics.batch_scores(adata, "batch", use_rep="X_z", n_neighbors=0)
    with pytest.raises(ValueError, match="two batches and three observations"):
        st.metrics.batch_scores(adata[:2], "batch", use_rep="X_z")
    adata.obsm["X_z"][2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        st.metrics.batch_scores(adata, "batch", use_rep="X_z")
