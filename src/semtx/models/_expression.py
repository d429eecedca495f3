"""What the network reads, fitted once and applied to new observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET_SUM = 1e4
_CLIP = 10.0


def normalize_total(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Scale each row to 10,000; a row without counts stays zero."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    factors = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals, dtype=np.float64), where=totals > 0)
    return sparse.csr_matrix(sparse.diags(factors.astype(np.float32)) @ counts)


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
        x = normalize_total(counts)
        n = x.shape[0]
        mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
        square = np.asarray(x.multiply(x).mean(axis=0), dtype=np.float64).ravel()
        deviation = np.sqrt(np.maximum(square - mean**2, 0) * n / max(n - 1, 1))
        deviation[deviation == 0] = 1
        return cls(deviation.astype(np.float32))

    def transform(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return shape (n, n_genes), sparse."""
        x = sparse.csr_matrix(normalize_total(counts) @ sparse.diags(1 / self.scale))
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

        n_components = min(n_components, min(x.shape) - 1)
        if abs(x.max(axis=0) - x.min(axis=0)).max() == 0:
            # equal rows have no directions, and arpack stops at that
            mean = np.asarray(x[:1].mean(axis=0), dtype=np.float32).ravel()
            return cls(mean, np.zeros((n_components, x.shape[1]), dtype=np.float32))
        solver = "arpack" if sparse.issparse(x) or n_components < min(x.shape) // 4 else "full"
        # arpack's start vector is drawn from random_state, so the same seed gives the same components
        pca = PCA(n_components, svd_solver=solver, random_state=random_state).fit(x)
        # in rows, as from a file: another layout rounds differently
        return cls(pca.mean_.astype(np.float32), np.ascontiguousarray(pca.components_, dtype=np.float32))

    def transform(self, x: sparse.csr_matrix | NDArray[np.floating]) -> NDArray[np.float32]:
        """Return shape (n, n_components)."""
        return np.asarray(x @ self.components.T - self.mean @ self.components.T, dtype=np.float32)


def log_normalized(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return log1p of expression normalised to 10,000."""
    x = normalize_total(counts)
    np.log1p(x.data, out=x.data)
    return x
