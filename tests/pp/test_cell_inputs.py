from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from semtx._counts import find_counts
from semtx.pp._cell_inputs import normalized_expression

COUNTS = np.random.default_rng(0).poisson(2, (20, 12)).astype(np.float32)
NORMALIZED = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4


@pytest.mark.parametrize(
    ("stored", "source"),
    [
        (COUNTS, "X"),
        (NORMALIZED, "X, normalised"),
        (np.log1p(NORMALIZED), "X, log-normalised"),
        (np.log1p(COUNTS), "X, logarithm of counts"),
        (np.log2(1 + NORMALIZED), "X, log2-normalised"),
        (np.log2(1 + COUNTS), "X, base-2 logarithm of counts"),
    ],
)
def test_every_form_of_counts_gives_the_same_rows(stored, source):
    found, place = normalized_expression(AnnData(stored), None)
    np.testing.assert_allclose(found.toarray(), NORMALIZED, rtol=1e-5)
    assert place == source


@pytest.mark.parametrize("stored", [COUNTS / COUNTS.std(axis=0), COUNTS - 1])
def test_what_cannot_be_undone_is_refused(stored):
    with pytest.raises(ValueError, match="counts or log-normalised values are needed, but X has"):
        normalized_expression(AnnData(stored), None)


@pytest.mark.parametrize("genes", [slice(None), slice(2, 7)])
def test_scaled_values_with_log_normalised_ones_in_raw(genes):
    adata = AnnData(np.log1p(NORMALIZED))
    adata.raw = adata
    adata = adata[:, genes].copy()
    adata.X = (adata.X - adata.X.mean(axis=0)) / adata.X.std(axis=0)
    found, place = normalized_expression(adata, None)
    # of all genes, those that X no longer has too
    np.testing.assert_allclose(found.toarray(), NORMALIZED[:, genes], rtol=1e-4)
    assert place == "raw, log-normalised"


@pytest.mark.parametrize("base", [None, 2, 10])
def test_fractions_that_uns_calls_log_normalised(base):
    noisy = COUNTS * np.random.default_rng(1).uniform(0.6, 1, COUNTS.shape)
    normalized = noisy / noisy.sum(axis=1, keepdims=True) * 1e4
    adata = AnnData((np.log1p(normalized) / np.log(base or np.e))[:, :8])
    adata.uns["log1p"] = {"base": base}
    found, _ = normalized_expression(adata, None)
    part = normalized[:, :8]
    np.testing.assert_allclose(found.toarray(), part / part.sum(axis=1, keepdims=True) * 1e4, rtol=1e-4)


def test_names_twice_in_raw():
    adata = AnnData(np.log1p(NORMALIZED))
    twice = AnnData(np.log1p(NORMALIZED))
    twice.var_names = ["5", "5", *map(str, range(2, 12))]
    adata.raw = twice
    adata = adata[:, 2:].copy()
    assert normalized_expression(adata, None)[1] == "X, log-normalised"
    with pytest.raises(ValueError, match="raw has genes of the same name"):
        find_counts(adata)
