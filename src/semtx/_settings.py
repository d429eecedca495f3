"""Package-wide settings: ``semtx.settings``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

VERBOSITIES = ("error", "warning", "info", "hint", "debug")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_NAMES = ("cachedir", "datasetdir", "verbosity", "accelerator", "devices", "precision", "deterministic", "n_jobs")
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def _default_cachedir() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("semtx", appauthor=False)


class Settings:
    """Settings of semtx; set an attribute, an environment variable, or use :meth:`override`.

    Attributes
    ----------
    cachedir
        Folder of the embedding store and of downloaded tables (``SEMTX_CACHEDIR``; the user's cache folder).
    datasetdir
        Folder of downloaded data sets (``SEMTX_DATASETDIR``); ``None`` for ``datasets`` in ``cachedir``, the default.
    verbosity
        ``"error"`` (0), ``"warning"`` (1), ``"info"`` (2), ``"hint"`` (3) or ``"debug"`` (4), as in scanpy
        (``SEMTX_VERBOSITY``; ``"warning"``).
    accelerator
        Device used where a function's ``accelerator`` is ``None``: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"`` or
        ``"mps"`` (``SEMTX_ACCELERATOR``; ``"auto"``, which never chooses ``"mps"``).
    devices
        Processes on each machine that share a training where a function's ``devices`` is ``None``; more than one take a
        launcher such as ``torchrun`` (``SEMTX_DEVICES``; 1).
    precision
        Numbers that networks are trained with, in the names of Lightning Fabric: ``"32-true"``, ``"bf16-mixed"`` or
        ``"16-mixed"`` (``SEMTX_PRECISION``; ``"32-true"``).
    deterministic
        Whether networks are trained with deterministic algorithms only, which on a GPU are slower; an operation that has
        none raises (``SEMTX_DETERMINISTIC``; ``False``).
    n_jobs
        Threads of the steps that run in parallel on the CPU: linear algebra, clustering, neighbours, training; -1 leaves
        it to the libraries, which take all cores or what ``OMP_NUM_THREADS`` says (``SEMTX_N_JOBS``; -1).

    Examples
    --------
    >>> import semtx as st
    >>> with st.settings.override(verbosity="info", n_jobs=1):
    ...     st.settings.verbosity
    'info'
    """

    cachedir: Path
    verbosity: str
    accelerator: str
    devices: int
    precision: str
    deterministic: bool
    n_jobs: int

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Read every setting anew from its environment variable, or take its default.

        Raises
        ------
        ValueError
            The value of an environment variable is not allowed; nothing is changed.
        """
        defaults = {
            "cachedir": "",
            "datasetdir": None,
            "verbosity": "warning",
            "accelerator": "auto",
            "devices": 1,
            "precision": "32-true",
            "deterministic": False,
            "n_jobs": -1,
        }
        values = {name: self._from_environment(name, default) for name, default in defaults.items()}
        values["cachedir"] = values["cachedir"] or _default_cachedir()
        for name, value in values.items():
            setattr(self, name, value)

    def _from_environment(self, name: str, default: Any) -> Any:
        variable = f"SEMTX_{name.upper()}"
        text = os.environ.get(variable, "").strip()
        if not text:
            return default
        value: Any = text
        if name in {"n_jobs", "devices"} and text.removeprefix("-").isdecimal():
            value = int(text)
        elif name == "deterministic":
            value = _WORDS.get(text.lower(), text)
        try:
            return self._checked(name, value)
        except ValueError as error:
            msg = f"environment variable {variable}={text!r}: {error}; correct or unset it"
            raise ValueError(msg) from None

    @property
    def datasetdir(self) -> Path:
        """Folder of downloaded data sets."""
        return vars(self)["datasetdir"] or self.cachedir / "datasets"

    @datasetdir.setter
    def datasetdir(self, value: Path | str | None) -> None:
        vars(self)["datasetdir"] = value

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
        before = {name: vars(self)[name] for name in values if self._known(name)}
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    def _known(self, name: str) -> bool:
        if name not in _NAMES:
            msg = f"semtx has no setting {name!r}; it has {', '.join(_NAMES)}"
            raise AttributeError(msg)
        return True

    def _checked(self, name: str, value: Any) -> Any:
        self._known(name)
        if name in {"cachedir", "datasetdir"}:
            return None if value is None and name == "datasetdir" else Path(value).expanduser()
        if name == "verbosity":
            if not isinstance(value, bool) and str(value).isdecimal():
                value = VERBOSITIES[min(int(value), len(VERBOSITIES) - 1)]
            return _one_of("verbosity", value.lower() if isinstance(value, str) else value, VERBOSITIES)
        if name in {"accelerator", "precision"}:
            return _one_of(name, value, ACCELERATORS if name == "accelerator" else PRECISIONS)
        if name == "deterministic":
            if not isinstance(value, bool):
                msg = f"settings.deterministic must be True or False, got {value!r}"
                raise ValueError(msg)
            return value
        if name == "devices":
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                msg = f"settings.devices must be a positive number of processes, got {value!r}"
                raise ValueError(msg)
            return int(value)
        if isinstance(value, bool) or not isinstance(value, Integral) or (value < 1 and value != -1):
            msg = f"settings.n_jobs must be a positive number of threads or -1 for all, got {value!r}"
            raise ValueError(msg)
        return int(value)

    def __repr__(self) -> str:
        lines = (f"  {name} = {getattr(self, name)!r}" for name in _NAMES)
        return "\n".join(["semtx.settings", *lines])


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        msg = f"settings.{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
        raise ValueError(msg)
    return value


settings = Settings()
