from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from semtx._logging import logger
from semtx._threads import limit_threads
from semtx.models._checks import check_cells, check_gene_names, explain_divergence
from semtx.models._clustering import choose_n_clusters, cluster_embedding
from semtx.models._consensus import Consensus
from semtx.models._expression import batch_codes, known_codes
from semtx.models._scllm_dsc_clusters import (
    Centers,
    assigned,
    count_distinct,
    k_means,
    mean_by_label,
    one_view,
    sample,
    spread_within,
    views_of,
)
from semtx.models._scllm_dsc_config import SCLLM_DSC_PRESETS, ScLLMDSCConfig
from semtx.models._scllm_dsc_preprocessing import ScLLMDSCPreprocessing
from semtx.models._scllm_dsc_result import ScLLMDSCResult
from semtx.models._scllm_dsc_start import cut_graphs, warm_start_autoencoder, warm_start_heads
from semtx.models._scllm_dsc_training import bytes_of_training, joined_record, train_network
from semtx.models._storage import read_model, under, write_model
from semtx.nn import ScLLMDSCNetwork, ScLLMDSCViews
from semtx.train import Checkpoint, TrainingRecord, digest, make_fabric, plan_memory, seeded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from scipy import sparse
    from torch import Tensor

# of Leiden, which tells how many clusters there are
_RESOLUTIONS = {"consensus": 0.8, "leiden": 1.0}


@dataclass
class _Fitted:
    preprocessing: ScLLMDSCPreprocessing
    network: ScLLMDSCNetwork
    centers: Centers
    # what assigns cells to the clusters: their means, or the prototypes of a consensus
    ends: Centers | Consensus | None = None
    # where the centres are prototypes, the mean text view of the cells of each
    texts: NDArray[np.float32] | None = None
    batches: list[str] = field(default_factory=list)


class ScLLMDSC:
    """scLLM-DSC on arrays: clusters of single cells from expression and gene semantics.

    Parameters
    ----------
    config
        Settings; the ``default`` preset where absent.
    random_state
        Seed of everything random: the same seed on the same CPU gives the same result.
    accelerator, devices, precision
        As in :func:`semtx.tl.scllm_dsc`.

    Attributes
    ----------
    result
        Labels, soft assignments and embeddings of the cells of the last :meth:`fit`.
    report
        How the clusters of the last :meth:`fit` came about.
    record
        Losses by epoch, device, stop reason and seconds of the last :meth:`fit`.
    gene_names
        Genes of the last :meth:`fit`, where they were given.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.cells(300)
    >>> model = st.models.ScLLMDSC(accelerator="cpu").fit(adata.X, 9, show_progress_bar=False)
    >>> model.result.proba.shape
    (300, 9)
    """

    def __init__(
        self,
        config: ScLLMDSCConfig | None = None,
        *,
        random_state: int = 0,
        accelerator: str | None = None,
        devices: int | None = None,
        precision: str | None = None,
    ) -> None:
        self.config = SCLLM_DSC_PRESETS["default"] if config is None else config
        self.random_state = random_state
        self.accelerator = accelerator
        self.devices = devices
        self.precision = precision
        self.record = TrainingRecord()
        self.report: dict[str, Any] = {}
        self.result: ScLLMDSCResult | None = None
        self.gene_names: list[str] | None = None
        self._fitted: _Fitted | None = None
        self._shape: dict[str, Any] = {}

    def fit(
        self,
        x: sparse.csr_matrix | NDArray[np.floating],
        n_clusters: int | None = None,
        *,
        gene_vectors: NDArray[np.floating] | None = None,
        semantics: NDArray[np.floating] | None = None,
        library_sizes: NDArray[np.floating] | None = None,
        batch: ArrayLike | None = None,
        resolution: float | None = None,
        gene_names: Sequence[str] | None = None,
        show_progress_bar: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> ScLLMDSC:
        """Train without labels; the weights of the last epoch are kept.

        Parameters
        ----------
        x
            Raw counts, CSR, shape (n, n_genes); with ``expression="given"`` any matrix, such as principal components.
        n_clusters
            Number of clusters; ``None`` chooses it without labels, by ``resolution`` where the method has one.
        gene_vectors
            Shape (n_genes, d), zeros for a gene without one: path 1 of the text view, each cell's abundance-weighted sum.
        semantics
            Shape (n, d): path 2, such as an embedding of each cell's ranked genes; the whole text view where there are no
            gene vectors.
        library_sizes
            Counts of each cell over all genes, where ``x`` holds some; ``None`` sums ``x``.
        batch
            Batch of each cell, shape (n,).
        resolution
            Resolution of Leiden, instead of ``n_clusters``; 0.8 for ``"consensus"`` and 1 for ``"leiden"``.
        gene_names
            Names of the genes, checked by :meth:`predict`.
        show_progress_bar
            ``None`` shows it in a terminal and in a notebook.
        checkpoint
            Folder that training is written into after epochs; a fit of the same data that was killed goes on from there.

        Raises
        ------
        ValueError
            Shapes do not agree, or a value is not finite, or a count is negative.
        FloatingPointError
            A loss is no longer finite.
        """
        config = self.config
        self._check_cells(x, gene_vectors, semantics, library_sizes, batch)
        names, codes = batch_codes(batch, x.shape[0])
        fabric = make_fabric(self.accelerator, self.devices, self.precision)
        saved = None
        if checkpoint is not None:
            given = {"x": x, "gene_vectors": gene_vectors, "semantics": semantics, "library_sizes": library_sizes}
            asked = {"n_clusters": n_clusters, "resolution": resolution, "random_state": self.random_state}
            digests = {name: digest(value) for name, value in {**given, "batch": codes}.items()}
            saved = Checkpoint(checkpoint, {**asdict(config), **asked, **digests})
        try:
            with seeded(self.random_state, fabric.device), limit_threads():
                preprocessing, cells = ScLLMDSCPreprocessing.fit(
                    config, x, library_sizes, codes, gene_vectors, semantics, self.random_state
                )
                shape = {
                    "n_inputs": int(x.shape[1]),
                    "text_widths": list(preprocessing.text_widths),
                    "latent_dim": min(config.latent_dim, min(x.shape) - 1),
                    "n_batches": len(names),
                }
                network = self._make_network(shape)
                n_text = sum(preprocessing.text_widths)
                plan = plan_memory(
                    lambda rows, _: bytes_of_training(rows, config, network, int(x.shape[1]), n_text),
                    len(cells),
                    config.batch_size,
                    fabric,
                    "scLLM-DSC",
                )
                if plan.device != fabric.device.type:
                    fabric = make_fabric(plan.device, 1, self.precision)
                planned = replace(config, batch_size=plan.batch_size)
                graphs = cut_graphs(cells, config, fabric.device, self.random_state)
                if config.encoder == "residual":
                    warm_start_autoencoder(network, cells, self.random_state)
                first = train_network(
                    network,
                    planned,
                    cells,
                    fabric,
                    cut_graph=graphs,
                    show_progress_bar=show_progress_bar,
                    checkpoint=None if saved is None else saved.phase("autoencoder"),
                )
                if config.head == "residual":
                    warm_start_heads(network, cells)
                centers, report = self._start_centers(views_of(network, cells), n_clusters, resolution)
                second = train_network(
                    network,
                    planned,
                    cells,
                    fabric,
                    cut_graph=graphs,
                    centers=centers,
                    show_progress_bar=show_progress_bar,
                    checkpoint=saved,
                )
                views = views_of(network, cells)
                fitted = _Fitted(preprocessing, network, centers, batches=names)
                labels = self._finish(views, fitted, report, resolution)
        except FloatingPointError as error:
            msg = f"{error}; {explain_divergence(x, semantics, config)}"
            raise FloatingPointError(msg) from error
        # all at the end: where a fit fails, the one before it stays whole
        self.record = joined_record(first, second)
        self.record.memory = {**plan.as_dict(), **self.record.memory}
        self.gene_names = None if gene_names is None else list(gene_names)
        self._shape, self._fitted, self.report = shape, fitted, report
        self.result = self._result(views, labels)
        return self

    @property
    def omega(self) -> float:
        """Weight of the abundance-weighted gene vectors in the text view: 1 where they are alone, 0 where there are none."""
        fitted = self._trained()
        if len(self._shape["text_widths"]) == 2:
            return fitted.network.omega
        return float(fitted.preprocessing.gene_vectors is not None)

    def predict(
        self,
        x: sparse.csr_matrix | NDArray[np.floating],
        *,
        semantics: NDArray[np.floating] | None = None,
        library_sizes: NDArray[np.floating] | None = None,
        batch: ArrayLike | None = None,
        gene_names: Sequence[str] | None = None,
    ) -> ScLLMDSCResult:
        """Assign cells, new ones too, to the clusters of the training.

        Parameters
        ----------
        x, semantics, library_sizes, batch
            As in :meth:`fit`, with the same genes in the same order. The cells of each batch that was not seen in
            training are centred by themselves; a model that was trained on one batch centres none.
        gene_names
            Names of the genes.
        """
        fitted = self._trained()
        # clusters take two cells, but one can be assigned to them
        self._check_cells(x, None, semantics, library_sizes, batch, least=1)
        self._check(x, semantics, gene_names)
        codes = known_codes(fitted.batches, batch, x.shape[0])
        cells = fitted.preprocessing.cells(x, library_sizes, codes, semantics)
        with limit_threads():
            return self._result(views_of(fitted.network, cells))

    def embed(self, x: sparse.csr_matrix | NDArray[np.floating], **kwargs: Any) -> NDArray[np.float32]:
        """Return the fused embedding of cells, shape (n, projection_dim); parameters as in :meth:`predict`."""
        return self.predict(x, **kwargs).fused

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json`` into a folder; no pickle."""
        fitted = self._trained()
        arrays = {f"network.{name}": value.cpu().numpy() for name, value in fitted.network.state_dict().items()}
        arrays |= {f"preprocessing.{name}": value for name, value in fitted.preprocessing.arrays().items()}
        centers = {"centers": fitted.centers}
        if isinstance(fitted.ends, Centers):
            centers["ends"] = fitted.ends
        elif fitted.ends is not None:
            arrays |= {f"consensus.{name}": value for name, value in fitted.ends.arrays().items()}
        arrays |= {name: value.position.detach().cpu().numpy() for name, value in centers.items()}
        if fitted.texts is not None:
            arrays["texts"] = fitted.texts
        description = {
            "model": "ScLLMDSC",
            "config": asdict(self.config),
            "random_state": self.random_state,
            "gene_names": self.gene_names,
            "shape": self._shape,
            "batches": fitted.batches,
            "centers": {
                name: {"view": c.view, "dof": c.dof, "scale": c.scale, "text_weight": c.text_weight}
                for name, c in centers.items()
            },
            "losses": self.record.losses,
            "report": self.report,
        }
        write_model(folder, arrays, description)

    @classmethod
    def load(cls, folder: str | Path, *, accelerator: str | None = None) -> ScLLMDSC:
        """Read a model that :meth:`save` wrote."""
        arrays, description = read_model(folder, "ScLLMDSC")
        config = ScLLMDSCConfig(**description["config"])
        model = cls(config, random_state=description["random_state"], accelerator=accelerator)
        model.gene_names = description["gene_names"]
        model.record = TrainingRecord(losses=description["losses"], stop_reason="loaded from disk")
        model.report = description.get("report", {})
        model._shape = description["shape"]
        network = model._make_network(model._shape)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in under(arrays, "network.").items()})
        device = make_fabric(accelerator, 1).device
        centers = {name: Centers(arrays[name], **rest).to(device) for name, rest in description["centers"].items()}
        consensus = under(arrays, "consensus.")
        model._fitted = _Fitted(
            ScLLMDSCPreprocessing.from_arrays(config, under(arrays, "preprocessing.")),
            network.to(device),
            centers["centers"],
            Consensus.from_arrays(consensus) if consensus else centers["ends"],
            arrays.get("texts"),
            description["batches"],
        )
        return model

    def _make_network(self, shape: dict[str, Any]) -> ScLLMDSCNetwork:
        config = self.config
        return ScLLMDSCNetwork(
            shape["n_inputs"],
            latent_dim=shape["latent_dim"],
            hidden_dim=config.hidden_dim,
            projection_dim=config.projection_dim,
            text_widths=tuple(shape["text_widths"]),
            omega=config.omega,
            learn_omega=config.learn_omega,
            encoder=config.encoder,
            head=config.head,
            unit_views=config.unit_views,
            n_batches=shape["n_batches"],
        )

    def _start_centers(
        self, views: ScLLMDSCViews, n_clusters: int | None, resolution: float | None
    ) -> tuple[Centers, dict[str, Any]]:
        """Start centres by k-means in the view that is clustered; prototypes in the structure view."""
        config = self.config
        several = config.prototypes_per_cluster > 1
        view = "structure" if several else config.cluster_on
        z = one_view(views, view, config.text_weight).double().numpy()
        # nobody else holds them, and k-means takes a copy
        del views
        rows = sample(len(z), self.random_state)
        report: dict[str, Any] = {"n_clusters_asked": n_clusters, "criterion": "given"}
        if n_clusters is None and config.cluster_method in _RESOLUTIONS:
            used = _RESOLUTIONS[config.cluster_method] if resolution is None else resolution
            found = cluster_embedding(z[rows], None, method="leiden", resolution=used, random_state=self.random_state)
            n_clusters = found.report["n_clusters"]
            report |= {"criterion": "resolution", "resolution": used}
        elif n_clusters is None:
            n_clusters, table = choose_n_clusters(z, method="kmeans", random_state=self.random_state)
            report |= {"criterion": "stability", "candidates": table}
        n_distinct = count_distinct(z[rows])
        n_centers = min(n_clusters * config.prototypes_per_cluster, n_distinct)
        start, labels = k_means(z, n_centers, self.random_state)
        report |= {"n_clusters": n_clusters, "method": config.cluster_method, "clustered": config.cluster_on}
        return self._centers(start, view, z, labels), report

    def _finish(
        self, views: ScLLMDSCViews, fitted: _Fitted, report: dict[str, Any], resolution: float | None
    ) -> NDArray[np.int64]:
        """Cluster the cells, and note what assigns others to the clusters."""
        config, n_clusters = self.config, report["n_clusters"]
        log_q = assigned(fitted.centers, fitted.centers.view_of(views))
        nearest = log_q.argmax(dim=1).numpy()
        n_centers = log_q.shape[1]
        if config.prototypes_per_cluster > 1 and views.text is not None:
            fitted.texts = mean_by_label(views.text.double().numpy(), nearest, n_centers).astype(np.float32)
        if config.cluster_method == "consensus":
            fitted.ends = Consensus.fit(
                views.structure.numpy(),
                *self._votes(views),
                n_clusters,
                config.prototypes_per_cluster,
                self.random_state,
            )
            labels = fitted.ends.proba(views.structure.numpy()).argmax(axis=1)
            report["n_prototypes"] = len(fitted.ends.prototypes)
        else:
            z = self._clustered(views, log_q, fitted).double().numpy()
            found = cluster_embedding(
                z,
                None if report["criterion"] == "resolution" else n_clusters,
                method=config.cluster_method,
                resolution=resolution,
                random_state=self.random_state,
            )
            labels = found.labels
            fitted.ends = self._centers(mean_by_label(z, labels, labels.max() + 1), config.cluster_on, z, labels)
        report["n_clusters"] = int(labels.max()) + 1
        if report["criterion"] != "resolution" and report["n_clusters"] != n_clusters:
            logger.warning("asked for %d clusters, found %d", n_clusters, report["n_clusters"])
        return labels

    def _votes(self, views: ScLLMDSCViews) -> tuple[list[NDArray[np.floating]], list[float]]:
        """Return the views that say which prototypes are alike, and the weight of what they say."""
        config = self.config
        if config.cluster_on != "fused" or views.text is None:
            return [one_view(views, config.cluster_on).numpy()], [1.0]
        return [views.structure.numpy(), views.text.numpy()], [1 - config.text_weight, config.text_weight]

    def _clustered(self, views: ScLLMDSCViews, log_q: Tensor, fitted: _Fitted) -> Tensor:
        name = self.config.cluster_on
        return self._fused(views, log_q, fitted) if name == "fused" else one_view(views, name)

    def _fused(self, views: ScLLMDSCViews, log_q: Tensor, fitted: _Fitted) -> Tensor:
        if fitted.texts is None:
            return one_view(views, "fused", self.config.text_weight)
        # the text view of a single cell is as noisy as the cell; that of its prototypes is the mean of many
        steady = views._replace(text=log_q.exp() @ torch.from_numpy(fitted.texts))
        return one_view(steady, "fused", self.config.text_weight)

    def _centers(
        self, start: NDArray[np.floating], view: str, z: NDArray[np.floating], labels: NDArray[np.int64]
    ) -> Centers:
        dof = self.config.dof
        if dof is not None:
            return Centers(start, view, dof, 1.0, self.config.text_weight)
        return Centers(start, view, float(z.shape[1]), spread_within(z, labels, start), self.config.text_weight)

    def _result(self, views: ScLLMDSCViews, labels: NDArray[np.int64] | None = None) -> ScLLMDSCResult:
        fitted = self._trained()
        log_q = assigned(fitted.centers, fitted.centers.view_of(views))
        if isinstance(fitted.ends, Centers):
            proba = assigned(fitted.ends, self._clustered(views, log_q, fitted)).exp().numpy()
        else:
            proba = cast("Consensus", fitted.ends).proba(views.structure.numpy())
        return ScLLMDSCResult(
            proba.argmax(axis=1) if labels is None else labels,
            proba,
            self._fused(views, log_q, fitted).numpy(),
            views.structure.numpy(),
            None if views.text is None else views.text.numpy(),
        )

    def _trained(self) -> _Fitted:
        if self._fitted is None:
            msg = "this ScLLMDSC has no weights yet; call fit, or ScLLMDSC.load for a saved one"
            raise RuntimeError(msg)
        return self._fitted

    def _check_cells(
        self,
        x: sparse.csr_matrix | NDArray[np.floating],
        gene_vectors: NDArray[np.floating] | None,
        semantics: NDArray[np.floating] | None,
        library_sizes: NDArray[np.floating] | None,
        batch: ArrayLike | None,
        least: int = 2,
    ) -> None:
        check_cells(
            x,
            counts=self.config.expression == "standardized",
            gene_vectors=gene_vectors,
            semantics=semantics,
            library_sizes=library_sizes,
            batch=batch,
            least=least,
        )

    def _check(
        self,
        x: sparse.csr_matrix | NDArray[np.floating],
        semantics: NDArray[np.floating] | None,
        gene_names: Sequence[str] | None,
    ) -> None:
        if x.shape[1] != self._shape["n_inputs"]:
            msg = f"the model was trained on {self._shape['n_inputs']} columns, these cells have {x.shape[1]}"
            raise ValueError(msg)
        check_gene_names(self.gene_names, gene_names)
        preprocessing = self._trained().preprocessing
        means = preprocessing.path_means[preprocessing.gene_vectors is not None :]
        if (semantics is None) != (not means):
            msg = f"the model was trained {'with' if means else 'without'} semantics=; give the same"
            raise ValueError(msg)
        if semantics is not None and semantics.shape[1] != len(means[0]):
            msg = f"the model was trained on {len(means[0])} semantic dimensions, these have {semantics.shape[1]}"
            raise ValueError(msg)
