"""From gene vectors to cell vectors: scores of genes in cells, top genes, weighted means. Sparse in, O(nnz * d)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy import sparse

from semtx._counts import ROWS_AT_A_TIME, scale_entries, standard_deviations
from semtx._validate import check_choice, check_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Ranking = Literal["expression", "zscore", "specificity"]
RANKINGS: tuple[str, ...] = get_args(Ranking)
# so many columns of gene vectors at a time stay in registers and in cache: half the time of all at once
_WIDTH = 64


def score_genes(expression: sparse.csr_matrix, ranking: Ranking = "expression") -> sparse.csr_matrix:
    r"""Score genes within cells; only positive expression gets a score.

    Parameters
    ----------
    expression
        Non-negative normalised expression that is not on a log scale (equal row sums over all genes), CSR, shape
        (n_obs, n_vars).
    ranking
        - ``"expression"``: :math:`\log(1 + x)`, how much of the gene there is.
        - ``"zscore"``: :math:`x / s_j` with the gene's standard deviation over cells (ddof 1), as SemST's released code
          ranks genes. It clips at 10; here nothing is clipped, which only resolves the ties that clipping makes.
        - ``"specificity"``: :math:`x \log(x / m_j) - x + m_j` where :math:`x > m_j`, with the gene's mean
          :math:`m_j` over cells: the gene's share of the Kullback-Leibler divergence of the cell's profile from the
          mean profile. Times a cell's depth it is a Poisson log-likelihood ratio, so that one stray count of a rare
          gene does not outrank a strong change.

    Returns
    -------
    Positive scores, CSR float32, shape (n_obs, n_vars).

    Examples
    --------
    >>> from scipy import sparse
    >>> from semtx.semantics import score_genes
    >>> cells = sparse.csr_matrix([[6.0, 4.0, 0.0], [6.0, 0.0, 4.0]])
    >>> score_genes(cells, "specificity").toarray().round(2)
    array([[0.  , 0.77, 0.  ],
           [0.  , 0.  , 0.77]], dtype=float32)
    """
    check_choice("ranking", ranking, RANKINGS)
    if ranking == "expression":
        scores = sparse.csr_matrix((np.log1p(expression.data), expression.indices, expression.indptr), expression.shape)
    elif ranking == "zscore":
        sd = standard_deviations(expression)
        scores = scale_entries(expression, np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)[expression.indices])
    else:
        mean = np.asarray(expression.mean(axis=0, dtype=np.float64)).ravel()[expression.indices]
        value = expression.data.astype(np.float64)
        above = value > mean
        data = np.zeros_like(value)
        data[above] = value[above] * np.log(value[above] / mean[above]) - value[above] + mean[above]
        scores = sparse.csr_matrix((data, expression.indices, expression.indptr), expression.shape)
    scores = scores.astype(np.float32, copy=True)  # eliminate_zeros must not reach the caller's index arrays
    scores.eliminate_zeros()
    return scores


def top_genes(
    expression: sparse.csr_matrix,
    gene_names: Sequence[str] | NDArray[Any],
    n_top_genes: int,
    ranking: Ranking = "expression",
) -> NDArray[np.intp]:
    """Find the best-scoring genes of each cell, best first; equal scores are ordered by gene name.

    Parameters
    ----------
    expression
        As in :func:`score_genes`.
    gene_names
        One name per column.
    n_top_genes
        Genes per cell.
    ranking
        As in :func:`score_genes`.

    Returns
    -------
    Column numbers, shape (n_obs, n_top_genes), with -1 where a cell has fewer genes with a score.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> from semtx.semantics import top_genes
    >>> top_genes(csr_matrix(np.array([[3.0, 3.0, 9.0], [0.0, 1.0, 0.0]])), ["B", "A", "C"], 2)
    array([[ 2,  1],
           [ 1, -1]])
    """
    check_integer("n_top_genes", n_top_genes, minimum=1)
    scores = score_genes(expression, ranking)
    # the rank of a name among all names, so that ties never depend on the order of the columns
    name_rank = np.empty(len(gene_names), dtype=np.intp)
    name_rank[np.argsort(np.asarray(gene_names, dtype=str), kind="stable")] = np.arange(len(gene_names))
    found = np.full((scores.shape[0], n_top_genes), -1, dtype=np.intp)
    for row in range(scores.shape[0]):
        span = slice(scores.indptr[row], scores.indptr[row + 1])
        genes, values = scores.indices[span], scores.data[span]
        if values.size > n_top_genes:
            # all that tie with the last place stay in, so that the names decide
            near = values >= np.partition(values, values.size - n_top_genes)[values.size - n_top_genes]
            genes, values = genes[near], values[near]
        best = genes[np.lexsort((name_rank[genes], -values))][:n_top_genes]
        found[row, : best.size] = best
    return found


def cell_weights(
    expression: sparse.csr_matrix,
    gene_names: Sequence[str] | NDArray[Any],
    n_top_genes: int | None,
    ranking: Ranking = "expression",
    *,
    alike: bool = False,
) -> sparse.csr_matrix:
    """Weigh the genes of each cell, all or the best, by their score or all ``alike``.

    Parameters
    ----------
    expression, gene_names, ranking
        As in :func:`top_genes`.
    n_top_genes
        Genes per cell; ``None`` for all.
    alike
        Weigh the best genes alike.

    Returns
    -------
    CSR float32, shape (n_obs, n_vars), for :func:`weighted_semantics`.
    """
    if n_top_genes is None:
        return score_genes(expression, ranking)
    top = selection(top_genes(expression, gene_names, n_top_genes, ranking), expression.shape[1])
    return top if alike else score_genes(expression, ranking).multiply(top).tocsr()


def weighted_semantics(weights: sparse.csr_matrix, gene_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average gene vectors over the genes of each cell.

    Parameters
    ----------
    weights
        Non-negative weights, CSR, shape (n_obs, n_genes), such as :func:`score_genes` gives.
    gene_vectors
        Shape (n_genes, d). A row of zeros is a gene without a vector: it takes no part in the mean.

    Returns
    -------
    Weighted means, float32, shape (n_obs, d); zeros for a cell without any weight.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> from semtx.semantics import weighted_semantics
    >>> weights = csr_matrix(np.array([[1.0, 3.0], [0.0, 0.0]]))
    >>> weighted_semantics(weights, np.array([[1.0, 0.0], [0.0, 1.0]]))
    array([[0.25, 0.75],
           [0.  , 0.  ]], dtype=float32)
    """
    if weights.shape[1] != len(gene_vectors):
        msg = f"weights of {weights.shape[1]} genes cannot average the vectors of {len(gene_vectors)} genes"
        raise ValueError(msg)
    import torch  # its product is half as fast again as scipy's, and uses all cores

    from semtx._csr import csr_rows

    vectors = torch.from_numpy(np.array(gene_vectors, dtype=np.float32, order="C"))
    # copies in torch's own memory, whose alignment is always the same: vectorised sums round by it
    parts = [part.clone(memory_format=torch.contiguous_format) for part in torch.split(vectors, _WIDTH, dim=1)]
    totals = torch.from_numpy(weights @ vectors.any(dim=1).numpy().astype(np.float32)).float()
    factors = torch.where(totals > 0, 1 / totals, 0)[:, None]
    means = torch.empty(len(totals), vectors.shape[1])
    for start in range(0, len(means), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        block = csr_rows(weights, rows)
        for part, mean in zip(parts, torch.split(means[rows], _WIDTH, dim=1), strict=True):
            torch.mul(block @ part, factors[rows], out=mean)
    return means.numpy()


def rank_weights(
    expression: sparse.csr_matrix, gene_names: Sequence[str] | NDArray[Any], n_top_genes: int
) -> sparse.csr_matrix:
    r"""Weigh the best genes of each cell by their rank r, from 1, as :math:`1 / \log_2(r + 1)`.

    Stands for a sentence of ranked gene names where no text encoder is at hand: what comes first says most.

    Parameters
    ----------
    expression, gene_names, n_top_genes
        As in :func:`top_genes`, ranked by expression.

    Returns
    -------
    CSR float32, shape (n_obs, n_vars).
    """
    top = top_genes(expression, gene_names, min(n_top_genes, expression.shape[1]))
    weights = selection(top, expression.shape[1])
    ranks = np.broadcast_to(np.arange(1, top.shape[1] + 1), top.shape)[top >= 0]
    weights.data = (1 / np.log2(ranks + 1)).astype(np.float32)
    return weights


def selection(top: NDArray[np.intp], n_vars: int) -> sparse.csr_matrix:
    """Turn the result of :func:`top_genes` into equal weights, CSR, shape (n_obs, n_vars)."""
    chosen = top >= 0
    indptr = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))])
    indices = top[chosen]
    return sparse.csr_matrix((np.ones(indices.size, dtype=np.float32), indices, indptr), (len(top), n_vars))
