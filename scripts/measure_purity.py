"""Measure how well gene vectors bring curated gene sets together: shipped vectors, float32 vectors, random vectors.

Genes of ``semtx.semantics._genesets`` among 500 random coding genes; share of set mates among the nearest neighbours.

    python scripts/measure_purity.py [--tables DIR]

With the working tables and the extra ``offline``, the texts are embedded again in float32 for comparison.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from semtx.semantics import gene_texts, load_gene_table, match_genes
from semtx.semantics._builtin import builtin_mean, builtin_vectors
from semtx.semantics._genesets import FAMILIES, GENE_SETS, knn_purity


def genes(n_random: int = 500) -> tuple[list[str], dict[str, list[int]]]:
    """Return the genes of the sets and random coding genes, and the rows of each set."""
    table = load_gene_table("human")
    coding = table["symbol"][(table["gene_type"] == "protein-coding") & (table["name"] != "")]
    inside = {symbol for symbols in GENE_SETS.values() for symbol in symbols}
    others = np.setdiff1d(coding, sorted(inside))
    symbols = [*sorted(inside), *np.random.default_rng(0).choice(others, n_random, replace=False)]
    place = {symbol: row for row, symbol in enumerate(symbols)}
    return symbols, {name: [place[symbol] for symbol in members] for name, members in GENE_SETS.items()}


def report(label: str, vectors: np.ndarray, sets: dict[str, list[int]]) -> None:
    """Print the mean purity and that of families and functions."""
    purity = knn_purity(vectors, sets)
    family, function = ([value for name, value in purity.items() if (name in FAMILIES) is own] for own in (True, False))
    print(
        f"{label:28s} {np.mean(list(purity.values())):.4f}  families {np.mean(family):.3f}  functions {np.mean(function):.3f}"
    )


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, help="folder of the working tables, with summaries and GO sentences")
    parser.add_argument("--store", type=Path, help="folder of vectors already computed; the usual cache if absent")
    args = parser.parse_args()
    symbols, sets = genes()
    match = match_genes(symbols, organism="human")
    unknown = [symbol for symbol, how in zip(symbols, match.method, strict=True) if how != "symbol"]
    print(f"{len(symbols)} genes in {len(sets)} sets and at random; not official symbols: {unknown}")
    report("shipped", builtin_vectors(match), sets)
    report("random", np.random.default_rng(0).standard_normal((len(symbols), 384)), sets)
    if args.tables:
        from build_gene_vectors import TEMPLATE, embed, read_tables

        records = read_tables(args.tables)[0].drop_duplicates("symbol").set_index("symbol", drop=False).loc[symbols]
        vectors = embed(gene_texts(records, TEMPLATE), "float32", args.store)
        report("float32", vectors - builtin_mean(), sets)


if __name__ == "__main__":
    main()
