from __future__ import annotations

import numpy as np
import pytest

from semtx.semantics._builtin import builtin_vectors
from semtx.semantics._match import match_genes
from semtx.semantics._state_genes import PROGRAMMES, state_genes

OTHERS = ["CD3E", "MS4A1", "LYZ", "NKG7", "PPBP", "FCER1A", "INS", "GCG", "COL1A1", "MBP", "GAD1", "SNAP25"]
MORE = {
    "interferon response": ("IFIT2", "MX2", "OAS2", "IFI44"),
    "cell cycle": ("CDC20", "CCNB2", "CCNA2", "MCM3", "PLK1"),
    "heat shock": ("HSPA6",),
    "immediate early response": ("ATF4", "JUND", "FOSL2"),
}


@pytest.fixture(scope="module")
def coding() -> tuple[np.ndarray, np.ndarray]:
    """Every third gene of the table, and those named here."""
    from semtx.semantics import load_gene_table

    table = load_gene_table("human")
    names = table.loc[table["gene_type"] == "protein-coding", "symbol"].tolist()
    named = [*OTHERS, *(gene for genes in [*PROGRAMMES.values(), *MORE.values()] for gene in genes)]
    match = match_genes(list(dict.fromkeys(names[::3] + named)), organism="human")
    return match.symbols, builtin_vectors(match)


def test_finds_genes_that_were_not_named(coding):
    symbols, vectors = coding
    found = {name: set(symbols[rows]) for name, rows in state_genes(symbols, vectors).items()}
    for name, genes in MORE.items():
        assert len(found[name] & set(genes)) >= len(genes) / 2, name
        assert len(found[name]) < 0.05 * len(symbols)
    assert not set().union(*found.values()) & set(OTHERS)


def test_equals_its_definition(coding):
    symbols, vectors = coding
    unit = vectors.astype(float) - vectors.mean(axis=0, dtype=float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for name, rows in state_genes(symbols, vectors).items():
        seeds = unit[np.isin(symbols, PROGRAMMES[name])]
        to_others = []
        for i, seed in enumerate(seeds):
            rest = np.delete(seeds, i, axis=0).sum(axis=0)
            to_others.append(seed @ rest / np.linalg.norm(rest))
        center = seeds.mean(axis=0) / np.linalg.norm(seeds.mean(axis=0))
        np.testing.assert_array_equal(rows, np.flatnonzero(unit @ center >= np.median(to_others)))


def test_vectors_without_meaning_find_nothing(coding):
    symbols, vectors = coding
    found = []
    for seed in range(10):
        shuffled = vectors[np.random.default_rng(seed).permutation(len(vectors))]
        found += [len(rows) > 0 for rows in state_genes(symbols, shuffled).values()]
    assert sum(found) <= 2, "one in a hundred passes by chance"


def test_mouse_symbols_and_genes_without_vector(coding):
    symbols, vectors = coding
    human = state_genes(symbols, vectors)
    mouse = state_genes(np.array([name.capitalize() for name in symbols], dtype=object), vectors)
    for name, rows in human.items():
        np.testing.assert_array_equal(rows, mouse[name])
    unknown = np.vstack([vectors, np.zeros((5, vectors.shape[1]))])
    padded = state_genes(np.r_[symbols, [""] * 5], unknown)
    for name, rows in human.items():
        np.testing.assert_array_equal(rows, padded[name])


@pytest.mark.parametrize("n_known", [0, 2])
def test_too_few_known_genes_find_none(n_known):
    names = np.array([*PROGRAMMES["cell cycle"][:n_known], *OTHERS], dtype=object)
    vectors = np.random.default_rng(0).normal(size=(len(names), 8))
    assert all(not len(rows) for rows in state_genes(names, vectors).values())
    assert all(not len(rows) for rows in state_genes(names, np.zeros_like(vectors)).values())
