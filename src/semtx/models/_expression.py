"""What the network reads, fitted once and applied to new observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from semtx._counts import normalize_rows, scale_entries, standard_deviations

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
