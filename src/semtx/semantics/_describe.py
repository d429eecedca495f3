"""What gene names look like, in words, for messages about names that match nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from semtx._validate import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS = {
    "Affymetrix probe ids": r"(?:AFFX-.+|\d+(?:_[a-z]+)*_at)",
    "Illumina probe ids": r"ILMN_\d+",
    "human Ensembl gene ids": r"ENSG\d{11}(?:\.\d+)?",
    "mouse Ensembl gene ids": r"ENSMUSG\d{11}(?:\.\d+)?",
    "Ensembl transcript ids": r"ENS[A-Z]{0,4}T\d{11}(?:\.\d+)?",
    "Ensembl gene ids of another organism": r"ENS[A-Z]{3,4}G\d{11}(?:\.\d+)?",
    "fly gene ids": r"FBgn\d+",
    "worm gene ids": r"WBGene\d+",
    "plant gene ids": r"AT[1-5CM]G\d{5}",
    "genomic intervals": r"(?:chr)?[\dXYM]+[:_-]\d+[-_]\d+",
    "RefSeq accessions": r"[NX][MR]_\d+(?:\.\d+)?",
    "UniProt accessions": r"(?:[OPQ]\d[A-Z\d]{3}\d|[A-NR-Z]\d(?:[A-Z][A-Z\d]{2}\d){1,2})",
    "plain numbers": r"\d+",
}


def describe_names(names: Iterable[object]) -> str:
    """Say what most of the names look like and show the first ones.

    Examples
    --------
    >>> from semtx.semantics._describe import describe_names
    >>> describe_names(["1007_s_at", "1053_at"])
    "they look like Affymetrix probe ids: '1007_s_at', '1053_at'"
    """
    texts = [str(name) for name in names]
    for kind, pattern in _KINDS.items():
        if 2 * sum(re.fullmatch(pattern, name) is not None for name in texts) > len(texts):
            return f"they look like {kind}: {listed(texts, 4)}"
    return f"the first are {listed(texts, 4)}"
