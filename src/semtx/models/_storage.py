"""A trained model on disk: ``model.safetensors`` and ``model.json`` in a folder, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semtx._values import as_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_FORMAT = 1


def write_model(folder: str | Path, arrays: Mapping[str, NDArray], description: Mapping[str, Any]) -> None:
    """Write arrays and description."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # safetensors writes the memory as it lies, whatever the strides say
    contiguous = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    save_file(contiguous, folder / "model.safetensors")
    text = json.dumps({"format": _FORMAT, **description}, indent=1, default=as_plain)
    (folder / "model.json").write_text(text, encoding="utf-8")


def read_model(folder: str | Path, model: str) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Read arrays and description of a ``model``, which is the name of its class."""
    from safetensors.numpy import load_file

    path = Path(folder) / "model.json"
    if not path.exists():
        msg = f"there is no model.json in {folder}; give the folder that {model}.save wrote"
        raise FileNotFoundError(msg)
    description = json.loads(path.read_text(encoding="utf-8"))
    if description["format"] != _FORMAT:
        msg = f"{path} has format {description['format']}; this version of semtx reads format {_FORMAT}"
        raise ValueError(msg)
    if description["model"] != model:
        msg = (
            f"{path} holds a {description['model']}, not a {model}; load it with st.models.{description['model']}.load"
        )
        raise ValueError(msg)
    return load_file(path.with_name("model.safetensors")), description


def under(arrays: Mapping[str, NDArray], prefix: str) -> dict[str, NDArray]:
    """Return the arrays whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
