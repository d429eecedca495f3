"""Gene vectors of the user's own: tables, GenePT, gene2vec, arrays with names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from semtx._logging import logger
from semtx._validate import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".npz", ".parquet", ".csv", ".tsv", ".txt", ".gz", ".pickle", ".pkl")


def read_vectors(source: pd.DataFrame | Mapping[str, Any] | str | Path) -> dict[str, NDArray[np.float32]]:
    """Read gene vectors from wherever the user keeps them.

    Parameters
    ----------
    source
        - a DataFrame with gene names as index and numbers as columns
        - a dictionary of gene name to vector (the form of GenePT)
        - path of an ``.npz`` with ``names`` (or ``genes``, ``symbols``) and ``vectors`` (or ``embeddings``), or with one
          array per gene
        - path of a ``.parquet``, ``.csv`` or ``.tsv`` table: the first column that is not numeric, or the index, names
          the genes
        - path of a text file in gene2vec's or word2vec's form, ``NAME 0.1 0.2 ...`` with tabs or spaces, also gzipped
        - path of a ``.pickle`` with a dictionary or DataFrame (GenePT). A pickle can run any code when it is read: give
          only files that you trust. Addresses are refused.

    Returns
    -------
    Vectors by name, float32, all of one length; of a name that comes twice the first is kept.

    Raises
    ------
    TypeError
        ``source`` is of another type, or holds values that are not numbers.
    ValueError
        The vectors are empty, differ in length, are not finite, or the file is of no known form.
    FileNotFoundError
        There is no such file.

    Examples
    --------
    >>> from semtx.semantics import read_vectors
    >>> import pandas as pd
    >>> read_vectors(pd.DataFrame([[1.0, 0.0], [0.0, 1.0]], index=["MBP", "SNAP25"]))
    {'MBP': array([1., 0.], dtype=float32), 'SNAP25': array([0., 1.], dtype=float32)}
    """
    if isinstance(source, pd.DataFrame):
        return _finish(_named(source), "the DataFrame")
    if isinstance(source, Mapping):
        return _finish(_from_mapping(source), "the dictionary")
    if not isinstance(source, (str, Path)):
        msg = f"gene vectors must be a DataFrame, a dictionary or the path of a file, got {type(source).__name__}"
        raise TypeError(msg)
    if "://" in str(source):
        msg = f"gene vectors are read from local files only, got {str(source)!r}; download it first"
        raise ValueError(msg)
    path = Path(source).expanduser()
    if not path.is_file():
        msg = f"there is no file {str(path)!r} to read gene vectors from"
        raise FileNotFoundError(msg)
    return _finish(_from_file(path), path.name)


def _from_file(path: Path) -> pd.DataFrame:
    kind = "".join(suffix for suffix in path.suffixes[-2:] if suffix.lower() in SUFFIXES).lower().removesuffix(".gz")
    if kind.endswith(".npz"):
        return _from_npz(path)
    if kind.endswith(".parquet"):
        return _named(pd.read_parquet(path))
    if kind.endswith(".csv"):
        return _named(pd.read_csv(path, keep_default_na=False))
    if kind.endswith(".tsv"):
        return _named(pd.read_csv(path, sep="\t", keep_default_na=False))
    if kind.endswith((".pickle", ".pkl")):
        loaded = pd.read_pickle(path)  # the caller named this local file
        if isinstance(loaded, pd.DataFrame):
            return _named(loaded)
        if isinstance(loaded, Mapping):
            return _from_mapping(loaded)
        msg = f"{path.name} holds a {type(loaded).__name__}, not a dictionary or DataFrame"
        raise ValueError(msg)
    if kind.endswith(".txt"):
        return _from_text(path)
    msg = f"{path.name} is of no known form; gene vectors are read from {', '.join(SUFFIXES)}"
    raise ValueError(msg)


def _from_npz(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as stored:
        names = next((key for key in ("names", "genes", "symbols") if key in stored), None)
        vectors = next((key for key in ("vectors", "embeddings") if key in stored), None)
        if names and vectors:
            if len(stored[names]) != len(stored[vectors]):
                msg = f"{path.name} has {len(stored[names])} names for {len(stored[vectors])} vectors"
                raise ValueError(msg)
            return pd.DataFrame(stored[vectors], index=stored[names].astype(str))
        return _from_mapping({key: stored[key] for key in stored.files})


def _from_mapping(mapping: Mapping[str, Any]) -> pd.DataFrame:
    vectors = {str(name): np.asarray(vector).ravel() for name, vector in mapping.items()}
    lengths = {len(vector) for vector in vectors.values()}
    if len(lengths) > 1:
        msg = f"gene vectors must all have the same length, there are {listed(sorted(lengths))}"
        raise ValueError(msg)
    return pd.DataFrame(np.stack(list(vectors.values())) if vectors else np.zeros((0, 0)), index=list(vectors))


def _from_text(path: Path) -> pd.DataFrame:
    import gzip

    names: list[str] = []
    rows: list[NDArray[np.float32]] = []
    read = gzip.open if path.suffix == ".gz" else open
    with read(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            name, *values = line.split()
            if not values or (number == 1 and len(values) == 1):  # word2vec begins with the numbers of rows and columns
                continue
            if rows and len(values) != len(rows[0]):
                msg = f"line {number} of {path.name} has {len(values)} numbers, the lines before it {len(rows[0])}"
                raise ValueError(msg)
            try:
                rows.append(np.array(values, dtype=np.float32))
            except ValueError as error:
                msg = f"line {number} of {path.name} is not 'NAME number number ...': {error}"
                raise ValueError(msg) from error
            names.append(name)
    return pd.DataFrame(np.stack(rows) if rows else np.zeros((0, 0)), index=names)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Take the names from the first column that is not numeric, else from the index."""
    text = [column for column in table.columns if not pd.api.types.is_numeric_dtype(table[column])]
    if len(text) > 1:
        msg = f"gene vectors need one column of names, beside it numbers only; {listed(text)} are not numeric"
        raise TypeError(msg)
    if text:
        return table.set_index(text[0])
    if isinstance(table.index, pd.RangeIndex):
        msg = "gene vectors have no gene names: neither the index nor a column holds text"
        raise ValueError(msg)
    return table


def _finish(table: pd.DataFrame, what: str) -> dict[str, NDArray[np.float32]]:
    if table.empty:
        msg = f"{what} holds no gene vectors"
        raise ValueError(msg)
    try:
        vectors = table.to_numpy(dtype=np.float32)
    except (TypeError, ValueError) as error:
        msg = f"{what} holds values that are not numbers: {error}"
        raise TypeError(msg) from error
    if not np.isfinite(vectors).all():
        broken = table.index[~np.isfinite(vectors).all(axis=1)]
        msg = f"{what} has NaN or infinite values for {listed(broken, 3)}"
        raise ValueError(msg)
    names = table.index.astype(str).str.strip()
    twice = names.duplicated()
    if twice.any():
        logger.warning("%s names %d genes more than once; the first vector of each is kept", what, int(twice.sum()))
    return dict(zip(names[~twice], vectors[~twice], strict=True))
