from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from semtx._counts import normalize_rows
from semtx.semantics import _cell
from semtx.semantics._cell import rank_weights, score_genes, selection, top_genes, weighted_semantics


@pytest.fixture
def counts() -> sparse.csr_matrix:
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.7, size=(40, 25)).astype(np.float32)
    dense[3] = 0  # an empty cell
    dense[:, 4] = 0  # a gene nobody expresses
    return sparse.csr_matrix(dense)


def dense_scores(expression: np.ndarray, ranking: str) -> np.ndarray:
    if ranking == "expression":
        return np.log1p(expression)
    if ranking == "zscore":
        sd = expression.std(axis=0, ddof=1)
        return np.divide(expression, sd, out=np.zeros_like(expression), where=sd > 0)
    mean = expression.mean(axis=0)
    scores = np.zeros_like(expression)
    for cell, gene in zip(*np.nonzero(expression > mean), strict=True):
        x, m = expression[cell, gene], mean[gene]
        scores[cell, gene] = x * np.log(x / m) - x + m
    return scores


def test_normalize_rows_gives_equal_sums_and_keeps_empty_rows(counts):
    sums = np.asarray(normalize_rows(counts).sum(axis=1)).ravel()
    np.testing.assert_allclose(np.delete(sums, 3), 1e4, rtol=1e-5)
    assert sums[3] == 0


@pytest.mark.parametrize("ranking", ["expression", "zscore", "specificity"])
def test_scores_equal_the_dense_definition_and_leave_the_input_alone(counts, ranking):
    expression = normalize_rows(counts)
    before = expression.copy()
    scores = score_genes(expression, ranking)
    expected = dense_scores(expression.toarray().astype(np.float64), ranking)
    np.testing.assert_allclose(scores.toarray(), expected, rtol=2e-4, atol=1e-3)
    assert scores.dtype == np.float32
    assert (scores.data > 0).all()
    np.testing.assert_array_equal(expression.toarray(), before.toarray())
    np.testing.assert_array_equal(expression.indptr, before.indptr)


@pytest.mark.parametrize("ranking", ["expression", "zscore", "specificity"])
@pytest.mark.parametrize("k", [1, 3, 30])
def test_top_genes_equal_a_full_sort(counts, ranking, k):
    names = [f"g{i:02d}" for i in np.random.default_rng(1).permutation(25)]
    expression = normalize_rows(counts)
    found = top_genes(expression, names, k, ranking)
    scores = score_genes(expression, ranking).toarray()
    for cell in range(len(scores)):
        order = sorted(np.flatnonzero(scores[cell]), key=lambda gene: (-scores[cell, gene], names[gene]))[:k]
        assert found[cell].tolist() == order + [-1] * (k - len(order))


def test_top_genes_do_not_depend_on_the_order_of_columns(counts):
    names = np.array([f"g{i:02d}" for i in range(25)])
    order = np.random.default_rng(2).permutation(25)
    straight = top_genes(counts, names, 4)
    shuffled = top_genes(counts[:, order], names[order], 4)
    for one, other in zip(straight, shuffled, strict=True):
        assert names[one[one >= 0]].tolist() == names[order][other[other >= 0]].tolist()


def test_specificity_prefers_a_strong_change_to_a_stray_count():
    counts = np.full((100, 3), 50.0)
    counts[::2, 1] = 200
    counts[:, 2] = 0
    counts[0] = [50, 200, 1]  # gene 1 is high here as in half of the cells, gene 2 is seen once in all
    expression = normalize_rows(sparse.csr_matrix(counts))
    assert top_genes(expression, ["a", "b", "c"], 1, "specificity")[0, 0] == 1
    assert top_genes(expression, ["a", "b", "c"], 1, "zscore")[0, 0] == 2


def test_weighted_mean_equals_brute_force(counts):
    vectors = np.random.default_rng(3).normal(size=(25, 6)).astype(np.float32)
    vectors[7] = 0  # no vector: neither in the sum nor in the weights
    cells = weighted_semantics(counts, vectors)
    dense = counts.toarray()
    for cell in range(len(dense)):
        weights = np.where(vectors.any(axis=1), dense[cell], 0)
        expected = weights @ vectors / weights.sum() if weights.sum() else np.zeros(6)
        np.testing.assert_allclose(cells[cell], expected, rtol=1e-4, atol=1e-5)
    assert cells.dtype == np.float32


@pytest.mark.parametrize("change", ["float64", "long_indices", "read_only", "no_rows", "unsorted"])
def test_weighted_mean_of_any_csr(counts, change, monkeypatch, recwarn):
    vectors = np.random.default_rng(3).normal(size=(25, 6)).astype(np.float32)
    weights = counts.copy()
    if change == "float64":
        weights = weights.astype(np.float64)
    elif change == "long_indices":
        weights.indices, weights.indptr = weights.indices.astype(np.int64), weights.indptr.astype(np.int64)
    elif change == "read_only":
        for part in (weights.data, weights.indices, weights.indptr, vectors):
            part.flags.writeable = False
    elif change == "no_rows":
        weights = weights[:0]
    else:
        weights = weights[:, ::-1]
        vectors = vectors[::-1]
        assert not weights.has_sorted_indices
    monkeypatch.setattr(_cell, "ROWS_AT_A_TIME", 7)  # several blocks, the last one shorter
    monkeypatch.setattr(_cell, "_WIDTH", 4)
    sums = np.asarray(weights.sum(axis=1))
    expected = np.divide(weights.toarray() @ vectors, sums, out=np.zeros((len(sums), 6)), where=sums > 0)
    np.testing.assert_allclose(weighted_semantics(weights, vectors), expected, rtol=1e-4, atol=1e-6)
    assert [str(warning.message) for warning in recwarn] == []


def test_weighted_mean_does_not_depend_on_the_number_of_threads():
    weights = sparse.random(500, 300, 0.3, format="csr", dtype=np.float32, random_state=0)
    vectors = np.random.default_rng(3).normal(size=(300, 150)).astype(np.float32)
    threads = torch.get_num_threads()
    try:
        means = []
        for n in (1, 2):
            torch.set_num_threads(n)
            means.append(weighted_semantics(weights, vectors))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*means)


def test_mean_of_a_selection():
    vectors = np.eye(4, dtype=np.float32)
    top = np.array([[2, 0, -1], [-1, -1, -1]])
    np.testing.assert_array_equal(weighted_semantics(selection(top, 4), vectors), [[0.5, 0, 0.5, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("k", [1, 3, 25, 100])
def test_rank_weights_equal_brute_force(counts, k):
    names = np.array([f"g{i:02d}" for i in np.random.default_rng(1).permutation(25)])
    weights = rank_weights(counts, names, k)
    dense = counts.toarray()
    wanted = np.zeros_like(dense)
    for cell in range(len(dense)):
        order = sorted(np.flatnonzero(dense[cell]), key=lambda gene: (-dense[cell, gene], names[gene]))[:k]
        for rank, gene in enumerate(order, start=1):
            wanted[cell, gene] = 1 / np.log2(rank + 1)
    np.testing.assert_allclose(weights.toarray(), wanted, rtol=1e-6)
    assert weights.dtype == np.float32
    assert weights[3].nnz == 0


def test_ranks_are_all_that_counts(counts):
    names = [f"g{i:02d}" for i in range(25)]
    other = counts.copy()
    other.data = np.expm1(other.data)
    assert (rank_weights(counts, names, 4) != rank_weights(other, names, 4)).nnz == 0


def test_bad_input(counts):
    with pytest.raises(ValueError, match="ranking must be one of"):
        score_genes(counts, "rank")
    with pytest.raises(ValueError, match="n_top_genes must be at least 1"):
        top_genes(counts, ["g"] * 25, 0)
    with pytest.raises(ValueError, match="25 genes"):
        weighted_semantics(counts, np.ones((3, 2)))
