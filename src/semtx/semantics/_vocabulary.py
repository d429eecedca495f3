"""Terms that genes share, and what they mean: GO terms and gene families, with members and vectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from semtx._validate import check_choice
from semtx.semantics._table import ORGANISMS, shared_gene_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = ("id", "name", "source", "merged", "synonyms")


@dataclass(frozen=True)
class Vocabulary:
    """Terms of an organism: shared and cached, not to be changed.

    Attributes
    ----------
    organism
        ``"human"`` or ``"mouse"``.
    terms
        One row per term: ``id`` (``"GO:0042552"``, ``"family:keratin"``), ``name``, ``source`` (``"GO BP"``, ``"GO MF"``,
        ``"GO CC"`` or ``"gene names"``), ``merged`` and ``synonyms``, ids and names of terms with nearly the same genes
        that this one stands for, joined by ``|``.
    members
        CSR of zeros and ones, float32, shape (n_terms, n_genes): which rows of :func:`load_gene_table` belong to a term.
    vectors
        Meaning of each name, float32, shape (n_terms, d): made by the encoder of :func:`builtin_vectors`, centred over
        the terms, of unit length.
    mean
        What was subtracted from the encoder's vectors, shape (d,). Take it from the vector of another short text to
        compare the two.
    provenance
        Model and its hash, release of the sources, attribution.
    """

    organism: str
    terms: pd.DataFrame
    members: sparse.csr_matrix
    vectors: NDArray[np.float32]
    mean: NDArray[np.float32]
    provenance: dict[str, Any]

    def find(self, term: str) -> int:
        """Return the row of a term by its id or name, or by those of one it stands for, with case ignored; -1 for none."""
        return _places(self.organism).get(term.strip().casefold(), -1)

    def symbols(self, row: int) -> list[str]:
        """Return the official symbols of a term's genes."""
        return shared_gene_table(self.organism)["symbol"].iloc[self.members[row].indices].tolist()


@lru_cache(maxsize=2)
def load_vocabulary(organism: str) -> Vocabulary:
    """Load the terms that the package ships: no model, no network.

    They are GO terms of 5 to 600 human genes, genes of more special terms among them, and gene families as the names of
    genes tell them. Of terms with nearly the same genes (Jaccard index 0.6 and above) the one with the shortest name stands
    for the others. Genes of mouse belong where their human orthologues do.

    Parameters
    ----------
    organism
        ``"human"`` or ``"mouse"``.

    Returns
    -------
    A `Vocabulary`, the same object at each call.

    Raises
    ------
    ValueError
        If there are no terms for the organism.

    References
    ----------
    Ashburner et al., Gene Ontology: tool for the unification of biology, Nature Genetics 25, 25-29 (2000). The Gene
    Ontology Consortium, The Gene Ontology knowledgebase in 2023, Genetics 224, iyad031 (2023). CC BY 4.0.

    Examples
    --------
    >>> from semtx.semantics import load_vocabulary
    >>> vocabulary = load_vocabulary("human")
    >>> row = vocabulary.find("myelination")
    >>> vocabulary.terms["id"][row], "MBP" in vocabulary.symbols(row)
    ('GO:0042552', True)
    """
    check_choice("organism", organism, ORGANISMS)
    with (
        as_file(files("semtx.semantics") / "data" / "vocabulary.npz") as path,
        np.load(path, allow_pickle=False) as stored,
    ):
        terms = pd.DataFrame({name: str(stored[name]).split("\n") for name in _COLUMNS})
        vectors = stored["values"].astype(np.float32)  # the scale of a row cancels in its unit length
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        members = _members(stored["size"], stored["gaps"])
        mean, provenance = stored["mean"], json.loads(str(stored["provenance"]))
    if organism == "mouse":
        members = sparse.csr_matrix(members @ _orthologues())
    return Vocabulary(organism, terms, members, vectors, mean, provenance)


@lru_cache(maxsize=2)
def _places(organism: str) -> dict[str, int]:
    """Row by folded name and id; what a term is called itself comes before what others stand for."""
    terms = load_vocabulary(organism).terms
    found: dict[str, int] = {}
    for column in ("synonyms", "merged", "name", "id"):
        for row, joined in enumerate(terms[column]):
            found.update(dict.fromkeys(joined.casefold().split("|"), row))
    found.pop("", None)
    return found


def _members(size: NDArray[np.int16], gaps: NDArray[np.uint16]) -> sparse.csr_matrix:
    """Undo the storage of members as numbers of a term's genes and the gaps between their rows."""
    indptr = np.concatenate([[0], np.cumsum(size, dtype=np.int64)])
    total = np.cumsum(gaps, dtype=np.int64)
    before = np.where(indptr[:-1] > 0, total[indptr[:-1] - 1], 0)
    rows = total - np.repeat(before, size)
    shape = (len(size), len(shared_gene_table("human")))
    return sparse.csr_matrix((np.ones(len(rows), dtype=np.float32), rows, indptr), shape)


def _orthologues() -> sparse.csr_matrix:
    """Return which mouse genes have which human orthologue, shape (n_human, n_mouse)."""
    human = shared_gene_table("human")["symbol"]
    places = human.drop_duplicates().reset_index().set_index("symbol")["index"]
    mouse = shared_gene_table("mouse")["human_ortholog"].map(places)
    known = np.flatnonzero(mouse.notna())
    entries = (np.ones(len(known), dtype=np.float32), (mouse.to_numpy()[known].astype(np.intp), known))
    return sparse.csr_matrix(entries, (len(human), len(mouse)))
