"""Other methods as hosts of FSM: an AnnData of raw counts without labels and a seed in, an embedding out.

Each imports its package when it is called; with ``semantics`` FSM is attached inside the host before it trains.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.baselines import components

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

    Embedding = NDArray[np.float32]
    Host = Callable[[AnnData, int, Embedding | None, int | None], Embedding]

_N_GENES = 3000


def pca(adata: AnnData, seed: int, semantics: Embedding | None, epochs: int | None) -> Embedding:
    """15 components: no training that FSM could take part in."""
    del seed, epochs
    if semantics is not None:
        msg = "PCA has no network to attach to"
        raise ValueError(msg)
    return components(adata, _N_GENES, 15)


def stagate(adata: AnnData, seed: int, semantics: Embedding | None, epochs: int | None) -> Embedding:
    """STAGATE of stagate-modern, a graph attention autoencoder; FSM on the latent layer that its decoder reads."""
    import STAGATE_pyG
    from STAGATE_pyG.STAGATE import STAGATE

    adata = _log_variable(adata)
    STAGATE_pyG.Cal_Spatial_Net(adata, k_cutoff=6, model="KNN", verbose=False)
    with _attaching(STAGATE, "conv2", semantics):
        STAGATE_pyG.train_STAGATE(adata, n_epochs=epochs or 1000, random_seed=seed, verbose=False, device="cpu")
    return adata.obsm["STAGATE"]


def graphst(adata: AnnData, seed: int, semantics: Embedding | None, epochs: int | None) -> Embedding:
    """GraphST of graphst-modern, contrastive; FSM on the reconstruction that it clusters: the rest has no submodule."""
    from GraphST import GraphST
    from GraphST.model import Encoder
    from sklearn.decomposition import PCA

    adata = adata.copy()
    n_genes = min(_N_GENES, adata.n_vars)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GraphST.GraphST(adata, epochs=epochs or 600, random_seed=seed, datatype="10X")
        with _attaching(Encoder, "", semantics, output=1, latent_dim=n_genes):
            trained = model.train()
    return PCA(20, random_state=seed).fit_transform(trained.obsm["emb"])


def scvi(adata: AnnData, seed: int, semantics: Embedding | None, epochs: int | None) -> Embedding:
    """SCVI of scvi-tools, a variational autoencoder in mini-batches; FSM on the mean of the latent distribution."""
    import scanpy as sc
    import scvi as package
    from scvi.data.fields import NumericalObsField

    adata = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if adata.n_vars > _N_GENES:
            sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=_N_GENES, subset=True)
        package.settings.seed = seed
        adata.obs["row"] = np.arange(adata.n_obs)
        package.model.SCVI.setup_anndata(adata)
        model = package.model.SCVI(adata)
        if semantics is not None:
            import semtx as st

            # the batches say which cells are in them
            model.adata_manager.register_new_fields([NumericalObsField("row", "row")])
            st.nn.attach_fsm(
                model.module,
                at="z_encoder.mean_encoder",
                semantics=semantics,
                rows=lambda tensors, *_, **__: tensors["row"],
            )
        model.train(max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, logger=None)
        # all cells in order: their rows need not be told
        return model.get_latent_representation(batch_size=adata.n_obs)


HOSTS: dict[str, Host] = {"pca": pca, "stagate": stagate, "graphst": graphst, "scvi": scvi}


def _attaching(host: Any, at: str, semantics: Embedding | None, **options: Any) -> Any:
    if semantics is None:
        return nullcontext()
    # a peer's Python has no semtx
    import semtx as st

    return st.nn.attach_fsm(host, at=at, semantics=semantics, **options)


def _log_variable(adata: AnnData) -> AnnData:
    import scanpy as sc

    adata = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if adata.n_vars > _N_GENES:
            sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=_N_GENES)
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
    return adata
