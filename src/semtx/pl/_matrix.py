"""Heat maps whose numbers can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semtx.pl._figure import inches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_SMALLEST = 4.0  # points; smaller letters cannot be read
_LARGEST = 8.0


def cell_size(n: int) -> float:
    """Inches of one of n cells in a row, so that few are not huge and many still fit on a page."""
    return float(np.clip(14 / n, 0.22, 0.5))


def shortened(name: object, limit: int = 34) -> str:
    """Leave out the middle of a name that would take more room than the plot."""
    text = str(name)
    return text if len(text) <= limit else f"{text[: limit - 12]}…{text[-11:]}"


def text_width(names: Iterable[object]) -> float:
    """Inches that the longest name needs in small letters."""
    return 0.085 * max((len(str(name)) for name in names), default=0)


def draw_matrix(
    ax: Axes,
    values: NDArray[np.float64],
    texts: Sequence[Sequence[str]],
    *,
    rows: Sequence[object],
    columns: Sequence[object],
    cmap: str,
    vmax: float,
    side: float | None,
) -> Any:
    """Draw values as colours and texts on them, as large as cells of `side` inches allow, or not at all.

    Without `side` the axes are measured.
    """
    from matplotlib import colormaps

    colors = colormaps[cmap].with_extremes(bad="#f2f2f2")
    image = ax.imshow(values, cmap=colors, vmin=0, vmax=vmax, aspect="equal", interpolation="nearest")
    small = "small" if max(len(rows), len(columns)) < 45 else 6.5
    ax.set_yticks(range(len(rows)), [str(name) for name in rows], fontsize=small)
    longest = max(len(str(name)) for name in columns)
    # slanted names reach out at the left, more than the figure has where they are long
    rotation = 0 if longest <= 3 else 45 if longest <= 14 else 90
    ax.set_xticks(
        range(len(columns)),
        [str(name) for name in columns],
        fontsize=small,
        rotation=rotation,
        ha="right" if rotation == 45 else "center",
        rotation_mode="anchor" if rotation == 45 else "default",
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    # thin white lines part the cells
    ax.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=0.8)
    ax.grid(which="major", visible=False)
    ax.tick_params(which="minor", length=0)
    if side is None:
        width, height = inches(ax)
        side = min(height / len(rows), width / len(columns))
    lines = [line for row in texts for text in row for line in text.split("\n")]
    longest = max(map(len, lines), default=0)
    high = max((text.count("\n") + 1 for row in texts for text in row), default=1)
    points = min(_LARGEST, 72 * side * 0.9 / (0.62 * max(longest, 1)), 72 * side * 0.9 / (1.25 * high))
    if points >= _SMALLEST:
        for i, row in enumerate(texts):
            for j, text in enumerate(row):
                shade = 0.0 if np.isnan(values[i, j]) or vmax <= 0 else values[i, j] / vmax
                red, green, blue, _ = colors(shade)
                dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
                ink = "#777777" if np.isnan(values[i, j]) else "white" if dark else "#222222"
                ax.text(j, i, text, ha="center", va="center", fontsize=points, color=ink, linespacing=1.1)
    return image
