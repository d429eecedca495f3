"""Dictionaries from every name of a gene to its row in the facts table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from semtx.semantics._table import shared_gene_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

NONE = -1
AMBIGUOUS = -2


@dataclass(frozen=True)
class GeneIndex:
    """Names to rows of a facts table; the folded ones have upper-case keys.

    A name that several genes share maps to `AMBIGUOUS`, except for official symbols, where the table's first row stands.
    """

    symbols: dict[str, int]
    aliases: dict[str, int]
    ensembl: dict[str, int]
    folded_symbols: dict[str, int]
    folded_aliases: dict[str, int]


def make_index(table: pd.DataFrame) -> GeneIndex:
    """Index a facts table with the columns ``symbol``, ``aliases`` and ``ensembl_id``."""
    symbols: dict[str, int] = {}
    ensembl: dict[str, int] = {}
    for row, (symbol, identifier) in enumerate(zip(table["symbol"], table["ensembl_id"], strict=True)):
        symbols.setdefault(symbol, row)
        if identifier:
            ensembl.setdefault(identifier, row)
    # Rows that repeat a symbol stand for the first one, so that their common aliases are not ambiguous.
    first = [symbols[symbol] for symbol in table["symbol"]]
    pairs = [
        (alias, row)
        for aliases, row in zip(table["aliases"], first, strict=True)
        if aliases
        for alias in aliases.split("|")
    ]
    return GeneIndex(
        symbols=symbols,
        aliases=_unique(pairs),
        ensembl=ensembl,
        folded_symbols=_unique((symbol.upper(), row) for symbol, row in symbols.items()),
        folded_aliases=_unique((alias.upper(), row) for alias, row in pairs),
    )


@lru_cache(maxsize=2)
def gene_index(organism: str) -> GeneIndex:
    """Return the index of the facts table that the package ships."""
    return make_index(shared_gene_table(organism))


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    places: dict[str, int] = {}
    for name, row in pairs:
        if places.setdefault(name, row) != row:
            places[name] = AMBIGUOUS
    return places
