from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import torch

from semtx._settings import ACCELERATORS, settings
from semtx._validate import check_choice

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def make_fabric(accelerator: str | None = None) -> Fabric:
    """Return a launched Lightning Fabric for one process.

    Parameters
    ----------
    accelerator
        ``"auto"`` (a CUDA device where there is one, else the CPU; never MPS, whose results can differ), ``"cpu"``,
        ``"gpu"``, ``"cuda"`` or ``"mps"``; ``None`` takes ``semtx.settings.accelerator``.
    """
    from lightning.fabric import Fabric

    accelerator = settings.accelerator if accelerator is None else accelerator
    check_choice("accelerator", accelerator, ACCELERATORS)
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    missing = (accelerator in {"gpu", "cuda"} and not torch.cuda.is_available()) or (
        accelerator == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        msg = f"accelerator={accelerator!r} is not available to torch {torch.__version__} on this machine; use accelerator='cpu'"
        raise RuntimeError(msg)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(accelerator="cuda" if accelerator == "gpu" else accelerator, devices=1)
        fabric.launch()
    return fabric
