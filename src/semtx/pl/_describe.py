"""The terms that set clusters apart, as dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semtx import _keys
from semtx._validate import check_integer, check_number, resolve_table
from semtx.get import describe_df
from semtx.pl._figure import finish, inches
from semtx.pl._matrix import shortened, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = 0.27  # inches of a row or column
_LARGEST = 150.0  # square points of the largest dot
_MOST = 10.0  # -log10 of the adjusted p-value from which on dots do not grow
_BESIDE = 1.6  # inches of the two scales


def describe(
    adata: AnnData,
    groups: str | Sequence[str] | None = None,
    *,
    n_terms: int = 5,
    max_pval_adj: float = 0.05,
    key: str = _keys.DESCRIBE,
    cmap: str = "Reds",
    vmax: float | None = None,
    swap_axes: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
) -> Axes | Figure | None:
    """Draw the terms that set each cluster apart as dots: terms by clusters.

    The best terms of each cluster come one after the other, each term once. The colour of a dot is the effect (how far the
    genes of the term are raised, on a square-root scale, as effects of clusters differ widely), its area the negative
    logarithm of the adjusted p-value, and a dark rim says that this is at most `max_pval_adj`.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    groups
        Clusters to draw, in this order; all by default.
    n_terms
        Terms of each cluster, at most.
    max_pval_adj
        Terms of a cluster that are drawn for its sake have an adjusted p-value up to this.
    key
        Key of `adata.uns` with the result of :func:`semtx.tl.describe` (its `key_added`).
    cmap
        Colour map of the effect.
    vmax
        Effect with the strongest colour; the largest one drawn by default.
    swap_axes
        Terms as columns.
    title
        Title of the plot.
    ax
        Axes to draw on.
    show
        Show the figure. By default it is shown unless `ax` or `return_fig` is given.
    return_fig
        Return the figure.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes.

    Raises
    ------
    KeyError
        There is no such result, or no such cluster in it.
    ValueError
        No term of these clusters has so low a p-value.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(300)
    >>> st.tl.describe(adata, "ground_truth")
    >>> ax = st.pl.describe(adata, n_terms=2, show=False)
    >>> ax.get_xticklabels()[-1].get_text()
    'white matter'
    """
    adata = resolve_table(adata, table_key)
    check_integer("n_terms", n_terms, minimum=1)
    check_number("max_pval_adj", max_pval_adj, minimum=0, maximum=1)
    if vmax is not None:
        check_number("vmax", vmax, minimum=0, open_minimum=True)
    best = describe_df(adata, groups, n_terms=n_terms, max_pval_adj=max_pval_adj, key=key)
    if best.empty:
        msg = f"no term of these clusters has an adjusted p-value of {max_pval_adj} or less; raise max_pval_adj to see the best"
        raise ValueError(msg)
    table = describe_df(adata, groups, all_terms=True, key=key)
    columns = list(dict.fromkeys(table["group"]))
    rows = list(dict.fromkeys(best["id"]))
    table = table[table["id"].isin(rows)]
    names = [shortened(name, 48) for name in best.drop_duplicates("id").set_index("id")["term"].loc[rows]]

    own = ax is None
    panel = _axes(names, columns, swap_axes=swap_axes) if ax is None else ax
    dots, largest = _draw(
        panel, table, rows, columns, swap_axes=swap_axes, cmap=cmap, vmax=vmax, max_pval_adj=max_pval_adj
    )
    _label(panel, names, columns, swap_axes=swap_axes)
    _scales(panel, dots, largest)
    if title is not None:
        panel.set_title(title, fontsize="medium")
    figure: Any = panel.figure
    return finish(figure, panel, show=show, return_fig=return_fig, own=own)


def _axes(names: list[str], columns: list[str], *, swap_axes: bool) -> Axes:
    import matplotlib.pyplot as plt

    along, up = (names, columns) if swap_axes else (columns, names)
    width = _CELL * len(along) + text_width(up) + _BESIDE
    height = max(_CELL * len(up), 2.2) + 0.85 * text_width(along) + 0.3
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def _draw(
    ax: Axes,
    table: pd.DataFrame,
    rows: list[str],
    columns: list[str],
    *,
    swap_axes: bool,
    cmap: str,
    vmax: float | None,
    max_pval_adj: float,
) -> tuple[Any, float]:
    """Draw one dot for each term and cluster; return them and the area of the largest, which fits where axes are small."""
    from matplotlib.colors import PowerNorm

    down = table["id"].map({name: place for place, name in enumerate(rows)}).to_numpy()
    across = table["group"].map({name: place for place, name in enumerate(columns)}).to_numpy()
    with np.errstate(divide="ignore"):
        evidence = np.minimum(-np.log10(table["pval_adj"].to_numpy()), _MOST)
    effect = np.maximum(table["effect"].to_numpy(), 0)
    vmax = float(effect.max()) if vmax is None else vmax
    x, y = (down, across) if swap_axes else (across, down)
    n_along, n_up = (len(rows), len(columns)) if swap_axes else (len(columns), len(rows))
    ax.set_xlim(-0.6, n_along - 0.4)
    ax.set_ylim(n_up - 0.4, -0.6)
    width, height = inches(ax)
    cell = 72 * min(width / n_along, height / n_up)
    largest = min(_LARGEST, (0.95 * cell) ** 2 * np.pi / 4)
    ax.grid(color="#eeeeee", linewidth=0.6)
    ax.set_axisbelow(True)
    dots = ax.scatter(
        x,
        y,
        s=largest * evidence / _MOST,
        c=effect,
        cmap=cmap,
        norm=PowerNorm(0.5, vmin=0, vmax=vmax),
        edgecolors=["#333333" if pval <= max_pval_adj else "#cccccc" for pval in table["pval_adj"]],
        linewidths=0.7,
    )
    return dots, largest


def _label(ax: Axes, names: list[str], columns: list[str], *, swap_axes: bool) -> None:
    along, up = (names, columns) if swap_axes else (columns, names)
    rotated = max(map(len, along)) > 2
    ax.set_xticks(range(len(along)), along, fontsize="small", rotation=90 if rotated else 0)
    ax.set_yticks(range(len(up)), up, fontsize="small")
    ax.tick_params(length=0)
    ax.spines[:].set_color("#bbbbbb")


def _scales(ax: Axes, dots: Any, largest: float) -> None:
    """Draw what colour and size mean, right of the dots."""
    from matplotlib.lines import Line2D

    figure: Any = ax.figure
    width, height = inches(ax)
    across, up = 0.13 / width, 1.0 / height
    bar = figure.colorbar(dots, cax=ax.inset_axes((1 + across, 1 - up, across, up)))
    bar.outline.set_visible(False)
    ticks = [0.0, dots.norm.vmax / 4, dots.norm.vmax]
    bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    bar.ax.tick_params(labelsize="small", length=2)
    bar.ax.set_title("effect", fontsize="small", loc="left")
    levels = (1.3, 3.0, 5.0, _MOST)
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", markersize=np.sqrt(largest * level / _MOST), color="#999999", label=label
        )
        for level, label in zip(levels, ("0.05", "0.001", "1e-5", "1e-10"), strict=True)
    ]
    ax.legend(
        handles=handles,
        title="adjusted p",
        title_fontsize="small",
        fontsize="small",
        loc="upper left",
        bbox_to_anchor=(1 + 0.3 * across, 1 - up - 0.15 / height),
        frameon=False,
        alignment="left",
        labelspacing=0.6,
    )
