"""Two labelings of the same cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from semtx._validate import check_choice, resolve_table
from semtx.pl._contingency import contingency, diagonal_order, in_either, labels_of, untangled_order
from semtx.pl._figure import finish, inches
from semtx.pl._flow import draw_flow
from semtx.pl._matrix import cell_size, draw_matrix, shortened, text_width
from semtx.pl._palette import category_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from semtx.pl._contingency import Contingency

AgreementKind = Literal["heatmap", "flow"]
AgreementShare = Literal["first", "second", "jaccard"]

_UNITS: dict[str | None, str] = {"first": "% of row", "second": "% of column", "jaccard": "% of both", None: "cells"}


def agreement(
    adata: AnnData,
    first: str,
    second: str,
    *,
    kind: AgreementKind = "heatmap",
    normalize: AgreementShare | None = "first",
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    cmap: str = "Blues",
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
) -> Axes | Figure | None:
    """Draw which clusters of one labeling are which of another, as a heat map or as a flow.

    The heat map has the best matching of the two labelings (Hungarian method) on its diagonal, framed; clusters without
    a partner come last. The flow has bands as thick as the cells that two clusters share, in an order in which few of
    them cross. The title has the adjusted Rand index: 0 for chance, 1 for the same partition. Cells without a label in
    either labeling are left out, and their number is told.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    first, second
        Columns of `adata.obs`: rows and columns of the heat map, left and right of the flow.
    kind
        ``"heatmap"`` or ``"flow"``.
    normalize
        What the colours of the heat map are and the upper of the two numbers: the part of each cluster of `first`, of
        each cluster of `second`, or the common cells of both in all their cells (``"jaccard"``), in percent. The lower
        number is the count of cells; ``None`` shows counts only.
    palette
        Colours of the clusters of `first` in the flow, as in :func:`semtx.pl.spatial`.
    cmap
        Colour map of the heat map.
    title
        In place of the adjusted Rand index.
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
    ``None`` when shown, the figure with `return_fig`, else the axes. The flow sets `adata.uns[f"{first}_colors"]` for a
    categorical column that has none there, or with `palette`, unless `adata` is a view.

    Raises
    ------
    KeyError
        `first` or `second` is not a column of `adata.obs`.
    ValueError
        No cell has both labels, a column has more values than a plot can tell apart, or a palette does not fit.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.cells(400)
    >>> adata.obs["found"] = adata.obs["ground_truth"].astype(str).replace({"CD4 T memory": "CD4 T naive"})
    >>> ax = st.pl.agreement(adata, "ground_truth", "found", show=False)
    >>> ax.get_title()
    'ARI 0.71, 400 cells'
    >>> figure = st.pl.agreement(adata, "ground_truth", "found", kind="flow", return_fig=True)
    """
    adata = resolve_table(adata, table_key)
    check_choice("kind", kind, get_args(AgreementKind))
    check_choice("normalize", normalize, (*get_args(AgreementShare), None))
    labels = labels_of(adata, first, "first")
    table = contingency(labels, labels_of(adata, second, "second"))
    if kind == "heatmap":
        axes = _heatmap(ax, table, normalize, cmap)
        axes.set_ylabel(first)
        axes.set_xlabel(second)
    else:
        colors = category_colors(adata, first, labels.cat.categories, palette)
        axes = _flow(ax, table, colors, (first, second))
    if title is None:
        left_out = f" ({table.left_out:,} without a label left out)" if table.left_out else ""
        title = f"ARI {table.ari:.2f}, {table.counts.sum():,} cells{left_out}"
    axes.set_title(title, fontsize="medium")
    figure: Any = axes.figure
    return finish(figure, axes, show=show, return_fig=return_fig, own=ax is None)


def _heatmap(ax: Axes | None, table: Contingency, normalize: AgreementShare | None, cmap: str) -> Axes:
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    rows, columns, n_matched = diagonal_order(table.counts)
    counts = table.counts[np.ix_(rows, columns)]
    values, texts = _shares(counts, normalize)
    names = [f"{shortened(table.rows[i])} ({size:,})" for i, size in zip(rows, counts.sum(axis=1), strict=True)]
    others = [f"{shortened(table.columns[j])} ({size:,})" for j, size in zip(columns, counts.sum(axis=0), strict=True)]
    side = None
    if ax is None:
        side = cell_size(max(counts.shape))
        width = max(side * len(columns) + text_width(names) + 1.4, 3.5)
        shape = (width, side * len(rows) + 0.75 * text_width(others) + 0.8)
        _, ax = plt.subplots(figsize=shape, layout="constrained")
    vmax = float(counts.max()) if normalize is None else 100.0
    image = draw_matrix(ax, values, texts, rows=names, columns=others, cmap=cmap, vmax=vmax, side=side)
    for place in range(n_matched):
        ax.add_patch(
            Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor="#333333", linewidth=0.9, zorder=3)
        )
    thick, high = 0.3 / len(columns), min(1.0, 12 / len(rows))
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.0 + thick, 1.0 - high, thick, high)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize="small", length=2)
    bar.set_label(_UNITS[normalize], fontsize="small")
    return ax


def _shares(counts: NDArray[np.int64], normalize: AgreementShare | None) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Values of the colours, and what is written on them; nothing where there is no cell."""
    of_rows, of_columns = counts.sum(axis=1, keepdims=True), counts.sum(axis=0, keepdims=True)
    whole: Any = {"first": of_rows, "second": of_columns, "jaccard": in_either(counts), None: 100}[normalize]
    values = 100 * counts / whole
    if normalize is None:
        return values, [[f"{count:,}" if count else "" for count in row] for row in counts]
    return values, [
        [f"{_percent(value)}\n{count:,}" if count else "" for value, count in zip(*pair, strict=True)]
        for pair in zip(values, counts, strict=True)
    ]


def _percent(value: float) -> str:
    return "<1%" if value < 0.5 else f"{value:.0f}%"


def _flow(ax: Axes | None, table: Contingency, colors: Mapping[object, str], titles: tuple[str, str]) -> Axes:
    import matplotlib.pyplot as plt

    rows, columns = untangled_order(table.counts)
    names, others = [table.rows[i] for i in rows], [table.columns[j] for j in columns]
    most = max(table.counts.shape)
    if ax is None:
        height = max(2.6, 0.24 * most)
        width = 3.4 + text_width(map(shortened, names)) + text_width(map(shortened, others)) + 1.2
        _, ax = plt.subplots(figsize=(width, height + 0.6), layout="constrained")
    else:
        _, height = inches(ax)
    counts = table.counts[np.ix_(rows, columns)]
    draw_flow(ax, counts, rows=names, columns=others, colors=colors, height=height)
    for at, text in zip((0, 1), titles, strict=True):
        ax.text(at, 1.02, text, transform=ax.transData, ha="center", va="top", fontsize="small", color="#555555")
    return ax
