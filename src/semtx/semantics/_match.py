"""Matching gene names to the facts table: exact before folded, symbols before aliases, never a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from semtx._validate import check_choice, listed
from semtx.semantics._index import AMBIGUOUS, NONE, GeneIndex, gene_index
from semtx.semantics._organism import detect_organism
from semtx.semantics._table import ORGANISMS, shared_gene_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

METHODS = ("symbol", "alias", "ensembl", "ortholog", "ambiguous", "none")

_ENSEMBL = re.compile(r"ENS[A-Z]{0,4}G\d{11}(?:\.\d+)?(?:_PAR_Y)?\Z")
_GENOME = re.compile(r"(?:GRCh3[78]|hg19|hg38|GRCm3[89]|mm9|mm10|mm39)_+(?=\S)")
# What tools write where a name is missing; "nan" and "NA" are aliases of SCN11A and XK.
_MISSING = frozenset({"", "na", "nan", "none", "null"})
_SUFFIX = re.compile(r"[-.]\d{1,2}\Z")


@dataclass(frozen=True)
class GeneMatch:
    """How gene names matched a facts table.

    Attributes
    ----------
    organism
        ``"human"`` or ``"mouse"``.
    table
        The facts table, one row per gene.
    names
        The names asked for, shape (n,).
    rows
        Row of each gene in ``table``, -1 where there is none, shape (n,).
    method
        ``"symbol"``, ``"alias"``, ``"ensembl"``, ``"ortholog"`` (known by its symbol in the other organism),
        ``"ambiguous"`` (an alias of several genes) or ``"none"``, shape (n,).
    """

    organism: str
    table: pd.DataFrame
    names: NDArray[np.object_]
    rows: NDArray[np.intp]
    method: NDArray[np.object_]

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Whether each gene has a row."""
        return self.rows >= 0

    @property
    def symbols(self) -> NDArray[np.object_]:
        """Official symbol of each gene, ``""`` where it did not match."""
        found = self.matched
        symbols = np.full(len(self.rows), "", dtype=object)
        symbols[found] = self.table["symbol"].to_numpy(dtype=object)[self.rows[found]]
        return symbols

    @property
    def coverage(self) -> float:
        """Fraction of the genes that matched."""
        return float(self.matched.mean()) if len(self.rows) else 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Number of genes by method."""
        return {method: int((self.method == method).sum()) for method in METHODS}


def match_genes(
    names: Iterable[Any],
    *,
    organism: str | None = None,
    ensembl_ids: Iterable[Any] | None = None,
    table: pd.DataFrame | None = None,
) -> GeneMatch:
    """Find genes by name in the facts table.

    A name is tried, in this order, as official symbol, as alias of one gene, as Ensembl id (with or without version; the
    gene's entry in ``ensembl_ids`` too), then with case ignored, then as R and scanpy write it (``A1BG.AS1`` for
    ``A1BG-AS1``, ``X7SK`` for ``7SK``, ``ACTB-1`` for a second ``ACTB``), at last as a symbol of the other organism that has an
    orthologue here. Blanks around a name and a genome's name before it (``GRCh38_``) are dropped. An alias never overrides an
    official symbol, nor an Ensembl id that says otherwise; an alias of several genes is reported as ambiguous, not guessed.
    ``"nan"``, ``"NA"``, ``"none"`` and ``"null"`` in any case stand for a missing name, unless one is an official symbol.

    Parameters
    ----------
    names
        Gene symbols or Ensembl ids.
    organism
        ``"human"`` or ``"mouse"``; ``None`` tells from the names, see `detect_organism`.
    ensembl_ids
        Ensembl ids of the same genes, as many as ``names``; anything else among them is ignored.
    table
        A facts table in place of the shipped one, with the columns of `load_gene_table`.

    Returns
    -------
    A `GeneMatch` with ``rows``, ``method`` and ``symbols`` for each name.

    Raises
    ------
    ValueError
        If the organism is unknown, or there are not as many ``ensembl_ids`` as ``names``.

    Examples
    --------
    >>> from semtx.semantics import match_genes
    >>> match = match_genes(["GFAP", "P53", "ENSG00000197971.16", "HLA.A", "Blank-1"], organism="human")
    >>> list(match.symbols)
    ['GFAP', 'TP53', 'MBP', 'HLA-A', '']
    >>> list(match.method)
    ['symbol', 'alias', 'ensembl', 'symbol', 'none']
    >>> match.coverage
    0.8
    """
    asked = np.array([_text(name) for name in names], dtype=object)
    cleaned = [_GENOME.sub("", name.strip()) for name in asked]
    identifiers = _identifiers(cleaned, ensembl_ids)
    if organism is None:
        organism = detect_organism(cleaned, [i for i in identifiers if i])
    check_choice("organism", organism, ORGANISMS)
    if table is None:
        table, index = shared_gene_table(organism), gene_index(organism)
    else:
        table = _completed(table)
        index = GeneIndex(table)

    rows = np.full(len(asked), NONE, dtype=np.intp)
    method = np.full(len(asked), "none", dtype=object)
    left = []
    for place, (name, identifier) in enumerate(zip(cleaned, identifiers, strict=True)):
        if name.lower() in _MISSING and name not in index.symbols:
            name = ""  # noqa: PLW2901
        row, how = _exact(index, name, identifier)
        if row < 0 and name:
            row, how = _spelled_otherwise(index, name, how)
        if row >= 0 or how == "ambiguous":
            rows[place], method[place] = max(row, NONE), how
        if how == "none" and name:
            left.append(place)
    if left:
        orthologs = _ortholog_rows(organism, table, index, [cleaned[place] for place in left])
        for place, row in zip(left, orthologs, strict=True):
            if row >= 0:
                rows[place], method[place] = row, "ortholog"
    return GeneMatch(organism, table, asked, rows, method)


def looks_like_ensembl(values: Iterable[Any], share: float = 0.5) -> bool:
    """Tell whether at least this share of the values are Ensembl gene ids."""
    values = [str(value) for value in values]
    return bool(values) and sum(_ENSEMBL.match(value) is not None for value in values) >= share * len(values)


def _completed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a user's table with the columns that matching needs and no missing values."""
    if "symbol" not in table:
        msg = f"a gene table needs a column 'symbol'; its columns are {listed(table.columns)}"
        raise KeyError(msg)
    absent = {column: "" for column in ("aliases", "ensembl_id") if column not in table}
    return table.assign(**absent).fillna("").reset_index(drop=True)


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _identifiers(names: Sequence[str], ensembl_ids: Iterable[Any] | None) -> list[str]:
    """Return one Ensembl id without version per gene, from its own column or its name, ``""`` where there is none."""
    given: list[Any] = [""] * len(names) if ensembl_ids is None else list(ensembl_ids)
    if len(given) != len(names):
        msg = f"ensembl_ids has {len(given)} entries for {len(names)} names"
        raise ValueError(msg)
    found = []
    for name, identifier in zip(names, given, strict=True):
        text = _text(identifier).strip()
        if not text.startswith("ENS") or not _ENSEMBL.match(text):
            text = name if name.startswith("ENS") and _ENSEMBL.match(name) else ""
        found.append(text.partition(".")[0].partition("_")[0])
    return found


def _exact(index: GeneIndex, name: str, identifier: str) -> tuple[int, str]:
    row = index.symbols.get(name, NONE)
    if row >= 0:
        return row, "symbol"
    row = index.aliases.get(name, NONE)
    known = index.ensembl.get(identifier, NONE) if identifier else NONE
    if known >= 0:
        return (row, "alias") if row == known else (known, "ensembl")
    if row >= 0:
        return row, "alias"
    return NONE, "ambiguous" if row == AMBIGUOUS else "none"


def _spelled_otherwise(index: GeneIndex, name: str, how: str) -> tuple[int, str]:
    """Ignore the case, then undo what R and ``make_unique`` do to names."""
    if how == "ambiguous":
        # Only a symbol that differs in case is a better reading of an alias of several genes.
        row = index.folded_symbols.get(name.upper(), NONE)
        return (row, "symbol") if row >= 0 else (NONE, how)
    for spelling in _spellings(name):
        folded = spelling.upper()
        row = index.folded_symbols.get(folded, NONE)
        if row >= 0:
            return row, "symbol"
        row = index.folded_aliases.get(folded, NONE)
        if row >= 0:
            return row, "alias"
        if row == AMBIGUOUS:
            return NONE, "ambiguous"
    base = _SUFFIX.sub("", name)
    if base != name:
        for spelling in _spellings(base):
            # A short name with a number taken off is too easily an alias of something else: symbols only.
            row = index.symbols.get(spelling, NONE)
            if row >= 0:
                return row, "symbol"
    return NONE, "none"


def _spellings(name: str) -> Iterator[str]:
    yield name
    dashed = name.replace(".", "-")
    if dashed != name:
        yield dashed
    if len(name) > 1 and name[0] == "X" and name[1].isdigit():
        yield name[1:]
        if dashed != name:
            yield dashed[1:]


def _ortholog_rows(organism: str, table: pd.DataFrame, index: GeneIndex, names: Sequence[str]) -> list[int]:
    """Return rows of genes called by their orthologue's symbol."""
    if organism == "mouse":
        if "human_ortholog" not in table:
            return [NONE] * len(names)
        places: dict[str, int] = {}
        for row, symbol in enumerate(table["human_ortholog"]):
            if symbol:
                places.setdefault(symbol.upper(), row)
        return [places.get(name.upper(), NONE) for name in names]
    mouse = shared_gene_table("mouse")
    symbols = gene_index("mouse").folded_symbols
    orthologs = mouse["human_ortholog"].tolist()
    return [
        index.symbols.get(orthologs[row], NONE) if (row := symbols.get(name.upper(), NONE)) >= 0 else NONE
        for name in names
    ]
