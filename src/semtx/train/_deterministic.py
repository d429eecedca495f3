from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from semtx._settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deterministic() -> Iterator[None]:
    """Run a block with torch's deterministic algorithms only, where ``settings.deterministic`` asks for them."""
    if not settings.deterministic:
        yield
        return
    # cuBLAS reads it when it starts; a value that the user has set stays
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)  # noqa: FBT003
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
