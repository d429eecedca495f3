"""``tl.semst``: tissue domains guided by what the genes mean."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from semtx import _keys
from semtx._counts import find_counts
from semtx._logging import logger
from semtx._record import labels_to_categorical, recorded_mask, run_record, working_copy, write_results
from semtx._settings import ACCELERATORS, PRECISIONS
from semtx._threads import limit_threads
from semtx._validate import (
    check_anndata,
    check_choice,
    check_integer,
    check_key_added,
    check_n_clusters,
    check_number,
    check_random_state,
    coordinates,
    resolve_table,
)
from semtx.graphs import graph_report, is_grid
from semtx.models._clustering import ClusterMethod, cluster_and_smooth
from semtx.models._semst_config import SemSTConfig, resolve_preset
from semtx.tl._batch import find_batch
from semtx.tl._cluster import check_resolution
from semtx.tl._semst_inputs import find_graph, find_library, find_semantics, select_genes

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray


def semst(
    adata: AnnData,
    n_clusters: int | None = None,
    *,
    preset: str | SemSTConfig = "default",
    semantics: str | None = "auto",
    layer: str | None = None,
    spatial_key: str = _keys.SPATIAL,
    library_key: str | None = None,
    batch_key: str | None = None,
    neighbors_key: str | None = None,
    gene_symbols: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    n_top_genes: int | None = None,
    n_neighbors: int | None = None,
    spatial_loss: Literal["closed_form", "exact"] | None = None,
    max_epochs: int | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    cluster_method: ClusterMethod | None = None,
    resolution: float | None = None,
    n_smoothing: int = 0,
    store_modulation: bool = False,
    key_added: str = _keys.SEMST,
    random_state: int = 0,
    accelerator: str | None = None,
    devices: int | None = None,
    precision: str | None = None,
    show_progress_bar: bool | None = None,
    checkpoint: str | Path | None = None,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Find the domains of a tissue section from expression, position and what the genes mean.

    Each spot is embedded from what is expressed around it; the meaning of the genes modulates the embedding element by
    element (FSM); a zero-inflated negative binomial decoder reconstructs the counts; the embedding is clustered. No label
    is read: the length of training is fixed, and the weights of the last epoch are used. Whether the meaning helps on
    your tissue the controls of ``semantics`` tell.

    Parameters
    ----------
    adata
        Raw counts of spots or cells, with coordinates. The values are never changed.
    n_clusters
        Number of domains; ``None`` chooses it without labels: with ``"potts"`` the number on which searches in all
        embeddings agree more than on one less or one more, else see :func:`semtx.tl.cluster`.
    preset
        ``"default"``: the recipe we measured to be best: each spot is predicted from the rings of spots around it, so
        that only what the tissue shares is kept. ``"paper"`` and ``"reference"``: the method as published and as the
        authors' code has it, without its use of labels; they take the authors' settings for spots on a grid or for
        cells, by what the coordinates look like. Or a :class:`semtx.models.SemSTConfig` of your own.
    semantics
        ``"auto"``: ``obsm["X_semantics"]`` where :func:`semtx.pp.cell_semantics` wrote it, else computed on the side
        with the built-in gene vectors. Any other key of ``obsm``. ``None``: no semantics. Controls: ``"shuffled"``,
        gene vectors permuted over the genes that have one, and ``"random"``, Gaussian gene vectors of the same norms.
    layer
        Layer with raw counts; ``None`` looks in ``layers["counts"]``, then ``X``, then ``raw``.
    spatial_key
        Key of the coordinates in ``adata.obsm``, in any unit.
    library_key
        Column of ``adata.obs`` that names the section, where there are several: no edge joins two, all are embedded
        together and share their domains. Batch effects are corrected with ``batch_key`` only.
    batch_key
        Column of ``adata.obs`` that names the batch of each observation, often that of ``library_key``: the components of
        expression and of semantics are centred within each batch, so that no shift between batches is left. That takes
        away what batches differ in on average, real differences of what tissue they hold too. With ``preset="default"``.
    neighbors_key
        Entry of ``adata.uns`` with a spatial graph, as ``squidpy.gr.spatial_neighbors_knn`` writes it; it is used as it
        is. ``None`` takes ``"spatial_neighbors"``: a graph of yours there is used as it is, one that an earlier call
        built is used again if this call would build the same, and else a new one is built and written there.
    gene_symbols
        Column of ``adata.var`` with gene names, where ``var_names`` are something else and semantics are computed here.
    mask_var
        Genes to use: a boolean column of ``adata.var`` or a boolean array; ``None`` takes the ``n_top_genes`` most
        variable ones.
    n_top_genes, n_neighbors, spatial_loss, max_epochs, learning_rate, batch_size
        Settings of the preset to change, see :class:`semtx.models.SemSTConfig`. ``n_neighbors`` is of the graph
        built here: another one than before builds it anew; where a graph of yours is used it has no effect, and a
        warning says so. ``spatial_loss="exact"`` sums the spatial term over all pairs, in O(n^2) time;
        ``"closed_form"`` is within 6e-4 per pair of it, in O(n).
    cluster_method, resolution, n_smoothing
        ``method``, ``resolution`` and ``n_smoothing`` of :func:`semtx.tl.cluster`; the preset has a method of its own:
        ``"potts"`` in ``"default"``, which clusters six more embeddings and takes the domains on which they agree;
        k-means in the authors'.
    store_modulation
        Write the scales and shifts of the modulation too, and the trained map that gives them:
        :func:`semtx.tl.gene_attribution` and :func:`semtx.pl.modulation` read them.
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

    `adata.obs['semst' | key_added]` : `pandas.Categorical` (categories `str`: '0', '1', ... from the largest)
        Domains.
    `adata.obsm['X_semst' | f'X_{key_added}']` : `numpy.ndarray` (dtype `float32`, shape `(n_obs, latent_dim)`)
        Embedding.
    `adata.obsm['semst_modulation' | f'{key_added}_modulation']` : `numpy.ndarray` (dtype `float32`)
        With ``store_modulation``: scales alpha, then shifts beta, side by side.
    `adata.uns['semst' | key_added]` : `dict`
        Run record: parameters, configuration, versions, graph report, losses, stop reason, clustering, seconds.
    `adata.obsp['spatial_connectivities']`, `adata.obsp['spatial_distances']`, `adata.uns['spatial_neighbors']`
        Spatial graph in squidpy's own keys, where it had to be built.

    Raises
    ------
    KeyError
        A key, column or layer does not exist.
    TypeError
        ``n_clusters`` is not a whole number.
    ValueError
        Raw counts cannot be found, coordinates are not finite, names are not unique, or a parameter is out of range.
    FloatingPointError
        A loss is no longer finite.

    References
    ----------
    SemST :cite:p:`Long2026`: semantic modulation, equation 9; losses, equations 10 to 13.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> st.tl.semst(adata, n_clusters=5, max_epochs=10, accelerator="cpu")
    >>> adata.obs["semst"].cat.categories.tolist()
    ['0', '1', '2', '3', '4']
    """
    started = time.perf_counter()
    adata = resolve_table(adata, table_key)
    check_key_added(
        key_added,
        spatial_key,
        library_key,
        batch_key,
        neighbors_key or _keys.SPATIAL_NEIGHBORS,
        embeddings=(semantics, spatial_key),
    )
    check_anndata(adata)
    check_n_clusters(n_clusters, adata.n_obs)
    check_integer("n_smoothing", n_smoothing, minimum=0)
    check_integer("n_top_genes", n_top_genes, minimum=2, optional=True)
    check_integer("n_neighbors", n_neighbors, minimum=1, optional=True)
    check_integer("max_epochs", max_epochs, minimum=1, optional=True)
    check_random_state(random_state)
    check_integer("batch_size", batch_size, minimum=2, optional=True)
    check_integer("devices", devices, minimum=1, optional=True)
    check_choice("accelerator", accelerator, [*ACCELERATORS, None])
    check_choice("precision", precision, [*PRECISIONS, None])
    if learning_rate is not None:
        check_number("learning_rate", learning_rate, minimum=0, open_minimum=True)
    if spatial_loss is not None:
        check_choice("spatial_loss", spatial_loss, ("closed_form", "exact"))
    if store_modulation and semantics is None:
        msg = "store_modulation=True needs semantics, and semantics=None leaves them out"
        raise ValueError(msg)
    if store_modulation and batch_key is not None:
        msg = "store_modulation=True and batch_key do not go together: the read-out of the modulation knows no batches"
        raise ValueError(msg)
    positions = coordinates(adata, spatial_key)
    library = find_library(adata, library_key)
    batch = find_batch(adata, batch_key)
    changes = {
        "n_top_genes": n_top_genes,
        "n_neighbors": n_neighbors,
        "spatial_loss": spatial_loss,
        "max_epochs": max_epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "cluster_method": cluster_method,
    }
    if isinstance(preset, SemSTConfig):
        config = preset.updated(**changes)
    else:
        config = resolve_preset(preset, grid=is_grid(positions, library), n_obs=adata.n_obs, **changes)
    check_resolution(resolution, n_clusters, "cluster_method", config.cluster_method)

    # rows in an order of their own, by section and place, so that the order they come in decides no tie and no start
    order = np.lexsort((*positions.T, np.zeros(adata.n_obs) if library is None else library.cat.codes))
    back = np.argsort(order)
    ordered = adata[order]
    # put in order once they are sparse: a file would be read row by row
    counts = find_counts(adata, layer=layer)
    counts = replace(counts, matrix=counts.matrix[order])
    genes = select_genes(adata, counts.matrix, mask_var, config)
    n_empty = int((counts.matrix[:, genes].getnnz(axis=1) == 0).sum())
    if n_empty:
        logger.warning("%d observations have no counts in the genes used; they are kept", n_empty)
    graph, graph_source, fields = find_graph(
        ordered,
        positions[order],
        None if library is None else library.iloc[order],
        config,
        n_neighbors=n_neighbors,
        neighbors_key=neighbors_key,
        origin={"spatial_key": spatial_key, "library_key": library_key or ""},
    )
    report = {"source": graph_source, **graph_report(graph)}
    batch = None if batch is None else batch[order]
    meaning, source = find_semantics(ordered, counts.matrix, genes, semantics, config, gene_symbols, random_state)

    from semtx.models._semst import SemST

    model = SemST(config, random_state=random_state, accelerator=accelerator, devices=devices, precision=precision)
    x, names = counts.matrix, adata.var_names[genes].tolist()
    if len(genes) < adata.n_vars:
        x = x[:, genes]
    # what is large and has been read is let go: the counts of the other genes, and the semantics in full width
    counts_source, counts_kind = counts.source, counts.kind
    del counts
    with limit_threads():
        inputs = model._fit(
            x,
            graph,
            meaning,
            batch=batch,
            gene_names=names,
            show_progress_bar=show_progress_bar,
            checkpoint=checkpoint,
        )
        del meaning
        z = model._embed(inputs)
        found = cluster_and_smooth(
            z,
            n_clusters,
            graph,
            n_smoothing,
            method=config.cluster_method,
            views=list(model._views(x, graph, batch)),
            resolution=resolution,
            random_state=random_state,
        )

    # what an earlier run stored and this one does not would pass for this one's
    obsm = {_keys.embedding(key_added): z[back], key_added + _keys.MODULATION_SUFFIX: None}
    stored: dict[str, Any] = {}
    if store_modulation:
        obsm[key_added + _keys.MODULATION_SUFFIX] = np.hstack(model._modulation(inputs.semantics))[back]
        read_out, n_rings = model._read_out()
        stored["modulation"] = {"n_rings": n_rings, **read_out.arrays()}
    params = {
        "n_clusters": n_clusters,
        "preset": preset if isinstance(preset, str) else "custom",
        "semantics": semantics,
        "layer": layer,
        "spatial_key": spatial_key,
        "library_key": library_key,
        "batch_key": batch_key,
        "neighbors_key": neighbors_key,
        "mask_var": recorded_mask(mask_var),
        "gene_symbols": gene_symbols,
        "cluster_method": config.cluster_method,
        "resolution": resolution,
        "n_smoothing": n_smoothing,
        "random_state": random_state,
    }
    record = run_record(
        "tl.semst",
        params,
        config=asdict(config),
        counts=counts_source,
        counts_kind=counts_kind,
        n_genes=len(genes),
        n_empty=n_empty,
        semantics_source=source,
        graph=report,
        clustering=found.report,
        **model.record.as_dict(),
        seconds=time.perf_counter() - started,
        **stored,
    )
    adata = working_copy(adata) if copy else adata
    fields["obsp"] = {key: built[back][:, back] for key, built in fields.get("obsp", {}).items()}
    fields["uns"] = {**fields.get("uns", {}), key_added: record}
    write_results(adata, obs={key_added: labels_to_categorical(found.labels[back])}, obsm=obsm, **fields)
    return adata if copy else None
