"""Hidden states of a causal language model as vectors of texts."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from semtx._device import resolve_accelerator
from semtx._validate import check_choice, check_integer
from semtx.semantics._hidden_states import SharedPrefix, pooled_states
from semtx.semantics._model_files import ModelFiles, locate
from semtx.semantics._offline import sha256_of
from semtx.semantics._sentence_transformer import DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pooling = Literal["gene_tokens", "last", "all"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


class CausalLMEncoder:
    """Last hidden states of a frozen causal language model, pooled to one vector per text. Nothing is generated.

    The text goes in as it is: no chat template is applied. A prompt around the texts is given with ``prefix`` and
    ``suffix`` or :meth:`with_prompt`; what all texts begin with is computed once, not once per text.

    Parameters
    ----------
    model
        Hub name, local folder, or path of a GGUF file (which needs ``semtx[llm]``).
    pooling
        - ``"gene_tokens"``: mean over the tokens of the text itself, without prompt and special tokens. In a causal
          model the tokens of the prefix are the same for every text and tell nothing.
        - ``"last"``: the last token, which has read everything.
        - ``"all"``: mean over all tokens that are not padding, prompt included, as SemST's released code does.
    prefix, suffix
        Prompt before and after each text.
    revision
        Branch, tag or commit; ``None`` is resolved to the commit that is used.
    gguf_file
        GGUF file inside ``model``, as in transformers.
    max_tokens
        Longest prompt in tokens, never more than the model has positions; what is longer is cut at the end.
    dtype
        ``"float32"``, ``"bfloat16"`` or ``"float16"``, of the model; pooling sums and vectors are float32.
    batch_size
        Prompts per pass.
    accelerator
        ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"`` or ``"mps"``; ``None`` reads ``settings.accelerator``.
    trust_remote_code
        Run code that comes with the model.

    Examples
    --------
    Nothing is loaded or downloaded before the first text.

    >>> from semtx.semantics import CausalLMEncoder
    >>> encoder = CausalLMEncoder("Qwen/Qwen3-0.6B", prefix="The gene ", suffix=" makes")
    >>> encoder.name
    'llm:Qwen3-0.6B'
    >>> vectors = encoder.embed(["GFAP", "MBP"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path,
        *,
        pooling: Pooling = "gene_tokens",
        prefix: str = "",
        suffix: str = "",
        revision: str | None = None,
        gguf_file: str | None = None,
        max_tokens: int = 2560,
        dtype: str = "float32",
        batch_size: int = 8,
        accelerator: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        check_choice("pooling", pooling, POOLINGS)
        check_choice("dtype", dtype, DTYPES)
        check_integer("max_tokens", max_tokens, minimum=1)
        check_integer("batch_size", batch_size, minimum=1)
        if gguf_file is None and str(model).endswith(".gguf"):
            model, gguf_file = Path(model).parent, Path(model).name
        self._source = str(model)
        self._pooling = pooling
        self._prefix = prefix
        self._suffix = suffix
        self._revision = revision
        self._gguf_file = gguf_file
        self._max_tokens = max_tokens
        self._dtype = dtype
        self._batch_size = batch_size
        self._accelerator = accelerator
        self._trust_remote_code = trust_remote_code

    def with_prompt(self, prefix: str, suffix: str) -> CausalLMEncoder:
        """Return an encoder that reads its texts between ``prefix`` and ``suffix``; a loaded model is shared."""
        other = copy.copy(self)
        other._prefix, other._suffix = prefix, suffix
        return other

    @cached_property
    def _files(self) -> ModelFiles:
        gguf = self._gguf_file
        if gguf is None:
            return locate(self._source, revision=self._revision)
        path = Path(self._source).expanduser() / gguf
        if path.is_file():  # only this file counts, not what lies beside it
            return ModelFiles(str(path.parent), f"sha256:{sha256_of(path)}", is_local=True)
        return locate(self._source, revision=self._revision, probe=gguf)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModel, AutoTokenizer

        options: dict[str, Any] = {**self._files.load_options, "trust_remote_code": self._trust_remote_code}
        if self._gguf_file is not None:
            _check_gguf()
            options["gguf_file"] = self._gguf_file
        tokenizer = AutoTokenizer.from_pretrained(self._files.source, **options)
        if not tokenizer.is_fast:
            msg = (
                f"the tokenizer of {self.name} tells no character offsets (it is not a 'fast' one), which pooling needs"
            )
            raise ValueError(msg)
        tokenizer.truncation_side = "right"
        model = AutoModel.from_pretrained(self._files.source, **options)
        return tokenizer, model.to(
            device=resolve_accelerator(self._accelerator), dtype=getattr(torch, self._dtype)
        ).eval()

    @property
    def name(self) -> str:
        """Name of the model, without a path."""
        name = self._gguf_file or self._source.replace("\\", "/").rstrip("/").rsplit("/", maxsplit=1)[-1]
        return f"llm:{name}"

    @property
    def dimension(self) -> int:
        """Hidden size."""
        return int(self._loaded[1].config.get_text_config().hidden_size)

    @property
    def token_limit(self) -> int:
        """Longest text in tokens, what the prompt takes subtracted."""
        prompt = self._loaded[0](self._prefix + self._suffix)["input_ids"]
        return max(self._longest - len(prompt), 1)

    @property
    def _longest(self) -> int:
        positions = getattr(self._loaded[1].config.get_text_config(), "max_position_embeddings", None)
        return min(self._max_tokens, positions or self._max_tokens)

    @property
    def identity(self) -> dict[str, str]:
        """What changes the vectors."""
        return {
            "backend": "causal-lm",
            "model": self.name if self._files.is_local else self._files.source,
            "revision": self._files.revision,
            "gguf_file": str(self._gguf_file),
            "pooling": self._pooling,
            "prefix": self._prefix,
            "suffix": self._suffix,
            "max_tokens": str(self._max_tokens),
            "dtype": self._dtype,
        }

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""
        return [len(ids) for ids in self._loaded[0](texts, add_special_tokens=False)["input_ids"]]

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Return one row per text, float32, shape (len(texts), dimension)."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        if not len(texts):
            return vectors
        tokenizer, model = self._loaded
        tokens = tokenizer(
            [f"{self._prefix}{text}{self._suffix}" for text in texts],
            truncation=True,
            max_length=self._longest,
            return_offsets_mapping=True,
        )
        ids = tokens["input_ids"]
        chosen = [self._chosen(spans, len(text)) for spans, text in zip(tokens["offset_mapping"], texts, strict=True)]
        prefix = SharedPrefix(model, ids)
        # texts of like length together: less padding
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            vectors[rows] = pooled_states(prefix, [ids[row] for row in rows], [chosen[row] for row in rows])
        return vectors

    def _chosen(self, spans: list[tuple[int, int]], length: int) -> NDArray[np.bool_]:
        """Mark the tokens of one prompt that are averaged; ``spans`` are their places in the text."""
        chosen = np.ones(len(spans), dtype=bool)
        if self._pooling == "last":
            chosen[:-1] = False
        elif self._pooling == "gene_tokens":
            first, last = np.array(spans).T
            begin = len(self._prefix)
            # special tokens have the empty span (0, 0)
            chosen = (first < last) & (first < begin + length) & (last > begin)
        if not chosen.any():
            msg = (
                f"{self.name}: no token of the text is left to average; it is empty, or the prompt before it fills the "
                f"{self._longest} tokens that are read"
            )
            raise ValueError(msg)
        return chosen


def _check_gguf() -> None:
    from importlib.util import find_spec

    missing = [package for package in ("gguf", "accelerate") if find_spec(package) is None]
    if missing:
        msg = f"a GGUF model needs {' and '.join(missing)}: pip install 'semtx[llm]'"
        raise ImportError(msg)
