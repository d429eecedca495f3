from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from semtx._device import resolve_accelerator

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def make_fabric(accelerator: str | None = None) -> Fabric:
    """Return a launched Lightning Fabric for one process.

    Parameters
    ----------
    accelerator
        As in `resolve_accelerator`.
    """
    from lightning.fabric import Fabric

    device = resolve_accelerator(accelerator)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(accelerator=device, devices=1)
        fabric.launch()
    return fabric
