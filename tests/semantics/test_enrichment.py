from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse, stats

from semtx.semantics._enrichment import (
    distinct_rows,
    enrichment,
    nearest_genes,
    raised_profile,
    strata_of,
    upper_tail,
)


def shuffled(generator, strata):
    """A permutation that keeps every gene in its stratum."""
    order = np.arange(len(strata))
    for one in np.unique(strata):
        places = np.flatnonzero(strata == one)
        order[places] = generator.permutation(places)
    return order


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def problem(generator):
    """Weights of terms as members and neighbours have them, and a skewed profile as markers have it."""
    weights = sparse.random_array((60, 400), density=0.08, rng=generator, format="csr")
    weights.data = generator.integers(1, 3, weights.nnz).astype(float)
    profile = np.maximum(generator.gamma(0.3, 1.0, size=(3, 400)) - 0.1, 0)
    return sparse.csr_matrix(weights), profile, strata_of(generator.random(400))


def test_moments_are_those_of_all_permutations(generator):
    weights, profile = generator.integers(0, 3, (1, 7)).astype(float), generator.gamma(1, size=(1, 7))
    strata = np.array([0, 0, 0, 0, 1, 1, 1])
    scores = [
        weights[0, :4] @ profile[0, list(first)] + weights[0, 4:] @ profile[0, list(second)]
        for first in itertools.permutations(range(4))
        for second in itertools.permutations(range(4, 7))
    ]
    observed = weights[0] @ profile[0]
    z = (observed - np.mean(scores)) / np.std(scores)
    result = enrichment(sparse.csr_matrix(weights), profile, strata)
    assert result.effect[0, 0] == pytest.approx((observed - np.mean(scores)) / weights.sum())
    assert result.pval[0, 0] == pytest.approx(upper_tail(np.array(z), np.array(stats.skew(scores))).item())


def test_p_values_are_uniform_under_the_null(problem, generator):
    weights, profile, strata = problem
    pval = np.concatenate(
        [enrichment(weights, profile[:, shuffled(generator, strata)], strata).pval.ravel() for _ in range(300)]
    )
    # as uniform numbers would be, also far out, where it matters after correction for many tests
    assert abs(pval.mean() - 0.5) < 0.01
    assert np.abs(np.quantile(pval, np.linspace(0.05, 0.95, 19)) - np.linspace(0.05, 0.95, 19)).max() < 0.02
    for level, tolerance in ((0.05, 0.1), (0.01, 0.15), (0.001, 0.35)):
        assert (pval <= level).mean() == pytest.approx(level, rel=tolerance)


def test_p_values_are_those_of_drawn_permutations(problem, generator):
    weights, profile, strata = problem
    dense = weights.toarray()
    drawn = np.array([dense @ profile[:, shuffled(generator, strata)].T for _ in range(4000)])
    share = (drawn >= dense @ profile.T - 1e-9).mean(axis=0)
    assert np.abs(enrichment(weights, profile, strata).pval - share).max() < 0.035


def test_genes_of_like_expression_are_what_a_term_is_compared_with(generator):
    """Where all that is expressed much is raised, a term of such genes is nothing special."""
    mean = np.sort(generator.random(1000))
    profile = (mean + 0.05 * generator.random(1000))[None]
    weights = sparse.csr_matrix((np.arange(1000) % 20 == 0)[None] * (mean > 0.8)[None] * 1.0)
    assert enrichment(weights, profile, strata_of(mean)).pval[0, 0] > 0.01
    assert enrichment(weights, profile, np.zeros(1000, dtype=int)).pval[0, 0] < 1e-4


def test_a_raised_term_is_found_and_effect_is_the_mean_excess():
    profile = np.zeros((2, 200))
    profile[0, :10] = 2.0
    weights = sparse.csr_matrix(np.eye(20).repeat(10, axis=1))
    result = enrichment(weights, profile, np.zeros(200, dtype=int))
    assert result.pval[:, 0].argmin() == 0
    assert result.pval[0, 0] < 1e-6
    assert result.effect[0, 0] == pytest.approx(2.0 - 0.1)
    assert (result.pval[:, 1] == 1).all(), "a group that raises nothing has no terms"
    assert np.isfinite(result.effect).all()


def test_upper_tail():
    z = np.linspace(-2, 6, 9)
    np.testing.assert_allclose(upper_tail(z, np.zeros(9)), stats.norm.sf(z))
    np.testing.assert_allclose(upper_tail(z, np.full(9, -1.0)), stats.norm.sf(z))
    np.testing.assert_allclose(upper_tail(z, np.full(9, 1.3)), stats.pearson3.sf(z, 1.3))
    np.testing.assert_allclose(upper_tail(z, np.full(9, 0.0011)), stats.norm.sf(z), rtol=0.05)


def test_raised_profile_against_dense_arithmetic(generator):
    values = generator.poisson(0.7, (50, 30)).astype(np.float32)
    codes = np.arange(50) % 3
    profile, mean = raised_profile(sparse.csr_matrix(values), codes, 3)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-6)
    for group in range(3):
        a, b = values[codes == group].astype(float), values[codes != group].astype(float)
        spread = np.sqrt((((a - a.mean(0)) ** 2).sum(0) + ((b - b.mean(0)) ** 2).sum(0)) / 48)
        wanted = np.maximum(a.mean(0) - b.mean(0), 0) / (spread + np.median(spread))
        np.testing.assert_allclose(profile[group], wanted, rtol=1e-5, atol=1e-9)


def test_a_gene_without_expression_is_not_raised():
    profile, _ = raised_profile(sparse.csr_matrix((6, 4), dtype=np.float32), np.array([0, 0, 0, 1, 1, 1]), 2)
    assert (profile == 0).all()


def test_nearest_genes(generator):
    genes = generator.normal(size=(40, 8)).astype(np.float32)
    genes[5] = 0
    terms = generator.normal(size=(700, 8)).astype(np.float32)
    near = nearest_genes(terms, genes, 4)
    similarity = terms @ genes.T
    similarity[:, 5] = -np.inf
    wanted = np.sort(np.argsort(-similarity, axis=1)[:, :4], axis=1)
    assert (near.indices.reshape(-1, 4) == wanted).all()
    assert nearest_genes(terms, genes, 100).getnnz() == 700 * 39
    assert nearest_genes(terms, np.zeros_like(genes), 3).getnnz() == 0


def test_strata_are_of_like_expression_and_size(generator):
    mean = generator.random(430)
    strata = strata_of(mean)
    assert strata.max() == 7
    assert np.ptp(np.bincount(strata)) <= 1
    assert all(mean[strata == i].max() <= mean[strata == i + 1].min() for i in range(7))
    assert strata_of(np.ones(3)).tolist() == [0, 0, 0]
    assert strata_of(generator.random(10_000)).max() == 19


def test_rows_that_say_the_same_are_left_out():
    rows = sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 0.9, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], float))
    assert distinct_rows(rows, 5, 0.9) == [0, 2, 3, 4]
    assert distinct_rows(rows, 5, 0.6) == [0, 2, 4]
    assert distinct_rows(rows, 2, 0.9) == [0, 2]
    assert distinct_rows(rows, 3, None) == [0, 1, 2]
