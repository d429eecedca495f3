from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.metrics import f1_score

import semtx as st


def _adata(labels: list, clusters: list) -> AnnData:
    obs = pd.DataFrame({"ground_truth": pd.Categorical(labels), "domain": pd.Categorical(clusters)})
    return AnnData(np.ones((len(obs), 2), dtype=np.float32), obs=obs.set_index(obs.index.astype(str)))


def test_same_partition_under_other_names() -> None:
    scores = st.metrics.clustering_scores(_adata(list("aabbcc"), list("220011")), "domain")
    assert scores.name == "domain"
    perfect = ["ARI", "NMI", "AMI", "ACC", "F1_macro", "F1_weighted", "homogeneity", "completeness"]
    np.testing.assert_allclose(scores[perfect], 1)
    assert scores[["n_scored", "n_unlabelled", "k_labels", "k_clusters"]].tolist() == [6, 0, 3, 3]


@pytest.mark.parametrize("k", [2, 3, 4])
def test_matching_against_every_permutation(k: int) -> None:
    rng = np.random.default_rng(k)
    true = rng.integers(3, size=60)
    found = np.where(rng.random(60) < 0.5, true % k, rng.integers(k, size=60))
    best = 0.0
    # clusters beyond the labels match none of them
    for order in permutations([0, 1, 2, -1][: max(k, 3)] if k > 3 else [0, 1, 2], k):
        renamed = np.array(order)[found]
        accuracy = np.mean(renamed == true)
        if accuracy > best:
            best, matched = accuracy, renamed
    scores = st.metrics.clustering_scores(_adata(true.tolist(), found.tolist()), "domain")
    assert scores["ACC"] == pytest.approx(best)
    for average in ("macro", "weighted"):
        expected = f1_score(true, matched, labels=[0, 1, 2], average=average, zero_division=0)
        assert scores[f"F1_{average}"] == pytest.approx(expected)


def test_unlabelled_are_left_out_and_counted() -> None:
    whole = _adata(["a", "a", "b", "b", None, None], list("001101"))
    part = st.metrics.clustering_scores(whole[:4].copy(), "domain")
    scores = st.metrics.clustering_scores(whole, "domain")
    assert scores["n_unlabelled"] == 2
    assert scores["n_scored"] == 4
    pd.testing.assert_series_equal(scores.drop("n_unlabelled"), part.drop("n_unlabelled"))


def test_labelled_without_cluster_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    scores = st.metrics.clustering_scores(_adata(list("aabb"), ["0", "0", "1", None]), "domain")
    assert scores["n_unclustered"] == 1
    assert "1 labelled observations have no cluster" in capsys.readouterr().err


def test_bad_input() -> None:
    adata = _adata(list("ab"), list("01"))
    with pytest.raises(KeyError, match=r"cluster_key='semst' is not in adata.obs"):
        st.metrics.clustering_scores(adata, "semst")
    with pytest.raises(KeyError, match="label_key='layer'"):
        st.metrics.clustering_scores(adata, "domain", "layer")
    with pytest.raises(ValueError, match="no observation has both"):
        st.metrics.clustering_scores(_adata([None, None], list("01")), "domain")
    with pytest.raises(TypeError, match="AnnData or SpatialData"):
        st.metrics.clustering_scores(adata.obs, "domain")
