from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

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
    ],
)
def test_every_form_of_counts_gives_the_same_rows(stored, source):
    found, place = normalized_expression(AnnData(stored), None)
    np.testing.assert_allclose(found.toarray(), NORMALIZED, rtol=1e-5)
    assert place == source


@pytest.mark.parametrize("stored", [COUNTS / COUNTS.std(axis=0), np.log2(COUNTS + 1), COUNTS - 1])
def test_what_cannot_be_undone_is_refused(stored):
    with pytest.raises(ValueError, match="raw counts are needed"):
        normalized_expression(AnnData(stored), None)
