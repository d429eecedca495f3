"""What ``tl.query`` is asked, in any of the forms that it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from semtx._logging import hint, logger
from semtx._validate import check_key_added, listed
from semtx.semantics._match import match_genes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from semtx.semantics._match import GeneMatch
    from semtx.semantics._query_space import Answer, QuerySpace

Kind = Literal["auto", "text", "genes"]
_NAMED = 6  # unknown genes that a message names
_GO = re.compile(r"GO:\d{7}\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """One question: a text, genes or a term.

    Attributes
    ----------
    asked
        The text, or gene names.
    kind
        ``"text"``, ``"gene"``, ``"genes"`` or ``"term"``.
    """

    asked: str | tuple[str, ...]
    kind: str

    def __str__(self) -> str:
        return self.asked if isinstance(self.asked, str) else " ".join(self.asked)


class Reader:
    """Tells texts from genes and terms, and asks for their meaning.

    Parameters
    ----------
    space
        Gene vectors.
    names
        Names of the genes as the user knows them.
    """

    def __init__(self, space: QuerySpace, names: Sequence[str]) -> None:
        self.space = space
        self._names = list(names)
        self._places: dict[str, int] = {}
        for known in (space.match.symbols, names):  # what the user calls them comes first
            self._places.update({str(name): place for place, name in enumerate(known) if name})

    def question(self, asked: Any, kind: Kind) -> Question:
        """Return what is asked; raise where it is empty or no known gene or term."""
        if isinstance(asked, str):
            asked = asked.strip()
            if not asked:
                msg = "a query is empty; ask in words, by a gene, a list of genes or a GO id"
                raise ValueError(msg)
            if kind != "text" and (_GO.match(asked) or asked.lower().startswith("family:")):
                self._row(asked)
                return Question(asked, "term")
            if kind == "genes" or (kind == "auto" and self._is_gene(asked)):
                self._genes((asked,))
                return Question(asked, "gene")
            return Question(asked, "text")
        if not isinstance(asked, (Sequence, AbstractSet, np.ndarray)):
            msg = f"a query must be text or a list of genes, got {type(asked).__name__}"
            raise TypeError(msg)
        genes = tuple(sorted(asked) if isinstance(asked, AbstractSet) else asked)
        if not genes or not all(isinstance(gene, str) and gene.strip() for gene in genes):
            msg = f"a gene set must be a list of gene names, got {list(genes)!r}"
            raise ValueError(msg)
        genes = tuple(str(gene).strip() for gene in genes)
        self._genes(genes)
        return Question(genes, "genes")

    def answer(self, question: Question) -> Answer:
        """Return the meaning of a question."""
        if question.kind == "text":
            return self.space.text(str(question))
        if question.kind == "term":
            return self.space.term(self._row(str(question)))
        genes = (question.asked,) if isinstance(question.asked, str) else question.asked
        known, rows = self._genes(genes)
        return self.space.genes(rows, known)

    def _row(self, term: str) -> int:
        row = self.space.vocabulary.find(term)
        if row < 0:
            ids = self.space.vocabulary.terms["id"]
            close = get_close_matches(term.upper(), ids, n=3, cutoff=0.8)
            meant = ", ".join(
                f"{one} ({self.space.vocabulary.terms['name'][self.space.vocabulary.find(one)]})" for one in close
            )
            msg = (
                f"{term!r} is not in the vocabulary of GO terms with 5 to 600 human genes"
                f"{f'; ids like it are {meant}' if close else ''}. Ask for what it is called, in words"
            )
            raise ValueError(msg)
        return row

    def _is_gene(self, asked: str) -> bool:
        """Tell a gene from a text: by its name, or as a single word in the spelling of genes that is another name of one.

        Other words are texts even if a gene is called so: there are genes called "rest" and "impact".
        """
        if asked in self._places:
            return True
        if len(asked.split()) > 1:
            return False
        match, _, known = self._find((asked,))
        spelled_as_gene = asked.isupper() or any(letter.isdigit() for letter in asked)
        if known[0] and not spelled_as_gene:
            logger.warning("%r is read as a text; for the gene %s ask with kind='genes'", asked, match.symbols[0])
        elif spelled_as_gene and not known[0]:
            logger.warning("no gene is called %s; it is read as a text", self._close(asked))
        return bool(known[0] and spelled_as_gene)

    def _find(self, genes: tuple[str, ...]) -> tuple[GeneMatch, np.ndarray, np.ndarray]:
        """Return genes as the facts table knows them, their places in the data or -1, and which can be asked for."""
        match = match_genes(genes, organism=self.space.match.organism)
        rows = np.array(
            [
                self._places.get(name, self._places.get(symbol, -1))
                for name, symbol in zip(genes, match.symbols, strict=True)
            ]
        )
        return match, rows, (rows >= 0) | (match.matched & self.space.is_builtin)

    def _close(self, gene: str) -> str:
        """Return the name of a gene with those that are like it."""
        others = self.space.match.table["symbol"] if self.space.is_builtin else ()
        found = get_close_matches(gene, self._places, n=3) or get_close_matches(gene, others, n=3)
        return f"{gene!r} (close: {', '.join(found) or 'nothing like it'})"

    def _genes(self, genes: tuple[str, ...]) -> tuple[GeneMatch, np.ndarray]:
        """Return genes as the facts table knows them, and their places in the data, without those that neither knows."""
        match, rows, known = self._find(genes)
        if not known.all():
            unknown = [gene for gene, is_known in zip(genes, known, strict=True) if not is_known]
            more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
            where = "in the data or the gene table" if self.space.is_builtin else "among the genes with a vector"
            text = f"genes that are not {where}: {', '.join(map(self._close, unknown[:_NAMED]))}{more}"
            if not known.any():
                raise ValueError(text)
            logger.warning("%s; they are left out", text)
        return match_genes(np.array(genes)[known], organism=match.organism), rows[known]


def read_queries(query: Any, key_added: str, *taken: str) -> dict[str, Any]:
    """Return each query by the key of its result, none of which is ``taken``.

    One text or one set of genes has ``key_added``; a list numbers its entries, a dict names them.
    """
    check_key_added(key_added, *taken)
    if isinstance(query, (str, AbstractSet)):
        return {key_added: query}
    if isinstance(query, Mapping):
        found = {f"{key_added}_{name}": asked for name, asked in query.items()}
        if len(found) < len(query):
            msg = f"two queries have the same name, as text: {listed(list(query))}"
            raise ValueError(msg)
    elif isinstance(query, (Sequence, np.ndarray)):
        found = {f"{key_added}_{place}": asked for place, asked in enumerate(query)}
    else:
        msg = f"query must be text, a list of queries or a dict of them, got {type(query).__name__}"
        raise TypeError(msg)
    if not found:
        msg = "there is no query; ask in words, by a gene, a list of genes or a GO id"
        raise ValueError(msg)
    for name in found:
        check_key_added(name, parameter="key_added with the name of a query")
    return found


def read_negatives(negative: Any, query: Any, keys: Iterable[str]) -> dict[str, list[Any]]:
    """Return what counts against each query, by the key of its result; a dict goes by the names in ``query``."""
    if negative is not None and not isinstance(negative, Mapping):
        return {key: _as_list(negative) for key in keys}
    if not negative:
        return {key: [] for key in keys}
    names = list(query) if isinstance(query, Mapping) else []
    missing = [name for name in negative if name not in names]
    if missing:
        msg = f"negative has an entry for {missing[0]!r}, and the names of the queries are {listed(names)}"
        raise KeyError(msg)
    return {key: _as_list(negative.get(name, [])) for name, key in zip(names, keys, strict=True)}


def _as_list(negative: Any) -> list[Any]:
    if isinstance(negative, (str, AbstractSet)):
        return [negative]
    if not isinstance(negative, (Sequence, np.ndarray)):
        msg = f"negative must be a query, a list of queries or a dict of them, got {type(negative).__name__}"
        raise TypeError(msg)
    return list(negative)


def hint_gene_set(questions: Sequence[Question]) -> None:
    """Tell that a list of genes was read as one query for each."""
    if len(questions) > 1 and all(question.kind == "gene" for question in questions):
        hint("each gene was asked for by itself; for one set of genes ask for [[...]] or {'name': [...]}")
