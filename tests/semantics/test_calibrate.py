from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from semtx.semantics import _calibrate
from semtx.semantics._calibrate import calibrated_scores
from semtx.semantics._enrichment import strata_of


def data(n_obs=30, n_vars=160, seed=0):
    generator = np.random.default_rng(seed)
    dense = np.log1p(generator.poisson(generator.uniform(0.2, 4, n_vars), size=(n_obs, n_vars))).astype(np.float32)
    usable = dense.std(axis=0) > 0
    usable[::7] = False
    weights = np.zeros((2, n_vars))
    chosen = np.flatnonzero(usable)
    weights[0, generator.choice(chosen, 12, replace=False)] = generator.uniform(0.2, 1, 12)
    weights[1, generator.choice(chosen, 20, replace=False)] = generator.normal(size=20)
    return dense, weights, usable


def standardised(dense, usable):
    part = dense[:, usable].astype(float)
    return (part - part.mean(axis=0)) / part.std(axis=0, ddof=1), strata_of(part.mean(axis=0))


def test_mean_and_variance_are_those_of_random_gene_sets():
    dense, weights, usable = data()
    z, strata = standardised(dense, usable)
    generator = np.random.default_rng(1)
    drawn = []
    for _ in range(4000):
        order = np.arange(z.shape[1])
        for stratum in np.unique(strata):
            inside = np.flatnonzero(strata == stratum)
            order[inside] = generator.permutation(inside)
        drawn.append(z @ weights[:, usable][:, order].T)
    wanted = (z @ weights[:, usable].T - np.mean(drawn, axis=0)) / np.std(drawn, axis=0)
    found = calibrated_scores(sparse.csr_matrix(dense), weights, usable)
    np.testing.assert_allclose(found, wanted, atol=0.12)


def test_two_genes_can_be_counted_out():
    """With one stratum and weight on one gene, the z-score is that of the gene among all genes of the cell."""
    dense, _, usable = data(n_vars=40)
    z, strata = standardised(dense, usable)
    assert not strata.any()
    weights = np.zeros((1, 40))
    gene = np.flatnonzero(usable)[3]
    weights[0, gene] = 0.3
    found = calibrated_scores(sparse.csr_matrix(dense), weights, usable)[:, 0]
    np.testing.assert_allclose(found, (z[:, 3] - z.mean(axis=1)) / z.std(axis=1), rtol=1e-5)


def test_scale_sign_and_chunks(monkeypatch):
    dense, weights, usable = data()
    x = sparse.csr_matrix(dense)
    wanted = calibrated_scores(x, weights, usable)
    np.testing.assert_allclose(calibrated_scores(x, -5 * weights, usable), -wanted, rtol=1e-9)
    monkeypatch.setattr(_calibrate, "_CHUNK", 7)
    np.testing.assert_allclose(calibrated_scores(x, weights, usable), wanted, rtol=1e-9)


def test_random_weights_have_mean_0_and_variance_1():
    dense, _, usable = data(n_obs=200, n_vars=600)
    generator = np.random.default_rng(2)
    weights = np.zeros((400, 600))
    for row in weights:
        row[generator.choice(np.flatnonzero(usable), 30, replace=False)] = 1
    found = calibrated_scores(sparse.csr_matrix(dense), weights, usable)
    assert abs(found.mean()) < 0.05
    assert found.var() == pytest.approx(1, abs=0.05)


def test_a_score_of_all_genes_tells_nothing():
    dense, _, usable = data(n_vars=40)
    found = calibrated_scores(sparse.csr_matrix(dense), usable[None].astype(float), usable)
    np.testing.assert_array_equal(found, 0)
