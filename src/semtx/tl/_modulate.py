"""``tl.modulate``: semantic modulation of an embedding that is already computed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from semtx import _keys
from semtx._logging import logger
from semtx._record import run_record, working_copy, write_results
from semtx._settings import ACCELERATORS, settings
from semtx._threads import limit_threads
from semtx._validate import (
    check_anndata,
    check_choice,
    check_integer,
    check_key_added,
    check_number,
    check_random_state,
    coordinates,
    finite_matrix,
    resolve_table,
)
from semtx.graphs import feature_graph, graph_report
from semtx.models._semst_config import SEMST_PRESETS
from semtx.pp._cell_inputs import normalized_expression
from semtx.tl._semst_inputs import CONTROLS, find_graph, find_library, find_semantics

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

_FUSIONS = ("fsm", "concatenate", "add", "cross_attention")
# below this, five folds tell nothing
_FEWEST = 20
_N_NEIGHBORS = 15
_NARROW = 256
# observations above which the epochs shrink, since each holds many steps
_LARGE = 20_000


def modulate(
    adata: AnnData,
    use_rep: str,
    *,
    semantics_key: str = _keys.CELL_SEMANTICS,
    semantics: Literal["auto", "shuffled", "random"] | None = "auto",
    fusion: Literal["fsm", "concatenate", "add", "cross_attention"] = "fsm",
    max_scale: float | None = 0.5,
    context: Literal["auto", "spatial", "embedding"] = "auto",
    spatial_key: str = _keys.SPATIAL,
    library_key: str | None = None,
    neighbors_key: str | None = None,
    gene_symbols: str | None = None,
    n_components: int = 16,
    max_epochs: int = 100,
    learning_rate: float = 1e-2,
    key_added: str | None = None,
    random_state: int = 0,
    accelerator: str | None = None,
    show_progress_bar: bool | None = None,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Modulate any embedding by what the genes mean, without labels; it stays as it is where that brings nothing.

    FSM scales and shifts each number of a cell's embedding by the cell's semantics,
    :math:`z_i' = (1 + \alpha(e_i)) \odot z_i + \beta(e_i)`, and needs a loss to learn from. A finished embedding has none,
    and its model and labels are not at hand. What is at hand are **neighbours**: cells side by side mostly belong to the
    same domain or type, and what is measured in them carries noise of its own. So :math:`z_i'` shall predict the mean
    embedding of the neighbours of i, which i itself does not enter; noise of i cannot help to predict it, and what i
    shares with its surroundings can.

    Five guards keep noise from being learned. Scales are bounded, and so are the semantics of odd cells. The read-out of
    the prediction is fixed at the one that is best for the embedding as it is, so that semantics are not credited with
    rescaling it. Semantics never choose the neighbours. A cell's own vectors alone modulate it, so that nothing is smoothed
    over space by a back door. And cells are held out in turn, by tiles of the section where there is space: they set the
    number of epochs, and unless they are predicted better than from the embedding as it is, beyond chance over 25 tiles
    (one-sided t-test at 5 %; the epoch is the best of these cells), the embedding is kept, in float32.

    A better prediction is no proof that the meaning of genes did it: semantic vectors are made from expression, and any
    vectors would let some of it in that the embedding lost. The controls ``"shuffled"`` and ``"random"`` tell.

    Parameters
    ----------
    adata
        AnnData with an embedding.
    use_rep
        Key of the embedding in ``adata.obsm``, such as ``"X_pca"``, ``"X_scVI"`` or ``"STAGATE"``; of any width.
    semantics_key
        Key of the semantic vectors in ``adata.obsm``. Where the default one is absent they are computed on the side, from
        counts or log-normalised values, as :func:`semtx.pp.cell_semantics` does.
    semantics
        ``"auto"``: those of ``semantics_key``. ``None``: none, the embedding as it is. Controls: ``"shuffled"``, gene
        vectors permuted over the genes that have one, and ``"random"``, Gaussian gene vectors of the same norms.
    fusion
        ``"fsm"``; or for comparison ``"concatenate"``, ``"add"`` or ``"cross_attention"``, see
        :class:`semtx.nn.Concatenation`, :class:`semtx.nn.Addition` and :class:`semtx.nn.CrossAttention`.
    max_scale
        Bound on :math:`|\alpha|` of ``"fsm"``: no number of a cell is scaled by less than 1 - 0.5 or more than 1 + 0.5.
        ``None`` for no bound, under which cells with odd semantics come to lie far out.
    context
        What neighbours are: ``"spatial"``: those in the section; ``"embedding"``: 15 nearest by cosine similarity of the
        embedding itself; ``"auto"``: spatial where there are coordinates.
    spatial_key
        Key of the coordinates in ``adata.obsm``, in any unit. One that you give must be there, unless ``context`` is
        ``"embedding"``.
    library_key
        Column of ``adata.obs`` that names the section or batch, where there are several: no edge joins two.
    neighbors_key
        Entry of ``adata.uns`` with a graph to use as it is, as ``squidpy.gr.spatial_neighbors_knn`` or
        ``scanpy.pp.neighbors`` writes it; ``None`` finds one as ``context`` says: a spatial one as in
        :func:`semtx.tl.semst`.
    gene_symbols
        Column of ``adata.var`` with gene names, where ``var_names`` are something else and semantics are computed here.
    n_components
        Principal components of the semantics that modulate. A few hundred dimensions could tell single cells apart, and
        would learn them by heart.
    max_epochs, learning_rate
        Training at most; above 20,000 cells, where an epoch has many steps, accordingly fewer epochs.
    key_added
        Key in ``adata.obsm`` and ``adata.uns``; ``None`` for ``use_rep`` followed by ``_fsm``.
    random_state
        Seed. The same seed on the same CPU gives the same embedding.
    accelerator
        As in :func:`semtx.tl.semst`.
    show_progress_bar
        ``None`` shows it in a terminal and in a notebook.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.obsm[f'{use_rep}_fsm' | key_added]` : `numpy.ndarray` (dtype `float32`, shape of `adata.obsm[use_rep]`)
        Modulated embedding.
    `adata.uns[f'{use_rep}_fsm' | key_added]` : `dict`
        Run record. ``heldout``: the share of the neighbours' mean that held-out cells explain without (``explained``) and
        with semantics (``explained_modulated``), the ``gain`` with its standard error, ``n_epochs``, and whether the
        embedding was ``modulated`` or kept (shares and gain are NaN where there was nothing to learn from); ``losses``: the unexplained share by epoch.

    Raises
    ------
    KeyError
        ``use_rep``, ``semantics_key``, ``neighbors_key``, coordinates or a column does not exist.
    ValueError
        The embedding or the semantics have NaN; there are fewer than 20 cells; neither counts nor log-normalised values
        are there to compute semantics from; ``key_added`` names what is read; a parameter is out of range.

    References
    ----------
    SemST :cite:p:`Long2026`, equation 9; the objective is our own.

    Examples
    --------
    >>> import scanpy as sc
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> sc.pp.pca(adata, n_comps=10)
    >>> st.tl.modulate(adata, "X_pca", accelerator="cpu")
    >>> adata.obsm["X_pca_fsm"].shape
    (300, 10)
    >>> sorted(adata.uns["X_pca_fsm"]["heldout"])
    ['explained', 'explained_modulated', 'gain', 'gain_error', 'modulated', 'n_epochs']
    """
    started = time.perf_counter()
    adata = resolve_table(adata, table_key)
    key_added = use_rep + _keys.FSM_SUFFIX if key_added is None else key_added
    check_key_added(key_added, use_rep, semantics_key, spatial_key, neighbors_key or _keys.SPATIAL_NEIGHBORS)
    check_anndata(adata, genes=False)
    check_choice("semantics", semantics, ("auto", *CONTROLS, None))
    check_choice("fusion", fusion, _FUSIONS)
    check_choice("context", context, ("auto", "spatial", "embedding"))
    if max_scale is not None:
        check_number("max_scale", max_scale, minimum=0, open_minimum=True)
    check_integer("n_components", n_components, minimum=1)
    check_integer("max_epochs", max_epochs, minimum=1)
    check_random_state(random_state)
    check_number("learning_rate", learning_rate, minimum=0, open_minimum=True)
    check_choice("accelerator", accelerator, [*ACCELERATORS, None])
    fix = "compute it first, such as sc.pp.pca(adata) for 'X_pca'"
    z = finite_matrix(adata, use_rep, parameter="use_rep", fix=fix)
    if adata.n_obs < _FEWEST or z.shape[1] == 0:
        msg = (
            f"{_FEWEST} cells and 1 dimension are the least that can tell a gain; adata.obsm[{use_rep!r}] is {z.shape}"
        )
        raise ValueError(msg)
    library = find_library(adata, library_key)
    graph, graph_source, positions = _context(
        adata, z, library, context, spatial_key, library_key, neighbors_key, random_state
    )
    meaning, source = _semantics(adata, semantics, semantics_key, gene_symbols, random_state)

    from semtx.models._modulation import Modulation, make_groups, modulate_embedding

    if meaning is None:
        result = Modulation.of_nothing(z, "none")
    else:
        n_epochs = max(1, round(max_epochs * min(1.0, _LARGE / adata.n_obs)))
        sections = None if library is None else library.cat.codes.to_numpy()
        # its matrices are so small that threads would wait for each other most of the time
        with limit_threads(1 if z.shape[1] <= _NARROW else None):
            result = modulate_embedding(
                z,
                meaning,
                graph,
                make_groups(positions, sections, adata.n_obs, random_state),
                fusion=fusion,
                max_scale=max_scale,
                n_components=n_components,
                max_epochs=n_epochs,
                learning_rate=learning_rate,
                random_state=random_state,
                accelerator=accelerator,
                show_progress_bar=show_progress_bar,
            )
        if not result.report["modulated"]:
            logger.info("semantics do not help to predict held-out cells; %r is kept as it is", use_rep)
    params = {
        "use_rep": use_rep,
        "semantics_key": semantics_key,
        "semantics": semantics,
        "fusion": fusion,
        "max_scale": max_scale,
        "context": context,
        "spatial_key": spatial_key,
        "library_key": library_key,
        "neighbors_key": neighbors_key,
        "gene_symbols": gene_symbols,
        "n_components": n_components,
        "max_epochs": max_epochs,
        "learning_rate": learning_rate,
        "random_state": random_state,
    }
    record = run_record(
        "tl.modulate",
        params,
        semantics_source=source,
        graph={"source": graph_source, **graph_report(graph)},
        heldout=result.report,
        losses=result.losses,
        device=result.device,
        seconds=time.perf_counter() - started,
    )
    adata = working_copy(adata) if copy else adata
    write_results(adata, obsm={key_added: result.z}, uns={key_added: record})
    return adata if copy else None


def _context(
    adata: AnnData,
    z: NDArray[np.float64],
    library: pd.Series | None,
    context: str,
    spatial_key: str,
    library_key: str | None,
    neighbors_key: str | None,
    random_state: int,
) -> tuple[sparse.csr_matrix, str, NDArray[np.float64] | None]:
    """Return the graph of neighbours, where it is from, and the coordinates that tell which cells to hold out together."""
    if context == "embedding" and neighbors_key is not None:
        msg = "context='embedding' builds a graph of its own; give it or neighbors_key, not both"
        raise ValueError(msg)
    # a key of the user's own that is not there is a typing error, and no wish for another context
    spatial = context == "spatial" or (
        context == "auto" and (spatial_key != _keys.SPATIAL or spatial_key in adata.obsm)
    )
    positions = coordinates(adata, spatial_key) if spatial else None
    if neighbors_key is None and positions is None:
        return _neighbors(z, library, random_state), "nearest in the embedding", None
    graph, source, _ = find_graph(
        adata,
        np.zeros((adata.n_obs, 2)) if positions is None else positions,
        library,
        SEMST_PRESETS["default"],
        n_neighbors=None,
        neighbors_key=neighbors_key,
        origin={"spatial_key": spatial_key, "library_key": library_key or ""},
    )
    return graph, source, positions


def _neighbors(z: NDArray[np.float64], library: pd.Series | None, random_state: int) -> sparse.csr_matrix:
    """Join nearest neighbours in the embedding, each within its section or batch."""
    centred = z - z.mean(axis=0)
    n = len(z)
    parts = [np.arange(n)] if library is None else list(library.groupby(library.to_numpy()).indices.values())
    graph = sparse.csr_matrix((n, n), dtype=np.float32)
    for rows in parts:
        if len(rows) < 2:
            continue
        found = feature_graph(centred[rows], _N_NEIGHBORS, random_state=random_state, n_jobs=settings.n_jobs).tocoo()
        placed = (found.data, (rows[found.row], rows[found.col]))
        graph = graph + sparse.csr_matrix(placed, shape=(n, n))
    return graph


def _semantics(
    adata: AnnData, semantics: str | None, key: str, gene_symbols: str | None, random_state: int
) -> tuple[NDArray[np.float32] | None, str]:
    """Return the semantics of each cell, shape (n_obs, d), and where they come from."""
    if semantics is None:
        return None, "none"
    if semantics == "auto" and (key != _keys.CELL_SEMANTICS or key in adata.obsm):
        fix = "compute them with st.pp.cell_semantics(adata), or leave out semantics_key"
        return finite_matrix(adata, key, parameter="semantics_key", fix=fix).astype(np.float32), f"obsm[{key!r}]"
    if semantics in CONTROLS and key != _keys.CELL_SEMANTICS:
        logger.warning(
            "semantics=%r changes gene vectors and averages them over genes; it is no control of obsm[%r]",
            semantics,
            key,
        )
    try:
        expression = normalized_expression(adata, None)[0]
    except ValueError as error:
        msg = f"{error}. Or put semantic vectors into adata.obsm[{key!r}]"
        raise ValueError(msg) from error
    # the genes that a network reads are asked for by presets that choose among them, and this one does not
    return find_semantics(
        adata, expression, np.empty(0, dtype=np.intp), semantics, SEMST_PRESETS["default"], gene_symbols, random_state
    )
