from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest

from semtx.semantics import CausalLMEncoder, Encoder, get_encoder

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")
WORDS = ["genes", ":", ",", ".", "MBP", "PLP1", "SNAP25", "GFAP", "brain", "you", "are"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A random Qwen3 of two layers with a tokenizer of whole words that puts <s> before each text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    path = tmp_path_factory.mktemp("qwen")
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )
    fast.chat_template = "CHAT {{ messages }}"
    fast.save_pretrained(path)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
    )
    Qwen3ForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def hidden(folder):
    """Last hidden states of one list of words, computed without padding and without the encoder."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).float().eval()
    numbers = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *WORDS])}

    def states(words: list[str]) -> np.ndarray:
        ids = torch.tensor([[1, *[numbers[word] for word in words]]])
        with torch.inference_mode():
            return model(ids).last_hidden_state[0].numpy()

    return states


TEXTS = ["MBP", "PLP1, SNAP25, GFAP", "SNAP25, MBP"]
SPLIT = [["MBP"], ["PLP1", ",", "SNAP25", ",", "GFAP"], ["SNAP25", ",", "MBP"]]


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize(
    ("pooling", "picked"),
    [("gene_tokens", slice(5, -1)), ("last", slice(-1, None)), ("all", slice(None))],
)
def test_pooling_equals_a_hand_computation(folder, hidden, pooling, picked, batch_size):
    encoder = CausalLMEncoder(
        folder, pooling=pooling, prefix="you are brain: ", suffix=".", batch_size=batch_size, accelerator="cpu"
    )
    expected = [hidden(["you", "are", "brain", ":", *words, "."])[picked].mean(axis=0) for words in SPLIT]
    vectors = encoder.embed(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=2e-6)
    assert vectors.dtype == np.float32
    assert encoder.dimension == 16


@pytest.mark.parametrize("pooling", ["gene_tokens", "last", "all"])
@pytest.mark.parametrize("batch_size", [2, 8])
def test_a_shared_beginning_goes_through_the_model_once(folder, hidden, monkeypatch, pooling, batch_size):
    words = ["you", "are", "genes", ":", "brain", "you", "are", "genes", ":"]
    # the gene lists begin alike, too, and have different lengths
    lists = [["MBP", ",", "PLP1"], ["MBP", ",", "GFAP", ",", "SNAP25"], ["MBP", ",", "GFAP"], ["MBP"]]
    picked = {"gene_tokens": slice(10, -1), "last": slice(-1, None), "all": slice(None)}[pooling]
    encoder = CausalLMEncoder(
        folder, pooling=pooling, prefix=" ".join(words) + " ", suffix=".", batch_size=batch_size, accelerator="cpu"
    )
    model = encoder._loaded[1]
    sizes = []
    model.register_forward_pre_hook(lambda *args: sizes.append(args[2]["input_ids"].shape), with_kwargs=True)
    with warnings.catch_warnings():
        # the cache goes by the name that this version of transformers has
        warnings.simplefilter("error", FutureWarning)
        vectors = encoder.embed(["MBP, PLP1", "MBP, GFAP, SNAP25", "MBP, GFAP", "MBP"])
    expected = [hidden([*words, *genes, "."])[picked].mean(axis=0) for genes in lists]
    np.testing.assert_allclose(vectors, expected, atol=2e-6)
    assert sizes[0] == (1, 11)  # <s>, the nine words and MBP
    assert max(size[1] for size in sizes[1:]) == 5


def test_models_without_a_cache_do_without(folder, hidden, monkeypatch):
    encoder = CausalLMEncoder(folder, prefix="you are genes : brain you are genes : ", accelerator="cpu")
    model = encoder._loaded[1]
    forward = model.forward

    def without(*args, use_cache=False, past_key_values=None, **kwargs):
        assert past_key_values is None
        return forward(*args, use_cache=False, **kwargs)

    monkeypatch.setattr(model, "forward", without)
    words = ["you", "are", "genes", ":", "brain", "you", "are", "genes", ":"]
    expected = [hidden([*words, *genes])[10:].mean(axis=0) for genes in SPLIT]
    np.testing.assert_allclose(encoder.embed(TEXTS), expected, atol=2e-6)


def test_half_precision_and_a_shared_beginning(folder):
    prefix = "you are genes : brain you are genes : "
    half = CausalLMEncoder(folder, prefix=prefix, dtype="bfloat16", accelerator="cpu").embed(TEXTS)
    np.testing.assert_allclose(half, CausalLMEncoder(folder, prefix=prefix, accelerator="cpu").embed(TEXTS), atol=0.1)


def test_cells_through_a_prompt(folder, hidden):
    import anndata as ad

    import semtx as st

    counts = np.array([[5, 3, 0, 0], [0, 0, 2, 9], [0, 0, 0, 0], [10, 6, 0, 0]], dtype=np.float32)
    adata = ad.AnnData(counts)
    adata.var_names = ["MBP", "PLP1", "SNAP25", "GFAP"]
    encoder = CausalLMEncoder(folder, accelerator="cpu")
    st.pp.cell_semantics(adata, "prompt", encoder=encoder, prompt="genes: {genes}.", organism="human")
    mbp = hidden(["genes", ":", "MBP", ",", "PLP1", "."])[3:6].mean(axis=0)
    gfap = hidden(["genes", ":", "GFAP", ",", "SNAP25", "."])[3:6].mean(axis=0)
    np.testing.assert_allclose(adata.obsm["X_semantics"], [mbp, gfap, np.zeros(16), mbp], atol=2e-6)
    assert adata.uns["semantics"]["prompt"] == "genes: {genes}."
    assert adata.uns["semantics"]["encoder"]["identity"]["pooling"] == "gene_tokens"


@pytest.mark.parametrize(("max_tokens", "parts"), [(2560, [["MBP", "PLP1", "GFAP"]]), (5, [["MBP", "PLP1"], ["GFAP"]])])
def test_cells_as_sentences(folder, hidden, max_tokens, parts):
    """Cell2Sentence: names by rank, cut where the model stops reading, and the parts averaged by genes."""
    import anndata as ad

    import semtx as st

    adata = ad.AnnData(np.array([[5, 3, 0, 1], [0, 0, 0, 0], [0, 0, 9, 0]], dtype=np.float32))
    adata.var_names = ["MBP", "PLP1", "SNAP25", "GFAP"]
    encoder = f"llm:{folder}" if max_tokens == 2560 else CausalLMEncoder(folder, max_tokens=max_tokens)
    st.pp.cell_semantics(adata, "sentence", encoder=encoder, organism="human")
    first = np.vstack([hidden(part)[1:] for part in parts]).mean(axis=0)
    np.testing.assert_allclose(adata.obsm["X_semantics"], [first, np.zeros(16), hidden(["SNAP25"])[1]], atol=2e-6)


def test_without_a_prompt_the_whole_text_but_no_special_token_is_averaged(folder, hidden):
    vectors = CausalLMEncoder(folder, accelerator="cpu").embed(TEXTS)
    np.testing.assert_allclose(vectors, [hidden(words)[1:].mean(axis=0) for words in SPLIT], atol=2e-6)


def test_no_chat_template_is_applied(folder, hidden):
    assert "CHAT" in (folder / "chat_template.jinja").read_text()
    vectors = CausalLMEncoder(folder, pooling="all", accelerator="cpu").embed(["MBP"])
    np.testing.assert_allclose(vectors[0], hidden(["MBP"]).mean(axis=0), atol=2e-6)


def test_with_prompt_shares_the_model_and_changes_the_identity(folder):
    encoder = CausalLMEncoder(folder, accelerator="cpu")
    bare = encoder.embed(["MBP"])
    prompted = encoder.with_prompt("genes: ", ".")
    assert prompted._loaded[1] is encoder._loaded[1]
    assert not np.allclose(prompted.embed(["MBP"]), bare)
    np.testing.assert_array_equal(encoder.embed(["MBP"]), bare)
    assert prompted.identity != encoder.identity
    assert prompted.identity["prefix"] == "genes: "


def test_long_prompts_are_cut_at_the_end(folder, hidden):
    vectors = CausalLMEncoder(folder, max_tokens=4, accelerator="cpu").embed(["PLP1, SNAP25, GFAP"])
    np.testing.assert_allclose(vectors[0], hidden(["PLP1", ",", "SNAP25"])[1:].mean(axis=0), atol=2e-6)
    with pytest.raises(ValueError, match="no token of the text is left"):
        CausalLMEncoder(folder, prefix="you are brain:", max_tokens=3, accelerator="cpu").embed(["MBP"])


def test_an_empty_text_is_refused(folder):
    with pytest.raises(ValueError, match="it is empty"):
        CausalLMEncoder(folder, accelerator="cpu").embed(["MBP", ""])


def test_precision_is_pinned_and_the_result_is_float32(folder):
    full = CausalLMEncoder(folder, accelerator="cpu")
    half = CausalLMEncoder(folder, dtype="bfloat16", accelerator="cpu")
    assert half._loaded[1].dtype == torch.bfloat16
    assert full._loaded[1].dtype == torch.float32
    vectors = half.embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, full.embed(TEXTS), atol=0.1)
    assert half.identity != full.identity


def test_identity_follows_the_files_and_tells_no_path(folder, tmp_path):
    import shutil

    copied = shutil.copytree(folder, tmp_path / folder.name)
    one, other = CausalLMEncoder(folder), CausalLMEncoder(copied)
    assert one.identity == other.identity
    assert str(folder.parent) not in str(one.identity)
    config = copied / "config.json"
    config.write_text(config.read_text() + " ")
    assert CausalLMEncoder(copied).identity != one.identity


def test_token_limit_and_count(folder):
    encoder = CausalLMEncoder(folder, prefix="genes: ", max_tokens=10, accelerator="cpu")
    assert encoder.count_tokens(["MBP, PLP1", "GFAP"]) == [3, 1]
    assert encoder.token_limit == 7


def test_get_encoder_makes_one(folder):
    encoder = get_encoder(f"llm:{folder}", pooling="last")
    assert isinstance(encoder, CausalLMEncoder)
    assert isinstance(encoder, Encoder)
    assert encoder.identity["pooling"] == "last"
    assert encoder.name == f"llm:{folder.name}"


def test_sentence_transformers_is_not_let_near_a_causal_model(folder):
    with pytest.raises(ValueError, match="encoder='llm:"):
        get_encoder(str(folder)).embed(["MBP"])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pooling": "mean"}, ValueError, "pooling must be one of"),
        ({"dtype": "int8"}, ValueError, "dtype must be one of"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"max_tokens": 1.5}, TypeError, "max_tokens must be a whole number"),
    ],
)
def test_bad_options(folder, options, error, message):
    with pytest.raises(error, match=message):
        CausalLMEncoder(folder, **options)


def test_bad_accelerator(folder):
    with pytest.raises(ValueError, match="accelerator must be one of"):
        CausalLMEncoder(folder, accelerator="tpu").embed(["MBP"])


def test_a_missing_model(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        CausalLMEncoder(tmp_path / "no").embed(["MBP"])
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        CausalLMEncoder("nobody/nothing-of-this-name").embed(["MBP"])


@pytest.mark.slow
def test_gguf():
    """Set SEMTX_TEST_GGUF to a GGUF file of a causal language model; loading can take minutes."""
    path = os.environ.get("SEMTX_TEST_GGUF")
    if not path:
        pytest.skip("SEMTX_TEST_GGUF names no GGUF file")
    vectors = get_encoder(f"llm:{path}", accelerator="cpu").embed(["myelin basic protein", "myelin protein", "insulin"])
    unit = vectors - vectors.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2]
