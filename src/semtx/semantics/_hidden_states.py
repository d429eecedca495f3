"""Hidden states of prompts that begin alike: the common beginning goes through the model once."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below this, what is saved is less than what the copies of the cache cost.
_WORTH_IT = 8


class SharedPrefix:
    """The tokens that all prompts begin with, their hidden states and their attention cache.

    In a causal model the states of a prefix do not depend on what follows, so this changes no vector beyond rounding.

    Parameters
    ----------
    model
        A causal transformer without its head.
    ids
        Token numbers of each prompt.
    """

    def __init__(self, model: Any, ids: list[list[int]]) -> None:
        import torch

        self.model = model
        self.length = _common_length(ids)
        # what the cache is called, as argument and in the output, depends on the version of transformers
        accepted = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in accepted else "past_key_values"
        self.cache: Any = None
        self.states = torch.zeros((0, model.config.get_text_config().hidden_size), device=model.device)
        if len(ids) < 2 or self.length < _WORTH_IT:
            self.length = 0
            return
        with torch.inference_mode():
            out = model(input_ids=torch.tensor([ids[0][: self.length]], device=model.device), use_cache=True)
        cache = getattr(out, self.cache_name, None)
        if not hasattr(cache, "batch_repeat_interleave"):  # recurrent and other models without such a cache
            self.length = 0
            return
        self.cache = cache
        self.states = out.last_hidden_state[0].float()

    def repeated(self, times: int) -> dict[str, Any]:
        """Return what tells the model of the prefix of each of a batch of prompts, with a cache of its own."""
        if self.cache is None:
            return {"use_cache": False}
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(times)
        return {self.cache_name: cache, "use_cache": True}


def pooled_states(prefix: SharedPrefix, ids: list[list[int]], chosen: list[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """Average the last hidden states of the chosen tokens of each prompt, in float32.

    Parameters
    ----------
    prefix
        What the prompts begin with.
    ids
        Token numbers of each prompt of the batch.
    chosen
        Which of its tokens are averaged, at least one.

    Returns
    -------
    Shape (len(ids), hidden size).
    """
    import torch

    model, begin = prefix.model, prefix.length
    size = (len(ids), max(map(len, ids)) - begin)
    # padding is on the right and masked, so its number does not matter
    tokens, real, weights = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64), np.zeros(size, dtype=bool)
    for row, (numbers, marks) in enumerate(zip(ids, chosen, strict=True)):
        tail = len(numbers) - begin
        tokens[row, :tail], real[row, :tail], weights[row, :tail] = numbers[begin:], 1, marks[begin:]
    attention = np.concatenate([np.ones((len(ids), begin), dtype=np.int64), real], axis=1)
    before = np.stack([marks[:begin] for marks in chosen]).astype(np.float32)
    device = model.device
    with torch.inference_mode():
        hidden = model(
            input_ids=torch.from_numpy(tokens).to(device),
            attention_mask=torch.from_numpy(attention).to(device),
            **prefix.repeated(len(ids)),
        ).last_hidden_state
        # a product with 0/1 weights would let an infinite state of a padding token through
        kept = hidden.float().masked_fill(~torch.from_numpy(weights).to(device)[:, :, None], 0)
        sums = kept.sum(dim=1) + torch.from_numpy(before).to(device) @ prefix.states
    counts = np.array([marks.sum() for marks in chosen], dtype=np.float32)
    return sums.cpu().numpy() / counts[:, None]


def _common_length(ids: list[list[int]]) -> int:
    """Return how many tokens all prompts begin with; one token at least is left to each."""
    shortest = min(map(len, ids)) - 1
    for place in range(shortest):
        if any(numbers[place] != ids[0][place] for numbers in ids):
            return place
    return max(shortest, 0)
