"""Loss curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from semtx import _keys
from semtx._validate import listed, resolve_table
from semtx.pl._figure import finish
from semtx.pl._palette import category_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def history(
    adata: AnnData,
    key: str = _keys.SEMST,
    *,
    losses: Sequence[str] | None = None,
    log: bool = False,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
) -> Axes | list[Axes] | Figure | None:
    """Draw the losses of a training over its epochs, one panel each, since their scales differ.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    key
        Key of `adata.uns` with the run record that a tool wrote (its `key_added`).
    losses
        Which losses; all by default, and their total where there are several.
    log
        Logarithmic vertical axis.
    palette
        Colours of the losses: a list, a dict from loss to colour, or the name of a matplotlib colour map.
        By default dark grey in panels of their own, else a set that colour-blind readers tell apart.
    ax
        Axes to draw all losses on, with a legend, instead of one panel each.
    show
        Show the figure. By default it is shown unless `ax` or `return_fig` is given.
    return_fig
        Return the figure.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes (a list for several panels).

    Raises
    ------
    KeyError
        There is no such record, it has no losses, or not those asked for.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=60)
    >>> losses = {"zinb": [1.0, 0.5], "spatial": [0.7, 0.6], "total": [1.7, 1.1]}
    >>> adata.uns["semst"] = {"losses": losses}
    >>> figure = st.pl.history(adata, return_fig=True)
    >>> [axes.get_title() for axes in figure.axes]
    ['zinb', 'spatial', 'total']
    """
    import matplotlib.pyplot as plt

    from semtx.get import history_df

    table = history_df(adata, key, table_key=table_key)
    # the total of one loss is that loss
    every = [name for name in table if name != "total" or table.shape[1] != 2]
    names = every if losses is None else [losses] if isinstance(losses, str) else list(losses)
    missing = [name for name in names if name not in table]
    if missing:
        msg = f"losses={missing[0]!r} is not in adata.uns[{key!r}]['losses'], which has {listed(table.columns)}"
        raise KeyError(msg)
    if ax is None:
        shape = (2.6 * len(names) + 0.4, 2.4)
        _, grid = plt.subplots(1, len(names), figsize=shape, squeeze=False, layout="constrained")
        axes = list(grid.ravel())
    else:
        axes = [ax] * len(names)
    colors: Mapping[object, str] = dict.fromkeys(names, "#333333")
    if ax is not None or palette is not None:
        # the record of a run is not a column that could keep its colours
        colors = category_colors(resolve_table(adata, table_key), key, pd.Index(names), palette, keep=False)
    for name, panel in zip(names, axes, strict=True):
        curve = table[name].dropna()
        color = colors[name]
        panel.plot(curve.index, curve, color=color, linewidth=1.5, label=name, marker="." if len(curve) < 3 else "")
        panel.set_xlabel("epoch")
        panel.spines[["top", "right"]].set_visible(False)
        panel.xaxis.get_major_locator().set_params(integer=True)
        if log:
            panel.set_yscale("log")
        else:
            panel.ticklabel_format(axis="y", useOffset=False)  # values are read from the axis as they are
        if ax is None:
            panel.set_title(name, fontsize="medium")
    if ax is None:
        axes[0].set_ylabel("loss")
    else:
        ax.set_ylabel("loss")
        ax.legend(frameon=False)
    result = axes[0] if ax is not None or len(axes) == 1 else axes
    return finish(axes[0].figure, result, show=show, return_fig=return_fig, own=ax is None)
