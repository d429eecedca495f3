"""The run record written to ``.uns``, and the one place that writes results into an AnnData."""

from __future__ import annotations

import platform
import warnings
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData, ImplicitModificationWarning

from semtx._logging import hint, logger

if TYPE_CHECKING:
    from collections.abc import Mapping

_RECORDED_PACKAGES = ("semtx", "anndata", "scanpy", "squidpy", "torch", "numpy", "scikit-learn")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def stored_name(key: Any) -> str:
    """Return a key as h5ad and zarr can hold it: text, not empty and without a slash."""
    return str(key).replace("/", "|") or "(empty)"


def sanitize(value: Any) -> Any:
    """Turn a value into one that h5ad and zarr can hold: no tuples, paths, sets, ``None`` in lists, integer keys or slashes."""
    if value is None or isinstance(value, (str, bool, int, float, np.generic, np.ndarray, pd.DataFrame)):
        return value
    if hasattr(value, "items"):
        return {stored_name(key): sanitize(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = list(value)
        if all(isinstance(item, (bool, np.bool_)) for item in items):
            return np.array(items, dtype=bool)
        if all(isinstance(item, (int, float, np.number)) and not isinstance(item, bool) for item in items):
            return np.array(items)
        return np.array([str(item) for item in items], dtype=object)
    return str(value)


def run_record(function: str, params: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """Make a run record: parameters, versions, platform and time, with further sections as given.

    Parameters
    ----------
    function
        The public function, such as ``"tl.semst"``.
    params
        Its parameters as resolved, among them ``random_state``.
    sections
        What else there is to tell: ``losses``, ``device``, ``stop_reason``, ``graph``, ``seconds`` ...
    """
    return sanitize(
        {
            "function": f"semtx.{function}",
            "params": params,
            "versions": {package: _version(package) for package in _RECORDED_PACKAGES},
            "platform": f"Python {platform.python_version()}, {platform.system()} {platform.machine()}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            **sections,
        }
    )


def recorded_mask(mask_var: Any) -> str | None:
    """Return what a record says of ``mask_var``: the column, ``None``, or that it was an array, which no record holds."""
    return mask_var if isinstance(mask_var, str) or mask_var is None else "array"


def labels_to_categorical(labels: np.ndarray) -> pd.Categorical:
    """Return cluster numbers as an ordered-by-number categorical of strings, as scanpy's ``tl.leiden`` does."""
    numbers = np.unique(labels)
    return pd.Categorical(labels.astype(str), categories=numbers.astype(str))


def working_copy(adata: AnnData) -> AnnData:
    """Return a full in-memory copy, of a backed object too: what ``copy=True`` works on."""
    return adata.to_memory(copy=True) if adata.isbacked else adata.copy()


def write_results(adata: AnnData, **fields: Mapping[str, Any]) -> None:
    """Write everything or nothing; ``None`` takes away what is there.

    Parameters
    ----------
    adata
        Object to write into; a view becomes an object of its own, as in scanpy.
    fields
        ``obs={key: values}``, ``var=...``, ``obsm=...``, ``varm=...``, ``obsp=...``, ``uns=...``.
    """
    if adata.is_view:
        logger.warning("adata is a view of another AnnData; it becomes a copy of its own to hold the results")
    before: list[tuple[str, str, Any, bool]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        try:
            for attribute, values in fields.items():
                for key, value in values.items():
                    mapping = getattr(adata, attribute)
                    existed = key in mapping
                    before.append((attribute, key, mapping.get(key), existed))
                    if value is not None:
                        mapping[key] = value
                    elif existed:
                        del mapping[key]
        except BaseException:
            for attribute, key, value, existed in reversed(before):
                if existed:
                    getattr(adata, attribute)[key] = value
                elif key in getattr(adata, attribute):
                    del getattr(adata, attribute)[key]
            raise
    for attribute, values in fields.items():
        for key, value in values.items():
            if value is not None:
                hint("added adata.%s[%r]", attribute, key)
