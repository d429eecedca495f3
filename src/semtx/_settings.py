"""Package-wide settings: ``semtx.settings``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VERBOSITIES = ("error", "warning", "info", "hint", "debug")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


def _default_cachedir() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("semtx", appauthor=False)


@dataclass(init=False, repr=False)
class Settings:
    """Settings of semtx; set an attribute, an environment variable, or use :meth:`override`.

    Attributes
    ----------
    cachedir
        Folder of the embedding store and of downloaded tables (``SEMTX_CACHEDIR``; the user's cache folder).
    datasetdir
        Folder of downloaded data sets (``SEMTX_DATASETDIR``; ``cachedir / "datasets"``).
    verbosity
        ``"error"`` (0), ``"warning"`` (1), ``"info"`` (2), ``"hint"`` (3) or ``"debug"`` (4), as in scanpy
        (``SEMTX_VERBOSITY``; ``"warning"``).
    accelerator
        Device used where a function's ``accelerator`` is ``None``: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"`` or
        ``"mps"`` (``SEMTX_ACCELERATOR``; ``"auto"``, which never chooses ``"mps"``).
    n_jobs
        Threads of the steps that run in parallel on the CPU; -1 for all (``SEMTX_N_JOBS``; -1).

    Examples
    --------
    >>> import semtx as st
    >>> with st.settings.override(verbosity="info", n_jobs=1):
    ...     st.settings.verbosity
    'info'
    """

    cachedir: Path
    datasetdir: Path
    verbosity: str
    accelerator: str
    n_jobs: int

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Read every setting anew from its environment variable, or take its default."""
        environment = os.environ.get
        self.cachedir = Path(environment("SEMTX_CACHEDIR") or _default_cachedir())
        self.datasetdir = Path(environment("SEMTX_DATASETDIR") or self.cachedir / "datasets")
        self.verbosity = environment("SEMTX_VERBOSITY") or "warning"
        self.accelerator = environment("SEMTX_ACCELERATOR") or "auto"
        self.n_jobs = int(environment("SEMTX_N_JOBS") or -1)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, self._checked(name, value))

    @contextmanager
    def override(self, **values: Any) -> Iterator[Settings]:
        """Change settings for the length of a ``with`` block.

        Parameters
        ----------
        values
            Settings by name.
        """
        before = {name: getattr(self, name) for name in values if self._known(name)}
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    def _known(self, name: str) -> bool:
        names = [field.name for field in fields(self)]
        if name not in names:
            msg = f"semtx has no setting {name!r}; it has {', '.join(names)}"
            raise AttributeError(msg)
        return True

    def _checked(self, name: str, value: Any) -> Any:
        self._known(name)
        if name in {"cachedir", "datasetdir"}:
            return Path(value).expanduser()
        if name == "verbosity":
            if isinstance(value, int) or str(value).isdigit():
                value = VERBOSITIES[min(int(value), len(VERBOSITIES) - 1)]
            return _one_of("verbosity", str(value).lower(), VERBOSITIES)
        if name == "accelerator":
            return _one_of("accelerator", value, ACCELERATORS)
        if name == "n_jobs" and (isinstance(value, bool) or not isinstance(value, int) or value == 0):
            msg = f"settings.n_jobs must be a positive number of threads or -1 for all, got {value!r}"
            raise ValueError(msg)
        return value

    def __repr__(self) -> str:
        lines = (f"  {field.name} = {getattr(self, field.name)!r}" for field in fields(self))
        return "\n".join(["semtx.settings", *lines])


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        msg = f"settings.{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
        raise ValueError(msg)
    return value


settings = Settings()
