from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from semtx._settings import settings
from semtx.graphs import binary, feature_graph, normalize_adjacency, ring_means, rings
from semtx.models._expression import PrincipalComponents, ScaledExpression, log_normalized
from semtx.nn import SemSTInputs
from semtx.nn._sparse import sparse_csr

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

    @classmethod
    def fit(
        cls,
        config: SemSTConfig,
        counts: sparse.csr_matrix,
        graph: sparse.csr_matrix,
        semantics: NDArray[np.floating] | None,
        random_state: int,
    ) -> SemSTPreprocessing:
        """Fit to the observations the network is trained on."""
        expression: ScaledExpression | PrincipalComponents
        if config.expression == "scaled":
            expression = ScaledExpression.fit(counts)
        else:
            expression = PrincipalComponents.fit(log_normalized(counts), config.n_components, random_state)
        made = cls(config, expression)
        if config.encoder == "propagated":
            # how many rings a dense graph allows is settled here, and holds for every section embedded later
            made.n_rings = len(rings(graph, config.n_rings))
            made.input_scale = _spread(made.propagated(graph, made.expressed(counts)))
        if semantics is not None and config.n_semantic_components is not None:
            made.semantics = PrincipalComponents.fit(semantics, config.n_semantic_components, random_state)
            made.semantic_scale = _spread(made._semantic_array(graph, semantics))
        return made

    def expressed(self, counts: sparse.csr_matrix) -> Any:
        """Return each observation's own expression: sparse (n, n_genes) if scaled, else components (n, d)."""
        if isinstance(self.expression, ScaledExpression):
            return self.expression.transform(counts)
        return self.expression.transform(log_normalized(counts))

    def propagated(self, graph: sparse.csr_matrix, expressed: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the means over the rings around each observation, shape (n, n_rings * d)."""
        means = ring_means(self._rings(graph), expressed)
        # a dense graph has fewer rings; the outermost stands in, so that the width never depends on the graph
        missing = self.config.n_rings * expressed.shape[1] - means.shape[1]
        if missing:
            outermost = means[:, -expressed.shape[1] :]
            means = np.hstack([means, *[outermost] * (missing // expressed.shape[1])])
        return means / self.input_scale

    def inputs(
        self,
        counts: sparse.csr_matrix,
        graph: sparse.csr_matrix,
        semantics: NDArray[np.floating] | None,
        random_state: int,
    ) -> SemSTInputs:
        """Return what the network reads for these observations, as tensors on the CPU."""
        expressed = self.expressed(counts)
        meaning = None if semantics is None else self.semantic_input(graph, semantics)
        if self.config.encoder == "propagated":
            return SemSTInputs(tensor(self.propagated(graph, expressed)), meaning)
        how = self.config.normalization
        neighbors = feature_graph(
            expressed, self.config.n_feature_neighbors, random_state=random_state, n_jobs=settings.n_jobs
        )
        return SemSTInputs(
            tensor(expressed.toarray()),
            meaning,
            csr_tensor(normalize_adjacency(binary(graph), how)),
            csr_tensor(normalize_adjacency(neighbors, how)),
        )

    def semantic_input(self, graph: sparse.csr_matrix, semantics: NDArray[np.floating]) -> Tensor:
        """Return the semantics that modulate, shape (n, semantic_dim)."""
        return tensor(self._semantic_array(graph, semantics))

    def _semantic_array(self, graph: sparse.csr_matrix, semantics: NDArray[np.floating]) -> NDArray[np.float32]:
        if self.semantics is not None:
            semantics = self.semantics.transform(semantics) / self.semantic_scale
        semantics = np.ascontiguousarray(semantics, dtype=np.float32)
        if self.config.encoder == "propagated":
            # the mean over the rings: an observation's own semantics would give away what it expresses
            around = self._rings(graph)
            means = ring_means(around, semantics).reshape(len(semantics), len(around), -1)
            semantics = means.mean(axis=1)
        return semantics

    def _rings(self, graph: sparse.csr_matrix) -> list[sparse.csr_matrix]:
        return rings(graph, self.n_rings, max_neighbors=np.inf)

    def arrays(self) -> dict[str, NDArray]:
        """Return the fitted arrays by name."""
        named = {f"expression.{name}": value for name, value in vars(self.expression).items()}
        if self.semantics is not None:
            named |= {f"semantics.{name}": value for name, value in vars(self.semantics).items()}
        named["input_scale"] = np.asarray(self.input_scale, dtype=np.float64)
        named["semantic_scale"] = np.asarray(self.semantic_scale, dtype=np.float64)
        named["n_rings"] = np.asarray(self.n_rings, dtype=np.int64)
        return {name: np.ascontiguousarray(value) for name, value in named.items()}

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
        )


def tensor(array: NDArray) -> Tensor:
    """Return a copy in torch's own memory, whose alignment is always the same: vectorised sums round by it."""
    return torch.from_numpy(array).clone()


def csr_tensor(matrix: sparse.csr_matrix) -> Tensor:
    """Return a scipy CSR matrix as a float32 torch CSR tensor."""
    return sparse_csr(
        tensor(matrix.indptr.astype(np.int64)),
        tensor(matrix.indices.astype(np.int64)),
        tensor(matrix.data.astype(np.float32)),
        matrix.shape,
    )


def _spread(x: NDArray[np.floating]) -> float:
    """Return the root mean square standard deviation of the columns, or 1 for constant columns."""
    spread = float(np.sqrt(np.mean(np.var(x, axis=0))))
    return spread if spread > 0 else 1.0
