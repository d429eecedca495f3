"""Checks with one style of message: what is missing, where it was looked for, what exists, what to call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from semtx import _keys
from semtx._values import check_choice, check_integer, check_number, check_random_state, listed, to_numbers

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

__all__ = [
    "check_anndata",
    "check_choice",
    "check_integer",
    "check_key",
    "check_key_added",
    "check_n_clusters",
    "check_number",
    "check_random_state",
    "coordinates",
    "finite_matrix",
    "gene_mask",
    "listed",
    "resolve_table",
]


def resolve_table(data: Any, table_key: str | None = None) -> AnnData:
    """Return the AnnData itself, or the table of a SpatialData object."""
    if isinstance(data, AnnData):
        return data
    tables = getattr(data, "tables", None)
    if tables is None:
        msg = f"expected an AnnData or SpatialData object, got {type(data).__name__}"
        raise TypeError(msg)
    if table_key is None:
        if len(tables) != 1:
            msg = f"SpatialData holds the tables {listed(tables)}; say which one with table_key="
            raise ValueError(msg)
        table_key = next(iter(tables))
    if table_key not in tables:
        msg = f"table_key={table_key!r} is not among the tables of the SpatialData object: {listed(tables)}"
        raise KeyError(msg)
    return tables[table_key]


def check_anndata(adata: AnnData, *, genes: bool = True) -> None:
    """Raise on what no function can work with: no cells, no ``genes``, names that are not unique, a view of a file."""
    if adata.n_obs == 0 or (genes and adata.n_vars == 0):
        msg = f"AnnData is empty: {adata.n_obs} observations x {adata.n_vars} variables"
        raise ValueError(msg)
    for axis, names in (("obs", adata.obs_names), ("var", adata.var_names)):
        if not names.is_unique:
            twice = names[names.duplicated()].unique()
            msg = f"adata.{axis}_names are not unique ({listed(twice, 3)}); call adata.{axis}_names_make_unique() first"
            raise ValueError(msg)
    if adata.is_view and adata.isbacked:
        msg = "adata is a view of a file in backed mode, which holds no results; call adata = adata.to_memory() first"
        raise ValueError(msg)


def check_key(adata: AnnData, attribute: str, key: str, *, fix: str = "", parameter: str = "") -> Any:
    """Return ``getattr(adata, attribute)[key]`` or raise a KeyError that says what there is."""
    mapping = getattr(adata, attribute)
    if key not in mapping:
        wanted = f"{parameter}={key!r}" if parameter else repr(key)
        msg = f"{wanted} is not in adata.{attribute}, which has {listed(mapping.keys())}"
        raise KeyError(msg + (f"; {fix}" if fix else ""))
    return mapping[key]


def check_key_added(
    key_added: Any, *taken: str | None, embeddings: Collection[str | None] = (), parameter: str = "key_added"
) -> None:
    """Raise unless results can be named so.

    That is text without a slash, not ``"spatial"`` (images are there), nor what is read: ``taken``, and the ``embeddings``
    that one under the key's own name would replace.
    """
    if not isinstance(key_added, str):
        msg = f"{parameter} must be text, got {key_added!r}"
        raise TypeError(msg)
    if not key_added.strip() or "/" in key_added:
        msg = f"{parameter} must not be empty nor contain '/', which h5ad and zarr do not allow in keys; got {key_added!r}"
        raise ValueError(msg)
    if key_added in {"spatial", *taken} or _keys.embedding(key_added) in embeddings:
        msg = f"{parameter}={key_added!r} is what is read or keeps images, which results would replace; give another"
        raise ValueError(msg)


def check_n_clusters(n_clusters: Any, n_obs: int) -> None:
    """Raise unless ``n_clusters`` is ``None`` or a whole number from 2 to the number of observations."""
    check_integer("n_clusters", n_clusters, minimum=2, optional=True)
    if n_clusters is not None and n_clusters > n_obs:
        msg = f"n_clusters={n_clusters} is more than the {n_obs} observations"
        raise ValueError(msg)


def coordinates(adata: AnnData, spatial_key: str) -> NDArray[np.float64]:
    """Return finite coordinates, shape (n_obs, 2 or 3), or raise."""
    values = np.asarray(
        check_key(
            adata,
            "obsm",
            spatial_key,
            parameter="spatial_key",
            fix="put an array of shape (n_obs, 2) there, as squidpy.read.* do",
        )
    )
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        msg = f"adata.obsm[{spatial_key!r}] must have 2 or 3 columns of coordinates, its shape is {values.shape}"
        raise ValueError(msg)
    values = values.astype(np.float64)
    broken = ~np.isfinite(values).all(axis=1)
    if broken.any():
        first = adata.obs_names[broken][0]
        msg = (
            f"adata.obsm[{spatial_key!r}] has NaN or infinite coordinates in {broken.sum()} observations (first: {first!r}); "
            "drop them with adata[np.isfinite(adata.obsm[...]).all(axis=1)]"
        )
        raise ValueError(msg)
    return values


def finite_matrix(adata: AnnData, key: str, *, parameter: str, fix: str) -> NDArray[np.float64]:
    """Return ``adata.obsm[key]`` as a matrix without NaN or infinite values, shape (n_obs, d), or raise."""
    stored = check_key(adata, "obsm", key, parameter=parameter, fix=fix)
    values = _finite(stored, np.float64)
    if values is None:
        msg = f"adata.obsm[{key!r}] must be a matrix of numbers without NaN or infinite values to serve as {parameter}"
        raise ValueError(msg)
    return values


def stored_gene_vectors(adata: AnnData, key: str, *, parameter: str, fix: str) -> NDArray[np.float32]:
    """Return ``adata.varm[key]`` as finite vectors, shape (n_vars, d), or raise."""
    stored = check_key(adata, "varm", key, parameter=parameter, fix=fix)
    vectors = _finite(stored, np.float32)
    if vectors is None:
        msg = f"adata.varm[{key!r}] must hold finite vectors of shape (n_vars, d); its shape is {np.shape(stored)}"
        raise ValueError(msg)
    return vectors


def _finite(stored: Any, dtype: type[np.floating]) -> NDArray[Any] | None:
    """Return a matrix of finite numbers, or ``None`` where it is none."""
    try:
        values = to_numbers(stored, dtype)
    except (TypeError, ValueError):
        return None
    return values if values.ndim == 2 and np.isfinite(values).all() else None


def gene_mask(adata: AnnData, mask_var: str | NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return ``mask_var`` as a boolean array of shape (n_vars,): all genes for ``None``, or raise."""
    if mask_var is None:
        return np.ones(adata.n_vars, dtype=bool)
    if isinstance(mask_var, str):
        mask_var = check_key(adata, "var", mask_var, parameter="mask_var").to_numpy()
    mask = np.asarray(mask_var)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        msg = f"mask_var must be boolean of shape ({adata.n_vars},), got {mask.dtype} of shape {mask.shape}"
        raise ValueError(msg)
    if not mask.any():
        msg = "mask_var selects no gene"
        raise ValueError(msg)
    return mask
