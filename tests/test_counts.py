from __future__ import annotations

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from semtx._counts import find_counts, kind_of, to_csr

COUNTS = np.random.default_rng(0).poisson(2, (20, 12)).astype(np.float32)


def lognormalized(counts=COUNTS):
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


@pytest.fixture
def adata():
    return AnnData(COUNTS.copy())


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        np.asfortranarray,
        lambda x: x.astype(np.int64),
        lambda x: x.astype(np.uint8),
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_matrix,
        sparse.csr_array,
        sparse.csc_array,
    ],
)
def test_every_kind_of_matrix_gives_the_same_csr(make):
    csr = to_csr(make(COUNTS))
    assert isinstance(csr, sparse.csr_matrix)
    assert csr.dtype == np.float32
    np.testing.assert_array_equal(csr.toarray(), COUNTS)


@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_counts_are_a_copy(make):
    stored = make(COUNTS)
    to_csr(stored).data[:] = -1
    np.testing.assert_array_equal(to_csr(stored).toarray(), COUNTS)


def test_dask():
    dask_array = pytest.importorskip("dask.array")
    np.testing.assert_array_equal(to_csr(dask_array.from_array(COUNTS, chunks=5)).toarray(), COUNTS)


def test_backed(adata, tmp_path):
    adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "file.h5ad")
    backed = anndata.read_h5ad(tmp_path / "file.h5ad", backed="r")
    np.testing.assert_array_equal(find_counts(backed).matrix.toarray(), COUNTS)
    backed.file.close()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (COUNTS, "integer"),
        (np.zeros((3, 3)), "integer"),
        (COUNTS * 0.3, "expected"),
        (lognormalized(), "lognormalized"),
        (lognormalized(COUNTS[:, :6]), "lognormalized"),
        (COUNTS - COUNTS.mean(axis=0), "negative"),
        (np.where(COUNTS > 5, np.nan, COUNTS), "invalid"),
        (np.where(COUNTS > 5, np.inf, COUNTS), "invalid"),
    ],
)
def test_kind(values, kind):
    assert kind_of(to_csr(values)) == kind


def test_lognormalized_with_empty_rows():
    values = lognormalized()
    values[3] = 0
    assert kind_of(to_csr(values)) == "lognormalized"


class TestWhere:
    def test_x(self, adata):
        assert find_counts(adata).source == "X"

    def test_counts_layer_before_x(self, adata):
        adata.layers["counts"] = COUNTS * 2
        found = find_counts(adata)
        assert found.source == "layers['counts']"
        np.testing.assert_array_equal(found.matrix.toarray(), COUNTS * 2)

    def test_layer_before_all(self, adata):
        adata.layers["counts"] = COUNTS * 2
        adata.layers["spliced"] = COUNTS * 3
        assert find_counts(adata, layer="spliced").matrix.max() == COUNTS.max() * 3

    def test_raw_last_and_only_the_genes_at_hand(self, adata):
        adata.raw = adata.copy()
        adata.X = lognormalized()
        # a subset of log-normalised genes no longer sums to one total, and looks like expected counts
        found = find_counts(adata[:, 3:6].copy())
        assert found.source == "raw"
        np.testing.assert_array_equal(found.matrix.toarray(), COUNTS[:, 3:6])

    def test_no_x(self, adata):
        bare = AnnData(obs=adata.obs, var=adata.var, layers={"counts": COUNTS})
        assert find_counts(bare).source == "layers['counts']"

    def test_unknown_layer(self, adata):
        with pytest.raises(KeyError, match=r"layer='x' is not in adata.layers, which has none"):
            find_counts(adata, layer="x")

    def test_a_named_layer_is_not_replaced_by_another_place(self, adata):
        adata.layers["scaled"] = COUNTS - 1
        with pytest.raises(ValueError, match=r"layers\['scaled'\] has negative values"):
            find_counts(adata, layer="scaled")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (lognormalized(), "log-normalised"),
        (COUNTS - 1, "negative"),
        (np.where(COUNTS > 5, np.nan, COUNTS), "NaN"),
    ],
)
def test_no_counts_says_what_was_seen_and_what_to_do(adata, values, what):
    adata.X = values
    with pytest.raises(ValueError, match=rf"X has .*{what}.*layers\['counts'\]"):
        find_counts(adata)


def test_subset_of_lognormalized_genes_is_told_by_scanpys_mark(adata):
    adata.X = lognormalized()
    adata.uns["log1p"] = {"base": None}
    with pytest.raises(ValueError, match=r"uns\['log1p'\] says so"):
        find_counts(adata[:, 3:6].copy())


def test_expected_counts_are_taken_with_a_warning(adata, capsys):
    adata.X = COUNTS * 0.3
    assert find_counts(adata).kind == "expected"
    assert "not whole numbers" in capsys.readouterr().err
