"""From semantics to modulation, without torch: what tells which input moved it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReadOut:
    r"""Trained map from a semantic vector to the scales alpha and shifts beta of its modulation.

    Affine layers with a ReLU between one and the next. A single layer is a linear read-out, as in the default preset of
    SemST; the authors' presets have two or three.

    Attributes
    ----------
    layers
        Weights of shape (inputs, outputs) and biases; the last layer's outputs are alpha, then beta.
    """

    layers: tuple[tuple[Array, Array], ...]

    @property
    def is_linear(self) -> bool:
        """Whether a change of the input changes the output in proportion."""
        return len(self.layers) == 1

    def __call__(self, x: NDArray[np.floating]) -> Array:
        """Return alpha and beta side by side, shape (n, outputs)."""
        return self._forward(np.asarray(x, dtype=np.float64))[-1]

    def multipliers(self, x: NDArray[np.floating], baseline: NDArray[np.floating], direction: Array) -> Array:
        r"""Share out the change from a baseline among the inputs.

        Parameters
        ----------
        x
            Inputs, shape (n, d).
        baseline
            What they are compared with, shape (d,).
        direction
            Along which the output is measured, shape (outputs,).

        Returns
        -------
        Multipliers :math:`m_i` of shape (n, d), such that :math:`m_i \cdot (x_i - b) = u \cdot (f(x_i) - f(b))` holds
        exactly. For a linear read-out they are its weights along the direction, the same for all rows. Else each ReLU
        passes on what it let through of the change it saw, the rescale rule of DeepLIFT :cite:p:`Shrikumar2017`.
        """
        here, there = self._forward(np.asarray(x, dtype=np.float64)), self._forward(np.asarray(baseline)[None])
        found = np.broadcast_to(direction, here[-1].shape)
        for place in reversed(range(len(self.layers))):
            found = found @ self.layers[place][0].T
            if place:
                change = here[place - 1] - there[place - 1]
                passed = np.maximum(here[place - 1], 0) - np.maximum(there[place - 1], 0)
                slope = (here[place - 1] > 0).astype(np.float64)
                found = found * np.divide(passed, change, out=slope, where=np.abs(change) > _TINY)
        return found

    def _forward(self, x: Array) -> list[Array]:
        """Return what each layer gives, before the ReLU that follows."""
        given: list[Array] = []
        for weight, bias in self.layers:
            x = (np.maximum(x, 0) if given else x) @ weight + bias
            given.append(x)
        return given

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights by name, for a run record."""
        named = [
            (f"{name}_{place}", value)
            for place, pair in enumerate(self.layers)
            for name, value in zip(_NAMES, pair, strict=True)
        ]
        return {name: np.asarray(value, dtype=np.float32) for name, value in named}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> ReadOut:
        """Undo :meth:`arrays`; other entries are left aside."""
        n_layers = sum(name.startswith(f"{_NAMES[0]}_") for name in arrays)
        layers = [
            [np.asarray(arrays[f"{name}_{place}"], dtype=np.float64) for name in _NAMES] for place in range(n_layers)
        ]
        return cls(tuple((weight, bias) for weight, bias in layers))


_NAMES = ("weight", "bias")
# below this a change is rounding, and its share a quotient of noise
_TINY = 1e-10


def joined(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return two affine layers with nothing between them as one."""
    return first[0] @ then[0], first[1] @ then[0] + then[1]
