"""The device that an encoder runs on."""

from __future__ import annotations

from semtx._settings import ACCELERATORS, settings
from semtx._validate import check_choice


def torch_device(accelerator: str | None) -> str:
    """Return the torch device of an accelerator; ``None`` reads ``settings.accelerator``.

    Raises
    ------
    ValueError
        ``accelerator`` is unknown, or not there.
    """
    import torch

    accelerator = settings.accelerator if accelerator is None else accelerator
    check_choice("accelerator", accelerator, ACCELERATORS)
    if accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cpu":
        return "cpu"
    if accelerator == "mps" or (accelerator == "gpu" and not torch.cuda.is_available()):
        if torch.backends.mps.is_available():
            return "mps"
    elif torch.cuda.is_available():
        return "cuda"
    msg = f"accelerator={accelerator!r} is not available to torch {torch.__version__}; use 'cpu' or 'auto'"
    raise ValueError(msg)
