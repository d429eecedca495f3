"""Encoders: text in, vectors out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class Encoder(Protocol):
    """What turns texts into vectors; any object with these four members will do.

    An encoder may have more, and is then asked for it:

    - ``token_limit`` (whole number or ``None``) and ``count_tokens(texts) -> list[int]``: long gene sentences are cut.
    - ``with_prompt(prefix, suffix) -> Encoder``: a copy that reads its texts inside a prompt.
    - ``check_cost(texts)``: is called once with everything that is about to be sent, before any of it is.

    Attributes
    ----------
    name
        Short name for messages and run records.
    dimension
        Length of a vector.
    identity
        Everything that changes the vectors: backend, model, revision, pooling, precision ... Two encoders of the same
        identity share stored vectors. Never a secret, never a path.

    Examples
    --------
    >>> import numpy as np
    >>> import semtx as st
    >>> class Lengths:
    ...     name, dimension, identity = "lengths", 2, {"backend": "lengths", "version": "1"}
    ...
    ...     def embed(self, texts):
    ...         return np.array([[len(text), text.count(" ")] for text in texts], dtype=np.float32)
    >>> adata = st.datasets.tissue(n_obs=100)
    >>> st.pp.gene_semantics(adata, encoder=Lengths())
    >>> adata.varm["gene_semantics"].shape
    (705, 2)
    """

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def identity(self) -> dict[str, str]: ...

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Return one row per text, float32, shape (len(texts), dimension)."""
        ...


def get_encoder(spec: str | Path | Encoder, **options: Any) -> Encoder:
    """Return the encoder that a name stands for. Nothing is loaded or sent before the first text.

    Parameters
    ----------
    spec
        - a sentence-transformers name or local folder, such as ``"all-MiniLM-L6-v2"``
        - ``"offline"``: all-MiniLM-L6-v2 from the wheel of the extra ``semtx[offline]``
        - ``"llm:<name or folder>"``: hidden states of a causal language model, also ``"llm:<file>.gguf"``
        - ``"openai:<model>"``: any OpenAI-compatible server (``base_url=``)
        - an object with ``name``, ``dimension``, ``identity`` and ``embed``
    options
        Passed to :class:`SentenceTransformerEncoder`, :class:`CausalLMEncoder` or :class:`OpenAIEncoder`.

    Raises
    ------
    TypeError
        ``spec`` is neither a name nor an encoder, or an encoder object comes with options.
    ValueError
        ``spec`` is empty or names something that reads no text.

    Examples
    --------
    >>> from semtx.semantics import get_encoder
    >>> get_encoder("openai:text-embedding-3-small").name
    'openai:text-embedding-3-small'
    """
    if isinstance(spec, Encoder):
        if options:
            msg = f"options {sorted(options)} cannot be given with a ready encoder object ({spec.name})"
            raise TypeError(msg)
        return spec
    if not isinstance(spec, (str, Path)):
        msg = (
            "encoder must be a name, a folder, or an object with name, dimension, identity and embed(texts), "
            f"got {type(spec).__name__}"
        )
        raise TypeError(msg)
    backend, _, model = str(spec).partition(":")
    if backend == "openai" and model:
        from semtx.semantics._openai import OpenAIEncoder

        return OpenAIEncoder(model, **options)
    if backend == "llm" and model:
        from semtx.semantics._causal_lm import CausalLMEncoder

        return CausalLMEncoder(model, **options)
    if str(spec) in {"", "builtin"} or (not model and backend in {"openai", "llm"}):
        msg = (
            f"encoder={str(spec)!r} reads no text; name a sentence-transformers model, 'offline', 'llm:<model>' or "
            "'openai:<model>'"
        )
        raise ValueError(msg)
    from semtx.semantics._sentence_transformer import SentenceTransformerEncoder

    if str(spec) == "offline":
        from semtx.semantics._offline import offline_model

        return SentenceTransformerEncoder(offline_model(), **{"name": "all-MiniLM-L6-v2", **options})
    return SentenceTransformerEncoder(str(spec), **options)
