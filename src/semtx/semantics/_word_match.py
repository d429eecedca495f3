"""Terms of the vocabulary that share words with a text: what a query is read by where no encoder is at hand."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from semtx.semantics._vocabulary import load_vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_FILLERS = "a an and are as at by for from in into is of on or the to via with cell gene tissue"
_EMPTY = frozenset(_FILLERS.split())
_LEAST_PREFIX = 5
_SHARE = 0.7
_INFLECTED = 0.8  # how much a word counts that only begins alike
_SYNONYM = 0.8  # and how much a name does of a term that another stands for
_LEAST_PLURAL = 4


class _Words(NamedTuple):
    names: NDArray[np.object_]
    weight: NDArray[np.float64]  # rarer words tell more
    documents: sparse.csr_matrix  # names and synonyms of terms, rows of unit length
    terms: NDArray[np.intp]  # of each document
    trust: NDArray[np.float64]


def words_of(text: str) -> list[str]:
    """Return the words of a text that can tell something, in lower case and the singular, each once."""
    found = dict.fromkeys(_singular(word.lower()) for word in _WORD.findall(text))
    return [word for word in found if word not in _EMPTY] or list(found)


def _singular(word: str) -> str:
    plural = len(word) >= _LEAST_PLURAL and word.endswith("s") and word[-2] not in "siu"
    return word[:-1] if plural else word


def word_similarity(text: str, organism: str) -> tuple[NDArray[np.float64], list[str]]:
    """Compare a text with the names and synonyms of terms by common words, rare words counting more.

    Words that begin alike count as inflections of one (``neuron``, ``neuronal``). Parts of a text joined by a comma or
    "and" are compared one by one.

    Parameters
    ----------
    text
        Any text.
    organism
        Whose vocabulary.

    Returns
    -------
    Cosine with the nearest name of each term, shape (n_parts, n_terms), parts left out of which no term has a word; and the
    words that no term has.
    """
    words = _words(organism)
    found = []
    unknown = []
    for part in re.split(r"[,;/&]|\band\b|\bor\b", text):
        asked = np.zeros(len(words.names))
        length = 0.0
        for word in words_of(part):
            alike = _alike(word, words.names)
            if alike.any():
                asked = np.maximum(asked, alike * words.weight)
                length += (alike * words.weight).max() ** 2
            else:
                unknown.append(word)
                length += words.weight.max() ** 2
        if asked.any():
            best = np.zeros(len(load_vocabulary(organism).terms))
            cosine = np.minimum(words.documents @ (asked / np.sqrt(length)), 1)
            np.maximum.at(best, words.terms, words.trust * cosine)
            found.append(best)
    return np.array(found), unknown


def _alike(word: str, names: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return 1 for the same word, less for one that begins alike, 0 for another."""
    found = np.zeros(len(names))
    for place, name in enumerate(names):
        if name[0] != word[0]:
            continue
        if name == word:
            found[place] = 1
            continue
        common = next(
            (i for i, (a, b) in enumerate(zip(name, word, strict=False)) if a != b), min(len(name), len(word))
        )
        if common >= max(_LEAST_PREFIX, _SHARE * max(len(name), len(word)) - 1):
            found[place] = _INFLECTED
    return found


@lru_cache(maxsize=2)
def _words(organism: str) -> _Words:
    terms = load_vocabulary(organism).terms
    documents, places, trust = [], [], []
    for place, (name, synonyms) in enumerate(zip(terms["name"], terms["synonyms"], strict=True)):
        for written in (name, *filter(None, synonyms.split("|"))):
            documents.append(words_of(written))
            places.append(place)
            trust.append(1.0 if written == name else _SYNONYM)
    names = sorted({word for document in documents for word in document})
    column = {word: place for place, word in enumerate(names)}
    sizes = [len(document) for document in documents]
    indices = [column[word] for document in documents for word in document]
    counts = sparse.csr_matrix(
        (np.ones(len(indices)), indices, np.concatenate([[0], np.cumsum(sizes)])), (len(documents), len(names))
    )
    weight = np.log(len(documents) / np.bincount(indices, minlength=len(names)))
    weighted = counts @ sparse.diags(weight)
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    rows = sparse.csr_matrix(sparse.diags(np.divide(1, length, out=np.zeros_like(length), where=length > 0)) @ weighted)
    return _Words(np.array(names, dtype=object), weight, rows, np.array(places), np.array(trust))
