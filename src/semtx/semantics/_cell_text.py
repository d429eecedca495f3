"""Cell vectors through a text encoder: prompts and sentences of gene names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semtx.semantics._prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from semtx.semantics._encoder import Encoder
    from semtx.semantics._store import EmbeddingStore

# Part of the cache keys; raise it when the way a text is written changes.
_VERSION = "1"


def resolve_prompt(prompt: Prompt | str | None, encoder: Encoder) -> Prompt:
    """Return the prompt that is meant.

    Parameters
    ----------
    prompt
        A prompt, or just a text with ``{genes}``; ``None`` is SemST's for a causal language model, and its plain user
        message for any other encoder.
    encoder
        What will read it.
    """
    if isinstance(prompt, str):
        return Prompt(user=prompt, system="", chatml=False)
    if prompt is None:
        return Prompt() if _takes_prompt(encoder) else Prompt(system="", chatml=False)
    return prompt


def prompt_semantics(
    cells: Sequence[Sequence[str]], encoder: Encoder, store: EmbeddingStore, *, prompt: Prompt, context: str = ""
) -> NDArray[np.float32]:
    """Embed each cell's gene list inside a prompt; equal lists are embedded once.

    Parameters
    ----------
    cells
        Names of each cell's genes, best first.
    encoder
        One with ``with_prompt`` (a causal language model) is given prompt and list apart, so that it can pool over the list
        alone; any other reads both as one text.
    store
        Where vectors are kept.
    prompt
        What is written around the list.
    context
        Tissue, species or condition, in words.

    Returns
    -------
    float32, shape (len(cells), d); zeros for a cell without genes.
    """
    before, after = prompt.around(context)
    if _takes_prompt(encoder):
        encoder = encoder.with_prompt(before, after)  # type: ignore[attr-defined]
        before = after = ""
    texts = [f"{before}{prompt.genes(genes)}{after}" if len(genes) else "" for genes in cells]
    return _embed(texts, encoder, store, f"prompt/{_VERSION}")


def sentence_semantics(cells: Sequence[Sequence[str]], encoder: Encoder, store: EmbeddingStore) -> NDArray[np.float32]:
    """Embed each cell's gene names as a sentence; one that is too long is cut, and its parts averaged by genes.

    Parameters
    ----------
    cells
        Names of each cell's genes, best first.
    encoder
        Any encoder.
    store
        Where vectors are kept.

    Returns
    -------
    float32, shape (len(cells), d); zeros for a cell without genes.
    """
    pieces = [(cell, piece) for cell, parts in enumerate(gene_sentences(cells, encoder)) for piece in parts]
    vectors = _embed([" ".join(piece) for _, piece in pieces], encoder, store, f"sentence/{_VERSION}")
    means = np.zeros((len(cells), vectors.shape[1]), dtype=np.float32)
    for (cell, piece), vector in zip(pieces, vectors, strict=True):
        means[cell] += vector * np.float32(len(piece) / len(cells[cell]))
    return means


def gene_sentences(cells: Sequence[Sequence[str]], encoder: Encoder) -> list[list[list[str]]]:
    """Cut each cell's gene names into sentences that the encoder can read whole.

    Parameters
    ----------
    cells
        Names of each cell's genes, best first.
    encoder
        Where it has no ``token_limit`` and ``count_tokens``, nothing is cut.

    Returns
    -------
    Names by sentence by cell; no sentence for a cell without genes.
    """
    limit = getattr(encoder, "token_limit", None)
    count = getattr(encoder, "count_tokens", None)
    if limit is None or count is None:
        return [[list(genes)] if len(genes) else [] for genes in cells]
    names = sorted({gene for genes in cells for gene in genes})
    # with the blank before it, as within a sentence
    tokens = dict(zip(names, count([f" {name}" for name in names]), strict=True)) if names else {}
    return [_cut(genes, tokens, room=limit - 2) for genes in cells]  # a begin and an end token


def _takes_prompt(encoder: Encoder) -> bool:
    return hasattr(encoder, "with_prompt")


def _cut(genes: Sequence[str], tokens: dict[str, int], room: int) -> list[list[str]]:
    pieces: list[list[str]] = []
    used = 0
    for gene in genes:
        if not pieces or used + tokens[gene] > room:
            pieces.append([])
            used = 0
        pieces[-1].append(gene)
        used += tokens[gene]
    return pieces


def _embed(texts: list[str], encoder: Encoder, store: EmbeddingStore, template: str) -> NDArray[np.float32]:
    """Embed all texts that are not empty; the others get zeros."""
    written = [row for row, text in enumerate(texts) if text]
    embedded = store.embed(encoder, [texts[row] for row in written], template)
    vectors = np.zeros((len(texts), embedded.shape[1]), dtype=np.float32)
    vectors[written] = embedded
    return vectors
