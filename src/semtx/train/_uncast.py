from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Uncast(Generic[T]):
    """Carries the arguments of a module past Fabric as they are.

    Under mixed precision Fabric casts every float tensor that it finds in arguments to half precision: counts lose digits,
    and size factors and graphs no longer go with what is in single precision. It does not look into objects like this.

    Parameters
    ----------
    value
        What the module gets.
    """

    def __init__(self, value: T) -> None:
        self.value = value
