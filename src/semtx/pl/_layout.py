"""Two dimensions to draw an embedding in, kept so that the next plot has them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semtx import _keys
from semtx._record import write_results
from semtx._threads import limit_threads
from semtx._validate import finite_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

# fewer observations have no neighbourhoods to lay out
_FEWEST = 5


def planar(adata: AnnData, use_rep: str, *, fix: str, **options: Any) -> NDArray[np.float64]:
    """Return the embedding in two dimensions, shape (n_obs, 2): itself, the UMAP kept, or a new one, kept if possible.

    A UMAP is kept with a fingerprint of every row that it was made from. So it is used again for any part of the
    observations, and not for an embedding that was computed anew.
    """
    z = finite_matrix(adata, use_rep, parameter="use_rep", fix=fix)
    if z.shape[1] == 2:
        return z
    place = use_rep + _keys.UMAP_SUFFIX
    rows = fingerprints(z)
    if place in adata.obsm and holds(adata.uns.get(place), rows, options):
        return np.asarray(adata.obsm[place], dtype=np.float64)[:, :2]
    drawn = umap(z, **options)
    if not adata.is_view:
        record = {"use_rep": use_rep, "params": options, "rows": np.sort(rows)}
        write_results(adata, obsm={place: drawn}, uns={place: record})
    return drawn.astype(np.float64)


def umap(z: NDArray[np.float64], *, n_neighbors: int, min_dist: float, random_state: int) -> NDArray[np.float32]:
    """Lay an embedding out by scanpy's UMAP, shape (n_obs, 2)."""
    import scanpy as sc
    from anndata import AnnData

    n = len(z)
    if n < _FEWEST:
        msg = f"UMAP takes at least {_FEWEST} observations, there are {n}"
        raise ValueError(msg)
    holder = AnnData(np.zeros((n, 0), dtype=np.float32), obsm={"z": z.astype(np.float32)})
    with limit_threads():
        sc.pp.neighbors(holder, n_neighbors=min(n_neighbors, n - 1), use_rep="z", random_state=random_state)
        sc.tl.umap(holder, min_dist=min_dist, random_state=random_state)
    return np.asarray(holder.obsm["X_umap"], dtype=np.float32)


def holds(record: Any, rows: NDArray[np.uint64], options: Mapping[str, Any]) -> bool:
    """Whether the layout that is kept is of these rows and made so."""
    if not hasattr(record, "get") or "rows" not in record:
        # somebody else put it there
        return True
    return dict(record["params"]) == dict(options) and bool(np.isin(rows, record["rows"]).all())


def fingerprints(z: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return one number for each row, which differs if the row does."""
    words = np.ascontiguousarray(z, dtype=np.float32).view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(0).integers(2**63, size=words.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    return (words * factors).sum(axis=1, dtype=np.uint64)
