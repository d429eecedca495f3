"""The device that encoders and training run on."""

from __future__ import annotations

from typing import Literal

from semtx._settings import ACCELERATORS, settings
from semtx._validate import check_choice


def resolve_accelerator(accelerator: str | None = None) -> Literal["cpu", "cuda", "mps"]:
    """Return the torch device of an accelerator.

    Parameters
    ----------
    accelerator
        ``"auto"``: CUDA where there is a device, else the CPU; never MPS, whose results can differ. ``"gpu"``: CUDA, or
        MPS where there is only that. ``"cpu"``, ``"cuda"``, ``"mps"``: just that. ``None``: ``settings.accelerator``.

    Raises
    ------
    ValueError
        ``accelerator`` is unknown.
    RuntimeError
        The device is not there.
    """
    import torch

    accelerator = settings.accelerator if accelerator is None else accelerator
    check_choice("accelerator", accelerator, ACCELERATORS)
    if accelerator not in {"cpu", "mps"} and torch.cuda.is_available():
        return "cuda"
    if accelerator in {"auto", "cpu"}:
        return "cpu"
    if accelerator in {"gpu", "mps"} and torch.backends.mps.is_available():
        return "mps"
    msg = f"accelerator={accelerator!r} is not available to torch {torch.__version__} on this machine; use accelerator='cpu'"
    raise RuntimeError(msg)
