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
_NAMES = ("cachedir", "datasetdir", "verbosity", "accelerator", "n_jobs")


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
        defaults = {"cachedir": "", "datasetdir": None, "verbosity": "warning", "accelerator": "auto", "n_jobs": -1}
        values = {name: self._from_environment(name, default) for name, default in defaults.items()}
        values["cachedir"] = values["cachedir"] or _default_cachedir()
        for name, value in values.items():
            setattr(self, name, value)

    def _from_environment(self, name: str, default: Any) -> Any:
        variable = f"SEMTX_{name.upper()}"
        text = os.environ.get(variable, "").strip()
        if not text:
            return default
        try:
            return self._checked(name, int(text) if name == "n_jobs" and text.removeprefix("-").isdecimal() else text)
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
        if name == "accelerator":
            return _one_of("accelerator", value, ACCELERATORS)
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
