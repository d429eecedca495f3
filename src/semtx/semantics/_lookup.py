"""Finding genes in a user's own table of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from semtx.semantics._match import GeneMatch


def lookup_vectors(
    match: GeneMatch, vectors: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """Return a vector per gene from a table keyed by whatever names its author used.

    A gene is looked up under its own name, then under what the facts table knows of it: official symbol, Ensembl id,
    human orthologue, other symbols that are not some other gene's. The last resort is its own name with case ignored.

    Parameters
    ----------
    match
        Genes, as `match_genes` found them.
    vectors
        Vectors of equal length by name.

    Returns
    -------
    Array of shape (n, d), float32, 0 where nothing was found, and how each gene was found: a method of `GeneMatch`, where
    ``"symbol"`` stands for the name itself and ``"none"`` for genes without vector.
    """
    dimension = len(next(iter(vectors.values()))) if len(vectors) else 0
    result = np.zeros((len(match.names), dimension), dtype=np.float32)
    method = np.full(len(match.names), "none", dtype=object)
    folded: dict[str, str] = {}
    for name in vectors:
        folded.setdefault(str(name).upper(), name)
    official = set(match.table["symbol"])
    columns = {name: match.table[name].tolist() for name in _COLUMNS if name in match.table}
    for place, (asked, row) in enumerate(zip(match.names, match.rows, strict=True)):
        name = asked.strip()
        if name and name in vectors:
            result[place], method[place] = vectors[name], "symbol"
            continue
        record = {column: values[row] for column, values in columns.items()} if row >= 0 else {}
        for key, how in _other_names(record, name, official, folded):
            if key and key in vectors:
                result[place], method[place] = vectors[key], how
                break
        else:
            if match.method[place] == "ambiguous":
                method[place] = "ambiguous"
    return result, method


_COLUMNS = ("symbol", "ensembl_id", "human_ortholog", "aliases")


def _other_names(
    record: Mapping[str, str], name: str, official: set[str], folded: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    symbol = record.get("symbol", "")
    yield symbol, "symbol" if symbol.upper() == name.upper() else "alias"
    yield record.get("ensembl_id", ""), "ensembl"
    yield record.get("human_ortholog", ""), "ortholog"
    for alias in record.get("aliases", "").split("|"):
        if alias not in official:
            yield alias, "alias"
    yield folded.get(name.upper(), ""), "symbol"
