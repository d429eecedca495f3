"""Text embedding models through sentence-transformers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from semtx._device import resolve_accelerator
from semtx._validate import check_choice
from semtx.semantics._model_files import ModelFiles, locate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DTYPES = ("float32", "bfloat16", "float16")


class SentenceTransformerEncoder:
    """Any sentence-transformers model, by name or local folder.

    Parameters
    ----------
    model
        Hub name (without an owner: one of ``sentence-transformers``' own) or local folder.
    revision
        Branch, tag or commit; ``None`` is resolved to the commit that is used.
    prompt
        Put before every text, as some models want it. A model's own default prompt is not used.
    normalize
        Scale vectors to length 1.
    truncate_dim
        Keep the first so many dimensions (for models trained for it).
    max_tokens
        Longest text in tokens, the rest is cut off; ``None`` is the model's own limit.
    dtype
        ``"float32"``, ``"bfloat16"`` or ``"float16"``; the vectors returned are float32.
    batch_size
        Texts per pass.
    accelerator
        ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"`` or ``"mps"``; ``None`` reads ``settings.accelerator``.
    trust_remote_code
        Run code that comes with the model.
    name
        Name in messages and records; ``None`` takes it from ``model``.

    Examples
    --------
    Nothing is loaded or downloaded before the first text.

    >>> from semtx.semantics import SentenceTransformerEncoder
    >>> encoder = SentenceTransformerEncoder("BAAI/bge-small-en-v1.5", normalize=True)
    >>> encoder.name
    'bge-small-en-v1.5'
    >>> vectors = encoder.embed(["glial fibrillary acidic protein"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path,
        *,
        revision: str | None = None,
        prompt: str = "",
        normalize: bool = False,
        truncate_dim: int | None = None,
        max_tokens: int | None = None,
        dtype: str = "float32",
        batch_size: int = 64,
        accelerator: str | None = None,
        trust_remote_code: bool = False,
        name: str | None = None,
    ) -> None:
        check_choice("dtype", dtype, DTYPES)
        self._source = str(model)
        self._name = name or self._source.replace("\\", "/").rstrip("/").rsplit("/", maxsplit=1)[-1]
        self._revision = revision
        self._prompt = prompt
        self._normalize = normalize
        self._truncate_dim = truncate_dim
        self._max_tokens = max_tokens
        self._dtype = dtype
        self._batch_size = batch_size
        self._accelerator = accelerator
        self._trust_remote_code = trust_remote_code

    @cached_property
    def _files(self) -> ModelFiles:
        from pathlib import Path

        source = self._source
        if "/" not in source and "\\" not in source and not Path(source).expanduser().is_dir():
            source = f"sentence-transformers/{source}"
        files = locate(source, revision=self._revision)
        if files.is_causal() and not files.has_file("modules.json"):
            # sentence-transformers would take the last token and wrap each text in the chat template, silently
            msg = (
                f"{self._source!r} is a causal language model, not a sentence-transformers model; "
                f"read its hidden states with encoder='llm:{self._source}'"
            )
            raise ValueError(msg)
        return files

    @cached_property
    def _model(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            self._files.source,
            device=resolve_accelerator(self._accelerator),
            trust_remote_code=self._trust_remote_code,
            truncate_dim=self._truncate_dim,
            **self._files.load_options,
        )
        if self._max_tokens is not None:
            model.max_seq_length = self._max_tokens
        return model.to(getattr(torch, self._dtype)).eval()

    @property
    def name(self) -> str:
        """Name of the model, without a path."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        model = self._model
        # renamed in sentence-transformers 6
        get = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        return int(get())

    @property
    def token_limit(self) -> int | None:
        """Longest text in tokens."""
        return self._model.max_seq_length

    @property
    def identity(self) -> dict[str, str]:
        """What changes the vectors."""
        return {
            "backend": "sentence-transformers",
            "model": self._name if self._files.is_local else self._files.source,
            "revision": self._files.revision,
            "prompt": self._prompt,
            "normalize": str(self._normalize),
            "truncate_dim": str(self._truncate_dim),
            "max_tokens": str(self._max_tokens),
            "dtype": self._dtype,
        }

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""
        return [len(ids) for ids in self._model.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Return one row per text, float32, shape (len(texts), dimension)."""
        vectors = self._model.encode(
            list(texts),
            batch_size=self._batch_size,
            prompt=self._prompt,  # an empty one turns a model's default prompt off
            normalize_embeddings=self._normalize,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, dtype=np.float32)
