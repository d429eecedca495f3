from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from semtx.models._clustering import by_size, choose_n_clusters, cluster_and_smooth, cluster_embedding, smooth_labels


def blobs(sizes=(80, 60, 40), d: int = 4, spread: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = 4 * np.vstack([np.eye(d), -np.eye(d)])[: len(sizes)]
    return centres[labels] + spread * generator.standard_normal((len(labels), d)), labels


@pytest.mark.parametrize("method", ["mixture", "kmeans", "leiden"])
def test_finds_separate_blobs_and_numbers_them_by_size(method):
    z, truth = blobs()
    shuffled = np.random.default_rng(1).permutation(len(z))
    found = cluster_embedding(z[shuffled], 3, method=method)
    np.testing.assert_array_equal(found.labels, truth[shuffled])
    assert found.report["n_clusters"] == found.report["n_clusters_asked"] == 3
    assert found.report["method"] == method
    assert found.report["criterion"] == "given"


@pytest.mark.parametrize("method", ["mixture", "kmeans"])
@pytest.mark.parametrize("k", [2, 5, 11])
def test_exactly_as_many_as_asked_where_nothing_is_separate(method, k):
    z = np.random.default_rng(0).normal(size=(200, 6))
    assert len(np.unique(cluster_embedding(z, k, method=method).labels)) == k


@pytest.mark.parametrize("k", [2, 4, 7])
def test_leiden_is_bisected_to_the_number_asked(k, capsys):
    z = np.random.default_rng(0).normal(size=(200, 3))
    found = cluster_embedding(z, k, method="leiden")
    assert len(np.unique(found.labels)) == k
    again = cluster_embedding(z, None, method="leiden", resolution=found.report["resolution"])
    np.testing.assert_array_equal(again.labels, found.labels)
    assert "asked for" not in capsys.readouterr().err


def test_leiden_says_so_where_it_cannot(capsys):
    z, _ = blobs((40, 40, 40), spread=0.01)  # three pieces of a graph are at least three clusters
    found = cluster_embedding(z, 2, method="leiden")
    assert found.report["n_clusters"] == 3
    assert "asked for 2 clusters, leiden found 3" in capsys.readouterr().err


def test_leiden_takes_resolution_in_place_of_a_number():
    z = np.random.default_rng(0).normal(size=(200, 3))
    coarse, fine = (cluster_embedding(z, None, method="leiden", resolution=r) for r in (0.2, 3.0))
    assert coarse.report["n_clusters"] < fine.report["n_clusters"]
    assert fine.report["criterion"] == "resolution"
    assert cluster_embedding(z, None, method="leiden").report["resolution"] == 1


def test_tied_covariance_does_not_mind_the_scale_of_dimensions():
    z, truth = blobs((60, 60, 60))
    noise = 100 * np.random.default_rng(1).normal(size=(len(z), 1))
    wide = np.hstack([z, noise])
    assert adjusted_rand_score(truth, cluster_embedding(wide, 3).labels) == 1
    assert adjusted_rand_score(truth, cluster_embedding(wide, 3, method="kmeans").labels) < 0.5


@pytest.mark.parametrize("method", ["mixture", "kmeans"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_chooses_the_number_of_separate_blobs(method, k):
    z, truth = blobs((50,) * k)
    found = cluster_embedding(z, None, method=method)
    assert found.report["n_clusters"] == k
    assert found.report["criterion"] == "stability"
    assert adjusted_rand_score(truth, found.labels) == 1
    table = found.report["candidates"]
    assert table["n_clusters"].tolist() == list(range(2, min(20, 5 * k) + 1))
    assert table["stability"][k - 2] == pytest.approx(1)


def test_choice_is_the_first_high_peak_of_stability_beyond_the_cloud():
    z = np.random.default_rng(0).normal(size=(160, 3)) + 4 * np.random.default_rng(1).integers(0, 3, (160, 1))
    k, table = choose_n_clusters(z, candidates=range(2, 9))
    excess = table["stability"] - table["null_stability"]
    rises = np.append(True, np.diff(excess) >= 0)
    falls = np.append(np.diff(excess) <= 0, True)
    assert k == table["n_clusters"][rises & falls & (excess >= 0.8 * excess.max())].min()
    again, same = choose_n_clusters(z, candidates=range(2, 9))
    assert again == k
    np.testing.assert_array_equal(table["stability"], same["stability"])


def test_the_null_has_the_stability_of_a_long_axis():
    z = np.random.default_rng(7).normal(size=(400, 2)) * [30, 1]
    _, table = choose_n_clusters(z, method="kmeans", candidates=range(2, 4), n_repeats=8)
    # cut across its long axis a cloud is stable, and the null has that stability too
    assert table["stability"][0] > 0.5
    assert table["null_stability"][0] > 0.5


@pytest.mark.parametrize("method", ["mixture", "kmeans", "leiden"])
def test_same_seed_same_labels_and_the_input_stays(method):
    z = np.random.default_rng(0).normal(size=(150, 4)).astype(np.float32)
    before = z.copy()
    one, other = (cluster_embedding(z, 4, method=method, random_state=3).labels for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(z, before)


def test_numbers_by_size_then_by_first_appearance():
    assert by_size(np.array([5, 5, 9, 2, 2, 2, 7])).tolist() == [1, 1, 2, 0, 0, 0, 3]
    assert by_size(np.array([3, 1, 3, 1])).tolist() == [0, 1, 0, 1]


def path(n: int) -> sparse.csr_matrix:
    return sparse.diags([np.full(n - 1, 0.1), np.full(n - 1, 7.0)], [-1, 1], format="csr")


def test_smoothing_is_the_majority_with_a_tie_keeping_its_own():
    # one against two neighbours; a boundary, where own and one neighbour outweigh the other; a tie at the end
    labels = np.array([0, 0, 1, 0, 0, 1, 1, 1, 0])
    assert smooth_labels(labels, path(9), 1).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0]
    assert smooth_labels(labels, path(9), 0).tolist() == labels.tolist()
    assert labels.tolist() == [0, 0, 1, 0, 0, 1, 1, 1, 0]


@pytest.mark.parametrize("n_rounds", [1, 3])
def test_smoothing_against_brute_force(n_rounds):
    generator = np.random.default_rng(0)
    graph = sparse.random(80, 80, density=0.06, random_state=0, format="csr")
    graph.setdiag(0)
    graph.eliminate_zeros()
    labels = generator.integers(0, 4, 80)
    wanted = labels
    for _ in range(n_rounds):
        previous, wanted = wanted, wanted.copy()
        for i in range(80):
            votes = np.bincount([*previous[graph[i].indices], previous[i]], minlength=4)
            if votes[previous[i]] < votes.max():
                wanted[i] = votes.argmax()
    np.testing.assert_array_equal(smooth_labels(labels, graph, n_rounds), wanted)


def test_an_isolated_observation_keeps_its_label():
    assert smooth_labels(np.array([0, 1, 0]), sparse.csr_matrix((3, 3)), 2).tolist() == [0, 1, 0]


def test_smoothing_that_removes_clusters_says_so_and_reports_what_is_left(capsys):
    z = np.array([0.0] * 20 + [10] + [0] * 20 + [20] * 20)[:, None]
    z += np.random.default_rng(0).normal(scale=0.01, size=z.shape)
    asked = cluster_and_smooth(z, 3)
    assert asked.report["n_clusters"] == 3
    assert "n_smoothing" not in capsys.readouterr().err
    found = cluster_and_smooth(z, 3, path(len(z)), 2)
    assert "n_smoothing=2 left 2 of 3 clusters" in capsys.readouterr().err
    np.testing.assert_array_equal(found.labels, [0] * 41 + [1] * 20)
    assert found.report == {**asked.report, "n_clusters": 2}


def test_smoothing_numbers_anew_by_size(capsys):
    truth = np.array([1, 1, 0] * 14 + [1, 1] + [0] * 22)  # 36 against 30, and the single ones are outvoted
    z = 10.0 * truth[:, None] + np.random.default_rng(0).normal(scale=0.01, size=(len(truth), 1))
    np.testing.assert_array_equal(cluster_and_smooth(z, 2).labels, truth)
    np.testing.assert_array_equal(cluster_and_smooth(z, 2, path(len(z)), 1).labels, [0] * 44 + [1] * 22)
    assert "n_smoothing" not in capsys.readouterr().err


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_too_few_observations_to_choose_a_number_from(n):
    with pytest.raises(ValueError, match=f"{n} observations are too few .* give n_clusters"):
        cluster_embedding(np.random.default_rng(0).normal(size=(n, 2)), None)
