"""One table per namespace: public name -> private module that defines it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def attach(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` that load ``modules`` on first use.

    Parameters
    ----------
    package
        Name of the calling package, its ``__name__``.
    modules
        Public name to the submodule that defines it, without the package prefix.
    """
    public = sorted(modules)

    def load(name: str) -> Any:
        if name not in modules:
            msg = f"module {package!r} has no attribute {name!r}; it has {', '.join(public)}"
            raise AttributeError(msg)
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return load, lambda: public, public
