from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from semtx._validate import listed
from semtx._values import as_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

_FORMAT = "1"
# training goes on for so many times as long as the last writing took, so that writing stays a small part
_PATIENCE = 20


class Checkpoint:
    """The state of a training in a folder, so that a run that was killed goes on after the last epoch written.

    Each phase of a training has a file of its own, safetensors without pickle, which is replaced as a whole.

    Parameters
    ----------
    folder
        Made where it is missing.
    identity
        What the training is of, by name: configuration, seed, and a digest of each input.
    phase
        Name of the file.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, Any], phase: str = "training") -> None:
        self.path = Path(folder) / f"{phase}.safetensors"
        self._folder = folder
        self._identity = json.loads(json.dumps(identity, default=as_plain))
        self._next = 0.0

    def phase(self, name: str) -> Checkpoint:
        """Return the same for another phase."""
        return Checkpoint(self._folder, self._identity, name)

    def due(self) -> bool:
        """Tell whether it is time to write again."""
        return time.monotonic() >= self._next

    def write(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor], progress: Mapping
    ) -> None:
        """Write weights, optimizer, random numbers, ``state`` and ``progress``, all or nothing."""
        from safetensors.torch import save_file

        started = time.monotonic()
        tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
        tensors |= {f"state.{name}": value for name, value in state.items()}
        for number, entries in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in entries.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        told = {"format": _FORMAT, "identity": json.dumps(self._identity), "progress": json.dumps(progress)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(f".{os.getpid()}.part")
        try:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, unfinished, told)
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)
        now = time.monotonic()
        self._next = now + _PATIENCE * (now - started)

    def read(self, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> dict | None:
        """Put everything back as it was written and return the progress; ``None`` where nothing is written yet.

        Raises
        ------
        ValueError
            The file is no checkpoint, or one of other data or another configuration.
        """
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                told = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
        except SafetensorError as error:
            msg = f"{self.path} cannot be read as a checkpoint ({error}); delete it or give another folder"
            raise ValueError(msg) from error
        if told.get("format") != _FORMAT:
            msg = f"{self.path} is no checkpoint of this version of semtx; delete it or give another folder"
            raise ValueError(msg)
        self._check(json.loads(told["identity"]))
        module.load_state_dict(_under(tensors, "module."))
        state.update(_under(tensors, "state."))
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimizer.").items():
            number, _, entry = name.partition(".")
            entries.setdefault(int(number), {})[entry] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return json.loads(told["progress"])

    def _check(self, written: Mapping[str, Any]) -> None:
        names = [*self._identity, *(name for name in written if name not in self._identity)]
        other = [name for name in names if self._identity.get(name) != written.get(name)]
        if other:
            msg = (
                f"{self.path} is the checkpoint of another run: {listed(other)} differ; "
                "give the same data and settings, or another folder"
            )
            raise ValueError(msg)


def digest(value: Any) -> str:
    """Return a digest of an array, a sparse matrix or ``None``."""
    if value is None:
        return "none"
    parts = (value.data, value.indices, value.indptr) if sparse.issparse(value) else (np.asarray(value),)
    made = hashlib.blake2b(str((value.shape, [part.dtype.str for part in parts])).encode(), digest_size=16)
    for part in parts:
        made.update(np.ascontiguousarray(part).view(np.uint8).data)
    return made.hexdigest()


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
