from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from scipy import sparse

from semtx._threads import limit_threads
from semtx.models._checks import check_counts, check_gene_names, check_graph, check_semantics, explain_divergence
from semtx.models._expression import batch_codes, known_codes
from semtx.models._read_out import ReadOut, joined
from semtx.models._reduced_rank import reduced_rank_regression
from semtx.models._semst_config import SEMST_PRESETS, SemSTConfig
from semtx.models._semst_preprocessing import SemSTPreprocessing
from semtx.models._semst_training import bytes_of_training, train_network
from semtx.models._semst_views import closed_form_views
from semtx.models._storage import read_model, under, write_model
from semtx.nn import SemSTNetwork
from semtx.train import Checkpoint, TrainingRecord, digest, make_fabric, plan_memory, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from semtx.nn import SemSTInputs


class SemST:
    """SemST on arrays: tissue domains from expression, position and gene semantics.

    Parameters
    ----------
    config
        Settings; the ``default`` preset where absent.
    random_state
        Seed of everything random: the same seed on the same CPU gives the same result.
    accelerator, devices, precision
        As in :func:`semtx.tl.semst`.

    Attributes
    ----------
    record
        Losses by epoch, device, stop reason and seconds of the last :meth:`fit`.
    gene_names
        Genes of the last :meth:`fit`, where they were given.

    References
    ----------
    SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=200)
    >>> graph = st.models.SemST.spatial_graph(adata.obsm["spatial"])
    >>> config = st.models.SEMST_PRESETS["default"].updated(max_epochs=5)
    >>> model = st.models.SemST(config, accelerator="cpu").fit(adata.X, graph, show_progress_bar=False)
    >>> model.embed(adata.X, graph).shape
    (200, 15)
    """

    def __init__(
        self,
        config: SemSTConfig | None = None,
        *,
        random_state: int = 0,
        accelerator: str | None = None,
        devices: int | None = None,
        precision: str | None = None,
    ) -> None:
        self.config = SEMST_PRESETS["default"] if config is None else config
        self.random_state = random_state
        self.accelerator = accelerator
        self.devices = devices
        self.precision = precision
        self.record = TrainingRecord()
        self.gene_names: list[str] | None = None
        self._fitted: tuple[SemSTPreprocessing, SemSTNetwork] | None = None
        self._shape: dict[str, int] = {}
        self._batch_names: list[str] = []

    @staticmethod
    def spatial_graph(coordinates: NDArray[np.floating], *, n_neighbors: int = 6) -> sparse.csr_matrix:
        """Return a graph of nearest neighbours for :meth:`fit`, CSR, shape (n, n)."""
        from semtx._keys import SPATIAL_CONNECTIVITIES
        from semtx.graphs import spatial_graph

        return spatial_graph(coordinates, n_neighbors=n_neighbors).obsp[SPATIAL_CONNECTIVITIES]

    def fit(
        self,
        counts: sparse.csr_matrix,
        graph: sparse.csr_matrix,
        semantics: NDArray[np.floating] | None = None,
        *,
        batch: ArrayLike | None = None,
        gene_names: Sequence[str] | None = None,
        show_progress_bar: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> SemST:
        """Train without labels; the weights of the last epoch are kept.

        Parameters
        ----------
        counts
            Raw counts, CSR, shape (n, n_genes).
        graph
            Spatial graph, CSR, shape (n, n); its diagonal and weights are not used.
        semantics
            Shape (n, d); ``None`` leaves semantics out.
        batch
            Batch of each observation, shape (n,): components are centred within batches.
        gene_names
            Names of the genes, checked by :meth:`embed`.
        show_progress_bar
            ``None`` shows it in a terminal and in a notebook.
        checkpoint
            Folder that training is written into after epochs; a fit of the same data that was killed goes on from there.

        Raises
        ------
        ValueError
            Shapes do not agree, a value is not finite, or a count is negative.
        FloatingPointError
            A loss is no longer finite; the message says which input looks wrong.
        """
        with limit_threads():
            self._fit(
                counts,
                graph,
                semantics,
                batch=batch,
                gene_names=gene_names,
                show_progress_bar=show_progress_bar,
                checkpoint=checkpoint,
            )
        return self

    def _fit(
        self,
        counts: sparse.csr_matrix,
        graph: sparse.csr_matrix,
        semantics: NDArray[np.floating] | None,
        *,
        batch: ArrayLike | None = None,
        gene_names: Sequence[str] | None,
        show_progress_bar: bool | None,
        checkpoint: str | Path | None = None,
    ) -> SemSTInputs:
        """Train, and return what the network read, so that the same observations need not be prepared again."""
        counts, graph, semantics = _checked(counts, graph, semantics)
        if counts.shape[0] < 2:
            msg = f"SemST needs 2 observations or more, got counts of shape {counts.shape}"
            raise ValueError(msg)
        batches, codes = self._batches(batch, counts.shape[0])
        fabric = make_fabric(self.accelerator, self.devices, self.precision)
        saved = None
        if checkpoint is not None:
            inputs_of = {"counts": digest(counts), "graph": digest(graph), "semantics": digest(semantics)}
            inputs_of["batch"] = digest(codes)
            saved = Checkpoint(checkpoint, {**asdict(self.config), "random_state": self.random_state, **inputs_of})
        preprocessing, expressed, inputs = SemSTPreprocessing.fit(
            self.config, counts, graph, semantics, self.random_state, codes if batches else None
        )
        with seeded(self.random_state, fabric.device):
            shape = {
                "n_inputs": inputs.x.shape[1],
                "n_genes": counts.shape[1],
                "semantic_dim": 0 if inputs.semantics is None else inputs.semantics.shape[1],
                "latent_dim": self.config.latent_dim,
            }
            if self.config.encoder == "propagated":
                shape["latent_dim"] = min(shape["latent_dim"], expressed.shape[1])
                network = self._make_network(shape)
                _warm_start(network, inputs.x.numpy(), expressed)
            else:
                network = self._make_network(shape)
            target = expressed if self.config.target == "scaled" else counts
            plan = plan_memory(
                lambda rows, device: bytes_of_training(rows, self.config, network, inputs, target, device),
                len(counts.indptr) - 1,
                self.config.batch_size,
                fabric,
                "SemST",
            )
            if plan.device != fabric.device.type:
                fabric = make_fabric(plan.device, 1, self.precision)
            try:
                record = train_network(
                    network,
                    replace(self.config, batch_size=plan.batch_size),
                    inputs,
                    target,
                    graph,
                    fabric,
                    random_state=self.random_state,
                    show_progress_bar=show_progress_bar,
                    checkpoint=saved,
                )
                _check_weights(network)
            except FloatingPointError as error:
                msg = f"{error}; {explain_divergence(counts, semantics, self.config)}"
                raise FloatingPointError(msg) from error
        record.memory = {**plan.as_dict(), **record.memory}
        self.record = record
        self.gene_names = None if gene_names is None else list(gene_names)
        self._shape = shape
        self._fitted, self._batch_names = (preprocessing, network), batches
        return inputs

    def embed(
        self,
        counts: sparse.csr_matrix,
        graph: sparse.csr_matrix,
        semantics: NDArray[np.floating] | None = None,
        *,
        batch: ArrayLike | None = None,
        gene_names: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """Embed observations, new ones too, with the trained weights.

        Parameters
        ----------
        counts, graph, semantics
            As in :meth:`fit`, with the same genes in the same order.
        batch
            As in :meth:`fit`. The observations of each batch that was not seen in training are centred by themselves; a
            model that was trained on one batch centres none.
        gene_names
            Names of the genes.

        Returns
        -------
        Shape (n, latent_dim).
        """
        preprocessing, _ = self._trained()
        counts, graph, semantics = _checked(counts, graph, semantics)
        self._check(counts, semantics, gene_names)
        codes = known_codes(self._batch_names, batch, counts.shape[0])
        with limit_threads():
            return self._embed(preprocessing.inputs(counts, graph, semantics, self.random_state, codes))

    def _embed(self, inputs: SemSTInputs) -> NDArray[np.float32]:
        _, network = self._trained()
        device = next(network.parameters()).device
        network.eval()
        with torch.no_grad():
            return network(inputs.to(device)).z.cpu().numpy()

    def _views(
        self, counts: sparse.csr_matrix, graph: sparse.csr_matrix, batch: ArrayLike | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the embeddings in closed form that are clustered beside the trained one."""
        if self.config.consensus and self.config.cluster_method == "potts":
            preprocessing, _ = self._trained()
            components = preprocessing.components(counts, known_codes(self._batch_names, batch, counts.shape[0]))
            yield from closed_form_views(components, graph, self.config, preprocessing.n_rings)

    def modulation(
        self, graph: sparse.csr_matrix, semantics: NDArray[np.floating], *, batch: ArrayLike | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the scales alpha and the shifts beta, each of shape (n, width of the modulated views)."""
        preprocessing, _ = self._trained()
        graph, semantics = sparse.csr_matrix(graph), np.asarray(semantics)
        check_semantics(semantics, graph.shape[0], f"graph of shape {graph.shape}")
        check_graph(graph, len(semantics), f"semantics of shape {semantics.shape}")
        codes = known_codes(self._batch_names, batch, len(semantics))
        return self._modulation(preprocessing.semantic_input(graph, semantics, codes))

    def _modulation(self, semantics: Tensor | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        _, network = self._trained()
        if network.fsm is None or semantics is None:
            msg = "this model was trained without semantics, so it has no modulation; fit it with semantics"
            raise ValueError(msg)
        network.eval()
        with torch.no_grad():
            device = next(network.parameters()).device
            meaning = network.semantic_head(semantics.to(device))
            alpha, beta = network.fsm.coefficients(meaning)
        return alpha.cpu().numpy(), beta.cpu().numpy()

    def _read_out(self) -> tuple[ReadOut, int]:
        """Return the map from semantics, averaged over so many rings, to alpha and beta."""
        preprocessing, network = self._trained()
        layers: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        if preprocessing.semantics is not None:
            components = preprocessing.semantics.components.T.astype(np.float64) / preprocessing.semantic_scale
            layers.append((components, -preprocessing.semantics.mean @ components))
        bent = not layers
        for part in (network.semantic_head, network.fsm):
            for module in part.modules() if part is not None else ():
                bent = bent or isinstance(module, torch.nn.ReLU)
                if isinstance(module, torch.nn.Linear):
                    weight, bias = (value.detach().cpu().double().numpy() for value in (module.weight, module.bias))
                    layers.append((weight.T, bias) if bent else joined(layers.pop(), (weight.T, bias)))
                    bent = False
        return ReadOut(tuple(layers)), preprocessing.n_rings

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``model.json`` into a folder; no pickle."""
        preprocessing, network = self._trained()
        arrays = {f"network.{name}": value.cpu().numpy() for name, value in network.state_dict().items()}
        arrays |= {f"preprocessing.{name}": value for name, value in preprocessing.arrays().items()}
        description = {
            "model": "SemST",
            "config": asdict(self.config),
            "random_state": self.random_state,
            "gene_names": self.gene_names,
            "shape": self._shape,
            "batches": self._batch_names,
            "losses": self.record.losses,
        }
        write_model(folder, arrays, description)

    @classmethod
    def load(cls, folder: str | Path, *, accelerator: str | None = None) -> SemST:
        """Read a model that :meth:`save` wrote."""
        arrays, description = read_model(folder, "SemST")
        config = SemSTConfig(**description["config"])
        model = cls(config, random_state=description["random_state"], accelerator=accelerator)
        model.gene_names = description["gene_names"]
        model.record = TrainingRecord(losses=description["losses"], stop_reason="loaded from disk")
        model._shape = description["shape"]
        model._batch_names = description.get("batches", [])
        network = model._make_network(model._shape)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in under(arrays, "network.").items()})
        network.to(make_fabric(accelerator, 1).device)
        model._fitted = SemSTPreprocessing.from_arrays(config, under(arrays, "preprocessing.")), network
        return model

    def _batches(self, batch: ArrayLike | None, n: int) -> tuple[list[str], NDArray[np.int64]]:
        if batch is not None and self.config.expression != "pca":
            msg = (
                f"batch centres components of expression, and expression={self.config.expression!r} has none; use the "
                "default preset, or leave batch out"
            )
            raise ValueError(msg)
        if batch is not None and np.shape(batch) != (n,):
            msg = f"batch must have shape ({n},), got {np.shape(batch)}"
            raise ValueError(msg)
        return batch_codes(batch, n)

    def _make_network(self, shape: dict[str, int]) -> SemSTNetwork:
        config = self.config
        return SemSTNetwork(
            **shape,
            hidden_dim=config.hidden_dim,
            encoder=config.encoder,
            semantic_head=config.semantic_head,
            modulation_dim=config.modulation_dim,
            fusion=config.fusion,
            decoder_hidden_dim=config.decoder_hidden_dim,
            dispersion=config.dispersion,
        )

    def _trained(self) -> tuple[SemSTPreprocessing, SemSTNetwork]:
        if self._fitted is None:
            msg = "this SemST has no weights yet; call fit, or SemST.load for a saved one"
            raise RuntimeError(msg)
        return self._fitted

    def _check(
        self, counts: sparse.csr_matrix, semantics: NDArray[np.floating] | None, gene_names: Sequence[str] | None
    ) -> None:
        if counts.shape[1] != self._shape["n_genes"]:
            msg = f"the model was trained on {self._shape['n_genes']} genes, these counts have {counts.shape[1]}"
            raise ValueError(msg)
        check_gene_names(self.gene_names, gene_names)
        if (semantics is None) != (self._shape["semantic_dim"] == 0):
            trained = "without" if semantics is not None else "with"
            msg = f"the model was trained {trained} semantics; embed with the same"
            raise ValueError(msg)
        fitted = self._trained()[0].semantics
        width = self._shape["semantic_dim"] if fitted is None else fitted.components.shape[1]
        if semantics is not None and semantics.shape[1] != width:
            msg = f"the model was trained on {width} semantic dimensions, these have {semantics.shape[1]}"
            raise ValueError(msg)


def _checked(
    counts: sparse.csr_matrix, graph: sparse.csr_matrix, semantics: NDArray[np.floating] | None
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, NDArray[np.floating] | None]:
    counts, graph = sparse.csr_matrix(counts, dtype=np.float32), sparse.csr_matrix(graph)
    of = f"counts of shape {counts.shape}"
    check_counts(counts)
    check_graph(graph, counts.shape[0], of)
    if semantics is not None:
        semantics = np.asarray(semantics)
        check_semantics(semantics, counts.shape[0], of)
    return counts, graph, semantics


def _check_weights(network: SemSTNetwork) -> None:
    # the last step has no loss after it that would tell
    if not all(bool(torch.isfinite(weight).all()) for weight in network.parameters()):
        msg = "the weights are not finite after the last epoch"
        raise FloatingPointError(msg)


def _warm_start(network: SemSTNetwork, x: NDArray[np.floating], expressed: NDArray[np.floating]) -> None:
    """Start the encoder at the closed-form prediction of each observation's expression from its surroundings."""
    encoder = cast("torch.nn.Linear", network.spatial_encoder)
    weight, bias = reduced_rank_regression(x, expressed, encoder.out_features)
    scale = float(np.std(x @ weight[:, 0])) or 1.0
    with torch.no_grad():
        encoder.weight.copy_(torch.from_numpy(weight.T / scale))
        encoder.bias.copy_(torch.from_numpy(bias / scale))
