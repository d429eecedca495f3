from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from semtx.semantics import builtin_vectors, load_gene_table, match_genes
from semtx.semantics._builtin import builtin_mean, builtin_provenance
from semtx.semantics._genesets import GENE_SETS, knn_purity


@pytest.fixture(scope="module")
def judged() -> tuple[list[str], dict[str, list[int]]]:
    """The genes of the curated sets among 500 random coding genes, and the rows of each set."""
    table = load_gene_table("human")
    inside = sorted({symbol for symbols in GENE_SETS.values() for symbol in symbols})
    others = np.setdiff1d(table["symbol"][table["gene_type"] == "protein-coding"], inside)
    symbols = [*inside, *np.random.default_rng(0).choice(others, 500, replace=False)]
    place = {symbol: row for row, symbol in enumerate(symbols)}
    return symbols, {name: [place[symbol] for symbol in members] for name, members in GENE_SETS.items()}


def test_purity_of_gene_sets(judged: tuple[list[str], dict[str, list[int]]]) -> None:
    symbols, sets = judged
    purity = knn_purity(builtin_vectors(match_genes(symbols, organism="human")), sets)
    assert np.mean(list(purity.values())) > 0.7
    assert purity["ribosome"] > 0.9
    noise = knn_purity(np.random.default_rng(0).standard_normal((len(symbols), 384)), sets)
    assert np.mean(list(noise.values())) < 0.04


def test_purity_by_hand() -> None:
    angles = np.radians([0, 10, 20, 90, 100, 15])
    vectors = np.c_[np.cos(angles), np.sin(angles)] * [[1], [2], [3], [1], [5], [1]]
    # 0 -> 10, 15; 10 -> 15, then 0 and 20 tie; 20 -> 15, 10: the outsider at 15 takes a place from each
    purity = knn_purity(vectors, {"first": [0, 1, 2], "second": [3, 4]}, n_neighbors=2)
    assert purity == {"first": pytest.approx(0.5), "second": 1}


def test_rows_are_of_unit_length_or_zero() -> None:
    match = match_genes(["GFAP", "Blank-1", "MALAT1", "LINC00640", "RPL3P4"], organism="human")
    vectors = builtin_vectors(match)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1, 1], atol=1e-6)


@pytest.mark.parametrize("organism", ["human", "mouse"])
def test_every_gene_of_the_table_has_a_vector(organism: str) -> None:
    table = load_gene_table(organism)
    sample = table["symbol"].sample(3000, random_state=0)
    assert builtin_vectors(match_genes(sample, organism=organism)).any(axis=1).all()
    # the vectors follow the rows of this very table
    digest = hashlib.sha256("\n".join(table["symbol"]).encode()).hexdigest()
    assert builtin_provenance()[f"{organism}_symbols_sha256"] == digest


def test_vectors_are_centred() -> None:
    table = load_gene_table("human")
    coding = table["symbol"][table["gene_type"] == "protein-coding"]
    mean = builtin_vectors(match_genes(coding, organism="human")).mean(axis=0)
    assert np.linalg.norm(mean) < 0.2
    assert np.linalg.norm(builtin_mean()) > 0.3


def test_mouse_genes_have_their_orthologues_vector() -> None:
    mouse = builtin_vectors(match_genes(["Gfap", "Trp53"], organism="mouse"))
    human = builtin_vectors(match_genes(["GFAP", "TP53"], organism="human"))
    np.testing.assert_array_equal(mouse, human)


def test_mouse_genes_without_orthologue_have_their_own() -> None:
    vectors = builtin_vectors(match_genes(["Vmn1r61", "Vmn1r62", "Gfap"], organism="mouse"))
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.9
    assert similarity[0, 2] < 0.4


def test_another_table_is_understood() -> None:
    table = load_gene_table("human").set_index("symbol", drop=False).loc[["MBP", "TP53"]].replace("TP53", "P53")
    match = match_genes(["P53", "MBP"], organism="human", table=table)
    assert list(match.symbols) == ["P53", "MBP"]
    expected = builtin_vectors(match_genes(["TP53", "MBP"], organism="human"))
    np.testing.assert_array_equal(builtin_vectors(match), expected)


def test_provenance_says_what_it_is_made_of() -> None:
    provenance = builtin_provenance()
    assert provenance["model_sha256"].startswith("53aa5117")
    assert {"model", "template", "table_release", "date", "attribution", "texts_sha256"} <= provenance.keys()
    assert "CC BY 4.0" in provenance["attribution"]


def test_no_torch_is_loaded() -> None:
    code = (
        "import sys; from semtx.semantics import builtin_vectors, match_genes; "
        "builtin_vectors(match_genes(['GFAP'])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
