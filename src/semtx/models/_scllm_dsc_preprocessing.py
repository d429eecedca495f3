from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from semtx._counts import DENSE_ROWS_AT_A_TIME, standard_deviations
from semtx.models._expression import (
    PrincipalComponents,
    centred_unit_rows,
    is_tall,
    leading_axes,
    log_normalized,
    with_signs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from semtx.models._scllm_dsc_config import ScLLMDSCConfig

_CLIP = 10.0
_ENTRIES = 2**24


@dataclass(frozen=True)
class Cells:
    """What the network reads, kept sparse where it came sparse; rows become dense as they are asked for.

    Attributes
    ----------
    matrix
        Expression, shape (n, n_inputs), CSR or dense, not centred.
    offsets
        What is subtracted from the rows of each batch, shape (n_batches, n_inputs), or ``None``.
    batch
        Number of each cell's batch, shape (n,).
    text
        Text view, shape (n, d), or ``None``.
    """

    matrix: sparse.csr_matrix | NDArray[np.float32]
    offsets: NDArray[np.float32] | None
    batch: NDArray[np.int64]
    text: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def expression(self, rows: NDArray[np.integer] | slice) -> Tensor:
        """Return the centred expression of some cells, dense."""
        part = self.matrix[rows]
        dense = part.toarray() if isinstance(part, sparse.csr_matrix) else np.array(part)
        if self.offsets is not None:
            dense -= self.offsets[self.batch[rows]]
        return torch.from_numpy(dense)

    def text_rows(self, rows: NDArray[np.integer] | slice) -> Tensor | None:
        """Return the text view of some cells."""
        return None if self.text is None else torch.from_numpy(self.text[rows])

    def chunks(self) -> Iterator[slice]:
        """Yield slices that cover all cells."""
        for start in range(0, len(self), DENSE_ROWS_AT_A_TIME):
            yield slice(start, start + DENSE_ROWS_AT_A_TIME)


@dataclass
class ScLLMDSCPreprocessing:
    """From counts and gene vectors to what the network reads; fitted once, applied to new cells too."""

    config: ScLLMDSCConfig
    scale: NDArray[np.float32] | None = None
    limit: NDArray[np.float32] | None = None
    offsets: NDArray[np.float32] | None = None
    gene_vectors: NDArray[np.float32] | None = None
    path_means: list[NDArray[np.float32]] = field(default_factory=list)
    paths: list[PrincipalComponents | None] = field(default_factory=list)
    path_scales: list[float] = field(default_factory=list)

    @classmethod
    def fit(
        cls,
        config: ScLLMDSCConfig,
        x: sparse.csr_matrix | NDArray[np.floating],
        library_sizes: NDArray[np.floating] | None,
        batch: NDArray[np.int64],
        gene_vectors: NDArray[np.floating] | None,
        semantics: NDArray[np.floating] | None,
        random_state: int,
    ) -> tuple[ScLLMDSCPreprocessing, Cells]:
        """Fit to the cells the network is trained on, and return what it reads of them."""
        made = cls(config)
        if config.expression == "standardized":
            matrix: sparse.csr_matrix | NDArray[np.float32] = made._fit_scale(
                log_normalized(sparse.csr_matrix(x), library_sizes)
            )
        else:
            matrix = _as_given(x)
        if config.expression == "standardized" or not sparse.issparse(matrix):
            # a view that is centred: of each batch on its own
            made.offsets = _means_by_batch(matrix, batch)
        cells = Cells(matrix, made.offsets, batch)
        made.gene_vectors = None if gene_vectors is None else centred_unit_vectors(gene_vectors)
        text = []
        for raw in made._raw_paths(cells, semantics):
            mean = raw.mean(axis=0)
            path, components = made._centred(raw, mean), None
            del raw
            if config.n_semantic_components is not None and config.n_semantic_components < path.shape[1]:
                components = PrincipalComponents.fit(path, config.n_semantic_components, random_state)
                path = components.transform(path)
            squares = float(np.mean(np.sum(path.astype(np.float64) ** 2, axis=1)))
            scale = np.sqrt(config.latent_dim / squares) if squares > 0 else 1.0
            text.append(path * np.float32(scale))
            made.path_means.append(mean)
            made.paths.append(components)
            made.path_scales.append(scale)
        return made, replace(cells, text=np.hstack(text) if text else None)

    def cells(
        self,
        x: sparse.csr_matrix | NDArray[np.floating],
        library_sizes: NDArray[np.floating] | None,
        batch: NDArray[np.int64],
        semantics: NDArray[np.floating] | None,
    ) -> Cells:
        """Return what the network reads of new cells; the cells of each new batch are centred by themselves."""
        if self.scale is not None:
            matrix: sparse.csr_matrix | NDArray[np.float32] = self._scaled(
                log_normalized(sparse.csr_matrix(x), library_sizes)
            )
        else:
            matrix = _as_given(x)
        offsets = self.offsets
        if offsets is not None and (batch >= len(offsets)).any():
            new = batch >= len(offsets)
            offsets = np.vstack([offsets, _means_by_batch(matrix[new], batch[new] - len(offsets))])
        cells = Cells(matrix, offsets, batch)
        return replace(cells, text=self._text(self._raw_paths(cells, semantics)))

    @property
    def text_widths(self) -> tuple[int, ...]:
        """Widths of the paths of the text view."""
        return tuple(
            len(mean) if path is None else len(path.components)
            for mean, path in zip(self.path_means, self.paths, strict=True)
        )

    def _fit_scale(self, log: sparse.csr_matrix) -> sparse.csr_matrix:
        deviation = standard_deviations(log)
        deviation[deviation == 0] = 1
        self.scale = deviation.astype(np.float32)
        self.limit = (_CLIP + np.asarray(log.mean(axis=0)).ravel() / deviation).astype(np.float32)
        return self._scaled(log)

    def _scaled(self, log: sparse.csr_matrix) -> sparse.csr_matrix:
        if self.scale is None or self.limit is None:
            msg = "expression is not standardised here"
            raise RuntimeError(msg)
        data = np.empty(log.nnz, dtype=np.float32)
        # entries in parts, since each needs its column's scale and limit beside it
        for start in range(0, log.nnz, _ENTRIES):
            part = slice(start, start + _ENTRIES)
            columns = log.indices[part]
            data[part] = np.minimum(log.data[part] * (1 / self.scale[columns]), self.limit[columns])
        return sparse.csr_matrix((data, log.indices, log.indptr), log.shape)

    def _raw_paths(self, cells: Cells, semantics: NDArray[np.floating] | None) -> Iterator[NDArray[np.float32]]:
        """Yield the paths one at a time, each to be let go before the next is made."""
        if self.gene_vectors is not None:
            yield self._weighted(cells, self.gene_vectors)
        if semantics is not None:
            yield np.asarray(semantics, dtype=np.float32)

    @staticmethod
    def _weighted(cells: Cells, gene_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        weighted = np.asarray(cells.matrix @ gene_vectors, dtype=np.float32)
        if cells.offsets is not None:
            offsets = cells.offsets @ gene_vectors
            for rows in cells.chunks():
                weighted[rows] -= offsets[cells.batch[rows]]
        return weighted

    def _text(self, raw: Iterable[NDArray[np.float32]]) -> NDArray[np.float32] | None:
        made = []
        for path, mean, components, scale in zip(raw, self.path_means, self.paths, self.path_scales, strict=True):
            centred = self._centred(path, mean)
            made.append((centred if components is None else components.transform(centred)) * np.float32(scale))
        return np.hstack(made) if made else None

    def _centred(self, path: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
        return centred_unit_rows(path, mean) if self.config.unit_semantics else path - mean

    def arrays(self) -> dict[str, NDArray]:
        """Return the fitted arrays by name."""
        named = {
            name: value
            for name in ("scale", "limit", "offsets", "gene_vectors")
            if (value := getattr(self, name)) is not None
        }
        for number, (mean, components, scale) in enumerate(
            zip(self.path_means, self.paths, self.path_scales, strict=True)
        ):
            named |= {f"path{number}.path_mean": mean, f"path{number}.path_scale": np.asarray(scale, dtype=np.float64)}
            if components is not None:
                named |= {f"path{number}.{name}": value for name, value in vars(components).items()}
        return named

    @classmethod
    def from_arrays(cls, config: ScLLMDSCConfig, arrays: Mapping[str, NDArray]) -> ScLLMDSCPreprocessing:
        """Undo :meth:`arrays`."""
        own: dict[str, Any] = {name: value for name, value in arrays.items() if "." not in name}
        made = cls(config, **own)
        for number in range(sum(name.endswith("path_mean") for name in arrays)):
            mine: dict[str, Any] = {
                name.split(".")[1]: value for name, value in arrays.items() if name.startswith(f"path{number}.")
            }
            made.path_means.append(mine.pop("path_mean"))
            made.path_scales.append(mine.pop("path_scale").item())
            made.paths.append(PrincipalComponents(**mine) if mine else None)
        return made


def centred_unit_vectors(gene_vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Centre gene vectors over the genes that have one, so that a cell's depth has no direction, and scale them to length 1."""
    vectors = np.array(gene_vectors, dtype=np.float32)
    has_vector = vectors.any(axis=1)
    vectors[has_vector] = centred_unit_rows(vectors[has_vector])
    return vectors


def principal_axes(cells: Cells, n_components: int, random_state: int) -> NDArray[np.float32]:
    """Return the leading right singular vectors of the centred expression, shape (n_components, n_inputs)."""
    from scipy.sparse.linalg import LinearOperator, svds

    n, n_inputs = cells.matrix.shape
    if is_tall((n, n_inputs)):
        blocks = (cells.expression(rows).double().numpy() for rows in cells.chunks())
        return leading_axes(np.asarray(sum(block.T @ block for block in blocks)), n_components)
    offsets = np.zeros((1, n_inputs)) if cells.offsets is None else cells.offsets.astype(np.float64)
    batch = np.zeros(n, dtype=np.int64) if cells.offsets is None else cells.batch
    sums = sparse.csr_matrix((np.ones(n), (batch, np.arange(n))), shape=(len(offsets), n))
    centred = LinearOperator(
        (n, n_inputs),
        matvec=lambda v: cells.matrix @ v - (offsets @ v)[batch],
        rmatvec=lambda u: cells.matrix.T @ u - offsets.T @ (sums @ u),
        dtype=np.float64,
    )
    generator = np.random.default_rng(random_state)
    start = generator.standard_normal(min(n, n_inputs))
    probe = generator.standard_normal(n_inputs)
    means = np.abs(offsets @ probe).max()
    if np.abs(centred.matvec(probe)).max() <= 1e-6 * means:
        # equal cells have no directions, and arpack stops at that
        return np.zeros((n_components, n_inputs), dtype=np.float32)
    _, lengths, axes = svds(centred, k=n_components, v0=start)
    return with_signs(axes[np.argsort(-lengths)])


def _as_given(x: sparse.csr_matrix | NDArray[np.floating]) -> sparse.csr_matrix | NDArray[np.float32]:
    return sparse.csr_matrix(x, dtype=np.float32) if sparse.issparse(x) else np.asarray(x, dtype=np.float32)


def _means_by_batch(matrix: sparse.csr_matrix | NDArray[np.float32], batch: NDArray[np.int64]) -> NDArray[np.float32]:
    # one batch is all rows, which need no copy
    parts = (matrix[batch == number] if batch.any() else matrix for number in range(batch.max() + 1))
    means = [np.asarray(part.mean(axis=0)).ravel() for part in parts]
    return np.asarray(means, dtype=np.float32)
