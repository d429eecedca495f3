"""What every plot does last: show, or hand over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
