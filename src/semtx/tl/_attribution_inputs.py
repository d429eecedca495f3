"""What ``tl.gene_attribution`` reads: the weights of genes in each cell's semantics, and the read-out that was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from semtx import _keys
from semtx._counts import find_counts, normalize_rows, without_warning
from semtx._validate import check_key, gene_mask
from semtx.graphs import ring_operator, rings
from semtx.models._read_out import ReadOut
from semtx.models._semst_config import SemSTConfig
from semtx.pp._cell_inputs import gene_names, gene_vectors, normalized_expression
from semtx.semantics._cell import cell_weights
from semtx.semantics._genes import DEFAULT_EXCLUDED, excluded_genes
from semtx.tl._cluster import spatial_connectivities
from semtx.tl._semst_inputs import CONTROLS, find_gene_vectors, find_library, select_genes, within_sections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

_AGAIN = "run st.tl.semst(adata, store_modulation=True) again"


def trained_read_out(
    adata: AnnData, key: str
) -> tuple[dict[str, Any], ReadOut, NDArray[np.floating], sparse.csr_matrix | None]:
    """Return the run record of ``tl.semst``, the read-out, the modulation it gave, and the mean over rings before it."""
    fix = "run st.tl.semst(adata, store_modulation=True) first"
    record = check_key(adata, "uns", key, parameter="key", fix=fix)
    stored = record.get("modulation") if hasattr(record, "get") else None
    if stored is None:
        msg = f"adata.uns[{key!r}] tells of no modulation; {fix} (with key_added={key!r})"
        raise KeyError(msg)
    modulation = np.asarray(check_key(adata, "obsm", key + _keys.MODULATION_SUFFIX, fix=fix))
    n_rings = int(stored["n_rings"])
    around = None
    if n_rings:
        params = record["params"]
        graph = spatial_connectivities(adata, params["neighbors_key"] or _keys.SPATIAL_NEIGHBORS)
        graph = within_sections(graph, find_library(adata, params["library_key"]))
        around = ring_operator(rings(graph, n_rings, max_neighbors=np.inf))
    return record, ReadOut.from_arrays(stored), modulation, around


@without_warning()
def semantic_weights(
    adata: AnnData, record: Mapping[str, Any]
) -> tuple[sparse.csr_matrix, NDArray[np.float32], NDArray[np.bool_]]:
    """Return the share of each gene in each cell's semantics, the gene vectors, and which genes have a share at all.

    Shares are float64 CSR of shape (n_obs, n_vars); rows sum to 1, or to 0 for a cell without any usable gene.
    """
    params, config = record["params"], record["config"]
    key = params["semantics"]
    if key == "auto" and record["semantics_source"].startswith("obsm"):
        key = _keys.CELL_SEMANTICS
    if key in ("auto", *CONTROLS):
        made: Mapping[str, Any] = {
            "method": "weighted" if config["n_semantic_genes"] is None else "top_genes",
            "n_top_genes": config["n_semantic_genes"],
            "ranking": "expression" if config["n_semantic_genes"] is None else config["gene_ranking"],
            "exclude": DEFAULT_EXCLUDED if config["n_semantic_genes"] is None else (),
            "gene_symbols": params["gene_symbols"],
        }
        vectors, _ = find_gene_vectors(adata, key, params["gene_symbols"], int(params["random_state"]))
        counts = find_counts(adata, layer=params["layer"]).matrix
        expression = normalize_rows(counts)
        mask = np.ones(adata.n_vars, dtype=bool)
        if config["n_semantic_genes"] is not None:
            genes = select_genes(adata, counts, _mask_var(params), SemSTConfig(**config))
            mask = np.isin(np.arange(adata.n_vars), genes)
            made = {**made, "n_top_genes": min(int(config["n_semantic_genes"]), len(genes))}
    else:
        made = _cell_semantics_params(adata, key)
        vectors, _ = gene_vectors(adata, made["gene_semantics_key"], made["organism"], made["gene_symbols"])
        expression, _ = normalized_expression(adata, made["layer"])
        mask = gene_mask(adata, _mask_var(made))
    symbols, _, _ = gene_names(adata, made.get("organism"), made["gene_symbols"])
    mask = mask & ~excluded_genes(symbols, map(str, made["exclude"])) & vectors.any(axis=1)
    n_top_genes = made["n_top_genes"]
    weights = cell_weights(
        expression[:, mask],
        symbols[mask],
        None if n_top_genes is None else int(n_top_genes),
        made["ranking"],
        alike=made["method"] == "top_genes",
    ).astype(np.float64)
    totals = np.asarray(weights.sum(axis=1)).ravel()
    scale = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
    spread = sparse.csr_matrix(
        (np.ones(mask.sum()), (np.arange(mask.sum()), np.flatnonzero(mask))), (mask.sum(), len(mask))
    )
    return sparse.csr_matrix(sparse.diags(scale) @ weights @ spread), vectors, mask


def _cell_semantics_params(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return the parameters of ``pp.cell_semantics`` that made ``obsm[key]``."""
    name = _keys.CELL_SEMANTICS_RECORD if key == _keys.CELL_SEMANTICS else f"{key}_record"
    params = adata.uns.get(name, {}).get("params", {})
    if params.get("method") not in ("weighted", "top_genes"):
        how = f"method={params['method']!r}" if "method" in params else "no record of pp.cell_semantics"
        msg = (
            f"adata.obsm[{key!r}], which the modulation was read from, has {how}: it is no mean of gene vectors, so that "
            f"nothing of it belongs to single genes. Call st.pp.cell_semantics(adata) and {_AGAIN}"
        )
        raise ValueError(msg)
    return params


def _mask_var(params: Mapping[str, Any]) -> str | None:
    if params["mask_var"] == "array":
        msg = (
            "mask_var was an array, which no record holds, so that the genes used are not known; put it into a column of "
            f"adata.var, name that, and {_AGAIN}"
        )
        raise ValueError(msg)
    return params["mask_var"]


def check_reproduced(found: NDArray[np.floating], stored: NDArray[np.floating], key: str) -> None:
    """Raise unless weights, gene vectors and graph give the modulation that was stored."""
    spread = float(stored.std()) or 1.0
    if found.shape == stored.shape and np.abs(found - stored).max() < _TOLERANCE * max(spread, 1e-3):
        return
    msg = (
        f"adata.obsm[{key + _keys.MODULATION_SUFFIX!r}] does not follow from what adata holds now: counts, gene vectors, "
        f"cell semantics or the spatial graph have changed since, or observations were dropped; {_AGAIN}"
    )
    raise ValueError(msg)


# float32 rounding through up to four layers
_TOLERANCE = 1e-2
