"""``tl.scllm_dsc``: clusters of single cells guided by what the genes mean."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from semtx import _keys
from semtx._record import labels_to_categorical, recorded_mask, run_record, working_copy, write_results
from semtx._settings import ACCELERATORS, PRECISIONS
from semtx._validate import (
    check_anndata,
    check_choice,
    check_integer,
    check_key_added,
    check_n_clusters,
    check_number,
    check_random_state,
    resolve_table,
)
from semtx.models._scllm_dsc_config import SCLLM_DSC_PRESETS, ScLLMDSCConfig
from semtx.tl._batch import find_batch
from semtx.tl._cluster import check_resolution
from semtx.tl._scllm_dsc_inputs import find_expression, find_states, find_text
from semtx.tl._semst_inputs import CONTROLS, find_gene_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from semtx.models import ScLLMDSC
    from semtx.semantics import Encoder

# cells above which the presets' epochs shrink, since each holds many steps
_LARGE = 20_000


def scllm_dsc(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    preset: str | ScLLMDSCConfig = "default",
    semantics: str | None = "auto",
    sentence_encoder: str | Path | Encoder | None = None,
    omega: float | Literal["learned"] | None = None,
    layer: str | None = None,
    use_rep: str | None = None,
    batch_key: str | None = None,
    gene_symbols: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    n_top_genes: int | None = None,
    max_epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    cluster_on: Literal["fused", "structure", "text"] | None = None,
    cluster_method: Literal["consensus", "mixture", "kmeans", "leiden"] | None = None,
    resolution: float | None = None,
    store_views: bool = False,
    key_added: str = _keys.SCLLM_DSC,
    random_state: int = 0,
    accelerator: str | None = None,
    devices: int | None = None,
    precision: str | None = None,
    show_progress_bar: bool | None = None,
    checkpoint: str | Path | None = None,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Cluster single cells by expression and by what the genes that they express mean.

    An autoencoder shaped by a normalised graph cut gives the structure view of each cell; the vectors of its genes'
    descriptions, weighted by abundance, give the text view; two heads bring both to one space, where a contrastive loss
    aligns them; soft assignments to learned centres follow an optimal-transport target. No label is read: training ends
    after a fixed number of epochs or when the clusters stay as they are. Whether the meaning helps on your cells the
    controls of ``semantics`` tell.

    Parameters
    ----------
    adata
        Raw counts of cells. The values are never changed.
    n_clusters
        Number of clusters; ``None`` chooses it without labels: with ``"consensus"`` and ``"leiden"`` as many as Leiden
        finds at ``resolution`` in the structure view, else see :func:`semtx.tl.cluster`.
    preset
        ``"default"``: the recipe we measured to be best. It leaves out genes whose text says that they tell the state of a
        cell and not its type, starts from principal components, finds more prototypes than clusters in the structure view,
        again and again, and takes the clusters on which most runs agree after structure and text have each merged the
        prototypes that they hold to be alike. ``"paper"`` and ``"reference"``: the method as published and as the authors' code has it, on raw counts, without
        its use of labels and with its heads trained. Or a :class:`semtx.models.ScLLMDSCConfig` of your own.
    semantics
        ``"auto"``: gene vectors from ``varm["gene_semantics"]`` where :func:`semtx.pp.gene_semantics` wrote them, else the
        built-in ones. A key of ``obsm``: cell vectors of your own, such as those of :func:`semtx.pp.cell_semantics`, are the
        text view. ``None``: no text view. Controls: ``"shuffled"``, gene vectors permuted over the genes that have one, and
        ``"random"``, Gaussian gene vectors of the same norms.
    sentence_encoder
        What reads each cell's ranked gene names (Cell2Sentence), see :func:`semtx.semantics.get_encoder`. Where the preset
        wants that path and there is no encoder, gene vectors weighted by rank stand in, and the run record says so.
    omega
        Weight of the abundance-weighted gene vectors in the text view; the sentence has the rest. ``"learned"`` learns it.
        ``None`` takes the preset's; with a ``sentence_encoder`` and the ``default`` preset, 0.5.
    layer
        Layer with raw counts; ``None`` looks in ``layers["counts"]``, then ``X``, then ``raw``.
    use_rep
        Key of ``adata.obsm`` to read instead of counts, such as ``"X_pca"``; the graph that is cut is then one of nearest
        neighbours. Text is made of counts or log-normalised values where they are found.
    batch_key
        Column of ``adata.obs`` that names the batch: genes are centred within batches, the decoder is told the batch, and
        negatives come from the same batch. How well batches mix is in the run record.
    gene_symbols
        Column of ``adata.var`` with gene names, where ``var_names`` are something else.
    mask_var
        Genes to use: a boolean column of ``adata.var`` or a boolean array; ``None`` takes the ``n_top_genes`` most
        variable ones.
    n_top_genes, max_epochs, learning_rate, batch_size, cluster_on, cluster_method
        Settings of the preset to change, see :class:`semtx.models.ScLLMDSCConfig`.
    resolution
        Resolution of Leiden, instead of ``n_clusters``, where ``cluster_method`` is ``"consensus"`` (0.8 unless given) or
        ``"leiden"`` (1).
    store_views
        Write the two views beside the fused embedding.
    key_added
        Key in ``adata.obs`` and ``adata.uns``; the embedding is ``X_`` and this key.
    random_state
        Seed. The same seed on the same CPU gives the same labels.
    accelerator
        ``"auto"`` (CUDA where available, else CPU), ``"cpu"``, ``"gpu"``, ``"cuda"``, ``"mps"``; ``None`` takes
        ``semtx.settings.accelerator``.
    devices
        Processes on each machine that share the training, one device each. More than 1 take a launcher, such as
        ``torchrun --nproc-per-node=2 script.py``; each process then ends with the same result. ``None`` takes
        ``semtx.settings.devices``, 1.
    precision
        ``"32-true"``, or mixed precision on a GPU: ``"bf16-mixed"``, ``"16-mixed"``. ``None`` takes
        ``semtx.settings.precision``, ``"32-true"``.
    show_progress_bar
        ``None`` shows it in a terminal and in a notebook.
    checkpoint
        Folder that training is written into after epochs; a call with the same data and settings that was killed goes on
        from there, with the same result on the same CPU.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.obs['scllm_dsc' | key_added]` : `pandas.Categorical` (categories `str`: '0', '1', ... from the largest)
        Clusters.
    `adata.obs['scllm_dsc_confidence' | f'{key_added}_confidence']` : `pandas.Series` (dtype `float32`)
        Soft assignment of each cell to its cluster, from 0 to 1.
    `adata.obsm['X_scllm_dsc' | f'X_{key_added}']` : `numpy.ndarray` (dtype `float32`, shape `(n_obs, projection_dim)`)
        Fused embedding.
    `adata.obsm['scllm_dsc_proba' | f'{key_added}_proba']` : `numpy.ndarray` (dtype `float32`, shape `(n_obs, n_clusters)`)
        Soft assignments, columns in the order of the categories; rows sum to 1.
    `adata.obsm['X_scllm_dsc_structure']`, `adata.obsm['X_scllm_dsc_text']` : `numpy.ndarray` (dtype `float32`)
        With ``store_views``: the two views, the second where there is text.
    `adata.uns['scllm_dsc' | key_added]` : `dict`
        Run record: parameters, configuration, versions, where the text is from, losses, stop reason, clustering, mixing of
        batches, seconds.

    Raises
    ------
    KeyError
        A key, column or layer does not exist.
    TypeError
        ``n_clusters`` is not a whole number.
    ValueError
        Raw counts cannot be found, no gene is known, names are not unique, a batch has one cell, or a parameter is out of
        range.
    FloatingPointError
        A loss is no longer finite.

    References
    ----------
    scLLM-DSC :cite:p:`Xu2026`.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.cells(300)
    >>> st.tl.scllm_dsc(adata, 9, accelerator="cpu")
    >>> adata.obs["scllm_dsc"].cat.categories.tolist()
    ['0', '1', '2', '3', '4', '5', '6', '7', '8']
    """
    started = time.perf_counter()
    adata = resolve_table(adata, table_key)
    check_key_added(key_added, batch_key, embeddings=(use_rep, semantics))
    check_anndata(adata)
    check_n_clusters(n_clusters, adata.n_obs)
    check_random_state(random_state)
    check_integer("devices", devices, minimum=1, optional=True)
    check_choice("accelerator", accelerator, [*ACCELERATORS, None])
    check_choice("precision", precision, [*PRECISIONS, None])
    config = _config(preset, adata.n_obs, use_rep, sentence_encoder, omega).updated(
        n_top_genes=n_top_genes,
        max_epochs=max_epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        cluster_on=cluster_on,
        cluster_method=cluster_method,
    )
    # the consensus, too, takes as many clusters as Leiden finds
    check_resolution(resolution, n_clusters, "cluster_method", config.cluster_method, ("consensus", "leiden"))
    batch = find_batch(adata, batch_key)
    gene_text, states, leave_out = None, {}, None
    if use_rep is None and isinstance(semantics, str) and semantics in ("auto", *CONTROLS):
        gene_text = find_gene_vectors(adata, semantics, gene_symbols, random_state)
        if config.leave_out_states and mask_var is None:
            states = find_states(adata, gene_text[0], gene_symbols)
            leave_out = np.concatenate(list(states.values()))
    expression = find_expression(adata, config, layer=layer, use_rep=use_rep, mask_var=mask_var, leave_out=leave_out)
    text = find_text(
        adata,
        expression,
        semantics,
        config,
        sentence_encoder=sentence_encoder,
        gene_symbols=gene_symbols,
        random_state=random_state,
        found=gene_text,
    )
    # it holds the counts of all genes, which training does not need
    expression.all_genes = None
    if config.cluster_on == "text" and text.gene_vectors is None and text.semantics is None:
        msg = "cluster_on='text' needs a text view, and there is none; give semantics='auto'"
        raise ValueError(msg)

    from semtx.models._scllm_dsc import ScLLMDSC

    model = ScLLMDSC(
        config, random_state=random_state, accelerator=accelerator, devices=devices, precision=precision
    ).fit(
        expression.x,
        n_clusters,
        gene_vectors=text.gene_vectors,
        semantics=text.semantics,
        library_sizes=expression.library_sizes,
        batch=batch,
        resolution=resolution,
        gene_names=expression.names,
        show_progress_bar=show_progress_bar,
        checkpoint=checkpoint,
    )
    params = {
        "n_clusters": n_clusters,
        "preset": preset if isinstance(preset, str) else "custom",
        "semantics": semantics,
        "sentence_encoder": None
        if sentence_encoder is None
        else str(getattr(sentence_encoder, "name", sentence_encoder)),
        "omega": omega,
        "layer": layer,
        "use_rep": use_rep,
        "batch_key": batch_key,
        "gene_symbols": gene_symbols,
        "mask_var": recorded_mask(mask_var),
        "resolution": resolution,
        "random_state": random_state,
    }
    fields = _fields(model, key_added, store_views=store_views)
    found: dict[str, Any] = {"text_source": text.source, "omega": model.omega}
    if states:
        names = adata.var_names.to_numpy()
        found["state_genes"] = {name: names[rows].tolist() for name, rows in states.items()}
    if batch is not None and len(np.unique(batch)) > 1:
        found["batch_mixing"] = _mixing(fields["obsm"][_keys.embedding(key_added)], batch, random_state)
    record = run_record(
        "tl.scllm_dsc",
        params,
        config=asdict(config),
        expression=expression.source,
        n_inputs=int(expression.x.shape[1]),
        clustering=model.report,
        **found,
        **model.record.as_dict(),
        seconds=time.perf_counter() - started,
    )
    adata = working_copy(adata) if copy else adata
    write_results(adata, uns={key_added: record}, **fields)
    return adata if copy else None


def _config(
    preset: str | ScLLMDSCConfig, n_obs: int, use_rep: str | None, sentence_encoder: Any, omega: Any
) -> ScLLMDSCConfig:
    """Return a preset's settings for this input, before the user's changes."""
    if omega not in (None, "learned"):
        check_number("omega", omega, minimum=0, maximum=1)
    if isinstance(preset, ScLLMDSCConfig):
        config = preset
    else:
        check_choice("preset", preset, list(SCLLM_DSC_PRESETS))
        config = SCLLM_DSC_PRESETS[preset]
        if config.batch_size is not None and n_obs > _LARGE:
            config = config.updated(
                pretrain_epochs=max(1, round(config.pretrain_epochs * _LARGE / n_obs)),
                max_epochs=max(1, round(config.max_epochs * _LARGE / n_obs)),
            )
    if omega == "learned":
        config = config.updated(omega=0.5, learn_omega=True)
    elif omega is not None:
        config = config.updated(omega=float(omega))
    elif sentence_encoder is not None and config.omega == 1:
        config = config.updated(omega=0.5)
    return config if use_rep is None else config.updated(expression="given")


def _fields(model: ScLLMDSC, key_added: str, *, store_views: bool) -> dict[str, dict[str, Any]]:
    result = model.result
    if result is None:
        msg = "the model has not been fitted"
        raise RuntimeError(msg)
    key = _keys.embedding(key_added)
    obsm = {
        key: result.fused,
        key_added + _keys.PROBA_SUFFIX: result.proba,
        # without them, those of an earlier run would pass for this one's
        key + _keys.STRUCTURE_SUFFIX: result.structure if store_views else None,
        key + _keys.TEXT_SUFFIX: result.text if store_views else None,
    }
    confidence = result.proba[np.arange(len(result.labels)), result.labels]
    obs = {key_added: labels_to_categorical(result.labels), key_added + _keys.CONFIDENCE_SUFFIX: confidence}
    return {"obs": obs, "obsm": obsm}


def _mixing(z: NDArray[np.float32], batch: NDArray[Any], random_state: int) -> dict[str, float]:
    import pandas as pd
    from anndata import AnnData

    from semtx.metrics import batch_scores

    obs = pd.DataFrame({"batch": pd.Categorical(batch)}, index=np.arange(len(z)).astype(str))
    scores = batch_scores(AnnData(obs=obs, obsm={"z": z}), "batch", use_rep="z", random_state=random_state)
    return {name.replace("/", "|"): float(value) for name, value in scores.items()}
