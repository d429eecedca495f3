"""What the network reads, fitted once and applied to new observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from semtx._counts import DENSE_ROWS_AT_A_TIME, normalize_rows, scale_entries, standard_deviations

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_CLIP = 10.0


@dataclass(frozen=True)
class ScaledExpression:
    """Library-size normalised, divided by each gene's standard deviation, clipped at 10; zeros stay zero.

    Attributes
    ----------
    scale
        Standard deviation of each gene (ddof 1), shape (n_genes,).
    """

    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, counts: sparse.csr_matrix) -> ScaledExpression:
        """Measure the standard deviations."""
        deviation = standard_deviations(normalize_rows(counts))
        deviation[deviation == 0] = 1
        return cls(deviation.astype(np.float32))

    def transform(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return shape (n, n_genes), sparse."""
        x = normalize_rows(counts)
        x = scale_entries(x, 1 / self.scale[x.indices])
        np.minimum(x.data, _CLIP, out=x.data)
        return x


@dataclass(frozen=True)
class PrincipalComponents:
    """Projection on principal components.

    Attributes
    ----------
    mean
        Shape (n_features,).
    components
        Shape (n_components, n_features).
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    @classmethod
    def fit(
        cls, x: sparse.csr_matrix | NDArray[np.floating], n_components: int, random_state: int
    ) -> PrincipalComponents:
        """Find the components; fewer where the data have fewer dimensions."""
        from sklearn.decomposition import PCA

        n_components = min(n_components, x.shape[0] - 1, x.shape[1])
        if _has_equal_rows(x):
            # equal rows have no directions, and arpack stops at that
            mean = np.asarray(x[:1].mean(axis=0), dtype=np.float32).ravel()
            return cls(mean, np.zeros((n_components, x.shape[1]), dtype=np.float32))
        if is_tall(x.shape):
            mean, products = np.zeros(x.shape[1]), np.zeros((x.shape[1], x.shape[1]))
            for start in range(0, x.shape[0], DENSE_ROWS_AT_A_TIME):
                part = x[start : start + DENSE_ROWS_AT_A_TIME]
                rows = np.asarray(part if isinstance(part, np.ndarray) else part.toarray(), dtype=np.float64)
                mean += rows.sum(axis=0) / x.shape[0]
                products += rows.T @ rows
            axes = leading_axes(products - x.shape[0] * np.outer(mean, mean), n_components)
            return cls(mean.astype(np.float32), axes)
        if not isinstance(x, np.ndarray) and n_components == min(x.shape):
            # arpack finds all but one, and so few columns are small as they are
            x = x.toarray()
        solver = "arpack" if sparse.issparse(x) or n_components < min(x.shape) // 4 else "full"
        # arpack's start vector is drawn from random_state, so the same seed gives the same components
        pca = PCA(n_components, svd_solver=solver, random_state=random_state).fit(x)
        # in rows, as from a file: another layout rounds differently
        return cls(pca.mean_.astype(np.float32), np.ascontiguousarray(pca.components_, dtype=np.float32))

    def transform(self, x: sparse.csr_matrix | NDArray[np.floating]) -> NDArray[np.float32]:
        """Return shape (n, n_components)."""
        return np.asarray(x @ self.components.T - self.mean @ self.components.T, dtype=np.float32)


def is_tall(shape: tuple[int, ...]) -> bool:
    """Whether columns are so few beside rows that their products cost less than an iterative decomposition.

    They lose half of the digits, which only many rows can spare.
    """
    return shape[0] > 10 * shape[1] and shape[1] <= 5000


def leading_axes(products: NDArray[np.float64], n_components: int) -> NDArray[np.float32]:
    """Return the leading eigenvectors of X'X in rows; zeros where all is zero, which has no directions."""
    from scipy.linalg import eigh

    n = len(products)
    if not products.any():
        return np.zeros((n_components, n), dtype=np.float32)
    return with_signs(eigh(products, subset_by_index=(n - n_components, n - 1))[1].T[::-1])


def with_signs(axes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return axes, whose sign is arbitrary, with the largest entry of each positive."""
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    return np.ascontiguousarray(axes * signs[:, None], dtype=np.float32)


def _has_equal_rows(x: sparse.csr_matrix | NDArray[np.floating]) -> bool:
    if isinstance(x, np.ndarray):
        return bool((x == x[:1]).all())
    # not by columns: their extremes cost a copy of all
    lengths = np.diff(x.indptr)
    if (lengths != lengths[0]).any():
        return False
    return all(bool((part.reshape(x.shape[0], -1) == part[: lengths[0]]).all()) for part in (x.indices, x.data))


@dataclass(frozen=True)
class BatchMeans:
    """Means of each batch, which centring takes away: what batches differ in on average, and nothing else.

    Attributes
    ----------
    means
        Shape (n_batches, d).
    """

    means: NDArray[np.float32]

    @classmethod
    def fit(cls, x: NDArray[np.floating], codes: NDArray[np.integer]) -> BatchMeans:
        """Measure the means; ``codes`` number the batch of each row from 0, none of them empty."""
        return cls(np.stack([x[codes == code].mean(axis=0) for code in range(codes.max() + 1)]).astype(np.float32))

    def centred(self, x: NDArray[np.float32], codes: NDArray[np.integer] | None) -> NDArray[np.float32]:
        """Return the rows less the mean of their batch; batches with further numbers, not measured, have means of their own.

        Without ``codes`` all rows are of one such batch.
        """
        known = len(self.means)
        codes = np.full(len(x), known) if codes is None else codes
        new = [x[codes == code].mean(axis=0) for code in range(known, codes.max(initial=-1) + 1)]
        means = np.vstack([self.means, *new]) if new else self.means
        return x - means[codes]


def batch_codes(batch: ArrayLike | None, n: int) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of the batches, none where there is but one, and the number of each row's."""
    if batch is None:
        return [], np.zeros(n, dtype=np.int64)
    names, codes = np.unique(np.asarray(batch).astype(str), return_inverse=True)
    return (names.tolist(), codes.astype(np.int64)) if len(names) > 1 else ([], np.zeros(n, dtype=np.int64))


def known_codes(names: list[str], batch: ArrayLike | None, n: int) -> NDArray[np.int64]:
    """Return the number of each row's batch among those of the training; others have further numbers.

    Rows are of one such batch where ``batch`` is not given. A training on one batch told none apart, and all numbers are 0.
    """
    if not names:
        return np.zeros(n, dtype=np.int64)
    if batch is None:
        return np.full(n, len(names), dtype=np.int64)
    given = np.asarray(batch).astype(str).tolist()
    number = {name: code for code, name in enumerate([*names, *sorted(set(given) - set(names))])}
    return np.array([number[name] for name in given], dtype=np.int64)


def log_normalized(counts: sparse.csr_matrix, library_sizes: NDArray[np.floating] | None = None) -> sparse.csr_matrix:
    """Return log1p of expression normalised to 10,000 in each library, which may hold more genes than ``counts``."""
    x = normalize_rows(counts, library_sizes)
    np.log1p(x.data, out=x.data)
    return x


def centred_unit_rows(x: NDArray[np.float32], mean: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Subtract the mean row, or the one that is given, and scale rows to length 1; zeros stay."""
    centred = x - (x.mean(axis=0) if mean is None else mean)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
