from __future__ import annotations

import copy

import numpy as np
import pytest

from semtx.semantics import EmbeddingStore, Prompt
from semtx.semantics._cell_text import gene_sentences, prompt_semantics, resolve_prompt, sentence_semantics


class Letters:
    """Counts the letters A to D of a text."""

    name, dimension = "letters", 4

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.identity = {"backend": "letters"}

    def embed(self, texts: list[str]) -> np.ndarray:
        self.seen += texts
        return np.array([[text.count(letter) for letter in "ABCD"] for text in texts], dtype=np.float32)


class Short(Letters):
    """Reads five tokens, two of which mark begin and end."""

    token_limit = 5

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(text.strip()) for text in texts]


class Causal(Letters):
    """Takes prompt and list apart."""

    def with_prompt(self, prefix: str, suffix: str) -> Causal:
        other = copy.copy(self)
        other.identity = {**self.identity, "prefix": prefix, "suffix": suffix}
        other.prompt = (prefix, suffix)
        self.made = other
        return other


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path)


def read(cells, encoder, store, *, prompt=None, context="") -> np.ndarray:
    return prompt_semantics(cells, encoder, store, prompt=resolve_prompt(prompt, encoder), context=context)


CELLS = [["A", "B"], [], ["B", "A"], ["A", "B"]]


def test_a_causal_model_gets_prompt_and_list_apart(store):
    encoder = Causal()
    vectors = read(CELLS, encoder, store, context="Of the brain.")
    assert encoder.seen == ["A, B", "B, A"]
    assert encoder.made.prompt == Prompt().around("Of the brain.")
    np.testing.assert_array_equal(vectors, [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]])


def test_any_other_encoder_reads_plain_text(store):
    encoder = Letters()
    read(CELLS, encoder, store)
    assert len(encoder.seen) == 2
    assert encoder.seen[0].endswith(": A, B.")
    assert "<|im_start|>" not in encoder.seen[0]


def test_a_prompt_of_the_users_own(store):
    encoder = Letters()
    read([["A"]], encoder, store, prompt="D? {genes}!")
    read([["A"]], encoder, store, prompt=Prompt(user="D: {genes}", system="C", chatml=False))
    assert encoder.seen == ["D? A!", "C\nD: A"]


def test_another_prompt_is_another_vector_in_the_store(store):
    encoder = Causal()
    for prompt in ("one {genes}", "two {genes}", "one {genes}"):
        read([["A"]], encoder, store, prompt=prompt)
    assert encoder.seen == ["A", "A"]


def test_sentences_are_cut_where_the_encoder_stops_reading():
    cells = [["A", "BB", "C", "DDDDDDD", "A"], [], ["A", "B", "C"]]
    assert gene_sentences(cells, Short()) == [[["A", "BB"], ["C"], ["DDDDDDD"], ["A"]], [], [["A", "B", "C"]]]
    assert gene_sentences(cells, Letters()) == [[cells[0]], [], [cells[2]]]


def test_parts_are_averaged_by_their_genes(store):
    encoder = Short()
    vectors = sentence_semantics([["A", "B", "C", "D"], [], ["A"]], encoder, store)
    assert encoder.seen == ["A B C", "D", "A"]
    np.testing.assert_allclose(vectors, [[0.75, 0.75, 0.75, 0.25], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert vectors.dtype == np.float32


def test_cells_without_any_gene(store):
    assert sentence_semantics([[], []], Short(), store).shape == (2, 4)
    assert read([[]], Causal(), store).shape == (1, 4)
