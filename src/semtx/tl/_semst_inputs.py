"""What ``tl.semst`` reads: genes, spatial graph and semantics, each found in the AnnData or made on the side."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from semtx import _keys
from semtx._counts import without_warning
from semtx._logging import logger, without_hints
from semtx._validate import check_key, finite_matrix, gene_mask, stored_gene_vectors
from semtx.graphs import spatial_graph
from semtx.pp._cell_inputs import with_built_in_vectors
from semtx.tl._cluster import spatial_connectivities

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from semtx.models import ScLLMDSCConfig, SemSTConfig

_MADE_BY = "semtx"
CONTROLS = ("shuffled", "random")


def select_genes(
    adata: AnnData,
    counts: sparse.csr_matrix,
    mask_var: str | NDArray[np.bool_] | None,
    config: SemSTConfig | ScLLMDSCConfig,
    leave_out: NDArray[np.intp] | None = None,
) -> NDArray[np.intp]:
    """Return the genes the network reads: ``mask_var`` as it is, else of those not left out the highly variable, else all."""
    n_top_genes = config.n_top_genes
    mask = gene_mask(adata, mask_var) & (counts.getnnz(axis=0) >= config.min_cells)
    if leave_out is not None:
        mask[leave_out] = False
    if mask.sum() < 2:
        chosen = "have" if mask_var is None else "are in mask_var and have"
        msg = (
            f"only {mask.sum()} of {adata.n_vars} genes {chosen} counts in {config.min_cells} or more observations; two "
            "genes or more are needed"
        )
        raise ValueError(msg)
    genes = np.flatnonzero(mask)
    if mask_var is not None or n_top_genes is None or len(genes) <= n_top_genes:
        return genes
    import scanpy as sc

    holder = AnnData(counts[:, genes])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            sc.pp.highly_variable_genes(holder, flavor="seurat_v3", n_top_genes=n_top_genes)
        except ValueError as error:
            # its local regression is singular where many genes share one mean
            logger.info("seurat_v3 could not rank genes (%s); the flavour 'seurat' does", error)
            sc.pp.normalize_total(holder, target_sum=1e4)
            sc.pp.log1p(holder)
            sc.pp.highly_variable_genes(holder, flavor="seurat", n_top_genes=n_top_genes)
    return genes[holder.var["highly_variable"].to_numpy()]


def find_library(adata: AnnData, library_key: str | None) -> pd.Series | None:
    """Return the section of each observation."""
    if library_key is None:
        return None
    library = check_key(adata, "obs", library_key, parameter="library_key")
    if library.isna().any():
        msg = f"adata.obs[{library_key!r}] has {int(library.isna().sum())} missing values; every spot needs a section"
        raise ValueError(msg)
    return library.astype("category")


def find_graph(
    adata: AnnData,
    coordinates: NDArray[np.floating],
    library: pd.Series | None,
    config: SemSTConfig,
    *,
    n_neighbors: int | None,
    neighbors_key: str | None,
    origin: dict[str, Any],
) -> tuple[sparse.csr_matrix, str, dict[str, dict[str, Any]]]:
    """Return the spatial graph, where it is from, and what to write where it had to be built.

    A graph of the user's own and one that is named is used as it is; one that an earlier call built is used again if it
    was built in the same way from the same places, told by ``origin``. Where a graph that was
    built otherwise is used, a warning says that the ``n_neighbors`` which the user asked for has no effect.
    """
    made = {
        "made_by": _MADE_BY,
        "n_neighbors": config.n_neighbors,
        "radius_in_pitches": config.radius or 0.0,
        "places": _fingerprint(coordinates, library),
        **origin,
    }
    key = _keys.SPATIAL_NEIGHBORS if neighbors_key is None else neighbors_key
    if neighbors_key is not None or key in adata.uns or _keys.SPATIAL_CONNECTIVITIES in adata.obsp:
        params = adata.uns.get(key, {}).get("params", {})
        same = all(params.get(name) == value for name, value in made.items())
        if neighbors_key is not None or same or params.get("made_by") != _MADE_BY:
            place = f"uns[{key!r}]" if key in adata.uns else f"obsp[{_keys.SPATIAL_CONNECTIVITIES!r}]"
            if n_neighbors is not None and not same:
                logger.warning(
                    "n_neighbors=%d has no effect: the graph in adata.%s is used as it is; %s to build another",
                    n_neighbors,
                    place,
                    f"delete it and adata.obsp[{_keys.SPATIAL_CONNECTIVITIES!r}]"
                    if neighbors_key is None
                    else "leave out neighbors_key",
                )
            return within_sections(spatial_connectivities(adata, key), library), place, {}
    holder = spatial_graph(coordinates, library=library, n_neighbors=config.n_neighbors, radius=config.radius)
    entry = dict(holder.uns[_keys.SPATIAL_NEIGHBORS])
    entry["params"] = {**{name: value for name, value in entry["params"].items() if value is not None}, **made}
    graph = holder.obsp[_keys.SPATIAL_CONNECTIVITIES]
    fields = {
        "obsp": {name: holder.obsp[name] for name in (_keys.SPATIAL_CONNECTIVITIES, _keys.SPATIAL_DISTANCES)},
        "uns": {_keys.SPATIAL_NEIGHBORS: entry},
    }
    return graph, "built", fields


# the counts it looks at have been found and warned of already, and what it writes is not the user's
@without_warning()
@without_hints()
def find_semantics(
    adata: AnnData,
    counts: sparse.csr_matrix,
    genes: NDArray[np.intp],
    semantics: str | None,
    config: SemSTConfig,
    gene_symbols: str | None,
    random_state: int,
) -> tuple[NDArray[np.float32] | None, str]:
    """Return the semantics of each observation, shape (n_obs, d), and where they come from."""
    if semantics is None:
        return None, "none"
    stored = stored_semantics(adata, semantics)
    if stored is not None:
        return stored, f"obsm[{semantics!r}]"
    if semantics == "auto" and _keys.CELL_SEMANTICS in adata.obsm:
        return _stored(adata, _keys.CELL_SEMANTICS), f"obsm[{_keys.CELL_SEMANTICS!r}]"
    from semtx.pp import cell_semantics

    if semantics != "auto" and _keys.CELL_SEMANTICS in adata.obsm:
        logger.warning(
            "semantics=%r changes gene vectors and averages them over genes; it is no control of what obsm[%r] holds unless "
            "that was made of the same vectors in the same way",
            semantics,
            _keys.CELL_SEMANTICS,
        )
    # a holder of its own: nothing of it is written into the user's object
    holder = AnnData(counts, var=adata.var.copy())
    vectors, source = find_gene_vectors(adata, semantics, gene_symbols, random_state)
    holder.varm[_keys.GENE_SEMANTICS] = vectors
    if config.n_semantic_genes is None:
        cell_semantics(holder, gene_symbols=gene_symbols)
    else:
        # the authors choose among the genes that the network reads, and leave none of them out
        mask = np.zeros(adata.n_vars, dtype=bool)
        mask[genes] = True
        cell_semantics(
            holder,
            "top_genes",
            n_top_genes=min(config.n_semantic_genes, len(genes)),
            ranking=config.gene_ranking,
            gene_symbols=gene_symbols,
            mask_var=mask,
            exclude=(),
        )
    return holder.obsm[_keys.CELL_SEMANTICS], source


def find_gene_vectors(
    adata: AnnData, semantics: str, gene_symbols: str | None, random_state: int
) -> tuple[NDArray[np.float32], str]:
    """Return a vector for each gene, shape (n_vars, d), zeros without one, and where they come from.

    Those in ``varm`` where :func:`semtx.pp.gene_semantics` wrote them, else the built-in ones; for a control, what
    :func:`control_vectors` makes of them.
    """
    if _keys.GENE_SEMANTICS in adata.varm:
        fix = "call st.pp.gene_semantics(adata) again"
        vectors = stored_gene_vectors(adata, _keys.GENE_SEMANTICS, parameter="semantics", fix=fix)
        source = f"varm[{_keys.GENE_SEMANTICS!r}]"
    else:
        try:
            holder = with_built_in_vectors(adata, None, gene_symbols)
        except ValueError as error:
            msg = f"{error}. Or leave semantics out with semantics=None"
            raise ValueError(msg) from error
        vectors, source = holder.varm[_keys.GENE_SEMANTICS], "built-in gene vectors"
    if semantics == "auto":
        return vectors, source
    return control_vectors(vectors, semantics, random_state), f"{source}, {semantics}"


def control_vectors(vectors: NDArray[np.float32], control: str, random_state: int) -> NDArray[np.float32]:
    """Return gene vectors that mean nothing: permuted over the genes that have one, or Gaussian of the same norms."""
    generator = np.random.default_rng(random_state)
    has_vector = np.flatnonzero(vectors.any(axis=1))
    meaningless = np.zeros_like(vectors)
    if control == "shuffled":
        meaningless[has_vector] = vectors[generator.permutation(has_vector)]
        return meaningless
    noise = generator.standard_normal((len(has_vector), vectors.shape[1])).astype(np.float32)
    norms = np.linalg.norm(vectors[has_vector], axis=1, keepdims=True)
    meaningless[has_vector] = noise / np.linalg.norm(noise, axis=1, keepdims=True) * norms
    return meaningless


def stored_semantics(adata: AnnData, semantics: str) -> NDArray[np.float32] | None:
    """Return the cell vectors that ``semantics`` names in ``obsm``, or ``None`` where it asks for others to be made."""
    if not isinstance(semantics, str):
        msg = f"semantics must be a key of adata.obsm, 'auto', 'shuffled', 'random' or None, got {type(semantics).__name__}"
        raise TypeError(msg)
    return None if semantics in ("auto", *CONTROLS) else _stored(adata, semantics)


def _stored(adata: AnnData, key: str) -> NDArray[np.float32]:
    fix = "use 'auto', 'shuffled', 'random' or None, or compute it with st.pp.cell_semantics(adata)"
    return finite_matrix(adata, key, parameter="semantics", fix=fix).astype(np.float32)


def _fingerprint(coordinates: NDArray[np.floating], library: pd.Series | None) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(coordinates, dtype=np.float64).tobytes())
    if library is not None:
        digest.update(library.cat.codes.to_numpy().tobytes())
    return digest.hexdigest()[:16]


def within_sections(graph: sparse.csr_matrix, library: pd.Series | None) -> sparse.csr_matrix:
    if library is None:
        return graph
    edges = graph.tocoo()
    codes = library.cat.codes.to_numpy()
    inside = codes[edges.row] == codes[edges.col]
    if inside.all():
        return graph
    logger.warning("%d edges of the spatial graph join different sections; they are not used", int((~inside).sum()))
    return sparse.csr_matrix((edges.data[inside], (edges.row[inside], edges.col[inside])), shape=graph.shape)
