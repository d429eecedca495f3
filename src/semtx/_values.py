"""Checks of single values, which need nothing but numpy: torch modules use them too."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Write names for an error message, shortened where there are many."""
    written = [repr(name) for name in names]
    if not written:
        return "none"
    more = f", ... ({len(written)} in all)" if len(written) > limit else ""
    return ", ".join(written[:limit]) + more


def as_plain(value: Any) -> Any:
    """Return numbers and arrays of numpy as Python's, which json can write."""
    return np.asarray(value).tolist()


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise a ValueError that lists the choices."""
    if value not in choices:
        msg = f"{name} must be one of {listed(choices)}, got {value!r}"
        raise ValueError(msg)


def check_integer(name: str, value: Any, *, minimum: int, maximum: int | None = None, optional: bool = False) -> None:
    """Raise unless ``value`` is a whole number in the closed range (or ``None`` where that is allowed)."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, Integral):
        msg = f"{name} must be a whole number, got {value!r}"
        raise TypeError(msg)
    number = int(value)
    if number < minimum or (maximum is not None and number > maximum):
        upper = "" if maximum is None else f" and at most {maximum}"
        msg = f"{name} must be at least {minimum}{upper}, got {value}"
        raise ValueError(msg)


def check_random_state(random_state: Any, *, optional: bool = False) -> None:
    """Raise unless ``random_state`` is a seed that numpy, torch and scikit-learn take."""
    check_integer("random_state", random_state, minimum=0, maximum=2**32 - 1, optional=optional)


def to_numbers(values: Any, dtype: type[np.floating] = np.float64) -> NDArray[Any]:
    """Return an array or matrix of any kind, sparse or a DataFrame, as a dense array of numbers, or raise as numpy does."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=dtype)


def check_number(
    name: str, value: Any, *, minimum: float = -np.inf, maximum: float = np.inf, open_minimum: bool = False
) -> None:
    """Raise unless ``value`` is a finite number in the closed range (or half-open, with ``open_minimum``)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        msg = f"{name} must be a number, got {value!r}"
        raise TypeError(msg)
    number = float(value)
    below = number <= minimum if open_minimum else number < minimum
    if not np.isfinite(number) or below or number > maximum:
        bounds = [f"{'above' if open_minimum else 'at least'} {minimum}"] if minimum > -np.inf else []
        bounds += [f"at most {maximum}"] if maximum < np.inf else []
        msg = f"{name} must be {', '.join(filter(None, ['finite', ' and '.join(bounds)]))}, got {value}"
        raise ValueError(msg)
