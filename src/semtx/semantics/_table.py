"""The facts about genes that the package ships: names and identifiers, no text."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files

import pandas as pd

from semtx._validate import check_choice

ORGANISMS = ("human", "mouse")
ENSEMBL_PREFIX = {"human": "ENSG", "mouse": "ENSMUSG"}
SCIENTIFIC_NAME = {"human": "Homo sapiens", "mouse": "Mus musculus"}


def load_gene_table(organism: str) -> pd.DataFrame:
    """Load the facts table of human or mouse genes that is part of the package.

    Made from NCBI Gene, HGNC, Ensembl / GENCODE and, for orthologues, Ensembl Compara; no network is used.

    Parameters
    ----------
    organism
        ``"human"`` or ``"mouse"``.

    Returns
    -------
    One row per gene, all columns strings, ``""`` where nothing is known: ``symbol`` (official), ``aliases`` (former and
    alternative symbols, joined by ``|``), ``name``, ``gene_type`` (``"protein-coding"``, ``"ncRNA"``, ...), ``ncbi_gene_id``,
    ``ensembl_id``, and for mouse ``human_ortholog`` (a human symbol). Of several rows with one symbol the first is the one
    to take. A copy, yours to change.

    Raises
    ------
    ValueError
        If there is no table for the organism.

    Examples
    --------
    >>> import semtx as st
    >>> genes = st.semantics.load_gene_table("human").set_index("symbol")
    >>> genes.loc["TP53", "name"], genes.loc["TP53", "ensembl_id"]
    ('tumor protein p53', 'ENSG00000141510')
    """
    check_choice("organism", organism, ORGANISMS)
    return shared_gene_table(organism).copy()


@lru_cache(maxsize=2)
def shared_gene_table(organism: str) -> pd.DataFrame:
    """Return the table of `load_gene_table` itself, read once: not to be changed."""
    with as_file(files("semtx.semantics") / "data" / f"{organism}.parquet") as path:
        table = pd.read_parquet(path)
    prefix = ENSEMBL_PREFIX[organism]
    # Identifiers are stored as numbers, which halves their size.
    table["ensembl_id"] = [
        f"{prefix}{number:011d}" if number > 0 else "" for number in table["ensembl_id"].fillna(0).astype(int)
    ]
    table["ncbi_gene_id"] = [
        str(number) if number > 0 else "" for number in table["ncbi_gene_id"].fillna(0).astype(int)
    ]
    return table
