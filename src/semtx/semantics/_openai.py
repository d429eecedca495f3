"""Any server that speaks OpenAI's embeddings protocol."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import numpy as np

from semtx._logging import logger
from semtx._validate import check_integer
from semtx.semantics._cost import count_tokens_roughly, estimate_cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPENAI_URL = "https://api.openai.com/v1"
_MANY_TOKENS = 100_000  # above it the cost is told at the default verbosity


class OpenAIEncoder:
    """Text embeddings from OpenAI or any compatible server (Ollama, vLLM, llama.cpp, LiteLLM ...).

    Before anything is sent, the number of tokens and the price are estimated and logged.

    Parameters
    ----------
    model
        Name of the model on the server.
    base_url
        Address of the server, such as ``"http://localhost:11434/v1"``; ``None`` reads ``OPENAI_BASE_URL``, else it is
        OpenAI's own.
    api_key_env
        Name of the environment variable that holds the key. The key is read when it is needed and is kept nowhere.
    dimensions
        Length of vector to ask for, where the model offers a choice.
    batch_size
        Texts per request.
    max_tokens
        Most tokens that one run may send, by the estimate; above it nothing is sent and an error is raised.
    price_per_million
        US dollars per million tokens for the estimate; ``None`` takes the list price of the models it knows.
    token_limit
        Longest text the model takes, in tokens.
    max_retries
        How often a request is repeated after a lost connection, a rate limit or a server error.
    timeout
        Seconds to wait for an answer.

    Examples
    --------
    Nothing is sent before the first text.

    >>> from semtx.semantics import OpenAIEncoder
    >>> encoder = OpenAIEncoder("nomic-embed-text", base_url="http://localhost:11434/v1")
    >>> encoder.name
    'openai:nomic-embed-text'
    >>> vectors = encoder.embed(["glial fibrillary acidic protein"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        dimensions: int | None = None,
        batch_size: int = 128,
        max_tokens: int = 10_000_000,
        price_per_million: float | None = None,
        token_limit: int = 8191,
        max_retries: int = 5,
        timeout: float = 60.0,
    ) -> None:
        check_integer("dimensions", dimensions, minimum=1, optional=True)
        check_integer("batch_size", batch_size, minimum=1, maximum=2048)
        check_integer("max_tokens", max_tokens, minimum=0)
        check_integer("max_retries", max_retries, minimum=0)
        self._model = model
        self._base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL).rstrip("/")
        self._api_key_env = api_key_env
        self._dimensions = dimensions
        self._batch_size = batch_size
        self._max_tokens = max_tokens
        self._price = price_per_million
        self.token_limit = token_limit
        self._max_retries = max_retries
        self._timeout = timeout
        self._found_dimension: int | None = dimensions
        self._approved: set[str] = set()

    @property
    def name(self) -> str:
        """Name of the model."""
        return f"openai:{self._model}"

    @property
    def dimension(self) -> int:
        """Length of a vector; sends one word where it is not known yet."""
        if self._found_dimension is None:
            self._found_dimension = self.embed(["gene"]).shape[1]
        return self._found_dimension

    @property
    def identity(self) -> dict[str, str]:
        """What changes the vectors; of the address only host, port and path, as the rest can hold secrets."""
        url = urlsplit(self._base_url)
        port = f":{url.port}" if url.port else ""
        return {
            "backend": "openai",
            "server": f"{url.hostname}{port}{url.path}",
            "model": self._model,
            "dimensions": str(self._dimensions),
        }

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Estimate the number of tokens of each text."""
        return [count_tokens_roughly(text) for text in texts]

    def check_cost(self, texts: list[str]) -> None:
        """Log what sending the texts will cost; raise above ``max_tokens``."""
        cost = estimate_cost(texts, self._model, price_per_million=self._price, n_tokens_limit=self.token_limit)
        if cost.n_tokens > self._max_tokens:
            msg = f"{self.name} would be sent {cost}: more than max_tokens={self._max_tokens}; nothing was sent"
            raise ValueError(msg)
        tell = logger.warning if cost.n_tokens > _MANY_TOKENS else logger.info
        tell("sending to %s at %s: %s", self.name, self.identity["server"], cost)
        self._approved.update(texts)

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Return one row per text, float32, shape (len(texts), dimension)."""
        unapproved = [text for text in texts if text not in self._approved]
        if unapproved:
            self.check_cost(unapproved)
        self._approved.difference_update(texts)
        client = self._client()
        parts = [
            self._request(client, texts[start : start + self._batch_size])
            for start in range(0, len(texts), self._batch_size)
        ]
        if not parts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        vectors = np.concatenate(parts)
        self._found_dimension = vectors.shape[1]
        return vectors

    def _key(self) -> str:
        key = os.environ.get(self._api_key_env, "").strip()
        if not key and self._base_url == _OPENAI_URL:
            msg = f"no API key: set the environment variable {self._api_key_env}, or name another with api_key_env="
            raise ValueError(msg)
        return key or "none"  # local servers ask for no key, the client insists on one

    def _client(self) -> Any:
        try:
            from openai import OpenAI
        except ImportError as error:
            msg = f"encoder='{self.name}' needs the package openai: pip install 'semtx[openai]'"
            raise ImportError(msg) from error
        return OpenAI(
            api_key=self._key(), base_url=self._base_url, max_retries=self._max_retries, timeout=self._timeout
        )

    def _request(self, client: Any, texts: list[str]) -> NDArray[np.float32]:
        from openai import OpenAIError

        options = {} if self._dimensions is None else {"dimensions": self._dimensions}
        try:
            # the client asks for base64 by default, which not every server can send
            answer = client.embeddings.create(model=self._model, input=texts, encoding_format="float", **options)
        except OpenAIError as error:
            self._explain(error)
        rows = sorted(answer.data, key=lambda item: item.index)
        if [row.index for row in rows] != list(range(len(texts))):
            msg = f"{self.name} answered {len(rows)} vectors to {len(texts)} texts, or numbered them wrongly"
            raise ValueError(msg)
        vectors = np.array([row.embedding for row in rows], dtype=np.float32)
        if vectors.ndim != 2 or (self._found_dimension not in {None, vectors.shape[1]}):
            msg = (
                f"{self.name} answered vectors of shape {vectors.shape}, {self._found_dimension} columns were expected"
            )
            raise ValueError(msg)
        self._found_dimension = vectors.shape[1]
        return vectors

    def _explain(self, error: Exception) -> NoReturn:
        """Raise an error that says what to do. The original is not chained: servers echo the key in it."""
        import openai

        server = self.identity["server"]
        if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
            msg = f"{server} refuses the API key in the environment variable {self._api_key_env}"
            raise PermissionError(msg) from None
        if isinstance(error, openai.APITimeoutError):
            msg = f"{server} did not answer within {self._timeout} s, {self._max_retries + 1} times"
            raise TimeoutError(msg) from None
        if isinstance(error, openai.APIConnectionError):
            msg = f"no server answers at {server}; check base_url and that it is running"
            raise ConnectionError(msg) from None
        said = str(error).replace(self._key(), "***")
        if isinstance(error, openai.NotFoundError):
            msg = f"{server} has no model {self._model!r} that embeds texts, or base_url lacks its path (/v1): {said}"
            raise ValueError(msg) from None
        if isinstance(error, openai.BadRequestError):
            msg = f"{server} rejects the request to {self._model!r}: {said}"
            raise ValueError(msg) from None
        msg = f"{server} failed {self._max_retries + 1} times: {said}"
        raise RuntimeError(msg) from None
