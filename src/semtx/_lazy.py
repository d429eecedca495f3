"""Public names of a namespace, loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def attach(package: str, public: Sequence[str], **modules: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` (PEP 562) for a package with one public name per private file.

    Parameters
    ----------
    package
        Name of the calling package, its ``__name__``.
    public
        Its ``__all__``; ``name`` is defined in ``package._name``.
    modules
        Public name to private file for the names that are defined elsewhere.
    """

    def load(name: str) -> Any:
        if name not in public:
            msg = f"module {package!r} has no attribute {name!r}; it has {', '.join(public)}"
            raise AttributeError(msg)
        return getattr(import_module(f"{package}.{modules.get(name, '_' + name)}"), name)

    return load, lambda: sorted(public)
