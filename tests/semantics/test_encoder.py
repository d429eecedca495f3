from __future__ import annotations

import numpy as np
import pytest

from semtx.semantics import OpenAIEncoder, SentenceTransformerEncoder, get_encoder


class Ready:
    name, dimension, identity = "ready", 1, {"backend": "ready"}

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.zeros((len(texts), 1), dtype=np.float32)


def test_kinds(tmp_path):
    ready = Ready()
    assert get_encoder(ready) is ready
    assert isinstance(get_encoder("openai:text-embedding-3-small", dimensions=8), OpenAIEncoder)
    assert isinstance(get_encoder("all-MiniLM-L6-v2"), SentenceTransformerEncoder)
    assert isinstance(get_encoder(tmp_path), SentenceTransformerEncoder)


def test_making_an_encoder_loads_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from semtx.semantics import get_encoder; [get_encoder(s) for s in ('llm:x', 'x', 'openai:x')];"
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'openai') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("spec", ["", "builtin", "llm", "openai", "openai:"])
def test_names_that_read_no_text(spec):
    with pytest.raises(ValueError, match="reads no text"):
        get_encoder(spec)


def test_wrong_types():
    with pytest.raises(TypeError, match="got int"):
        get_encoder(3)
    with pytest.raises(TypeError, match="ready encoder object"):
        get_encoder(Ready(), batch_size=3)
