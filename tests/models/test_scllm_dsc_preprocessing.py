"""Expression and path 1 against brute force: standardised, centred within batches, clipped, weighted, of unit length."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import semtx as st
from semtx.models._expression import log_normalized
from semtx.models._scllm_dsc_preprocessing import (
    Cells,
    ScLLMDSCPreprocessing,
    centred_unit_vectors,
    principal_axes,
)

N, D = 130, 25
STANDARDIZED = st.models.ScLLMDSCConfig(expression="standardized", latent_dim=4)
GIVEN = st.models.ScLLMDSCConfig(latent_dim=4)
FORMS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix]


@pytest.fixture
def counts() -> np.ndarray:
    generator = np.random.default_rng(0)
    made = generator.poisson(generator.gamma(0.5, 2, D), (N, D)).astype(np.float32)
    made[3] = 0  # an empty cell
    made[4] = 0
    made[4, 7] = 5  # a cell of one gene
    made[:, 9] = 0  # a gene nobody expresses
    made[:, 10] = 0
    made[:1, 10] = 80  # a gene in one cell, far above the clip
    return made


@pytest.fixture
def vectors() -> np.ndarray:
    made = np.random.default_rng(1).normal(size=(D, 6)).astype(np.float32) + 2
    made[[2, 5]] = 0  # genes without a vector
    return made


BATCH = np.arange(N) % 3
ONE = np.zeros(N, dtype=np.int64)


def fit(config, x, batch=ONE, gene_vectors=None, semantics=None, library_sizes=None):
    return ScLLMDSCPreprocessing.fit(config, x, library_sizes, batch, gene_vectors, semantics, 0)


def standardized(counts: np.ndarray, batch: np.ndarray, library_sizes: np.ndarray | None = None) -> np.ndarray:
    counts = counts.astype(np.float64)
    totals = counts.sum(axis=1) if library_sizes is None else library_sizes
    log = np.array([np.log1p(row / total * 1e4) if total else row for row, total in zip(counts, totals, strict=True)])
    deviation = log.std(axis=0, ddof=1)
    deviation[deviation == 0] = 1
    mean = log.mean(axis=0)
    # clipped at 10 standard deviations above the mean, as scaled values are
    scaled = log / deviation
    assert (scaled > 10 + mean / deviation).any()
    scaled = np.minimum(scaled, 10 + mean / deviation)
    for number in np.unique(batch):
        scaled[batch == number] -= scaled[batch == number].mean(axis=0)
    return scaled


def unit(x: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)


def path_1(expression: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """W G with gene vectors centred over genes that have one, then centred over cells and scaled to one length."""
    vectors = vectors.astype(np.float64)
    has_vector = vectors.any(axis=1)
    vectors[has_vector] -= vectors[has_vector].mean(axis=0)
    path = expression @ unit(vectors)
    path = unit(path - path.mean(axis=0))
    return path * np.sqrt(4 / (path**2).sum(axis=1).mean())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [ONE, BATCH], ids=["one batch", "three batches"])
class TestStandardized:
    def test_expression(self, counts, form, batch):
        _, cells = fit(STANDARDIZED, form(counts), batch)
        assert sparse.issparse(cells.matrix)
        wanted = standardized(counts, batch)
        np.testing.assert_allclose(cells.expression(slice(None)), wanted, atol=2e-4)
        np.testing.assert_allclose(cells.expression(np.array([5, 2])), wanted[[5, 2]], atol=2e-4)
        assert cells.text is None

    def test_library_sizes_of_all_genes(self, counts, form, batch):
        sizes = counts.sum(axis=1) + np.arange(N)
        _, cells = fit(STANDARDIZED, form(counts), batch, library_sizes=sizes)
        np.testing.assert_allclose(cells.expression(slice(None)), standardized(counts, batch, sizes), atol=2e-4)

    def test_path_1(self, counts, vectors, form, batch):
        _, cells = fit(STANDARDIZED, form(counts), batch, vectors)
        wanted = path_1(standardized(counts, batch), vectors)
        np.testing.assert_allclose(cells.text, wanted, atol=1e-4)
        assert cells.text.dtype == np.float32


@pytest.mark.parametrize("form", FORMS)
class TestGiven:
    def test_float_weights_survive(self, counts, vectors, form):
        """The authors cut weights down to whole numbers, so that log-normalised values became 0, 1, 2."""
        values = np.log1p(counts)
        _, cells = fit(GIVEN, form(values), ONE, vectors)
        dense = values - values.mean(axis=0)
        np.testing.assert_allclose(cells.text, path_1(dense, vectors), atol=1e-5)
        _, cut = fit(GIVEN, form(np.trunc(values)), ONE, vectors)
        assert np.abs(cut.text - cells.text).max() > 0.1

    def test_expression(self, counts, form):
        values = np.log1p(counts)
        _, cells = fit(GIVEN, form(values), BATCH)
        # sparse input is read as it is, dense input centred within batches
        wanted = values.copy()
        if not sparse.issparse(form(values)):
            for number in range(3):
                wanted[number == BATCH] -= values[number == BATCH].mean(axis=0)
        np.testing.assert_allclose(cells.expression(slice(None)), wanted, atol=1e-6)


def test_a_cell_without_counts_and_a_cell_of_one_gene(counts, vectors):
    _, cells = fit(STANDARDIZED, sparse.csr_matrix(counts), ONE, vectors)
    assert np.isfinite(cells.text).all()
    # an empty cell lies where no gene is expressed, wherever the mean is
    nothing = -cells.offsets[0]
    np.testing.assert_allclose(cells.expression(np.array([3]))[0], nothing, atol=1e-6)
    one = cells.expression(np.array([4]))[0].numpy()
    assert (np.delete(one, 7) == np.delete(nothing, 7)).all()
    assert one[7] > nothing[7]


@pytest.mark.parametrize("gene_vectors", [True, False])
def test_paths_lie_side_by_side_and_have_one_size(counts, vectors, gene_vectors):
    semantics = 1e3 * np.random.default_rng(2).normal(size=(N, 5)) + 7
    made, cells = fit(STANDARDIZED, counts, ONE, vectors if gene_vectors else None, semantics)
    assert made.text_widths == ((6, 5) if gene_vectors else (5,))
    second = unit(semantics - semantics.mean(axis=0))
    np.testing.assert_allclose(cells.text[:, -5:], 2 * second, atol=1e-4)  # the root of latent_dim
    if gene_vectors:
        np.testing.assert_allclose((cells.text[:, :6] ** 2).sum(axis=1).mean(), 4, rtol=1e-5)


def test_components_keep_what_varies(counts, vectors):
    config = STANDARDIZED.updated(n_semantic_components=3)
    made, cells = fit(config, counts, ONE, vectors)
    assert made.text_widths == (3,)
    path = path_1(standardized(counts, ONE), vectors)
    left, lengths, _ = np.linalg.svd(path - path.mean(axis=0), full_matrices=False)
    wanted = left[:, :3] * lengths[:3]
    # up to signs and scale
    correlation = np.corrcoef(np.abs(cells.text).ravel(), np.abs(wanted).ravel())[0, 1]
    assert correlation > 0.999


def test_vectors_are_centred_over_genes_that_have_one(vectors):
    made = centred_unit_vectors(vectors)
    assert not made[[2, 5]].any()
    kept = np.delete(vectors, [2, 5], axis=0).astype(np.float64)
    np.testing.assert_allclose(np.delete(made, [2, 5], axis=0), unit(kept - kept.mean(axis=0)), atol=1e-6)


@pytest.mark.parametrize("config", [STANDARDIZED, GIVEN], ids=["standardized", "given"])
@pytest.mark.parametrize("form", FORMS)
def test_new_cells_are_treated_as_the_old_ones_were(counts, vectors, config, form):
    semantics = np.random.default_rng(2).normal(size=(N, 5)).astype(np.float32)
    made, cells = fit(config, form(counts), BATCH, vectors, semantics)
    again = ScLLMDSCPreprocessing.from_arrays(config, made.arrays())
    for preprocessing in (made, again):
        same = preprocessing.cells(form(counts), None, BATCH, semantics)
        np.testing.assert_array_equal(same.text, cells.text)
        np.testing.assert_array_equal(same.expression(slice(None)), cells.expression(slice(None)))
        assert preprocessing.text_widths == made.text_widths


def test_the_cells_of_a_new_batch_are_centred_by_themselves(counts, vectors):
    made, cells = fit(STANDARDIZED, sparse.csr_matrix(counts), BATCH, vectors)
    batch = BATCH.copy()
    batch[BATCH == 2] = 3
    new = made.cells(sparse.csr_matrix(counts), None, batch, None)
    # the same cells under another name
    np.testing.assert_allclose(new.expression(slice(None)), cells.expression(slice(None)), atol=1e-6)
    np.testing.assert_allclose(new.text, cells.text, atol=1e-5)
    part = made.cells(sparse.csr_matrix(counts[:7]), None, np.full(7, 3), None)
    np.testing.assert_allclose(part.expression(slice(None)).mean(dim=0), np.zeros(D), atol=1e-5)


def test_the_input_stays_as_it_is(counts, vectors):
    for form in FORMS:
        for config in (STANDARDIZED, GIVEN):
            x = form(counts)
            before = x.copy()
            made, _ = fit(config, x, BATCH, vectors)
            made.cells(x, None, BATCH, None)
            assert abs(x - before).max() == 0


def test_log_expression_is_that_of_scanpy(counts):
    import scanpy as sc
    from anndata import AnnData

    adata = AnnData(sparse.csr_matrix(counts))
    got = log_normalized(sparse.csr_matrix(counts))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    np.testing.assert_allclose(got.toarray(), adata.X.toarray(), atol=1e-5)


class TestPrincipalAxes:
    @pytest.mark.parametrize("tall", [True, False], ids=["many cells", "few cells"])
    @pytest.mark.parametrize("batch", [ONE, BATCH], ids=["one batch", "three batches"])
    @pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
    def test_equal_those_of_the_dense_matrix(self, monkeypatch, counts, form, batch, tall):
        monkeypatch.setattr("semtx.models._scllm_dsc_preprocessing.is_tall", lambda shape: tall)
        _, cells = fit(STANDARDIZED, form(counts), batch)
        dense = cells.expression(slice(None)).double().numpy()
        got = principal_axes(cells, 4, 0)
        _, lengths, axes = np.linalg.svd(dense, full_matrices=False)
        np.testing.assert_allclose(np.abs(got @ axes[:4].T), np.eye(4), atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(dense @ got.T, axis=0), lengths[:4], rtol=1e-5)
        assert (got[np.arange(4), np.abs(got).argmax(axis=1)] > 0).all()

    @pytest.mark.parametrize("tall", [True, False], ids=["many cells", "few cells"])
    def test_of_cells_without_any_difference(self, monkeypatch, tall):
        monkeypatch.setattr("semtx.models._scllm_dsc_preprocessing.is_tall", lambda shape: tall)
        cells = Cells(sparse.csr_matrix((N, D), dtype=np.float32), np.zeros((1, D), dtype=np.float32), ONE)
        assert not principal_axes(cells, 4, 0).any()


def test_chunks_cover_all_cells():
    cells = Cells(np.zeros((10_001, 1), dtype=np.float32), None, np.zeros(10_001, dtype=np.int64))
    rows = np.concatenate([np.arange(10_001)[chunk] for chunk in cells.chunks()])
    np.testing.assert_array_equal(rows, np.arange(10_001))
