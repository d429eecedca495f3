"""What the configurations of all models have in common."""

from __future__ import annotations

from dataclasses import fields, replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from semtx._validate import check_choice, check_integer, check_number, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Config = TypeVar("Config")


def check_fields(
    config: Any,
    *,
    least_integers: Mapping[str, int],
    positive: Collection[str] = (),
    at_most_one: Collection[str] = (),
) -> None:
    """Raise unless every field has a value that its annotation allows; numbers must not be negative.

    Parameters
    ----------
    config
        A dataclass.
    least_integers
        Fields that hold whole numbers, and the least of each.
    positive
        Numbers that must not be zero.
    at_most_one
        Numbers that must not be above 1.
    """
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        optional = NoneType in get_args(hint)
        if get_origin(hint) is Literal:
            check_choice(name, value, get_args(hint))
        elif hint is bool:
            check_choice(name, value, (True, False))
        elif name in least_integers:
            check_integer(name, value, minimum=least_integers[name], optional=optional)
        elif value is not None or not optional:
            maximum = 1 if name in at_most_one else np.inf
            check_number(name, value, minimum=0, maximum=maximum, open_minimum=name in positive)


def updated(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return a copy of a dataclass with the changes that are not ``None``."""
    known = {name: value for name, value in changes.items() if value is not None}
    names = [field.name for field in fields(config)]  # type: ignore[arg-type]
    unknown = set(known) - set(names)
    if unknown:
        msg = f"{type(config).__name__} has no {listed(sorted(unknown))}; it has {listed(names, 40)}"
        raise TypeError(msg)
    return replace(config, **known)  # type: ignore[type-var]
