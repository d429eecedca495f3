"""Dictionaries from every name of a gene to its row in the facts table."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from semtx.semantics._table import shared_gene_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

NONE = -1
AMBIGUOUS = -2


class GeneIndex:
    """Names to rows of a facts table, each dictionary made when it is first asked for; the folded ones have upper-case keys.

    A name that several genes share maps to `AMBIGUOUS`, except for official symbols, where the table's first row stands.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Official symbols."""
        return _first(self._table["symbol"].tolist())

    @cached_property
    def ensembl(self) -> dict[str, int]:
        """Ensembl ids, without version."""
        places = _first(self._table["ensembl_id"].tolist())
        places.pop("", None)
        return places

    @cached_property
    def aliases(self) -> dict[str, int]:
        """Other symbols."""
        return _unique(self._alias_rows)

    @cached_property
    def folded_symbols(self) -> dict[str, int]:
        """Official symbols in upper case."""
        return _unique((symbol.upper(), row) for symbol, row in self.symbols.items())

    @cached_property
    def folded_aliases(self) -> dict[str, int]:
        """Other symbols in upper case."""
        return _unique((alias.upper(), row) for alias, row in self._alias_rows)

    @cached_property
    def _alias_rows(self) -> list[tuple[str, int]]:
        # Rows that repeat a symbol stand for the first one, so that their common aliases are not ambiguous.
        rows = map(self.symbols.__getitem__, self._table["symbol"].tolist())
        aliases = self._table["aliases"].tolist()
        return [(alias, row) for names, row in zip(aliases, rows, strict=True) if names for alias in names.split("|")]


@lru_cache(maxsize=2)
def gene_index(organism: str) -> GeneIndex:
    """Return the index of the facts table that the package ships."""
    return GeneIndex(shared_gene_table(organism))


def _first(names: list[str]) -> dict[str, int]:
    # Later entries of a dictionary overwrite earlier ones, so that the first row of a name comes last.
    last = len(names) - 1
    return {name: last - place for place, name in enumerate(reversed(names))}


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    places: dict[str, int] = {}
    for name, row in pairs:
        if places.setdefault(name, row) != row:
            places[name] = AMBIGUOUS
    return places
