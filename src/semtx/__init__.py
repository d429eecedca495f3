"""semtx: semantic transcriptomics, the toolkit in which genes speak."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from semtx._settings import settings

if TYPE_CHECKING:
    from semtx import datasets, get, metrics, models, nn, pl, pp, semantics, tl

__version__ = "0.1.0"

# Loaded on first use (PEP 562), so that `import semtx` loads no torch, no torch_geometric and no squidpy.
_NAMESPACES = ("datasets", "get", "metrics", "models", "nn", "pl", "pp", "semantics", "tl")

__all__ = ["datasets", "get", "metrics", "models", "nn", "pl", "pp", "semantics", "settings", "tl"]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return import_module(f"semtx.{name}")
    msg = f"module 'semtx' has no attribute {name!r}; it has {', '.join(__all__)}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
