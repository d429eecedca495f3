"""Terms and the genes that belong to them: GO with its ancestors, and families that gene names tell of."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from pathlib import Path

_BRANCHES = ("bp", "mf", "cc")
_GREEK = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "sigma"}
# What a name may end with before the number of the member, and what by itself is no family.
_TAIL = {"member", "type", "class", "subunit", "and", "of", "like", "family", "isoform", "group", "subfamily", "chain"}
_TAIL |= {"component", "variable"}
_EMPTY = re.compile(
    r"(?:and|of|like|family|associated|putative|uncharacterized|divergent|with|catalytic|regulatory|interacting|motif|type"
    r"|domain|target|chromosome open|multiple|short|component|subunit|complex)\b"
    r"|.*\b(?:readthrough|opposite strand|neighbor|regulatory|medium|long)\Z"
    r"|(?:transmembrane|protein|homolog|molecule|receptor|regulator|antigen|poly|nuclear factor|binding protein|interactor"
    r"|[NC]-terminal|RNA binding|transcription factor|transcription complex|proline rich|glycoprotein|effector protein"
    r"|signal peptide|docking protein|adaptor protein|tumor protein|regulatory factor|immediate early response)\Z"
)


def go_terms(org: Path, ontology: Path, genes: pd.DataFrame) -> tuple[pd.DataFrame, sparse.csr_matrix]:
    """Return GO terms (``id``, ``name``, ``source``) and their genes, those of more special terms among them.

    Columns of the matrix are the rows of the facts table. Annotations of evidence "no data" do not count.
    """
    rows = genes.reset_index().drop_duplicates("ncbi_gene_id").set_index("ncbi_gene_id")["index"]
    with sqlite3.connect(org) as database:
        found = pd.concat(
            pd.read_sql(
                f"SELECT DISTINCT gene_id, go_id FROM go_{branch}_all JOIN genes USING (_id) WHERE evidence <> 'ND'",
                database,
            ).assign(source=f"GO {branch.upper()}")
            for branch in _BRANCHES
        )
    with sqlite3.connect(ontology) as database:
        names = dict(database.execute("SELECT go_id, term FROM go_term").fetchall())
    found["row"] = found["gene_id"].map(rows)
    found = found[found["row"].notna() & found["go_id"].isin(names.keys())]
    terms = found[["go_id", "source"]].drop_duplicates("go_id").sort_values("go_id", ignore_index=True)
    places = pd.Series(terms.index, terms["go_id"])
    terms = pd.DataFrame({"id": terms["go_id"], "name": terms["go_id"].map(names), "source": terms["source"]})
    return terms, _members(found["go_id"].map(places), found["row"], (len(terms), len(genes)))


def family_terms(genes: pd.DataFrame, *, min_named: int = 3) -> tuple[pd.DataFrame, sparse.csr_matrix]:
    """Return families of coding and immune receptor genes, as the common beginning of their names.

    "keratin 5" and "keratin 18" are of the family "keratin", as is "keratin associated protein 1-1", which has a family of
    its own too. A family needs ``min_named`` genes that are called nothing else.
    """
    coding = (genes["gene_type"] == "protein-coding") | ((genes["gene_type"] == "other") & (genes["ensembl_id"] != ""))
    phrases = genes.loc[coding & (genes["name"] != ""), "name"].map(_phrase)
    counts = Counter(phrases)
    families = sorted(name for name, n in counts.items() if n >= min_named and name and not _EMPTY.match(name))
    places = {name: place for place, name in enumerate(families)}
    pairs = [
        (places[start], row) for row, phrase in phrases.items() for start in _beginnings(phrase) if start in places
    ]
    terms = pd.DataFrame({"id": [f"family:{name}" for name in families], "name": families, "source": "gene names"})
    which, rows = zip(*pairs, strict=True)
    return terms, _members(pd.Series(which), pd.Series(rows), (len(terms), len(genes)))


def _phrase(name: str) -> str:
    """Return a gene's full name up to the first comma or bracket, without numbers and what only counts members."""
    words = re.split(r"[,;(\[]", name)[0].split()
    words = [word for word in words if not re.search(r"\d", word) and (len(word) > 1 or word in "TB")]
    while words and (
        words[-1].lower() in _GREEK | _TAIL or len(words[-1]) < 3 or re.fullmatch(r"[IVX]+", words[-1]) is not None
    ):
        words.pop()
    return " ".join(words)


def _beginnings(phrase: str) -> list[str]:
    words = phrase.split()
    return [" ".join(words[:n]) for n in range(1, len(words) + 1)]


def _members(terms: pd.Series, rows: pd.Series, shape: tuple[int, int]) -> sparse.csr_matrix:
    ones = np.ones(len(terms), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (terms.to_numpy(dtype=np.intp), rows.to_numpy(dtype=np.intp))), shape)
    matrix.data[:] = 1
    return matrix


def distinct(
    terms: pd.DataFrame, members: sparse.csr_matrix, *, smallest: int, largest: int, max_jaccard: float
) -> tuple[pd.DataFrame, sparse.csr_matrix]:
    """Keep terms of a useful size, and of those with nearly the same genes the one with the shortest name.

    GO comes before families. Ids and names of the terms that one stands for are in the columns ``merged`` and
    ``synonyms``, joined by ``|``.
    """
    size = members.getnnz(axis=1)
    useful = (size >= smallest) & (size <= largest)
    terms, members = terms[useful].reset_index(drop=True), members[useful]
    size = members.getnnz(axis=1)
    common = (members @ members.T).tocsr()
    order = np.lexsort((terms["name"], terms["name"].str.len(), terms["source"] == "gene names"))
    standing_for: dict[int, list[int]] = {}
    gone: set[int] = set()
    for place in order:
        if place in gone:
            continue
        span = slice(common.indptr[place], common.indptr[place + 1])
        others, shared = common.indices[span], common.data[span]
        alike = others[shared / (size[place] + size[others] - shared) >= max_jaccard]
        new = [other for other in alike if other != place and other not in gone and other not in standing_for]
        standing_for[place] = sorted(new)
        gone.update(new)
    kept = sorted(standing_for)
    others = {
        column: ["|".join(terms[source][other] for other in standing_for[place]) for place in kept]
        for column, source in (("merged", "id"), ("synonyms", "name"))
    }
    return terms.loc[kept].assign(**others).reset_index(drop=True), members[kept]
