"""Finding raw counts in an AnnData and telling what a matrix holds."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from semtx import _keys
from semtx._fractions import kind_of_fractions
from semtx._logging import logger
from semtx._validate import check_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

Kind = Literal[
    "integer",
    "expected",
    "normalized",
    "lognormalized",
    "log2normalized",
    "logcounts",
    "log2counts",
    "scaled",
    "negative",
    "invalid",
]

_WHAT = {
    "normalized": "normalised counts (each row is whole numbers times a factor of its own, or all rows have one sum)",
    "lognormalized": "log-normalised values (expm1 gives normalised counts)",
    "log2normalized": "log2-normalised values (2**x - 1 gives normalised counts)",
    "logcounts": "the logarithm of raw counts (expm1 gives whole numbers)",
    "log2counts": "the base-2 logarithm of raw counts (2**x - 1 gives whole numbers)",
    "scaled": "scaled values (every column has standard deviation 1)",
    "negative": "negative values, as scaled data have",
    "invalid": "NaN or infinite values",
}
_warns: ContextVar[bool] = ContextVar("warns", default=True)

TARGET_SUM = 1e4
_UNIT_TOLERANCE = 1e-3
_MIN_UNIT_COLUMNS = 3
# values in memory at a time: of a file, dense, or in double precision
_BLOCK = 2**24
# rows that are in double precision at a time
ROWS_AT_A_TIME = 65_536
DENSE_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class Counts:
    """Raw counts of the genes of an AnnData.

    Attributes
    ----------
    matrix
        CSR matrix, float32, shape (n_obs, n_vars); a copy, never the user's own array.
    source
        Where they were found, such as ``"layers['counts']"``.
    kind
        ``"integer"``, or ``"expected"`` for non-negative values that are not whole numbers.
    """

    matrix: sparse.csr_matrix
    source: str
    kind: Kind


class CountsNotFoundError(ValueError):
    """Nothing that was looked at holds raw counts.

    Attributes
    ----------
    seen
        What each place holds.
    """

    def __init__(self, seen: Sequence[str]) -> None:
        self.seen = "; ".join(seen)
        super().__init__(
            f"raw counts are needed, but {self.seen}. "
            "Keep them with adata.layers['counts'] = adata.X.copy() before normalising, or name another layer with layer="
        )


def raw_holds_genes(adata: AnnData) -> bool:
    """Tell whether ``raw`` has all genes, each once."""
    raw = adata.raw
    return raw is not None and raw.var_names.is_unique and bool(adata.var_names.isin(raw.var_names).all())


def to_csr(matrix: Any) -> sparse.csr_matrix:
    """Return a float32 CSR copy of a dense, sparse, backed or dask matrix; what is not in memory is read block by block."""
    if getattr(matrix, "format", None) == "csc" and hasattr(matrix, "to_memory"):
        # a file with columns one after the other has no rows to read
        matrix = matrix.to_memory()
    if hasattr(matrix, "numblocks"):
        csr = _stacked((matrix.blocks[block].compute() for block in range(matrix.numblocks[0])), matrix.shape)
    elif hasattr(matrix, "to_memory") or hasattr(matrix, "chunks"):
        n_rows = max(1, _BLOCK // matrix.shape[1])
        csr = _stacked((matrix[start : start + n_rows] for start in range(0, matrix.shape[0], n_rows)), matrix.shape)
    else:
        csr = sparse.csr_matrix(matrix if sparse.issparse(matrix) else np.asarray(matrix), dtype=np.float32, copy=True)
    csr.sum_duplicates()
    return csr


def _stacked(blocks: Iterable[Any], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Put blocks of rows below each other, each made sparse and float32 before the next is read."""
    data, indices, lengths = [], [], []
    for block in blocks:
        part = sparse.csr_matrix(block, dtype=np.float32)
        data.append(part.data)
        indices.append(part.indices)
        lengths.append(np.diff(part.indptr))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)])
    return sparse.csr_matrix((np.concatenate(data), np.concatenate(indices), indptr), shape=shape)


def kind_of(matrix: sparse.csr_matrix) -> Kind:
    """Tell counts from normalised, logarithmic and scaled values."""
    data = matrix.data
    if not np.isfinite(data).all():
        return "invalid"
    if data.size and data.min() < 0:
        return "negative"
    if np.array_equal(data, np.rint(data)):
        return "integer"
    if _has_unit_columns(matrix):
        return "scaled"
    return kind_of_fractions(matrix) or "expected"


def _has_unit_columns(matrix: sparse.csr_matrix) -> bool:
    n = matrix.shape[0]
    deviations = standard_deviations(matrix)
    largest = matrix.max(axis=0).toarray().ravel()
    # where values were clipped, the columns that reach the limit have lost some of their deviation
    deviations = deviations[(deviations > 0) & (largest < largest.max())]
    if len(deviations) < _MIN_UNIT_COLUMNS:
        return False
    # scanpy divides by n - 1, scikit-learn by n
    return any((np.abs(deviations * factor - 1) < _UNIT_TOLERANCE).all() for factor in (1.0, np.sqrt((n - 1) / n)))


@contextmanager
def without_warning() -> Iterator[None]:
    """Look for counts again in what has been warned of already."""
    token = _warns.set(False)
    try:
        yield
    finally:
        _warns.reset(token)


def find_counts(adata: AnnData, *, layer: str | None = None) -> Counts:
    """Find raw counts in ``layer``, else ``layers["counts"]``, else ``X``, else ``raw``.

    Whole numbers in ``raw`` are preferred to expected counts in ``X``, which may be something else in disguise; ``raw``
    itself is taken for whole numbers only, as log-normalised values are what most keep there.

    Raises
    ------
    KeyError
        ``layer`` does not exist.
    CountsNotFoundError
        Nothing that was looked at holds counts; the message says what each place holds.
    """
    if layer is not None:
        places = {f"layers[{layer!r}]": check_key(adata, "layers", layer, parameter="layer")}
    else:
        places = {"X": adata.X}
        if _keys.COUNTS_LAYER in adata.layers:
            places = {f"layers[{_keys.COUNTS_LAYER!r}]": adata.layers[_keys.COUNTS_LAYER], **places}
        if raw_holds_genes(adata):
            places["raw"] = None
    seen = []
    expected: Counts | None = None
    for source, stored in places.items():
        if source == "raw":
            stored = adata.raw[:, adata.var_names].X  # noqa: PLW2901
        if stored is None:
            seen.append(f"{source} is empty")
            continue
        matrix = to_csr(stored)
        kind = kind_of(matrix)
        if kind == "integer":
            return Counts(matrix, source, kind)
        if kind == "expected" and source == "X" and "log1p" in adata.uns:
            seen.append("X has log-normalised values (uns['log1p'] says so)")
        elif kind == "expected" and source == "raw":
            # scanpy keeps log-normalised values there; of some genes only, they cannot be told from expected counts
            seen.append("raw has values that are not whole numbers")
        elif kind == "expected":
            expected = expected or Counts(matrix, source, kind)
            if source != "X":
                break
        else:
            seen.append(f"{source} has {_WHAT[kind]}")
    if expected is not None:
        if _warns.get():
            logger.warning(
                "%s holds non-negative values that are not whole numbers; they are taken as expected counts",
                expected.source,
            )
        return expected
    if layer is None and adata.raw is not None and not adata.raw.var_names.is_unique:
        seen.append("raw has genes of the same name")
    raise CountsNotFoundError(seen)


def normalize_rows(matrix: sparse.csr_matrix, totals: NDArray[np.floating] | None = None) -> sparse.csr_matrix:
    """Scale every row so that its total becomes 10,000; rows whose total is 0 become zero.

    Parameters
    ----------
    matrix
        CSR, shape (n, d).
    totals
        Total of each row, where ``matrix`` holds a part of the columns; ``None`` sums the rows.
    """
    totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel() if totals is None else np.asarray(totals)
    factors = np.divide(TARGET_SUM, totals, out=np.zeros(len(totals)), where=totals > 0)
    data = np.empty(matrix.nnz, dtype=np.float32)
    for start in range(0, len(totals), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        pointers = matrix.indptr[start : start + ROWS_AT_A_TIME + 1]
        entries = slice(pointers[0], pointers[-1])
        data[entries] = matrix.data[entries] * np.repeat(factors[rows], np.diff(pointers))
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape)


def scale_entries(matrix: sparse.csr_matrix, factors: NDArray[np.float64]) -> sparse.csr_matrix:
    """Multiply each stored value by its own factor."""
    return sparse.csr_matrix(((matrix.data * factors).astype(np.float32), matrix.indices, matrix.indptr), matrix.shape)


def standard_deviations(matrix: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return the standard deviation (ddof 1) of each column, without a dense copy."""
    n = matrix.shape[0]
    if n < 2:
        return np.zeros(matrix.shape[1])
    width = matrix.shape[1]
    parts = [slice(start, start + _BLOCK) for start in range(0, matrix.nnz, _BLOCK)]
    sums, stored, counted = np.zeros(width), np.zeros(width), np.zeros(width)
    for part in parts:
        sums += np.bincount(matrix.indices[part], matrix.data[part], width)
        counted += np.bincount(matrix.indices[part], minlength=width)
    mean = sums / n
    # squared deviations of the stored values, plus those of the zeros that are not stored
    for part in parts:
        columns = matrix.indices[part]
        stored += np.bincount(columns, (matrix.data[part] - mean[columns]) ** 2, width)
    zeros = n - counted
    return np.sqrt((stored + zeros * mean**2) / (n - 1))
