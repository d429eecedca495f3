"""What plots share: panels with room for legends, and what each does last, show or hand over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semtx.pl._palette import NA_COLOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = 3.4  # inches
_LEGEND_ROWS = 16
# Above this number points become an image inside a vector drawing, which else would be large and slow to open.
RASTERIZED_ABOVE = 10_000


def finish(figure: Figure, axes: Any, *, show: bool | None, return_fig: bool, own: bool) -> Any:
    """Return the figure, or show it and return nothing, or return the axes.

    Parameters
    ----------
    figure, axes
        What was drawn on.
    show
        ``None`` shows figures of our own, and leaves the caller's to the caller.
    return_fig
        Return the figure, without showing it unless `show` is ``True``.
    own
        Whether the figure was made here rather than given through ``ax``.
    """
    import matplotlib.pyplot as plt

    if show is None:
        show = own and not return_fig
    if show:
        plt.show()
    if return_fig:
        return figure
    return None if show else axes


def canvas(beside: list[float], ncols: int, *, tall: float = 1.0) -> tuple[Any, list[Axes]]:
    """Make a figure of panels `tall` times as high as wide, each with room (inches) for its legend at the right."""
    import matplotlib.pyplot as plt

    n = len(beside)
    columns = min(n, max(ncols, 1))
    rows = -(-n // columns)
    # a long narrow section keeps its panel from growing without end
    tall = min(max(tall, 0.4), 2.0)
    room = sum(_PANEL + max(beside[column::columns]) for column in range(columns))
    shape = (room, rows * (_PANEL * tall + 0.35))
    figure, grid = plt.subplots(rows, columns, figsize=shape, squeeze=False, layout="constrained")
    for unused in grid.ravel()[n:]:
        unused.remove()
    return figure, list(grid.ravel()[:n])


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of axes as they lie in their figure so far."""
    figure: Any = ax.get_figure(root=True)
    figure.draw_without_rendering()
    box = ax.get_window_extent()
    return box.width / figure.dpi, box.height / figure.dpi


def legend_width(colors: dict[object, str]) -> float:
    """Inches that a legend needs, from the number and length of its entries."""
    longest = max((len(str(name)) for name in colors), default=0)
    return -(-(len(colors) + 1) // _LEGEND_ROWS) * (0.42 + 0.075 * longest) + 0.1


def add_legend(ax: Axes, colors: dict[object, str], *, missing: bool) -> None:
    """List the categories right of the panel."""
    from matplotlib.lines import Line2D

    entries = dict(colors)
    if missing:
        entries["NA"] = NA_COLOR
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=7, color=color, label=str(name))
        for name, color in entries.items()
    ]
    ax.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize="small",
        ncols=-(-len(handles) // _LEGEND_ROWS),
        handletextpad=0.2,
        columnspacing=0.8,
    )


def add_colorbar(figure: Any, ax: Axes, spots: Any) -> None:
    """Draw the scale of the values right of the panel."""
    # inside the panel's own frame, so that it stays beside the panel whatever shape the panel has
    bar = figure.colorbar(spots, cax=ax.inset_axes((1.02, 0.15, 0.035, 0.7)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize="small", length=2)
