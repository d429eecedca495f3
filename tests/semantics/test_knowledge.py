from __future__ import annotations

import gzip
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from semtx.semantics import gene_texts, load_online_table
from semtx.semantics._knowledge import read_gene_info, read_gene_summary

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = [
    "#tax_id",
    "GeneID",
    "Symbol",
    "LocusTag",
    "Synonyms",
    "dbXrefs",
    "chromosome",
    "map_location",
    "description",
    "type_of_gene",
    "Symbol_from_nomenclature_authority",
    "Full_name_from_nomenclature_authority",
    "Nomenclature_status",
    "Other_designations",
    "Modification_date",
    "Feature_type",
]


def info(**fields: str) -> str:
    return "\t".join({**dict.fromkeys(COLUMNS, "-"), **fields}[column] for column in COLUMNS)


def gene(tax: str, number: str, symbol: str, kind: str = "protein-coding", **fields: str) -> str:
    return info(**{"#tax_id": tax, "GeneID": number, "Symbol": symbol, "type_of_gene": kind, **fields})


HUMAN = [
    gene("9606", "1", "NAN", kind="ncRNA", description='a name with a "quote', Synonyms="NULL|NA"),
    gene("9606", "4512", "COX1", dbXrefs="MIM:516030|HGNC:HGNC:7419|Ensembl:ENSG00000198804|AllianceGenome:HGNC:7419",
         Symbol_from_nomenclature_authority="MT-CO1", Synonyms="COI|MTCO1",
         Full_name_from_nomenclature_authority="mitochondrially encoded cytochrome c oxidase I", description="other"),
    gene("9606", "4155", "MBP", description="myelin basic protein", Symbol_from_nomenclature_authority="MBP"),
    gene("9606", "2", "LOC2", kind="biological-region"),
    gene("9606", "3", "NEWENTRY", kind="other"),
    gene("741158", "4", "MBP", description="another organism"),
]  # fmt: skip
MOUSE = [
    gene("10090", "17196", "Mbp", description="myelin basic protein"),
    gene("10090", "14580", "Gfap", description="glial fibrillary acidic protein"),
]
SUMMARY = [
    "#tax_id\tGeneID\tSource\tSummary",
    "9606\t4155\tAlliance\tAnother text of MBP.",
    '9606\t4155\tRefSeq\tWraps "axons. [provided by RefSeq, Jul 2008].',
    "9606\t4512\tOMIM\tA text of OMIM.",
    "9606\t1\tRefSeq\tFound by Hao et al., 2004.",
    "9606\t2670\tRefSeq\tHuman GFAP is a filament.",
    "10090\t17196\tAlliance\tMouse Mbp.",
    "10090\t14580\tRefSeq\tA text. [supplied by OMIM]",
    "10116\t4155\tRefSeq\tOf the rat.",
]


@pytest.fixture
def mirror(tmp_path) -> Path:
    """The part of NCBI's gene/DATA that is read, in its own format."""
    folder = tmp_path / "DATA"
    (folder / "GENE_INFO" / "Mammalia").mkdir(parents=True)
    for name, rows in (("Homo_sapiens", HUMAN), ("Mus_musculus", MOUSE)):
        text = "\n".join(["\t".join(COLUMNS), *rows]) + "\n"
        (folder / "GENE_INFO" / "Mammalia" / f"{name}.gene_info.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "gene_summary.gz").write_bytes(gzip.compress(("\n".join(SUMMARY) + "\n").encode()))
    return folder


def test_gene_info(mirror):
    table = read_gene_info(mirror / "GENE_INFO" / "Mammalia" / "Homo_sapiens.gene_info.gz", "human")
    assert table["symbol"].tolist() == ["MT-CO1", "MBP", "NAN"]  # protein-coding first, no region, no other organism
    first = table.iloc[0]
    assert first["aliases"] == "COI|MTCO1|COX1"
    assert first["name"] == "mitochondrially encoded cytochrome c oxidase I"
    assert first["ensembl_id"] == "ENSG00000198804"
    assert table["name"].tolist()[2] == 'a name with a "quote'
    assert table["aliases"].tolist()[1:] == ["", "NULL|NA"]
    assert table["ncbi_gene_id"].tolist() == ["4512", "4155", "1"]


def test_gene_summary(mirror):
    human = read_gene_summary(mirror / "gene_summary.gz", "human")
    assert human == {"4155": 'Wraps "axons.', "2670": "Human GFAP is a filament."}  # none of OMIM's, by source or style
    assert read_gene_summary(mirror / "gene_summary.gz", "mouse") == {"17196": "Mouse Mbp."}


def test_another_format_is_told(tmp_path):
    path = tmp_path / "gene_summary"
    path.write_text("#tax_id\tGeneID\tText\n9606\t1\tx\n")
    with pytest.raises(ValueError, match="lacks the columns 'Source', 'Summary'"):
        read_gene_summary(path, "human")


@pytest.fixture
def server(mirror, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    http = HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(mirror)))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", asked
    http.shutdown()
    http.server_close()
    thread.join()


def test_download_once_with_a_date(server, tmp_path):
    url, asked = server
    table = load_online_table("human", base_url=url, folder=tmp_path / "kept")
    assert gene_texts(table) == [
        "MT-CO1: mitochondrially encoded cytochrome c oxidase I",
        'MBP: myelin basic protein. Wraps "axons.',
        'NAN: a name with a "quote',
    ]
    assert len(asked) == 2
    again = load_online_table("human", base_url=url, folder=tmp_path / "kept")
    assert len(asked) == 2
    assert again.equals(table)
    dates = table.attrs["knowledge"]
    assert set(dates) == {"Homo_sapiens.gene_info.gz", "gene_summary.gz"}
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(
        f"{date}_{name}" for name, date in dates.items()
    )
    load_online_table("human", base_url=url, folder=tmp_path / "kept", refresh=True)
    assert len(asked) == 4


def test_mouse_genes_borrow_the_summary_of_their_human_orthologue(server, tmp_path):
    table = load_online_table("mouse", base_url=server[0], folder=tmp_path / "kept").set_index("symbol")
    assert table.loc["Mbp", "summary"] == "Mouse Mbp."
    assert table.loc["Gfap", "human_ortholog"] == "GFAP"
    assert table.loc["Gfap", "summary"] == "Human GFAP is a filament."


def test_no_server(server, tmp_path):
    with pytest.raises(ConnectionError, match="cannot be downloaded"):
        load_online_table("human", base_url=f"{server[0]}/nowhere", folder=tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*.gz"))
    with pytest.raises(ValueError, match="organism must be one of 'human', 'mouse'"):
        load_online_table("worm", folder=tmp_path)
