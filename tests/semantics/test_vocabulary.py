from __future__ import annotations

import hashlib

import numpy as np
import pytest

from semtx.semantics import builtin_vectors, load_gene_table, load_vocabulary, match_genes


@pytest.fixture(scope="module")
def vocabulary():
    return load_vocabulary("human")


def test_shapes_and_types(vocabulary):
    n = len(vocabulary.terms)
    genes = load_gene_table("human")
    assert n > 5000
    assert list(vocabulary.terms) == ["id", "name", "source", "merged", "synonyms"]
    assert vocabulary.members.shape == (n, len(genes))
    assert vocabulary.vectors.shape == (n, 384)
    assert vocabulary.vectors.dtype == vocabulary.members.dtype == np.float32
    assert vocabulary.mean.shape == (384,)
    np.testing.assert_allclose(np.linalg.norm(vocabulary.vectors, axis=1), 1, atol=1e-5)
    assert set(vocabulary.terms["source"]) == {"GO BP", "GO MF", "GO CC", "gene names"}
    assert vocabulary.terms["id"].is_unique


def test_members_were_made_of_the_shipped_table(vocabulary):
    symbols = load_gene_table("human")["symbol"]
    digest = hashlib.sha256("\n".join(symbols).encode()).hexdigest()
    assert vocabulary.provenance["human_symbols_sha256"] == digest
    size = vocabulary.members.getnnz(axis=1)
    assert size.min() >= 5
    assert size.max() <= 600
    assert (vocabulary.members.data == 1).all()
    assert vocabulary.members.has_canonical_format


@pytest.mark.parametrize(
    ("term", "genes"),
    [
        ("myelination", {"MBP", "PLP1", "MAG"}),
        ("T cell activation", {"CD3E", "CD28", "LCK"}),
        ("B cell activation", {"CD79A", "MS4A1"}),
        ("natural killer cell mediated cytotoxicity", {"KLRK1", "KLRD1"}),
        ("GO:0006695", {"HMGCR", "SQLE", "LSS"}),
        ("family:collagen", {"COL1A1", "COL4A2"}),
    ],
)
def test_terms_have_their_genes(vocabulary, term, genes):
    row = vocabulary.find(term)
    assert row >= 0
    assert genes <= set(vocabulary.symbols(row))


def test_find_knows_ids_merged_ids_and_names(vocabulary):
    row = vocabulary.find("GO:0042552")
    assert vocabulary.terms["name"][row] == "myelination"
    assert vocabulary.find(" Myelination ") == vocabulary.find("go:0042552") == row
    merged = vocabulary.terms["merged"][row].split("|")[0]
    synonym = vocabulary.terms["synonyms"][row].split("|")[0]
    assert vocabulary.find(merged) == vocabulary.find(synonym) == row
    assert vocabulary.find("no such term") == vocabulary.find("") == -1


def test_mouse_genes_belong_where_their_orthologues_do(vocabulary):
    mouse = load_vocabulary("mouse")
    assert mouse.terms.equals(vocabulary.terms)
    assert {"Mbp", "Plp1"} <= set(mouse.symbols(mouse.find("myelination")))
    assert mouse.members.data.max() == 1


def test_vectors_of_names_lie_near_those_of_the_genes(vocabulary):
    genes = match_genes(["MBP", "CD3E", "COL1A1", "HMGCR"], organism="human")
    rows = [
        vocabulary.find(t)
        for t in ("myelin sheath", "T cell receptor complex", "collagen trimer", "cholesterol biosynthetic process")
    ]
    assert min(rows) >= 0
    similarity = vocabulary.vectors[rows] @ builtin_vectors(genes).T
    assert (similarity.argmax(axis=1) == np.arange(4)).all()


def test_one_object_for_all(vocabulary):
    assert load_vocabulary("human") is vocabulary


def test_unknown_organism():
    with pytest.raises(ValueError, match="organism must be one of 'human', 'mouse', got 'worm'"):
        load_vocabulary("worm")
