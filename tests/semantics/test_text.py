from __future__ import annotations

import pandas as pd
import pytest

from semtx.semantics import gene_texts


@pytest.fixture
def records() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["MBP", "AC1", None, "GENE"],
            "name": ["myelin basic protein", None, "no symbol", "GENE"],
            "aliases": ["GOLLI|X", "", None, None],
            "gene_type": ["protein-coding", None, None, None],
            "ncbi_gene_id": ["4155", None, None, None],
            "summary": ["Wraps axons.", None, "lost", None],
            "go": ["Located in cytosol.", "Located in nucleus.", "lost", None],
        }
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("symbol", ["MBP", "AC1", "", "GENE"]),
        ("name", ["myelin basic protein", "AC1", "", "GENE"]),
        ("symbol_name", ["MBP: myelin basic protein", "AC1", "", "GENE"]),
        ("summary", ["MBP: myelin basic protein. Wraps axons.", "AC1", "", "GENE"]),
        (
            "full",
            ["MBP: myelin basic protein. Wraps axons. Located in cytosol.", "AC1. Located in nucleus.", "", "GENE"],
        ),
        (
            "paper",
            [
                "Gene ID: 4155. Gene Name: MBP. Full Name: myelin basic protein. Type: protein-coding. "
                "Also Known As: GOLLI, X. Summary: Wraps axons.",
                "Gene Name: AC1.",
                "",
                "Gene Name: GENE. Full Name: GENE.",
            ],
        ),
    ],
)
def test_templates_skip_what_is_missing(records, template, expected):
    assert gene_texts(records, template) == expected


def test_a_table_with_symbols_only():
    table = pd.DataFrame({"symbol": ["A"]})
    assert gene_texts(table) == ["A"]
    assert gene_texts(table, "paper") == ["Gene Name: A."]
    assert gene_texts(table.iloc[:0]) == []


def test_bad_input(records):
    with pytest.raises(ValueError, match="template must be one of 'symbol'"):
        gene_texts(records, "long")
    with pytest.raises(KeyError, match="column 'symbol'"):
        gene_texts(records.drop(columns="symbol"))
