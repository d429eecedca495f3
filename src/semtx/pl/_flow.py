"""Flow of cells from one labeling to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semtx.pl._matrix import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_WIDTH = 0.025  # of a bar, where the axes are 1 wide
_GAPS = 0.25  # part of the height that is between bars
_LEAD = 0.03  # from a bar to its name
_OTHER = "#595959"


def draw_flow(
    ax: Axes,
    counts: NDArray[np.int64],
    *,
    rows: Sequence[object],
    columns: Sequence[object],
    colors: Mapping[object, str],
    height: float,
) -> None:
    """Draw bars for the rows at the left and the columns at the right, and bands as thick as the cells they share.

    Rows and columns come in the order to be drawn, from the top. `height` of the axes, in inches, says how far apart
    names must stand.
    """
    from matplotlib.patches import Rectangle

    total = counts.sum()
    left, right = (_bars(counts.sum(axis=axis) / total) for axis in (1, 0))
    line = min(0.165 / height, 1 / max(len(rows), len(columns)))
    _draw_bands(ax, counts / total, left, right, [colors[name] for name in rows])
    for at, bars, names, sizes, shades in (
        (0.0, left, rows, counts.sum(axis=1), [colors[name] for name in rows]),
        (1.0, right, columns, counts.sum(axis=0), [_OTHER] * len(columns)),
    ):
        outward = -1 if at == 0 else 1
        edge = at + outward * _WIDTH
        middles = bars.mean(axis=1)
        for (low, high), middle, y, name, size, shade in zip(
            bars, middles, spread(middles, line, 0, 1), names, sizes, shades, strict=True
        ):
            # the outline keeps a bar of a few cells visible
            bar = Rectangle((min(at, edge), low), _WIDTH, high - low, facecolor=shade, edgecolor=shade, linewidth=0.8)
            ax.add_patch(bar)
            end = edge + outward * _LEAD
            ax.plot([edge + outward * 0.005, end], [middle, y], color="#aaaaaa", linewidth=0.6, clip_on=False)
            ax.text(
                end + outward * 0.007,
                y,
                f"{shortened(name)} ({size:,})",
                ha="right" if outward < 0 else "left",
                va="center",
                fontsize=min(8.5, 72 * line * height * 0.85),
            )
    ax.set_xlim(-_WIDTH - _LEAD, 1 + _WIDTH + _LEAD)
    ax.set_ylim(1.01, -0.01)
    ax.set_axis_off()


def _bars(shares: Array) -> Array:
    """Where each bar starts and ends, from the top, shape (n, 2)."""
    gap = _GAPS / (len(shares) - 1) if len(shares) > 1 else 0.0
    heights = shares * (1 - gap * (len(shares) - 1))
    ends = np.cumsum(heights + gap) - gap
    return np.stack([ends - heights, ends], axis=1)


def _draw_bands(ax: Axes, shares: Array, left: Array, right: Array, colors: Sequence[str]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # both sides have their own part for gaps, so that a band may be thicker at one end
    thick_left = shares * np.divide(np.ptp(left, axis=1), shares.sum(axis=1))[:, None]
    thick_right = shares * np.divide(np.ptp(right, axis=1), shares.sum(axis=0))[None, :]
    from_top = left[:, :1] + np.cumsum(thick_left, axis=1) - thick_left
    to_top = right[:, 0][None, :] + np.cumsum(thick_right, axis=0) - thick_right
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    pairs = np.argwhere(shares > 0)
    # thin bands over thick ones
    for i, j in pairs[np.argsort(-shares[tuple(pairs.T)], kind="stable")]:
        a, b = from_top[i, j], to_top[i, j]
        c, d = b + thick_right[i, j], a + thick_left[i, j]
        points = [(0, a), (0.5, a), (0.5, b), (1, b), (1, c), (0.5, c), (0.5, d), (0, d), (0, a)]
        ax.add_patch(
            PathPatch(
                Path(points, codes), facecolor=colors[i], edgecolor=colors[i], alpha=0.5, linewidth=0.25, zorder=1
            )
        )


def spread(wanted: Array, least: float, low: float, high: float) -> Array:
    """Move places in ascending order as little as possible, so that they are at least so far apart and within limits."""
    from scipy.optimize import isotonic_regression

    steps = least * np.arange(len(wanted))
    # the least squares solution within limits is the one without, cut off at them
    free = isotonic_regression(wanted - steps).x
    return np.clip(free, low, max(high - steps[-1], low)) + steps
