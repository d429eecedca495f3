from __future__ import annotations

from importlib.resources import files

import pytest

from semtx.semantics import load_gene_table

COLUMNS = ["symbol", "aliases", "name", "gene_type", "ncbi_gene_id", "ensembl_id"]


@pytest.mark.parametrize(("organism", "columns"), [("human", COLUMNS), ("mouse", [*COLUMNS, "human_ortholog"])])
def test_columns_are_strings_without_missing_values(organism: str, columns: list[str]) -> None:
    table = load_gene_table(organism)
    assert list(table.columns) == columns
    assert all(table[column].map(type).eq(str).all() for column in columns)
    assert (table["symbol"] != "").all()


@pytest.mark.parametrize(
    ("organism", "symbol", "expected"),
    [
        ("human", "TP53", ("tumor protein p53", "protein-coding", "7157", "ENSG00000141510")),
        ("mouse", "Gfap", ("glial fibrillary acidic protein", "protein-coding", "14580", "ENSMUSG00000020932")),
    ],
)
def test_known_genes(organism: str, symbol: str, expected: tuple[str, ...]) -> None:
    row = load_gene_table(organism).set_index("symbol").loc[symbol]
    assert tuple(row[["name", "gene_type", "ncbi_gene_id", "ensembl_id"]]) == expected


def test_orthologues_are_official_human_symbols() -> None:
    mouse = load_gene_table("mouse").drop_duplicates("symbol").set_index("symbol")["human_ortholog"]
    assert mouse["Trp53"] == "TP53"
    known = mouse[mouse != ""].isin(set(load_gene_table("human")["symbol"]))
    assert known.mean() > 0.99


@pytest.mark.parametrize(("organism", "prefix"), [("human", "ENSG"), ("mouse", "ENSMUSG")])
def test_identifiers_are_well_formed(organism: str, prefix: str) -> None:
    table = load_gene_table(organism)
    assert table["ensembl_id"].str.fullmatch(rf"({prefix}\d{{11}})?").all()
    assert table["ncbi_gene_id"].str.fullmatch(r"\d*").all()


def test_no_alias_repeats_the_symbol_or_is_empty() -> None:
    table = load_gene_table("human")
    for symbol, aliases in zip(table["symbol"], table["aliases"], strict=True):
        names = aliases.split("|") if aliases else []
        assert symbol not in names
        assert all(names)
        assert len(set(names)) == len(names)


def test_the_table_is_a_copy() -> None:
    table = load_gene_table("human")
    table["symbol"] = "changed"
    assert (load_gene_table("human")["symbol"] != "changed").all()


def test_unknown_organism() -> None:
    with pytest.raises(ValueError, match="organism must be one of 'human', 'mouse', got 'zebrafish'"):
        load_gene_table("zebrafish")


def test_the_package_data_stays_small() -> None:
    sizes = {path.name: len(path.read_bytes()) for path in (files("semtx.semantics") / "data").iterdir()}
    assert sizes["human.parquet"] + sizes["mouse.parquet"] < 4e6
    assert sizes["gene_vectors.npz"] < 10e6
    assert sum(sizes.values()) < 13e6
