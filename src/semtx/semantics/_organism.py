"""Which organism gene names come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx.semantics._index import gene_index
from semtx.semantics._table import ENSEMBL_PREFIX, ORGANISMS

if TYPE_CHECKING:
    from collections.abc import Iterable


def detect_organism(names: Iterable[str], ensembl_ids: Iterable[str] | None = None) -> str:
    """Tell from gene names, and Ensembl ids if there are any, whether genes are human or mouse.

    Every name votes for the organisms that know it exactly as it is spelled, with an Ensembl id or a symbol. With no
    votes or equal votes, mostly upper-case names count as human, others as mouse.

    Parameters
    ----------
    names
        Gene symbols or Ensembl ids.
    ensembl_ids
        Ensembl ids of the same genes.

    Returns
    -------
    ``"human"`` or ``"mouse"``.

    Examples
    --------
    >>> from semtx.semantics import detect_organism
    >>> detect_organism(["Gfap", "Mbp", "Slc17a7"])
    'mouse'
    """
    names = list(names)
    votes = organism_votes(names, ensembl_ids)
    if votes["human"] == votes["mouse"]:
        upper = sum(name.isupper() for name in names)
        return "human" if 2 * upper >= len(names) else "mouse"
    return max(votes, key=votes.__getitem__)


def organism_votes(names: Iterable[str], ensembl_ids: Iterable[str] | None = None) -> dict[str, int]:
    """Return how many names and identifiers each organism knows."""
    names = list(names)
    spelled = set(names)
    identifiers = names if ensembl_ids is None else [*names, *ensembl_ids]
    return {
        organism: len(spelled & gene_index(organism).symbols.keys())
        + sum(identifier.startswith(ENSEMBL_PREFIX[organism]) for identifier in identifiers)
        for organism in ORGANISMS
    }
