from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from semtx.models._config import check_fields, updated

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ScLLMDSCConfig:
    """Everything that decides what scLLM-DSC computes; the presets are instances of it.

    A value out of range and settings that do not go together raise where the configuration is made.

    Attributes
    ----------
    n_top_genes
        Highly variable genes kept; ``None`` keeps all.
    min_cells
        Genes detected in fewer cells are left out.
    leave_out_states
        Leave out genes whose text says that they tell the state of a cell, such as the cell cycle or the response to
        interferon, and not its type. Only :func:`semtx.tl.scllm_dsc`, which knows their names, can.
    expression
        What the network reads: ``"standardized"``: log-normalised, each gene centred (within its batch where there are
        several), divided by its standard deviation and clipped at 10; ``"given"``: the matrix as it is.
    encoder, head, hidden_dim, latent_dim, projection_dim, unit_views
        As in :class:`semtx.nn.ScLLMDSCNetwork`. What is residual starts in closed form: the encoder and decoder at
        principal components, the heads at the rotations that bring the two views closest.
    omega
        Weight of the abundance-weighted gene vectors (path 1) in the text view; that of the sentence (path 2) is
        1 - omega. At 1 no sentence is made, unless an encoder for it is given.
    learn_omega
        Learn omega, from that start.
    unit_semantics
        Scale each path of each cell's text, once it is centred, to length 1.
    n_semantic_components
        Principal components of the text view that its head reads; ``None`` uses it as it is.
    cut_balance, orthogonality, cut_weight
        Graph cut, as in :func:`semtx.nn.graph_cut`, and its weight.
    n_neighbors
        Neighbours of the graph that is cut where expression is negative or reduced.
    reconstruction_weight
        Weight of the mean squared error.
    temperature, variance_weight, alignment_weight
        Temperature of the contrastive loss, weight of the variance hinge beside it, weight of both.
    leave_out_cluster
        Leave cells of one cluster out of each other's negatives, as they are likely to be of one type.
    clustering_weight
        Weight of the divergence of target from soft assignments.
    dof
        Degrees of freedom of the soft assignments; ``None`` for as many as the common space has dimensions, with
        distances measured in standard deviations within clusters.
    sharpness
        Exponent of the optimal-transport target.
    target_interval
        Epochs between two refreshes of that target.
    tolerance
        Training stops when a smaller part of the cells changes its cluster between two refreshes.
    prototypes_per_cluster
        Centres for each cluster wanted. Above 1, the centres are prototypes of the structure view, and the text view of
        the fused embedding is averaged over the cells of each.
    text_weight
        Weight of the text view in the fused embedding, and of its votes in the consensus.
    cluster_on
        Embedding that is clustered: ``"fused"``, ``"structure"`` or ``"text"``.
    cluster_method
        ``"consensus"``: the clusters that many runs of k-means in the structure view agree on, each of whose prototypes
        the views of ``cluster_on`` merge (cosine distance, average linkage). Or a method of :func:`semtx.tl.cluster` on that
        embedding.
    pretrain_epochs, max_epochs, learning_rate, weight_decay, batch_size
        Training of the autoencoder alone, then of all together. ``batch_size=None`` takes all cells in a step.
    """

    n_top_genes: int | None = None
    min_cells: int = 1
    leave_out_states: bool = False
    expression: Literal["standardized", "given"] = "given"
    encoder: Literal["linear", "perceptron", "residual"] = "perceptron"
    head: Literal["perceptron", "residual"] = "perceptron"
    hidden_dim: int = 256
    latent_dim: int = 16
    projection_dim: int = 128
    unit_views: bool = True
    omega: float = 0.5
    learn_omega: bool = False
    unit_semantics: bool = True
    n_semantic_components: int | None = None
    cut_balance: float = 0.21
    orthogonality: float = 0.32
    cut_weight: float = 0.15
    n_neighbors: int = 15
    reconstruction_weight: float = 0.3
    temperature: float = 0.1
    variance_weight: float = 1e-2
    alignment_weight: float = 0.3
    leave_out_cluster: bool = False
    clustering_weight: float = 0.32
    dof: float | None = 1.0
    sharpness: float = 5.0
    target_interval: int = 10
    tolerance: float = 0.0
    prototypes_per_cluster: int = 1
    text_weight: float = 0.5
    cluster_on: Literal["fused", "structure", "text"] = "fused"
    cluster_method: Literal["consensus", "mixture", "kmeans", "leiden"] = "kmeans"
    pretrain_epochs: int = 200
    max_epochs: int = 200
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_fields(
            self,
            least_integers=_LEAST_INTEGERS,
            positive=("temperature", "dof", "sharpness", "learning_rate"),
            at_most_one=("omega", "text_weight", "cut_balance", "tolerance"),
        )

    def updated(self, **changes: Any) -> ScLLMDSCConfig:
        """Return a copy with the changes that are not ``None``."""
        return updated(self, changes)


_LEAST_INTEGERS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "n_top_genes": 2,
        "min_cells": 0,
        "hidden_dim": 1,
        "latent_dim": 1,
        "projection_dim": 1,
        "n_semantic_components": 1,
        "n_neighbors": 1,
        "target_interval": 1,
        "prototypes_per_cluster": 1,
        "pretrain_epochs": 0,
        "max_epochs": 1,
        "batch_size": 2,
    }
)

_PAPER = ScLLMDSCConfig()

#: Presets of :func:`semtx.tl.scllm_dsc`. Loss weights are those in effect in the authors' code; the paper's own, tuned for
#: each data set, were not published.
SCLLM_DSC_PRESETS: Final[Mapping[str, ScLLMDSCConfig]] = MappingProxyType(
    {
        "default": ScLLMDSCConfig(
            n_top_genes=2000,
            leave_out_states=True,
            expression="standardized",
            encoder="residual",
            head="residual",
            hidden_dim=128,
            latent_dim=30,
            projection_dim=128,
            unit_views=False,
            omega=1.0,
            unit_semantics=False,
            n_semantic_components=128,
            leave_out_cluster=True,
            dof=None,
            target_interval=1,
            tolerance=1e-3,
            prototypes_per_cluster=2,
            text_weight=0.3,
            cluster_method="consensus",
            pretrain_epochs=5,
            max_epochs=10,
            learning_rate=1e-4,
            weight_decay=0.0,
            batch_size=1024,
        ),
        "paper": _PAPER,
        "reference": replace(_PAPER, encoder="linear", projection_dim=16, cluster_on="structure"),
    }
)
