"""Cut the working gene tables down to the facts that the package ships: no summaries, no GO sentences.

The working tables are made by ``build_working_tables.py``.

    python scripts/build_gene_tables.py --tables DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).parents[1] / "src" / "semtx" / "semantics" / "data"
COLUMNS = ["symbol", "aliases", "name", "gene_type", "ncbi_gene_id", "ensembl_id"]
PREFIX = {"human": "ENSG", "mouse": "ENSMUSG"}
# Text compresses a third better without dictionary pages; identifiers are kept as numbers for the same reason.
ENCODING = {
    "symbol": "DELTA_LENGTH_BYTE_ARRAY",
    "aliases": "DELTA_LENGTH_BYTE_ARRAY",
    "name": "DELTA_LENGTH_BYTE_ARRAY",
    "human_ortholog": "DELTA_LENGTH_BYTE_ARRAY",
    "ncbi_gene_id": "DELTA_BINARY_PACKED",
    "ensembl_id": "DELTA_BINARY_PACKED",
}


def facts(table: pd.DataFrame, organism: str) -> pd.DataFrame:
    """Return the shipped columns, one row per gene, coding genes and genes with identifiers first among equals."""
    columns = [*COLUMNS, "human_ortholog"] if organism == "mouse" else COLUMNS
    table = table[columns].fillna("")
    table["gene_type"] = table["gene_type"].str.replace("protein_coding", "protein-coding")
    coding = table["gene_type"] == "protein-coding"
    identified = (table["ensembl_id"] != "").astype(int) + (table["ncbi_gene_id"] != "")
    # A stable order in which the first row of a symbol is the one to take.
    order = pd.DataFrame({"coding": ~coding, "identified": -identified, "id": pd.to_numeric(table["ncbi_gene_id"])})
    table = table.loc[order.sort_values(["coding", "identified", "id"], kind="stable").index]
    table["aliases"] = [
        _aliases(symbol, aliases) for symbol, aliases in zip(table["symbol"], table["aliases"], strict=True)
    ]
    table["ncbi_gene_id"] = pd.to_numeric(table["ncbi_gene_id"]).astype("Int32")
    number = table["ensembl_id"].str.removeprefix(PREFIX[organism])
    table["ensembl_id"] = pd.to_numeric(number).astype("Int64")
    return table.reset_index(drop=True)


def _aliases(symbol: str, aliases: str) -> str:
    """Drop empty and repeated names and the symbol itself."""
    kept = dict.fromkeys(alias.strip() for alias in aliases.split("|"))
    return "|".join(alias for alias in kept if alias and alias != symbol)


def main() -> None:
    """Run the build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="folder of the working tables")
    parser.add_argument("--out", type=Path, default=DATA)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for organism in PREFIX:
        table = facts(pd.read_parquet(args.tables / f"{organism}.parquet"), organism)
        path = args.out / f"{organism}.parquet"
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None),
            path,
            compression="zstd",
            compression_level=22,
            use_dictionary=["gene_type"],
            column_encoding={name: how for name, how in ENCODING.items() if name in table},
            data_page_size=8 << 20,
            row_group_size=1 << 20,
        )
        print(f"{path}: {len(table)} genes, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
