"""Which terms the raised genes of a group of cells belong to: weights of genes, and the exact moments of a permutation test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse, stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 512
_STRATUM = 50
_MAX_STRATA = 20
_LEAST_SKEW = 1e-3  # below it Pearson's curve is a normal distribution, which its formula divides by zero for


@dataclass(frozen=True)
class Enrichment:
    """How far the genes of each term are raised in each group, shape (n_terms, n_groups) each.

    Attributes
    ----------
    effect
        Weighted mean of the profile over a term's genes, minus what is expected of genes of like expression.
    pval
        Probability of such a score or a higher one, if genes of like expression are given to terms at random.
    """

    effect: NDArray[np.float64]
    pval: NDArray[np.float64]


def raised_profile(
    expression: sparse.csr_matrix, codes: NDArray[np.integer], n_groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Tell how far each gene is raised in each group against all other cells.

    This is :math:`\max(0, (m_g - m_{\bar g}) / (s + s_0))` with the means inside and outside the group, the pooled standard
    deviation :math:`s` within them, and its median over genes :math:`s_0`, so that a few counts of a rare gene do not
    look like much.

    Parameters
    ----------
    expression
        Log-normalised, CSR, shape (n_obs, n_genes).
    codes
        Group of each cell, from 0.
    n_groups
        Number of groups, each with a cell and not with all.

    Returns
    -------
    Profile of shape (n_groups, n_genes), and the mean of each gene, shape (n_genes,).
    """
    n = expression.shape[0]
    inside = np.bincount(codes, minlength=n_groups)[:, None].astype(np.float64)
    outside = n - inside
    cells = sparse.csr_matrix((np.ones(n), (codes, np.arange(n))), (n_groups, n))
    sums = (cells @ expression).toarray().astype(np.float64)
    total = sums.sum(axis=0)
    squares = np.asarray(expression.multiply(expression).sum(axis=0, dtype=np.float64)).ravel()
    mean, rest = sums / inside, (total - sums) / outside
    within = np.maximum(squares - inside * mean**2 - outside * rest**2, 0)
    spread = np.sqrt(within / max(n - 2, 1))
    floor = np.median(spread, axis=1, keepdims=True)
    difference = np.maximum(mean - rest, 0)
    scale = spread + floor
    return np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0), total / n


def nearest_genes(terms: NDArray[np.float32], genes: NDArray[np.float32], n_nearest: int) -> sparse.csr_matrix:
    """Mark the genes whose vectors are the most similar to each term's.

    Parameters
    ----------
    terms, genes
        Vectors of unit length, shapes (n_terms, d) and (n_genes, d); genes without one have zeros and are never near.
    n_nearest
        Genes per term.

    Returns
    -------
    CSR of zeros and ones, float64, shape (n_terms, n_genes).
    """
    known = np.flatnonzero(genes.any(axis=1))
    n_nearest = min(n_nearest, len(known))
    vectors = np.ascontiguousarray(genes[known].T)
    near = [
        np.argpartition(-(terms[start : start + _CHUNK] @ vectors), n_nearest - 1, axis=1)[:, :n_nearest]
        if n_nearest
        else np.empty((len(terms[start : start + _CHUNK]), 0), dtype=np.intp)
        for start in range(0, len(terms), _CHUNK)
    ]
    found = known[np.concatenate(near).ravel()]
    indptr = np.arange(len(terms) + 1) * n_nearest
    marked = sparse.csr_matrix((np.ones(len(found)), found, indptr), (len(terms), len(genes)))
    marked.sort_indices()
    return marked


def strata_of(mean: NDArray[np.floating]) -> NDArray[np.intp]:
    """Divide genes into up to 20 strata of 50 genes or more with like mean expression."""
    n_strata = int(np.clip(len(mean) // _STRATUM, 1, _MAX_STRATA))
    rank = np.empty(len(mean), dtype=np.intp)
    rank[np.argsort(mean, kind="stable")] = np.arange(len(mean))
    return rank * n_strata // max(len(mean), 1)


def enrichment(weights: sparse.csr_matrix, profile: NDArray[np.float64], strata: NDArray[np.intp]) -> Enrichment:
    r"""Score terms by the genes that a group raises, against random genes of like expression.

    The score is :math:`T = \sum_j a_j w_j` with the weight of gene *j* in the term and in the group. Permuting the genes
    within strata leaves it with a distribution whose cumulants are sums over strata; with weights centred in a stratum
    of *n* genes, they are 0, :math:`\sum a^2 \sum w^2 / (n - 1)` and
    :math:`n \sum a^3 \sum w^3 / ((n - 1)(n - 2))`. The p-value is the upper tail of the Pearson type III distribution with
    these three moments: what infinitely many permutations would approach, without drawing any.

    Parameters
    ----------
    weights
        Weight of each gene in each term, non-negative, CSR, shape (n_terms, n_genes).
    profile
        Weight of each gene in each group, shape (n_groups, n_genes).
    strata
        Stratum of each gene, from 0, each with a gene.
    """
    n = np.bincount(strata).astype(np.float64)
    belongs = sparse.csr_matrix((np.ones(len(strata)), (np.arange(len(strata)), strata)), (len(strata), len(n)))
    centred = profile - ((profile @ belongs) / n)[:, strata]
    score = weights @ centred.T

    first, second, third = ((weights.power(power) @ belongs).toarray() for power in (1, 2, 3))
    mean = first / n
    second_central = second - n * mean**2
    third_central = third - 3 * mean * second + 2 * n * mean**3
    variance = (second_central / np.maximum(n - 1, 1)) @ ((centred**2) @ belongs).T
    factor = np.divide(n, (n - 1) * (n - 2), out=np.zeros_like(n), where=n > 2)
    cumulant = (third_central * factor) @ ((centred**3) @ belongs).T

    spread = np.sqrt(np.maximum(variance, 0))
    usable = spread > 1e-12
    z = np.divide(score, spread, out=np.full_like(score, -np.inf), where=usable)
    skew = np.divide(cumulant, spread**3, out=np.zeros_like(score), where=usable)
    total = np.asarray(weights.sum(axis=1)).reshape(-1, 1)
    effect = np.divide(score, total, out=np.zeros_like(score), where=total > 0)
    return Enrichment(effect, np.where(usable, upper_tail(z, skew), 1.0))


def upper_tail(z: NDArray[np.float64], skew: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper tail of the Pearson type III distribution of mean 0 and variance 1.

    A negative skewness counts as none: the tail is then shorter than that of a normal distribution, so this is on the safe
    side.
    """
    skewed = skew > _LEAST_SKEW
    shape = 4 / np.where(skewed, skew, 1) ** 2
    at = np.maximum(shape + z * np.sqrt(shape), 0)
    tail: NDArray[np.float64] = np.where(skewed, stats.gamma.sf(at, shape), stats.norm.sf(z))
    return tail


def distinct_rows(contributions: sparse.csr_matrix, n_rows: int, max_redundancy: float | None) -> list[int]:
    """Return the first rows of which no two have a cosine above ``max_redundancy``.

    Parameters
    ----------
    contributions
        What each gene adds to each term, best term first, CSR, shape (n_terms, n_genes).
    n_rows
        How many to return, if there are as many.
    max_redundancy
        ``None`` returns the first ones.
    """
    if max_redundancy is None:
        return list(range(min(n_rows, contributions.shape[0])))
    length = np.sqrt(np.asarray(contributions.multiply(contributions).sum(axis=1)).ravel())
    unit = sparse.diags_array(np.divide(1, length, out=np.zeros_like(length), where=length > 0)) @ contributions
    similarity = (unit @ unit.T).tocsr()
    chosen: list[int] = []
    covered = np.zeros(len(length), dtype=bool)
    for row in range(len(length)):
        if covered[row]:
            continue
        chosen.append(row)
        if len(chosen) == n_rows:
            break
        span = slice(similarity.indptr[row], similarity.indptr[row + 1])
        covered[similarity.indices[span][similarity.data[span] > max_redundancy]] = True
    return chosen
