from __future__ import annotations

import numpy as np
import pytest
import torch

from semtx.models._scllm_dsc_clusters import (
    Centers,
    assigned,
    count_distinct,
    k_means,
    mean_by_label,
    merge_prototypes,
    one_view,
    sample,
    spread_within,
)
from semtx.nn import ScLLMDSCViews, student_t


def brute_force_linkage(distance: np.ndarray, n_clusters: int) -> set[frozenset[int]]:
    """Join the two groups whose members are closest on average, again and again."""
    groups = [frozenset([i]) for i in range(len(distance))]
    while len(groups) > n_clusters:
        pairs = [(a, b) for i, a in enumerate(groups) for b in groups[i + 1 :]]
        first, second = min(pairs, key=lambda pair: distance[np.ix_(sorted(pair[0]), sorted(pair[1]))].mean())
        groups = [group for group in groups if group not in (first, second)] + [first | second]
    return set(groups)


def cosine_distance(view: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    centred = view - view.mean(axis=0)
    means = np.array([centred[labels == i].mean(axis=0) for i in range(n)])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    return 1 - unit @ unit.T


@pytest.fixture
def cells() -> tuple[list[np.ndarray], np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.arange(120) % 12)
    views = [(generator.normal(size=(12, d)) + 3)[labels] + 0.1 * generator.normal(size=(120, d)) for d in (5, 8)]
    return views, labels


class TestMergePrototypes:
    @pytest.mark.parametrize("n_clusters", [1, 2, 5, 9, 11])
    @pytest.mark.parametrize("number", [0, 1])
    def test_equals_brute_force_average_linkage(self, cells, n_clusters, number):
        view, labels = cells[0][number], cells[1]
        merged = merge_prototypes(view, labels, 12, n_clusters)
        got = {frozenset(np.flatnonzero(merged == cluster).tolist()) for cluster in np.unique(merged)}
        assert got == brute_force_linkage(cosine_distance(view, labels, 12), n_clusters)
        assert sorted(np.unique(merged)) == list(range(n_clusters))

    @pytest.mark.parametrize("n_clusters", [12, 20])
    def test_as_many_clusters_as_prototypes(self, cells, n_clusters):
        assert merge_prototypes(cells[0][0], cells[1], 12, n_clusters).tolist() == list(range(12))

    def test_prototypes_without_cells_join_the_first_cluster(self, cells):
        views, labels = cells
        kept = labels % 3 != 1  # 4 of 12 have no cells
        merged = merge_prototypes(views[0][kept], labels[kept], 14, 4)
        assert merged.shape == (14,)
        assert (merged[[1, 4, 7, 10, 12, 13]] == 0).all()
        filled = np.setdiff1d(np.arange(12), [1, 4, 7, 10])
        assert sorted(np.unique(merged[filled])) == [0, 1, 2, 3]

    def test_one_direction_at_two_depths_is_one_cluster(self):
        """The nearer of two prototypes that point one way is often the same type at lower depth."""
        directions = np.array([[4.0, 0], [1.0, 0], [0, 4], [0, 1], [-5, -5]])
        labels = np.repeat(np.arange(5), 10)
        z = directions[labels]
        merged = merge_prototypes(z, labels, 5, 3)
        assert merged[0] == merged[1] != merged[2] == merged[3]

    def test_cells_in_one_place(self):
        labels = np.arange(20) % 4
        merged = merge_prototypes(np.ones((20, 3)), labels, 4, 2)
        assert merged.min() == 0
        assert merged.max() <= 1


def test_mean_by_label():
    generator = np.random.default_rng(0)
    z, labels = generator.normal(size=(50, 3)), generator.integers(0, 4, 50)
    means = mean_by_label(z, labels, 6)
    for label in range(4):
        np.testing.assert_allclose(means[label], z[labels == label].mean(axis=0))
    assert not means[4:].any()


def test_spread_within():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 5000)
    centers = 10 * np.eye(3, 4)
    z = centers[labels] + 0.5 * generator.normal(size=(5000, 4))
    assert spread_within(z, labels, centers) == pytest.approx(0.5, rel=0.02)
    # a dimension in which nothing varies does not count
    flat, wide = np.column_stack([z, np.ones(5000)]), np.column_stack([centers, np.ones(3)])
    assert spread_within(flat, labels, wide) == pytest.approx(spread_within(z, labels, centers))
    # cells that are all alike within clusters differ by rounding alone
    alike = centers[labels]
    assert spread_within(alike, labels, centers) == pytest.approx(0.01 * np.sqrt(alike.var(axis=0)[:3].mean()))
    assert spread_within(np.ones((5, 2)), np.zeros(5, dtype=int), np.ones((1, 2))) == 1


def test_rows_that_differ_by_rounding_are_one():
    rows = np.random.default_rng(0).normal(size=(4, 3))
    assert count_distinct(rows.repeat(5, axis=0) * (1 + 1e-7 * np.arange(20)[:, None])) == 4
    assert count_distinct(1e-6 * rows) == 4
    assert count_distinct(np.ones((6, 2))) == 1


def test_odd_cells_join_the_nearest_prototype():
    view = np.vstack([np.repeat(5 * np.eye(4)[:3], 10, axis=0), [[4, 0, 0, 1.0], [0, 0, 0, 9.0]]])
    labels = np.r_[np.repeat(np.arange(3), 10), 3, 4]
    merged = merge_prototypes(view, labels, 5, 3)
    assert len(set(merged[:3])) == 3, "one cell, however far, takes no cluster from ten"
    assert merged[3] == merged[0]
    # unless there are no others
    assert len(set(merge_prototypes(view, labels, 5, 4))) == 4


def test_k_means_of_many_cells_is_as_good_as_of_all():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, 24_000)
    z = 6 * np.eye(4, 3)[truth] + generator.normal(size=(24_000, 3))
    centers, labels = k_means(z, 4, 0)
    again, same = k_means(z, 4, 0)
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_array_equal(centers, again)
    table = np.zeros((4, 4))
    np.add.at(table, (truth, labels), 1)
    assert (table.max(axis=1) / table.sum(axis=1)).min() > 0.95
    np.testing.assert_allclose(centers, mean_by_label(z, labels, 4), atol=1e-2)


@pytest.mark.parametrize(("n", "kept"), [(50, 50), (20_000, 20_000), (50_000, 20_000)])
def test_a_sample_of_many_cells(n, kept):
    rows = sample(n, 3)
    assert len(np.unique(rows)) == kept
    assert (np.diff(rows) > 0).all()
    assert 0 <= rows[0] <= rows[-1] < n
    np.testing.assert_array_equal(rows, sample(n, 3))


def test_assignments_some_cells_at_a_time_equal_all_at_once():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(40_000, 3, generator=generator)
    centers = Centers(np.eye(4, 3), "structure", 2.5, 0.7)
    got = assigned(centers, z)
    wanted = student_t(*centers.scaled(z), dof=2.5, log=True)
    torch.testing.assert_close(got, wanted)
    assert not got.requires_grad
    torch.testing.assert_close(got.exp().sum(dim=1), torch.ones(40_000))


def test_centers_are_a_copy():
    start = np.eye(3)
    centers = Centers(start, "fused", 1.0, 1.0)
    with torch.no_grad():
        centers.position += 1
    np.testing.assert_array_equal(start, np.eye(3))


def test_views():
    latent, structure, text = torch.zeros(2, 1), torch.ones(2, 3), 3 * torch.ones(2, 3)
    views = ScLLMDSCViews(latent, structure, text)
    assert one_view(views, "structure") is structure
    assert one_view(views, "text") is text
    assert torch.equal(one_view(views, "fused"), 2 * torch.ones(2, 3))
    assert torch.equal(one_view(views, "fused", 0.25), 1.5 * torch.ones(2, 3))
    bare = ScLLMDSCViews(latent, structure, None)
    assert all(one_view(bare, name) is structure for name in ("structure", "text", "fused"))
