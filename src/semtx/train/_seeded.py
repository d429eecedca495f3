from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from semtx.train._deterministic import deterministic

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def seeded(random_state: int, device: torch.device) -> Iterator[None]:
    """Run a block with one stream of random numbers, which leaves torch's global one as it was.

    Only the generator of the device that is used is looked at: that of another would start CUDA there.

    Parameters
    ----------
    random_state
        Seed.
    device
        Where the block computes, beside the CPU.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []), deterministic():
        torch.manual_seed(random_state)
        yield
