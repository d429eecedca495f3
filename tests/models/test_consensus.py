from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import adjusted_rand_score

from semtx.models._consensus import Consensus


@pytest.fixture(scope="module")
def groups() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(5), [150, 80, 40, 20, 10])
    z = 6 * np.eye(5, 7)[truth] + generator.normal(size=(300, 7))
    return z, truth


def test_finds_groups_of_unequal_size(groups):
    z, truth = groups
    found = Consensus.fit(z, [z], [1.0], 5, 2, 0)
    proba = found.proba(z)
    labels = proba.argmax(axis=1)
    assert adjusted_rand_score(truth, labels) > 0.95
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert (np.diff(np.bincount(labels)) <= 0).all(), "the largest first"
    assert found.sizes.tolist() == [10, 15] * 8


def test_assignment_is_the_mean_share_of_the_nearest_prototypes(groups):
    z, _ = groups
    found = Consensus.fit(z[::2], [z[::2]], [1.0], 4, 2, 0)
    wanted, start = 0, 0
    for size in found.sizes:
        run = slice(start, start + size)
        wanted = wanted + found.shares[run][cdist(z, found.prototypes[run]).argmin(axis=1)] / len(found.sizes)
        start += size
    np.testing.assert_allclose(found.proba(z), wanted, atol=1e-6)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("weights", "heard"), [((1.0, 0.0), 0), ((0.0, 1.0), 1), ((0.9, 0.1), 0), ((0.1, 0.9), 1)])
def test_the_weight_of_a_view_decides(weights, heard):
    """Four places in a row of two pairs: one view joins neighbours, the other the first with the third."""
    generator = np.random.default_rng(0)
    place = np.repeat(np.arange(4), 50)
    z = 8 * np.eye(4)[place] + generator.normal(size=(200, 4))
    pairs = [place // 2, place % 2]
    views = [5 * np.eye(2)[pair] + 0.1 * generator.normal(size=(200, 2)) for pair in pairs]
    labels = Consensus.fit(z, views, weights, 2, 2, 0).proba(z).argmax(axis=1)
    assert adjusted_rand_score(pairs[heard], labels) == 1


def test_is_sure_where_runs_agree(groups):
    z, truth = groups
    found = Consensus.fit(z, [z], [1.0], 5, 2, 0)
    between = (z[truth == 0][:40] + z[truth == 1][:40]) / 2
    assert found.proba(z).max(axis=1).mean() > found.proba(between).max(axis=1).mean() + 0.1


def test_seed_decides(groups):
    z, _ = groups
    first, again, other = (Consensus.fit(z, [z], [1.0], 7, 2, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.prototypes, again.prototypes)
    np.testing.assert_array_equal(first.shares, again.shares)
    assert not np.array_equal(first.prototypes[:14], other.prototypes[:14])


@pytest.mark.parametrize(("n_distinct", "n_clusters"), [(1, 1), (2, 4), (3, 3), (4, 2)])
def test_few_distinct_cells(n_distinct, n_clusters):
    z = np.random.default_rng(0).normal(size=(n_distinct, 3)).repeat(6, axis=0)
    found = Consensus.fit(z, [z], [1.0], n_clusters, 2, 0)
    labels = found.proba(z).argmax(axis=1)
    assert len(np.unique(labels)) == min(n_distinct, n_clusters) == found.shares.shape[1]


def test_many_cells_are_assigned_as_a_sample_says():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 25_000)
    z = 8 * np.eye(3)[truth] + generator.normal(size=(25_000, 3))
    found = Consensus.fit(z, [z], [1.0], 3, 1, 0)
    assert adjusted_rand_score(truth, found.proba(z).argmax(axis=1)) > 0.99


def test_round_trip(groups):
    z, _ = groups
    found = Consensus.fit(z, [z], [1.0], 5, 2, 0)
    np.testing.assert_array_equal(Consensus.from_arrays(found.arrays()).proba(z), found.proba(z))
