from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any, cast

from semtx._device import resolve_accelerator
from semtx._settings import PRECISIONS, settings
from semtx._validate import check_choice, check_integer

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment


def make_fabric(accelerator: str | None = None, devices: int | None = None, precision: str | None = None) -> Fabric:
    """Return a launched Lightning Fabric, for one process or for those that a launcher has started.

    Fabric's own launcher would run the user's script again from its first line, or fork a notebook, in the middle of a
    call of this package. So several processes are used only where ``torchrun`` or a scheduler has started them, and the
    call raises where they are asked for and are not there.

    Parameters
    ----------
    accelerator
        As in `resolve_accelerator`.
    devices
        Processes on each machine that share the training, one device each; ``None``: ``settings.devices``.
    precision
        ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"``; ``None``: ``settings.precision``.

    Raises
    ------
    RuntimeError
        No launcher has started so many processes.
    """
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    device = resolve_accelerator(accelerator)
    devices = settings.devices if devices is None else devices
    precision = settings.precision if precision is None else precision
    check_integer("devices", devices, minimum=1)
    check_choice("precision", precision, PRECISIONS)
    environment: ClusterEnvironment = LightningEnvironment()
    options: dict[str, Any] = {"devices": 1}
    if devices > 1:
        from lightning.fabric.strategies.ddp import DDPStrategy

        environment = _launcher(devices)
        # the heads of scLLM-DSC have no part in the losses of its first phase
        strategy = DDPStrategy(find_unused_parameters=True)
        options = {"devices": devices, "num_nodes": environment.world_size() // devices, "strategy": strategy}
    for name in ("lightning.fabric", "lightning.fabric.utilities.rank_zero", "lightning.fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(accelerator=device, precision=cast("Any", precision), plugins=[environment], **options)
        fabric.launch()
    return fabric


def _launcher(devices: int) -> ClusterEnvironment:
    """Return the environment of the launcher that has started this process beside others."""
    from lightning.fabric.plugins.environments.lsf import LSFEnvironment
    from lightning.fabric.plugins.environments.mpi import MPIEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    script = sys.argv[0] if sys.argv[0].endswith(".py") else "script.py"
    fix = f"start the script with: torchrun --nproc-per-node={devices} {script}"
    for kind in (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment):
        if kind.detect():
            environment: ClusterEnvironment = kind()
            if environment.world_size() % devices == 0:
                return environment
            msg = f"devices={devices}, but the launcher has started {environment.world_size()} processes; {fix}"
            raise RuntimeError(msg)
    msg = (
        f"devices={devices} takes processes that a launcher has started, and this one runs by itself; {fix}, or on a SLURM "
        f"cluster with: srun --ntasks-per-node={devices} python {script}"
    )
    raise RuntimeError(msg)
