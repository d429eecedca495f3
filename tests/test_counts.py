from __future__ import annotations

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from semtx._counts import find_counts, kind_of, to_csr, without_warning

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


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.array])
@pytest.mark.parametrize("block", [1, 2 * COUNTS.shape[1], 10**6])
def test_backed(adata, tmp_path, monkeypatch, form, block):
    monkeypatch.setattr("semtx._counts._BLOCK", block)
    adata.X = form(COUNTS)
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
        (lognormalized()[:, 3:9], "lognormalized"),
        (lognormalized() / np.log(2), "log2normalized"),
        (lognormalized()[:, 3:9] / np.log(2), "log2normalized"),
        (np.log1p(COUNTS), "logcounts"),
        (np.log2(COUNTS + 1), "log2counts"),
        (np.expm1(lognormalized()), "normalized"),
        (np.expm1(lognormalized())[:, 3:9], "normalized"),
        (COUNTS / COUNTS.sum(axis=1, keepdims=True), "normalized"),
        (COUNTS / COUNTS.std(axis=0), "scaled"),
        (COUNTS / COUNTS.std(axis=0, ddof=1), "scaled"),
        (np.minimum(COUNTS / COUNTS.std(axis=0), 4), "scaled"),
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


def sparse_counts(n=400, d=150, seed=0):
    generator = np.random.default_rng(seed)
    rates = generator.gamma(0.3, 1, d) * generator.gamma(4, 0.25, (n, 1))
    return generator.poisson(rates).astype(np.float32)


class TestExpectedCounts:
    """What fractions are counts after all."""

    def test_soft_assignment(self):
        parts = np.random.default_rng(1).beta(0.3, 0.3, (400, 150))
        assert kind_of(to_csr(sparse_counts() * parts)) == "expected"
        # most molecules are certain, so that most values are whole or nearly so
        nearly = np.maximum(sparse_counts() - np.where(parts > 0.8, 1e-4 * parts, 0), 0)
        assert kind_of(to_csr(nearly)) == "expected"

    @pytest.mark.parametrize("decimals", [2, 3])
    def test_few_decimals(self, decimals):
        parts = np.random.default_rng(1).random((400, 150))
        assert kind_of(to_csr((sparse_counts() * parts).round(decimals))) == "expected"

    @pytest.mark.parametrize("shares", [[1, 2], [1, 3], [1, 2, 3]])
    def test_molecules_shared_evenly(self, shares):
        among = np.random.default_rng(1).choice(shares, (400, 150))
        assert kind_of(to_csr(sparse_counts() / among)) == "expected"

    def test_continuous(self):
        generator = np.random.default_rng(1)
        assert kind_of(to_csr(generator.gamma(0.5, 3, (200, 100)))) == "expected"
        assert kind_of(to_csr(generator.gamma(0.5, 3, (200, 2)))) == "expected"
        assert kind_of(to_csr(generator.gamma(0.5, 3, (1, 3)))) == "expected"

    def test_a_real_panel_and_parts_of_it(self, test_data):
        file = test_data / "spatial" / "ISS_mouse_coronal_cells.h5ad"
        if not file.exists():
            pytest.skip(f"no {file.name} in the test data")
        counts = to_csr(anndata.read_h5ad(file).X)
        for part in (counts, counts[:500], counts[::100], counts[:, :20], counts[:, ::7]):
            assert kind_of(part) == "expected"


@pytest.mark.parametrize("genes", [slice(None), slice(0, 40), slice(30, 150, 2)])
@pytest.mark.parametrize("target", [1, 1e4, 1e6, None])
def test_what_scanpy_makes_of_sparse_counts_is_told_in_parts_too(genes, target):
    import scanpy as sc

    adata = AnnData(sparse.csr_matrix(sparse_counts()))
    sc.pp.normalize_total(adata, target_sum=target)
    assert kind_of(to_csr(adata.X[:, genes])) == "normalized"
    two = sc.pp.log1p(adata, base=2, copy=True)
    assert kind_of(to_csr(two.X[:, genes])) == "log2normalized"
    sc.pp.log1p(adata)
    assert kind_of(to_csr(adata.X[:, genes])) == "lognormalized"
    sc.pp.scale(adata, zero_center=False, max_value=10)
    assert kind_of(to_csr(adata.X[:, genes])) == "scaled"


class TestWhere:
    def test_x(self, adata):
        assert find_counts(adata).source == "X"

    def test_counts_layer_before_x(self, adata):
        adata.layers["counts"] = COUNTS * 2
        found = find_counts(adata)
        assert found.source == "layers['counts']"
        np.testing.assert_array_equal(found.matrix.toarray(), COUNTS * 2)

    def test_expected_counts_in_the_counts_layer_before_whole_numbers_in_x(self, adata, capsys):
        adata.layers["counts"] = COUNTS * 0.3
        found = find_counts(adata)
        assert (found.source, found.kind) == ("layers['counts']", "expected")
        assert "layers['counts'] holds non-negative values" in capsys.readouterr().err

    def test_whole_numbers_in_raw_before_expected_counts_in_x(self, adata, capsys):
        adata.raw = adata.copy()
        adata.X = COUNTS * 0.3
        assert find_counts(adata).source == "raw"
        assert "expected" not in capsys.readouterr().err

    def test_raw_is_taken_for_whole_numbers_only(self, adata):
        raw = adata.copy()
        raw.X = COUNTS * 0.3
        adata.raw = raw
        assert find_counts(adata).source == "X"
        adata.X = COUNTS * 0.5
        assert find_counts(adata).source == "X"
        adata.X = COUNTS - 1
        with pytest.raises(ValueError, match=r"X has negative values.*; raw has values that are not whole numbers"):
            find_counts(adata)

    def test_lognormalized_values_of_some_genes_in_raw_are_no_counts(self):
        """As scanpy's example ``pbmc68k_reduced`` has them: genes were chosen after normalising, then ``X`` was scaled."""
        counts = sparse_counts()
        values = lognormalized(counts + 1e-9)[:, :40]
        adata = AnnData(values)
        adata.raw = adata.copy()
        adata.X = (values - values.mean(axis=0)) / values.std(axis=0)
        with pytest.raises(ValueError, match=r"X has negative values.*raw has "):
            find_counts(adata)

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
        (lognormalized()[:, [0, 1, 2, 3, 4, 5] * 2], "log-normalised"),
        (lognormalized() / np.log(2), "log2-normalised"),
        (np.log1p(COUNTS), "the logarithm of raw counts"),
        (np.log2(COUNTS + 1), "the base-2 logarithm of raw counts"),
        (np.expm1(lognormalized()), "normalised counts"),
        (COUNTS / COUNTS.std(axis=0, ddof=1), "scaled values"),
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
    assert kind_of(to_csr(adata.X[:, 3:4])) == "expected"  # too few values to tell
    with pytest.raises(ValueError, match=r"uns\['log1p'\] says so"):
        find_counts(adata[:, 3:4].copy())


def test_expected_counts_are_taken_with_a_warning(adata, capsys):
    adata.X = COUNTS * 0.3
    assert find_counts(adata).kind == "expected"
    assert "not whole numbers" in capsys.readouterr().err


def test_the_warning_can_be_left_out_the_second_time(adata, capsys):
    adata.X = COUNTS * 0.3
    with without_warning():
        find_counts(adata)
    assert "not whole numbers" not in capsys.readouterr().err
    find_counts(adata)
    assert "not whole numbers" in capsys.readouterr().err
