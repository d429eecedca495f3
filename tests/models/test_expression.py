from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from semtx._counts import normalize_rows
from semtx.models._expression import (
    BatchMeans,
    PrincipalComponents,
    ScaledExpression,
    batch_codes,
    known_codes,
    log_normalized,
)
from semtx.models._reduced_rank import reduced_rank_regression


@pytest.fixture
def counts() -> np.ndarray:
    made = np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.6, 2, 25), (40, 25))
    made[3], made[:, 5] = 0, 0
    return made.astype(np.float32)


def test_normalized_total(counts):
    got = normalize_rows(sparse.csr_matrix(counts)).toarray()
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(got, counts / totals * 1e4, rtol=1e-5)
    np.testing.assert_allclose(
        log_normalized(sparse.csr_matrix(counts)).toarray(), np.log1p(counts / totals * 1e4), rtol=1e-5
    )


def test_scaled_is_the_authors_scaling(counts):
    """Library size 10,000, divided by the standard deviation (ddof 1) without centring, clipped at 10."""
    import scanpy as sc
    from anndata import AnnData

    counts[7] = 0
    counts[7, 2] = 50  # one gene only, so that the clip bites
    wanted = AnnData(counts.copy())
    sc.pp.normalize_total(wanted, target_sum=1e4)
    sc.pp.scale(wanted, zero_center=False, max_value=10)
    csr = sparse.csr_matrix(counts)
    got = ScaledExpression.fit(csr).transform(csr)
    np.testing.assert_allclose(got.toarray(), np.nan_to_num(wanted.X), rtol=1e-4)
    assert got.nnz == csr.nnz
    assert (csr != sparse.csr_matrix(counts)).nnz == 0


def test_scale_of_the_fitted_section_is_kept_for_another(counts):
    fitted = ScaledExpression.fit(sparse.csr_matrix(counts))
    got = fitted.transform(sparse.csr_matrix(counts[:5]))
    np.testing.assert_allclose(got.toarray(), fitted.transform(sparse.csr_matrix(counts)).toarray()[:5], rtol=1e-6)


@pytest.mark.parametrize("n_components", [3, 20])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_components_span_what_a_singular_value_decomposition_finds(counts, n_components, form):
    x = counts.astype(np.float64)
    got = PrincipalComponents.fit(form(x), n_components, 0).transform(form(x))
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    wanted = (u * s)[:, :n_components]
    signs = np.sign((got * wanted).sum(axis=0))
    np.testing.assert_allclose(got * signs, wanted, atol=1e-3)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_components_of_many_rows_are_those_of_few(monkeypatch, counts, form):
    """Many rows are decomposed by the products of columns."""
    x = form(np.tile(counts, (10, 1)))
    got = PrincipalComponents.fit(x, 5, 0)
    assert x.shape[0] > 10 * x.shape[1]
    monkeypatch.setattr("semtx.models._expression.is_tall", lambda shape: False)
    wanted = PrincipalComponents.fit(x, 5, 0)
    np.testing.assert_allclose(got.mean, wanted.mean, rtol=1e-5)
    np.testing.assert_allclose(got.components, wanted.components, atol=1e-4)


def test_fewer_components_than_asked_where_there_are_fewer_dimensions(counts):
    for width in (1, 4):
        x = counts[:, :width]
        for form in (sparse.csr_matrix, np.asarray):
            found = PrincipalComponents.fit(form(x), 30, 0)
            assert found.components.shape == (width, width)
            # all of them are a rotation
            z = found.transform(form(x))
            np.testing.assert_allclose(np.sum((z - z[0]) ** 2, axis=1), np.sum((x - x[0]) ** 2, axis=1), rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_equal_rows_have_components_of_zero(value, form):
    x = form(np.full((100, 80), value, dtype=np.float32))
    assert not PrincipalComponents.fit(x, 16, 0).transform(x).any()


def test_fewer_directions_than_components():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 2)) @ generator.normal(size=(2, 80))
    got = PrincipalComponents.fit(x, 16, 0).transform(x)
    assert np.isfinite(got).all()
    assert got[:, 2:].std() < 1e-3 * got[:, :2].std()


def test_full_rank_is_ridge_regression():
    generator = np.random.default_rng(0)
    x, y = generator.normal(1, 1, (60, 5)), generator.normal(2, 1, (60, 4))
    weight, bias = reduced_rank_regression(x, y, 4)
    fitted = x @ weight + bias
    centred, response = x - x.mean(axis=0), y - y.mean(axis=0)
    gram = centred.T @ centred
    ridge = gram + 4 / 60 * np.trace(gram) / 5 * np.eye(5)
    wanted = centred @ np.linalg.solve(ridge, centred.T @ response)
    # the same up to a rotation of the columns
    np.testing.assert_allclose(fitted @ fitted.T, wanted @ wanted.T, atol=1e-4)
    np.testing.assert_allclose(fitted.mean(axis=0), 0, atol=1e-5)


def test_low_rank_finds_the_planted_direction_first():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 6))
    signal = x @ np.array([1.0, -2, 0, 0, 0.5, 0])
    y = np.outer(signal, [1, 2, -1, 0.5]) + 0.1 * generator.normal(size=(300, 4))
    weight, bias = reduced_rank_regression(x, y, 2)
    found = x @ weight + bias
    assert abs(np.corrcoef(found[:, 0], signal)[0, 1]) > 0.999
    assert found[:, 0].std() > 20 * found[:, 1].std()


def test_few_observations_are_not_predicted_by_their_own_noise():
    """As many predictors as observations would fit every one exactly, and each would lie alone."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40, 60)), generator.normal(size=(40, 20))
    weight, bias = reduced_rank_regression(x, y, 20)
    assert (x @ weight + bias).var() < 0.8 * y.var()


def test_predictors_that_repeat_each_other_are_no_problem():
    x = np.random.default_rng(0).normal(size=(50, 3))
    weight, bias = reduced_rank_regression(np.hstack([x, x, np.zeros((50, 2))]), x, 3)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


class TestBatchMeans:
    def test_centres_within_batches_and_new_ones_by_themselves(self):
        x = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
        codes = np.array([0, 1, 0, 1, 2, 2, 2, 0, 1])
        means = BatchMeans.fit(x, codes)
        centred = means.centred(x, codes)
        for code in range(3):
            np.testing.assert_allclose(centred[codes == code].mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(means.centred(x[:3], np.array([0, 3, 3]))[1:].mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(means.centred(x, None), x - x.mean(axis=0), atol=1e-6)

    def test_codes(self):
        names, codes = batch_codes(["b", "a", "b"], 3)
        assert (names, codes.tolist()) == (["a", "b"], [1, 0, 1])
        assert batch_codes(["b", "b"], 2)[0] == batch_codes(None, 2)[0] == []
        assert known_codes(names, ["a", "c"], 2).tolist() == [0, 2]
        assert known_codes(names, None, 2).tolist() == [2, 2]
        assert known_codes([], ["a", "c"], 2).tolist() == [0, 0]


def test_each_new_batch_is_centred_by_itself():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 3)).astype(np.float32) + np.repeat([[0.0], [5.0], [-9.0], [20.0]], 15, axis=0)
    names, codes = batch_codes(["a"] * 15 + ["b"] * 15, 30)
    means = BatchMeans.fit(x[:30], codes)
    together = means.centred(x, known_codes(names, ["a"] * 15 + ["b"] * 15 + ["new"] * 15 + ["other"] * 15, 60))
    for part in np.split(together, 4):
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_array_equal(means.centred(x[30:45], known_codes(names, None, 15)), together[30:45])
