"""What a remote encoder will be sent and what it will cost, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# OpenAI's list prices in US dollars per million tokens, as last known; they change, and other servers ask others.
PRICES = {
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
    "text-embedding-ada-002": 0.10,
}
# English runs at 4 or more bytes per token; names of genes at 2 to 3. Rather too many tokens than too few.
BYTES_PER_TOKEN = 3


@dataclass(frozen=True)
class Cost:
    """Estimate of what a remote encoder will be sent.

    Attributes
    ----------
    n_texts
        Number of texts.
    n_tokens
        Tokens, estimated from the length of the texts; rather too many than too few.
    dollars
        Price in US dollars, ``None`` where the price is not known.
    """

    n_texts: int
    n_tokens: int
    dollars: float | None

    def __str__(self) -> str:
        price = "price not known" if self.dollars is None else f"about USD {self.dollars:.2g}"
        return f"{self.n_texts} texts, about {self.n_tokens} tokens, {price}"


def count_tokens_roughly(text: str) -> int:
    """Estimate the tokens of a text from its length in bytes."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def estimate_cost(
    texts: Iterable[str], model: str = "", *, price_per_million: float | None = None, n_tokens_limit: int | None = None
) -> Cost:
    """Estimate what it takes to embed texts remotely.

    Parameters
    ----------
    texts
        What would be sent.
    model
        Name of the model, to look up its list price.
    price_per_million
        US dollars per million tokens, in place of the list price.
    n_tokens_limit
        Tokens at which a text is cut.

    Returns
    -------
    Numbers of texts and tokens, and the price where it is known.

    Examples
    --------
    >>> from semtx.semantics import estimate_cost
    >>> print(estimate_cost(["SNAP25: synaptosome associated protein 25"] * 1000, "text-embedding-3-small"))
    1000 texts, about 14000 tokens, about USD 0.00028
    """
    counts = [count_tokens_roughly(text) for text in texts]
    if n_tokens_limit is not None:
        counts = [min(count, n_tokens_limit) for count in counts]
    price = PRICES.get(model) if price_per_million is None else price_per_million
    return Cost(len(counts), sum(counts), None if price is None else sum(counts) * price / 1e6)
