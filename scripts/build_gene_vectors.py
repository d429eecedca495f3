"""Build the built-in gene vectors: text of every gene -> all-MiniLM-L6-v2 -> centred -> int8 -> one npz of package data.

Reads the working tables ``human.parquet`` and ``mouse.parquet``, with summaries and GO sentences, after ``build_gene_tables.py``:
the rows of the vectors follow the rows of the shipped tables.
Needs the extra ``offline`` for the model. About ten minutes on two cores with bfloat16, half an hour without.

    python scripts/build_gene_vectors.py --tables DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from semtx.semantics import EmbeddingStore, gene_texts, get_encoder, load_gene_table
from semtx.semantics._offline import WEIGHTS_SHA256
from semtx.semantics._text import template_key

DATA = Path(__file__).parents[1] / "src" / "semtx" / "semantics" / "data"
TEMPLATE = "full"
RELEASE = "NCBI Gene 2021-09, RefSeq 220, HGNC 2026-10, GO 2022-09, GENCODE v48 and vM37"
# Levels per standard deviation of a row: 10 keeps every cosine within 0.001 and lets the file shrink to under 8 MB.
LEVELS = 10
MIN_CLASS = 10
_GENERIC_NAME = re.compile(
    r"^(?:predicted gene|riken cdna|expressed sequence|cdna sequence|dna segment|uncharacterized)",
    re.IGNORECASE,
)
_TYPES = {
    "": "gene",
    "unknown": "gene of unknown type",
    "other": "gene",
    "tec": "gene to be experimentally confirmed",
    "ncrna": "non-coding RNA",
    "lncrna": "long non-coding RNA",
    "mirna": "microRNA",
    "snrna": "small nuclear RNA",
    "snorna": "small nucleolar RNA",
    "scarna": "small Cajal body RNA",
    "scrna": "small cytoplasmic RNA",
    "srna": "small RNA",
    "misc_rna": "miscellaneous RNA",
    "rrna": "ribosomal RNA",
    "trna": "transfer RNA",
    "pseudo": "pseudogene",
    "protein-coding": "protein-coding gene",
    "protein_coding": "protein-coding gene",
}


def read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the human and the mouse working table, missing values as empty strings."""
    human, mouse = (pd.read_parquet(folder / f"{organism}.parquet").fillna("") for organism in ("human", "mouse"))
    return human, mouse


def is_described(table: pd.DataFrame) -> pd.Series:
    """Tell which genes get a vector of their own: described, or named and coding or an immune receptor.

    Immune receptor genes, NCBI type ``other``, have no summary, yet some mark cell types.
    """
    coding = table["gene_type"].isin(["protein-coding", "protein_coding"])
    receptor = (table["gene_type"] == "other") & (table["ensembl_id"] != "")
    named = table["name"] != ""
    return (named & (coding | receptor)) | (table["summary"] != "") | (table["go"] != "")


def class_name(row: pd.Series) -> str:
    """Return the name of a gene without its number, which genes of one class share."""
    if _GENERIC_NAME.match(row["name"]):
        return ""
    name = re.sub(r"\b[\w-]*\d[\w.-]*\b", "", row["name"])
    return re.sub(r"[\s,]+", " ", name).strip(" ,-")


def type_text(gene_type: str) -> str:
    """Write a gene type in words."""
    words = gene_type.lower().replace("_", " ")
    return _TYPES.get(gene_type.lower(), words)


def assemble(human: pd.DataFrame, mouse: pd.DataFrame) -> tuple[list[str], int, dict[str, dict[str, int]]]:
    """Return the texts to embed, how many are of single genes, and per organism which text each symbol uses.

    Every human gene that has a description has its own text. A mouse gene uses its human orthologue's; a described
    mouse gene without one has its own. Whatever is left (non-coding RNA, pseudogenes, predicted genes) shares the text
    of its class, such as "non-coding RNA: long intergenic non-protein coding RNA".
    """
    texts: list[str] = []
    place: dict[str, int] = {}
    rows: dict[str, dict[str, int]] = {"human": {}, "mouse": {}}

    def add(text: str) -> int:
        if text not in place:
            place[text] = len(texts)
            texts.append(text)
        return place[text]

    described = human[is_described(human)].drop_duplicates("symbol")
    for symbol, text in zip(described["symbol"], gene_texts(described, TEMPLATE), strict=True):
        rows["human"][symbol] = add(text)
    orthologues = mouse["human_ortholog"].map(rows["human"])
    for symbol, index in zip(mouse["symbol"], orthologues, strict=True):
        if not np.isnan(index):
            rows["mouse"].setdefault(symbol, int(index))
    informative = (mouse["go"] != "") | (mouse["summary"] != "") | ~mouse["name"].str.match(_GENERIC_NAME)
    own = is_described(mouse) & informative & ~mouse["symbol"].isin(rows["mouse"].keys())
    own = mouse[own].drop_duplicates("symbol")
    for symbol, text in zip(own["symbol"], gene_texts(own, TEMPLATE), strict=True):
        rows["mouse"][symbol] = add(text)
    n_own = len(texts)
    rest = []
    for organism, table in (("human", human), ("mouse", mouse)):
        left = table[~table["symbol"].isin(rows[organism].keys())].drop_duplicates("symbol")
        rest.append(left[["symbol", "gene_type", "name"]].assign(organism=organism))
    left = pd.concat(rest, ignore_index=True)
    left["type_text"] = left["gene_type"].map(type_text)
    left["class"] = left.apply(class_name, axis=1)
    common = left.groupby(["type_text", "class"])["symbol"].transform("size") >= MIN_CLASS
    text = left["type_text"].where(~common | (left["class"] == ""), left["type_text"] + ": " + left["class"])
    for organism, symbol, words in zip(left["organism"], left["symbol"], text, strict=True):
        rows[organism][symbol] = add(words)
    return texts, n_own, rows


def embed(texts: list[str], dtype: str, store: Path | None) -> np.ndarray:
    """Embed texts with the model of the extra ``offline``, whose weights are checked."""
    encoder = get_encoder("offline", dtype=dtype, batch_size=32)
    # Texts of like length share a batch of the store, so that little is padded.
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    vectors = EmbeddingStore(store).embed(encoder, [texts[place] for place in order], "gene vectors")
    result = np.empty_like(vectors)
    result[order] = vectors
    return result


def quantise(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 rows and one float16 scale per row."""
    scale = (vectors.std(axis=1) / LEVELS).astype(np.float16)
    rows = np.rint(vectors / scale.astype(np.float32)[:, None])
    if np.abs(rows).max() > 127:
        msg = "a value is more than 12.7 standard deviations of its row; lower LEVELS"
        raise ValueError(msg)
    return rows.astype(np.int8), scale


def main() -> None:
    """Run the build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="folder of the working tables")
    parser.add_argument("--out", type=Path, default=DATA / "gene_vectors.npz")
    parser.add_argument("--store", type=Path, help="folder of vectors already computed; the usual cache if absent")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--release", default=RELEASE, help="what the tables were made from")
    args = parser.parse_args()

    texts, n_own, rows = assemble(*read_tables(args.tables))
    print(
        f"{len(texts)} texts, {n_own} of single genes; {len(rows['human'])} human and {len(rows['mouse'])} mouse symbols"
    )
    vectors = embed(texts, args.dtype, args.store)
    # Centre over the genes with a text of their own, so that class texts do not pull the mean.
    mean = vectors[:n_own].mean(axis=0)
    values, scale = quantise(vectors - mean)
    provenance = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "model_sha256": WEIGHTS_SHA256,
        "dtype": args.dtype,
        "template": template_key(TEMPLATE),
        "class_template": "gene type: name without number",
        "texts_sha256": hashlib.sha256("\n".join(texts).encode()).hexdigest(),
        "n_texts": len(texts),
        "centred": "over the genes that have a text of their own",
        "table_release": args.release,
        "date": datetime.now(UTC).date().isoformat(),
        "attribution": "NCBI Gene and RefSeq (public domain), HGNC (CC0), Gene Ontology (CC BY 4.0), Ensembl / GENCODE",
    }
    arrays = {}
    for organism, places in rows.items():
        symbols = load_gene_table(organism)["symbol"]
        arrays[f"{organism}_rows"] = symbols.map(places).to_numpy(dtype=np.int32)
        provenance[f"{organism}_symbols_sha256"] = hashlib.sha256("\n".join(symbols).encode()).hexdigest()
    np.savez_compressed(
        args.out, values=values, scale=scale, mean=mean, provenance=np.array(json.dumps(provenance)), **arrays
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
