"""What a question means among gene vectors: texts, terms, genes and gene sets as one vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from semtx._logging import logger
from semtx._validate import listed
from semtx.semantics._builtin import builtin_vectors
from semtx.semantics._match import GeneMatch
from semtx.semantics._table import shared_gene_table
from semtx.semantics._vocabulary import load_vocabulary
from semtx.semantics._word_match import word_similarity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from semtx.semantics._vocabulary import Vocabulary

    Vector = NDArray[np.float64]

N_TERMS = 10
_NEAR = 0.45  # below this cosine no term of the vocabulary is near to a text


@dataclass(frozen=True)
class Answer:
    """What a question was taken for.

    Attributes
    ----------
    vector
        Of unit length, shape (d,).
    terms
        Rows of the vocabulary that had a part in it, and their weights.
    """

    vector: Vector
    terms: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class QuerySpace:
    """Gene vectors of a data set, with what texts are compared with them by.

    Attributes
    ----------
    vectors
        One per gene, shape (n_genes, d), zeros without one.
    match
        The same genes in the facts table.
    is_builtin
        Whether they are the vectors of the package: terms then have vectors of their own, and any known gene has one.
    encode
        From a text to the encoder's vector; ``None`` without one.
    mean, deviation
        What gene vectors were centred and divided by after they were encoded, if anything.
    """

    vectors: NDArray[np.float32]
    match: GeneMatch
    is_builtin: bool
    encode: Callable[[str], NDArray[np.float32]] | None = None
    mean: NDArray[np.float32] | float = 0.0
    deviation: NDArray[np.float32] | float = 1.0

    @property
    def vocabulary(self) -> Vocabulary:
        """Terms of the organism."""
        return load_vocabulary(self.match.organism)

    def text(self, text: str) -> Answer:
        """Return what a text means.

        It is the mean of the encoder's vector, where there is one, and of the gene vectors that the nearest terms of the
        vocabulary have in common; near by the encoder for the built-in vectors, else by common words.
        """
        encoded = None if self.encode is None else np.asarray(self.encode(text), dtype=np.float64)
        if encoded is not None and self.is_builtin:
            encoded = unit(unit(encoded) - self.vocabulary.mean)
            similarity = self.vocabulary.vectors @ encoded
            if similarity.max() < _NEAR:
                nearest = self.vocabulary.terms["name"][int(similarity.argmax())]
                logger.warning(
                    "no term of the vocabulary is near to %r (the nearest, %r, has a cosine of %.2f): what is written about "
                    "genes may not speak of it",
                    text,
                    nearest,
                    similarity.max(),
                )
            answer = self._of_terms(similarity)
            return Answer(self._scaled(encoded + unit(answer.vector)), answer.terms)
        if encoded is not None:
            encoded = unit((encoded - self.mean) / self.deviation)
        parts, unknown = word_similarity(text, self.match.organism)
        if encoded is None and not len(parts):
            msg = (
                f"no word of {text!r} is in the vocabulary, which is all that a query is read by without a text encoder; use "
                "other words, genes, or a GO id, or install one: pip install 'semtx[offline]'"
            )
            raise ValueError(msg)
        if encoded is None and unknown:
            logger.warning("these words of %r are in no term of the vocabulary: %s", text, ", ".join(unknown))
        answers = [self._of_terms(part, named=encoded is None) for part in parts]
        answers = [answer for answer in answers if answer.vector.any()]
        if encoded is None:
            nearest = [int(part.argmax()) for part in parts]
            logger.info("%r is read by terms such as %s", text, listed(self.vocabulary.terms["name"].iloc[nearest]))
        terms = {row: weight for answer in answers for row, weight in answer.terms.items()}
        vectors = [unit(answer.vector) for answer in answers]
        if encoded is not None:
            return Answer(unit(encoded + (unit(sum(vectors)) if vectors else 0)), terms)
        if not vectors:
            msg = f"the terms that share words with {text!r} have no gene with a vector in the data"
            raise ValueError(msg)
        return Answer(self._scaled(np.sum(vectors, axis=0)), terms)

    def term(self, row: int) -> Answer:
        """Return what a term of the vocabulary means."""
        similarity = np.zeros(len(self.vocabulary.terms))
        similarity[row] = 1
        found = self._of_terms(similarity, named=True)
        if not found.vector.any():
            msg = f"the term {self.vocabulary.terms['name'][row]!r} has no gene with a vector in the data"
            raise ValueError(msg)
        return Answer(self._scaled(found.vector), found.terms)

    def genes(self, rows: NDArray[np.intp], known: GeneMatch) -> Answer:
        """Return what genes have in common.

        Parameters
        ----------
        rows
            Their places in the data, -1 where absent.
        known
            The same genes in the facts table, for those that the data lack.
        """
        vectors = np.where((rows >= 0)[:, None], self.vectors[rows], 0).astype(np.float64)
        absent = ~vectors.any(axis=1)
        if self.is_builtin and absent.any():
            vectors[absent] = self._scaled_rows(builtin_vectors(known).astype(np.float64))[absent]
        found = vectors.any(axis=1)
        if not found.any():
            msg = f"none of these genes has a vector: {', '.join(map(str, known.names))}"
            raise ValueError(msg)
        mean = np.mean([unit(vector) for vector in vectors[found]], axis=0)
        return Answer(unit(mean))

    def _of_terms(self, similarity: NDArray[np.floating], *, named: bool = False) -> Answer:
        """Return what the genes of the most similar terms have in common, and with ``named`` what their names mean."""
        best = np.argsort(-similarity, kind="stable")[:N_TERMS]
        best = best[(similarity[best] > 0) & self._profiles[best].any(axis=1)]
        weight = np.asarray(similarity[best], dtype=np.float64) ** 2
        terms = {int(row): float(similarity[row]) for row in best}
        vector = unit(weight @ self._profiles[best])
        if named and self.is_builtin:
            vector = vector + unit(weight @ self.vocabulary.vectors[best])
        return Answer(vector, terms)

    @cached_property
    def _profiles(self) -> NDArray[np.float64]:
        """Mean gene vector of each term, shape (n_terms, d)."""
        if self.is_builtin:
            return _builtin_profiles(self.match.organism)
        inside = self.match.matched & self.vectors.any(axis=1)
        members = self.vocabulary.members[:, self.match.rows[inside]]
        return _means(members, self.vectors[inside])

    def _scaled(self, vector: Vector) -> Vector:
        return unit(self._scaled_rows(unit(vector)[None])[0])

    def _scaled_rows(self, vectors: Vector) -> Vector:
        """Apply what was done to the built-in vectors after they were taken."""
        if isinstance(self.mean, float) and isinstance(self.deviation, float):
            return vectors
        scaled: Vector = np.where(vectors.any(axis=1, keepdims=True), (vectors - self.mean) / self.deviation, 0)
        return scaled


def unit(vector: Any) -> Vector:
    """Scale a vector to length 1; zeros stay."""
    vector = np.asarray(vector, dtype=np.float64)
    length = np.linalg.norm(vector)
    scaled: Vector = vector / length if length > 0 else vector
    return scaled


def relevance(vectors: NDArray[np.float32], answer: Answer, usable: NDArray[np.bool_], n_genes: int) -> Vector:
    """Return the squared cosine of the genes that are nearest to an answer, 0 for all others, shape (n_genes_in_data,)."""
    lengths = np.linalg.norm(vectors, axis=1)
    cosine = np.divide(vectors @ answer.vector, lengths, out=np.zeros(len(vectors)), where=usable & (lengths > 0))
    near = np.argsort(-cosine, kind="stable")[:n_genes]
    kept: Vector = np.zeros(len(vectors))
    kept[near] = np.maximum(cosine[near], 0) ** 2
    return kept


@lru_cache(maxsize=2)
def _builtin_profiles(organism: str) -> NDArray[np.float64]:
    table = shared_gene_table(organism)
    symbols = table["symbol"].to_numpy(dtype=object)
    rows = np.arange(len(table))
    every = GeneMatch(organism, table, symbols, rows, np.full(len(table), "symbol", dtype=object))
    return _means(load_vocabulary(organism).members, builtin_vectors(every))


def _means(members: Any, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    size = np.asarray(members @ vectors.any(axis=1).astype(np.float64)).ravel()
    means: NDArray[np.float64] = (members @ vectors).astype(np.float64) / np.maximum(size, 1)[:, None]
    return means
