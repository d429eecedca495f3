from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from semtx._csr import sparse_csr
from semtx._settings import settings
from semtx.graphs import binary, feature_graph, normalize_adjacency, ring_means, rings
from semtx.models._expression import BatchMeans, PrincipalComponents, ScaledExpression, log_normalized
from semtx.models._semst_views import components_of_views
from semtx.nn import SemSTInputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy import sparse
    from torch import Tensor

    from semtx.models._semst_config import SemSTConfig


@dataclass
class SemSTPreprocessing:
    """From counts, graph and semantics to what the network reads; fitted once, applied to new observations too."""

    config: SemSTConfig
    expression: ScaledExpression | PrincipalComponents
    semantics: PrincipalComponents | None = None
    input_scale: float = 1.0
    semantic_scale: float = 1.0
    n_rings: int = 0
    batch_means: BatchMeans | None = None
    semantic_batch_means: BatchMeans | None = None

    @classmethod
    def fit(
        cls,
        config: SemSTConfig,
        counts: sparse.csr_matrix,
        graph: sparse.csr_matrix,
        semantics: NDArray[np.floating] | None,
        random_state: int,
        batch: NDArray[np.int64] | None = None,
    ) -> tuple[SemSTPreprocessing, Any, SemSTInputs]:
        """Fit to the observations the network is trained on; return what they express and its inputs, too.

        With the number of each observation's batch, components are centred within batches.
        """
        expression: ScaledExpression | PrincipalComponents
        if config.expression == "scaled":
            expression = ScaledExpression.fit(counts)
        else:
            n_components = max([config.n_components, *components_of_views(config)])
            expression = PrincipalComponents.fit(log_normalized(counts), n_components, random_state)
        made = cls(config, expression)
        if batch is not None:
            made.batch_means = BatchMeans.fit(made.components(counts), batch)
        expressed = x = made.expressed(counts, batch)
        around: list[sparse.csr_matrix] = []
        if config.encoder == "propagated":
            around = rings(graph, config.n_rings)
            # how many rings a dense graph allows is settled here, and holds for every section embedded later
            made.n_rings = len(around)
            x = made._propagated(around, expressed)
            made.input_scale = spread_of_columns(x)
            x /= made.input_scale
        if semantics is not None and config.n_semantic_components is not None:
            made.semantics = PrincipalComponents.fit(semantics, config.n_semantic_components, random_state)
        if semantics is not None and batch is not None:
            made.semantic_batch_means = BatchMeans.fit(made._components_of_semantics(semantics), batch)
        if semantics is not None and made.semantics is not None:
            made.semantic_scale = spread_of_columns(made._modulating(around, semantics, batch))
        return made, expressed, made._inputs(x, graph, around, semantics, random_state, batch)

    def expressed(self, counts: sparse.csr_matrix, batch: NDArray[np.int64] | None = None) -> Any:
        """Return each observation's own expression: sparse (n, n_genes) if scaled, else components (n, d)."""
        if isinstance(self.expression, ScaledExpression):
            return self.expression.transform(counts)
        return self.components(counts, batch)[:, : self.config.n_components]

    def components(self, counts: sparse.csr_matrix, batch: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return all components that were fitted; the network reads the first of them."""
        components: NDArray[np.float32] = self.expression.transform(log_normalized(counts))
        return components if self.batch_means is None else self.batch_means.centred(components, batch)

    def inputs(
        self,
        counts: sparse.csr_matrix,
        graph: sparse.csr_matrix,
        semantics: NDArray[np.floating] | None,
        random_state: int,
        batch: NDArray[np.int64] | None = None,
    ) -> SemSTInputs:
        """Return what the network reads for these observations, as tensors on the CPU."""
        around = self._rings(graph)
        x = self.expressed(counts, batch)
        if around:
            x = self._propagated(around, x) / self.input_scale
        return self._inputs(x, graph, around, semantics, random_state, batch)

    def semantic_input(
        self, graph: sparse.csr_matrix, semantics: NDArray[np.floating], batch: NDArray[np.int64] | None = None
    ) -> Tensor:
        """Return the semantics that modulate, shape (n, semantic_dim)."""
        return tensor(self._modulating(self._rings(graph), semantics, batch))

    def _inputs(
        self,
        x: Any,
        graph: sparse.csr_matrix,
        around: list[sparse.csr_matrix],
        semantics: NDArray[np.floating] | None,
        random_state: int,
        batch: NDArray[np.int64] | None,
    ) -> SemSTInputs:
        meaning = None if semantics is None else tensor(self._modulating(around, semantics, batch))
        if around:
            return SemSTInputs(tensor(x), meaning)
        how = self.config.normalization
        neighbors = feature_graph(x, self.config.n_feature_neighbors, random_state=random_state, n_jobs=settings.n_jobs)
        return SemSTInputs(
            csr_tensor(x),
            meaning,
            csr_tensor(normalize_adjacency(binary(graph), how)),
            csr_tensor(normalize_adjacency(neighbors, how)),
        )

    def _propagated(self, around: list[sparse.csr_matrix], expressed: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the means over the rings around each observation, shape (n, n_rings * d)."""
        means = ring_means(around, expressed)
        # a dense graph has fewer rings; the outermost stands in, so that the width never depends on the graph
        missing = self.config.n_rings - len(around)
        if missing:
            means = np.hstack([means, *[means[:, -expressed.shape[1] :]] * missing])
        return means

    def _components_of_semantics(self, semantics: NDArray[np.floating]) -> NDArray[np.float32]:
        if self.semantics is not None:
            return self.semantics.transform(semantics)
        return np.ascontiguousarray(semantics, dtype=np.float32)

    def _modulating(
        self,
        around: list[sparse.csr_matrix],
        semantics: NDArray[np.floating],
        batch: NDArray[np.int64] | None,
    ) -> NDArray[np.float32]:
        components = self._components_of_semantics(semantics)
        if self.semantic_batch_means is not None:
            components = self.semantic_batch_means.centred(components, batch)
        semantics = np.ascontiguousarray(components / self.semantic_scale, dtype=np.float32)
        if around:
            # the mean over the rings: an observation's own semantics would give away what it expresses
            means = ring_means(around, semantics).reshape(len(semantics), len(around), -1)
            semantics = means.mean(axis=1)
        return semantics

    def _rings(self, graph: sparse.csr_matrix) -> list[sparse.csr_matrix]:
        """Return as many rings as :meth:`fit` settled on; none for convolutions, which read the graph itself."""
        return rings(graph, self.n_rings, max_neighbors=np.inf) if self.n_rings else []

    def arrays(self) -> dict[str, NDArray]:
        """Return the fitted arrays by name."""
        named = {f"expression.{name}": value for name, value in vars(self.expression).items()}
        if self.semantics is not None:
            named |= {f"semantics.{name}": value for name, value in vars(self.semantics).items()}
        for name, means in (("batch_means", self.batch_means), ("semantic_batch_means", self.semantic_batch_means)):
            if means is not None:
                named[name] = means.means
        named["input_scale"] = np.asarray(self.input_scale, dtype=np.float64)
        named["semantic_scale"] = np.asarray(self.semantic_scale, dtype=np.float64)
        named["n_rings"] = np.asarray(self.n_rings, dtype=np.int64)
        return named

    @classmethod
    def from_arrays(cls, config: SemSTConfig, arrays: Mapping[str, NDArray]) -> SemSTPreprocessing:
        """Undo :meth:`arrays`."""
        expression, semantics = (
            {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
            for prefix in ("expression.", "semantics.")
        )
        return cls(
            config,
            ScaledExpression(**expression) if "scale" in expression else PrincipalComponents(**expression),
            PrincipalComponents(**semantics) if semantics else None,
            arrays["input_scale"].item(),
            arrays["semantic_scale"].item(),
            arrays["n_rings"].item(),
            *(BatchMeans(arrays[name]) if name in arrays else None for name in ("batch_means", "semantic_batch_means")),
        )


def tensor(array: NDArray) -> Tensor:
    """Return a copy in torch's own memory, whose alignment is always the same: vectorised sums round by it."""
    return torch.from_numpy(array).clone()


def csr_tensor(matrix: sparse.csr_matrix) -> Tensor:
    """Return a scipy CSR matrix as a float32 torch CSR tensor; where its size allows with indices in 32 bits."""
    index = np.int32 if max(matrix.nnz, *matrix.shape) < 2**31 else np.int64
    return sparse_csr(
        tensor(matrix.indptr.astype(index, copy=False)),
        tensor(matrix.indices.astype(index, copy=False)),
        tensor(matrix.data.astype(np.float32)),
        matrix.shape,
    )


def spread_of_columns(x: NDArray[np.floating]) -> float:
    """Return the root mean square standard deviation of the columns, or 1 for constant columns."""
    spread = float(np.sqrt(np.mean(np.var(x, axis=0))))
    return spread if spread > 0 else 1.0
