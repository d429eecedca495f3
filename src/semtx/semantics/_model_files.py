"""Which model a name stands for, down to the revision, before any of it is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semtx.semantics._offline import sha256_of


@dataclass(frozen=True)
class ModelFiles:
    """A model in a local folder or on the Hugging Face hub.

    Attributes
    ----------
    source
        What the loading library is given: a folder or a hub name.
    revision
        Commit of the hub, or a hash over all files of the folder.
    is_local
        Whether ``source`` is a folder.
    """

    source: str
    revision: str
    is_local: bool

    @property
    def load_options(self) -> dict[str, Any]:
        """Keyword arguments that pin the revision."""
        return {} if self.is_local else {"revision": self.revision}

    def has_file(self, filename: str) -> bool:
        """Say whether the model has a file of this name."""
        if self.is_local:
            return (Path(self.source) / filename).is_file()
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            hf_hub_download(self.source, filename, revision=self.revision)
        except EntryNotFoundError:  # also where it is not in the cache of a machine without network
            return False
        return True

    def is_causal(self) -> bool:
        """Say whether the configuration is that of a causal language model."""
        if self.is_local:
            path = Path(self.source) / "config.json"
            if not path.is_file():
                return False
        else:
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(self.source, "config.json", revision=self.revision))
        architectures = json.loads(path.read_text(encoding="utf-8")).get("architectures") or []
        return any("CausalLM" in architecture for architecture in architectures)


def locate(source: str | Path, *, revision: str | None = None, probe: str = "config.json") -> ModelFiles:
    """Find a model.

    Parameters
    ----------
    source
        Folder or hub name.
    revision
        Branch, tag or commit of the hub; a folder has none.
    probe
        A file that every such model has; fetching it tells the commit.

    Raises
    ------
    FileNotFoundError
        Neither a folder nor a model that the hub or its local cache holds.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return ModelFiles(str(folder), _folder_hash(folder), is_local=True)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        snapshot = Path(hf_hub_download(str(source), probe, revision=revision))
    except (OSError, HFValidationError) as error:
        msg = (
            f"{str(source)!r} is not a folder, and the Hugging Face hub or its local cache gave no such model"
            f"{f' at revision {revision!r}' if revision else ''} ({type(error).__name__}). Check the name, or download "
            "the model on a machine with network and give its folder"
        )
        raise FileNotFoundError(msg) from error
    return ModelFiles(str(source), snapshot.parent.name, is_local=False)


def _folder_hash(folder: Path) -> str:
    """Hash names and contents, so that a model that is trained further in place is another model."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or path.suffix == ".md":
            continue
        digest.update(f"{name.as_posix()}\0{sha256_of(path)}\n".encode())
    return f"sha256:{digest.hexdigest()}"
