"""Groups of genes whose text says little about a cell's identity."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from semtx._validate import check_choice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

GENE_GROUPS: dict[str, str] = {
    "mitochondrial": r"MT[-.]",
    # RPS6K* and RPS19BP1 act on a ribosomal protein
    "ribosomal": r"RP[LS](?!6K|19BP)(\d|P\d|A)",
    # ERCC1 ... ERCC8 are genes, ERCC-00002 is a spike-in
    "control": (
        r"ERCC[-._]\d{3,}|BLANK|NEGCONTROL|NEG_?PRB|NEGATIVE|SYSTEMCONTROL|FALSECODE|UNASSIGNED|DEPRECATED"
        r"|INTERGENIC_|ANTISENSE_|GENOMICCONTROL|CONTROL_?PROBE"
    ),
    "haemoglobin": r"HB(A[12]?|B|D|E1|G[12]|M|Q1|Z)$|HB[AB]-",
}
DEFAULT_EXCLUDED = ("mitochondrial", "ribosomal", "control")


def group_names(exclude: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of the groups of genes that an argument ``exclude`` gives: one, several or none."""
    return (exclude,) if isinstance(exclude, str) else tuple(exclude or ())


def excluded_genes(symbols: Iterable[str], groups: Iterable[str] = DEFAULT_EXCLUDED) -> NDArray[np.bool_]:
    """Mark genes that belong to one of the named groups, by symbol and without regard to case.

    Parameters
    ----------
    symbols
        Gene symbols, human or mouse.
    groups
        Any of ``"mitochondrial"`` (``MT-CO1``), ``"ribosomal"`` (``RPL3``, ``RPS6``; kinases such as ``RPS6KA1`` are
        not), ``"control"`` (negative controls, blank barcodes, unassigned codewords, ERCC spike-ins) and
        ``"haemoglobin"``.

    Returns
    -------
    One truth value per symbol.

    Examples
    --------
    >>> from semtx.semantics import excluded_genes
    >>> excluded_genes(["MT-CO1", "Rpl3", "ERCC1", "ERCC-00002", "Snap25"])
    array([ True,  True, False,  True, False])
    """
    patterns = []
    for group in groups:
        check_choice("exclude", group, GENE_GROUPS)
        patterns.append(GENE_GROUPS[group])
    symbols = list(symbols)
    if not patterns:
        return np.zeros(len(symbols), dtype=bool)
    match = re.compile("|".join(patterns), re.IGNORECASE).match
    return np.array([match(str(symbol)) is not None for symbol in symbols], dtype=bool)
