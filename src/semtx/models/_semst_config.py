from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from semtx._validate import check_choice
from semtx.models._config import check_fields, updated

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SemSTConfig:
    """Everything that decides what SemST computes; the presets are instances of it.

    A value out of range and settings that do not go together raise where the configuration is made.

    Attributes
    ----------
    n_top_genes
        Highly variable genes kept; all where there are fewer.
    min_cells
        Genes detected in fewer observations are left out.
    expression
        What the network reads: ``"scaled"``: library-size normalised, divided by each gene's standard deviation and
        clipped at 10, as the authors do; ``"pca"``: components of log-normalised expression.
    n_components
        Components of ``"pca"``.
    encoder
        ``"convolution"``: two-layer graph convolutions of both views; ``"propagated"``: the spatial view alone, as a
        linear map of what the rings of neighbours express, without the observation itself.
    n_neighbors, radius
        Spatial graph where none is given: nearest neighbours, or a radius in pitches.
    n_rings
        Rings of ``"propagated"``.
    n_feature_neighbors
        Neighbours in the feature graph.
    normalization
        ``"row"`` or ``"symmetric"`` normalisation of the graphs of ``"convolution"``.
    gene_ranking, n_semantic_genes
        Cell semantics where none are given: ``n_semantic_genes`` top genes under ``gene_ranking`` among the genes that
        the network reads, as the authors do; or for ``None`` the expression-weighted mean of all genes but
        mitochondrial, ribosomal and control ones.
    n_semantic_components
        Principal components of the semantics that modulate; ``None`` uses them as they are.
    hidden_dim, latent_dim, semantic_head, modulation_dim, fusion, decoder_hidden_dim, dispersion
        As in :class:`semtx.nn.SemSTNetwork`.
    target
        What the decoder reconstructs: ``"scaled"`` expression as the authors do, or raw ``"counts"`` with size
        factors.
    n_decoded_genes
        Genes decoded in a step, drawn at random so that the loss stays unbiased; ``None`` for all.
    zinb_ridge
        Weight of the squared zero inflation in the reconstruction loss.
    correlation_weighting, correlation_weight
        Correlation reduction and its weight.
    spatial_loss, spatial_balance, spatial_weight
        Spatial regularisation and its weight.
    cluster_method
        How the embedding is clustered, see :func:`semtx.tl.cluster`; the authors use k-means.
    consensus
        Whether ``"potts"`` clusters six more embeddings beside the trained one, and takes the domains on which they
        agree: closed forms of ``"propagated"`` that read fewer, as many and more components, from ``n_rings`` and from
        one ring more.
    max_epochs, learning_rate, weight_decay, batch_size
        Training. At most ``batch_size`` observations enter a step of ``"propagated"``, all for ``None``; with the spatial
        term, patches of the spatial graph of about so many in all. A step of ``"convolution"`` is of all observations:
        ``batch_size`` of them are encoded at a time, from all their neighbours two steps away, again in the backward pass,
        with the result of all at once.
    """

    n_top_genes: int = 3000
    min_cells: int = 1
    expression: Literal["scaled", "pca"] = "scaled"
    n_components: int = 30
    encoder: Literal["convolution", "propagated"] = "convolution"
    n_neighbors: int = 6
    radius: float | None = None
    n_rings: int = 2
    n_feature_neighbors: int = 14
    normalization: Literal["row", "symmetric"] = "row"
    gene_ranking: Literal["expression", "zscore", "specificity"] = "expression"
    n_semantic_genes: int | None = 20
    n_semantic_components: int | None = None
    hidden_dim: int = 256
    latent_dim: int = 128
    semantic_head: Literal["stacked", "mlp", "linear"] = "stacked"
    modulation_dim: int = 153
    fusion: Literal["mlp", "linear"] = "mlp"
    decoder_hidden_dim: int | None = 256
    dispersion: Literal["gene-cell", "gene"] = "gene-cell"
    target: Literal["scaled", "counts"] = "scaled"
    n_decoded_genes: int | None = None
    zinb_ridge: float = 0.0
    correlation_weighting: Literal["uniform", "balanced"] = "uniform"
    correlation_weight: float = 0.1
    spatial_loss: Literal["closed_form", "exact"] = "closed_form"
    spatial_balance: Literal["pairs", "edges"] = "pairs"
    spatial_weight: float = 0.1
    cluster_method: Literal["potts", "mixture", "kmeans", "leiden"] = "kmeans"
    consensus: bool = False
    max_epochs: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, least_integers=_LEAST_INTEGERS, positive=("radius", "learning_rate"))
        for is_wrong, what, why in _incompatible(self):
            if is_wrong:
                msg = f"SemSTConfig: {what} do not go together: {why}"
                raise ValueError(msg)

    def updated(self, **changes: Any) -> SemSTConfig:
        """Return a copy with the changes that are not ``None``."""
        return updated(self, changes)


_LEAST_INTEGERS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "n_top_genes": 2,
        "min_cells": 0,
        "n_components": 1,
        "n_neighbors": 1,
        "n_rings": 1,
        "n_feature_neighbors": 1,
        "n_semantic_genes": 1,
        "n_semantic_components": 1,
        "hidden_dim": 1,
        "latent_dim": 1,
        "modulation_dim": 1,
        "decoder_hidden_dim": 1,
        "n_decoded_genes": 1,
        "max_epochs": 1,
        "batch_size": 1,
    }
)


def _incompatible(config: SemSTConfig) -> list[tuple[bool, str, str]]:
    """Return for each combination without a meaning whether this is one, its names, and what to use instead."""
    propagated = config.encoder == "propagated"
    return [
        (
            not propagated and config.expression == "pca",
            "encoder='convolution' and expression='pca'",
            "the convolutions read 'scaled' expression",
        ),
        (
            propagated and config.expression == "scaled",
            "encoder='propagated' and expression='scaled'",
            "the rings carry components; use expression='pca'",
        ),
        (
            propagated and config.target == "scaled",
            "encoder='propagated' and target='scaled'",
            "the components are no expression to reconstruct; use target='counts'",
        ),
        (
            not propagated and config.consensus,
            "encoder='convolution' and consensus=True",
            "convolutions have no closed form; use consensus=False",
        ),
        (
            propagated and config.correlation_weight > 0,
            f"encoder='propagated' and correlation_weight={config.correlation_weight}",
            "there is one view, and the term compares two; use correlation_weight=0",
        ),
    ]


_PAPER_SPOTS = SemSTConfig(
    min_cells=100,
    radius=4.09,
    normalization="symmetric",
    semantic_head="mlp",
    fusion="linear",
)
_REFERENCE_SPOTS = SemSTConfig(
    min_cells=100,
    radius=4.09,
    gene_ranking="zscore",
    n_semantic_genes=10,
    zinb_ridge=0.05,
    correlation_weighting="balanced",
)

#: Presets of :func:`semtx.tl.semst`. The authors use other settings for spots on a grid (Visium; the column ``DLPFC``
#: of their settings) than for cells (STARmap; their column ``MVC``), so their presets come in two versions.
SEMST_PRESETS: Final[Mapping[str, SemSTConfig]] = MappingProxyType(
    {
        "default": SemSTConfig(
            expression="pca",
            encoder="propagated",
            n_semantic_genes=None,
            n_semantic_components=16,
            latent_dim=15,
            semantic_head="linear",
            decoder_hidden_dim=None,
            dispersion="gene",
            target="counts",
            correlation_weight=0.0,
            spatial_weight=0.0,
            max_epochs=20,
            learning_rate=2e-2,
            weight_decay=0.0,
            batch_size=4096,
            cluster_method="potts",
            consensus=True,
        ),
        "paper": _PAPER_SPOTS,
        "paper-cells": replace(
            _PAPER_SPOTS,
            n_neighbors=15,
            radius=None,
            n_feature_neighbors=15,
            n_semantic_genes=30,
            hidden_dim=128,
            latent_dim=64,
            modulation_dim=32,
            decoder_hidden_dim=128,
            correlation_weight=1.0,
            spatial_weight=1.0,
            max_epochs=2000,
        ),
        "reference": _REFERENCE_SPOTS,
        "reference-cells": replace(
            _REFERENCE_SPOTS,
            n_neighbors=15,
            radius=None,
            n_feature_neighbors=5,
            hidden_dim=128,
            latent_dim=64,
            modulation_dim=32,
            decoder_hidden_dim=128,
            correlation_weight=1.0,
            spatial_weight=1.0,
            max_epochs=2000,
        ),
    }
)


# observations above which the presets' epochs shrink, since each holds many steps
_LARGE = 20_000


def resolve_preset(preset: str, *, grid: bool, n_obs: int, **changes: Any) -> SemSTConfig:
    """Return a preset's settings for this platform and size, with the user's changes."""
    public = ("default", "paper", "reference")
    check_choice("preset", preset, [*public, *(name for name in SEMST_PRESETS if name not in public)])
    cells = f"{preset}-cells"
    config = SEMST_PRESETS[cells if not grid and cells in SEMST_PRESETS else preset]
    if config.batch_size is not None and n_obs > _LARGE:
        config = replace(config, max_epochs=max(1, round(config.max_epochs * _LARGE / n_obs)))
    return config.updated(**changes)
