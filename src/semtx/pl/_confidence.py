"""How certain clusters are, and which others they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from semtx import _keys
from semtx._validate import check_choice, check_key, check_number, resolve_table
from semtx.pl._contingency import labels_of
from semtx.pl._figure import finish
from semtx.pl._matrix import cell_size, draw_matrix, shortened, text_width
from semtx.pl._palette import category_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ConfidenceKind = Literal["violin", "box"]

_FIX = "run st.tl.scllm_dsc(adata) first, or give the key_added that it was called with"
# clusters of fewer cells have no distribution to speak of; their cells are drawn
_FEW = 20
# small probabilities do not look large because there are no larger ones
_PALE = 0.2


class _Cluster(NamedTuple):
    name: object
    confidence: Array
    unsure: float  # part of its cells below the threshold
    others: Array  # mean probability of every cluster shown


def confidence(
    adata: AnnData,
    key: str = _keys.SCLLM_DSC,
    *,
    threshold: float = 0.5,
    kind: ConfidenceKind = "violin",
    confusion: bool | None = None,
    sort: bool = True,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
) -> Axes | list[Axes] | Figure | None:
    """Draw how certain the cells of each cluster are, and which other clusters they may belong to.

    The left panel has the distribution of the confidence in each cluster, its number of cells, and the part of them
    below the threshold; the least certain cluster is at the top. The right panel has the mean probability that the cells
    of a cluster (row) have of being in another (column). On given `ax` only the left panel is drawn, and the most probable
    other cluster is named beside it.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    key
        Name of a result (the `key_added` of the tool): clusters in `adata.obs[key]`, confidence in
        ``adata.obs[f"{key}_confidence"]``, probabilities in ``adata.obsm[f"{key}_proba"]`` of shape
        (n_obs, n_clusters), columns in the order of the categories.
    threshold
        Confidence below which a cell counts as uncertain.
    kind
        ``"violin"`` or ``"box"`` (quartiles, whiskers to 1.5 times their distance). Clusters of fewer than 20 cells are
        drawn as single cells.
    confusion
        Draw the right panel; by default where there are probabilities.
    sort
        Put the least certain cluster at the top, rather than the first.
    palette
        Colours of the clusters, as in :func:`semtx.pl.spatial`.
    title
        Title of the left panel.
    ax
        Axes to draw the left panel on.
    show
        Show the figure. By default it is shown unless `ax` or `return_fig` is given.
    return_fig
        Return the figure.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes (a list of both panels). Sets
    `adata.uns[f"{key}_colors"]` for a categorical column that has none there, or with `palette`, unless `adata` is a
    view.

    Raises
    ------
    KeyError
        There is no such result, or with ``confusion=True`` no probabilities.
    ValueError
        No cell has both a cluster and a confidence, or the columns of the probabilities are not those of the clusters.

    Examples
    --------
    >>> import numpy as np
    >>> import semtx as st
    >>> adata = st.datasets.cells(300)
    >>> adata.obs["type"] = adata.obs["ground_truth"]
    >>> rng = np.random.default_rng(0)
    >>> chance = rng.dirichlet(np.ones(9), 300) + 2 * np.eye(9)[adata.obs["type"].cat.codes]
    >>> adata.obsm["type_proba"] = chance / chance.sum(axis=1, keepdims=True)
    >>> adata.obs["type_confidence"] = adata.obsm["type_proba"].max(axis=1)
    >>> left, right = st.pl.confidence(adata, "type", threshold=0.7, show=False)
    >>> left.get_xlabel()
    'confidence'
    """
    adata = resolve_table(adata, table_key)
    check_number("threshold", threshold, minimum=0, maximum=1)
    check_choice("kind", kind, get_args(ConfidenceKind))
    check_key(adata, "obs", key, parameter="key", fix=_FIX)
    labels = labels_of(adata, key, "key")
    values = pd.to_numeric(check_key(adata, "obs", key + _keys.CONFIDENCE_SUFFIX, fix=_FIX)).to_numpy(dtype=float)
    place = key + _keys.PROBA_SUFFIX
    if confusion:
        check_key(adata, "obsm", place, fix=_FIX)
    proba = _probabilities(adata, place, labels) if confusion is not False and place in adata.obsm else None
    clusters = _clusters(labels, values, proba, threshold, sort=sort)
    if not clusters:
        msg = f"no observation has both a cluster in adata.obs[{key!r}] and a confidence"
        raise ValueError(msg)
    colors = category_colors(adata, key, labels.cat.categories, palette)

    names = [f"{shortened(cluster.name)} ({cluster.confidence.size:,})" for cluster in clusters]
    beside = proba is not None and ax is None
    figure, axes = _canvas(ax, names, beside=beside)
    _draw_distributions(axes[0], clusters, names, colors, kind, threshold, named=proba is not None and not beside)
    axes[0].set_title(key if title is None else title, fontsize="medium")
    if beside:
        _draw_confusion(axes[1], clusters)
    return finish(figure, axes if beside else axes[0], show=show, return_fig=return_fig, own=ax is None)


def _probabilities(adata: AnnData, place: str, labels: pd.Series) -> Array:
    """Probabilities with one column for each category, in their order."""
    held = adata.obsm[place]
    proba = np.asarray(held, dtype=float)
    categories = [str(category) for category in labels.cat.categories]
    # names tell more than places do; and a part of the cells may be without some of the clusters
    columns = [str(name) for name in getattr(held, "columns", range(proba.shape[-1]))]
    named = proba.ndim == 2 and set(categories) <= set(columns)
    if named and (hasattr(held, "columns") or proba.shape[1] != len(categories)):
        return proba[:, [columns.index(category) for category in categories]]
    if proba.ndim == 2 and proba.shape[1] == len(categories):
        return proba
    msg = (
        f"adata.obsm[{place!r}] has shape {proba.shape}, but adata.obs[{labels.name!r}] has {len(categories)} "
        "categories; which column is which cannot be told, draw without it by confusion=False"
    )
    raise ValueError(msg)


def _clusters(labels: pd.Series, values: Array, proba: Array | None, threshold: float, *, sort: bool) -> list[_Cluster]:
    codes = labels.cat.codes.to_numpy().copy()
    codes[np.isnan(values)] = -1
    shown = np.unique(codes[codes >= 0])
    found = [
        _Cluster(
            labels.cat.categories[code],
            values[codes == code],
            float((values[codes == code] < threshold).mean()),
            np.zeros(0) if proba is None else proba[codes == code].mean(axis=0)[shown],
        )
        for code in shown
    ]
    if not sort:
        return found
    order = sorted(range(len(found)), key=lambda i: (-found[i].unsure, np.median(found[i].confidence)))
    return [found[i]._replace(others=found[i].others[order] if proba is not None else found[i].others) for i in order]


def _canvas(ax: Axes | None, names: list[str], *, beside: bool) -> tuple[Any, list[Axes]]:
    import matplotlib.pyplot as plt

    if ax is not None:
        return ax.figure, [ax]
    n = len(names)
    side = cell_size(n)
    height = max(side * n, 1.2) + 0.75 * text_width(names) * beside + 0.9
    left = 3.0 + text_width(names) + 0.9
    if not beside:
        figure, axes = plt.subplots(figsize=(left + 1.2, height), layout="constrained")
        return figure, [axes]
    right = max(side * n, 2.4) + 0.4
    figure, both = plt.subplots(
        1,
        2,
        figsize=(left + right, height),
        width_ratios=(left - text_width(names), right),
        layout="constrained",
    )
    return figure, list(both)


def _draw_distributions(
    ax: Axes,
    clusters: list[_Cluster],
    names: list[str],
    colors: Mapping[object, str],
    kind: ConfidenceKind,
    threshold: float,
    *,
    named: bool,
) -> None:
    rng = np.random.default_rng(0)
    for row, cluster in enumerate(clusters):
        color, cells = colors[cluster.name], cluster.confidence
        if cells.size < _FEW:
            ax.scatter(cells, row + rng.uniform(-0.2, 0.2, cells.size), s=9, color=color, linewidths=0)
        elif kind == "violin":
            drawn: Any = ax.violinplot([cells], [row], orientation="horizontal", widths=0.85, showextrema=False)
            drawn["bodies"][0].set(facecolor=color, edgecolor="none", alpha=0.8)
        else:
            boxes = ax.boxplot(
                [cells],
                positions=[row],
                orientation="horizontal",
                widths=0.6,
                patch_artist=True,
                # of many cells there are many, which would make a vector file large
                flierprops={"marker": ".", "markersize": 2, "markeredgecolor": "#777777", "rasterized": True},
                medianprops={"color": "#222222"},
            )["boxes"]
            boxes[0].set(facecolor=color, edgecolor="#444444", linewidth=0.8)
        if kind == "violin" or cells.size < _FEW:
            middle = np.median(cells)
            ax.plot([middle, middle], [row - 0.28, row + 0.28], color="#222222", linewidth=1.2)
        note = f"{100 * cluster.unsure:.0f}%" if cluster.unsure >= 0.005 or not cluster.unsure else "<1%"
        if named and len(clusters) > 1:
            note += f", {_runner_up(clusters, row)}"
        ax.annotate(
            note,
            (1, row),
            (5, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color="#222222" if cluster.unsure else "#999999",
            annotation_clip=False,
        )
    ax.annotate(
        f"below {threshold:g}" + (", may be" if named else ""),
        (1, -0.5),
        (5, 3),
        xycoords=ax.get_yaxis_transform(),
        textcoords="offset points",
        va="bottom",
        fontsize="small",
        color="#555555",
        annotation_clip=False,
    )
    ax.axvline(threshold, color="#555555", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(min(0.0, *(c.confidence.min() for c in clusters)), 1.0)
    ax.set_xlabel("confidence")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _runner_up(clusters: list[_Cluster], row: int) -> str:
    others = clusters[row].others.copy()
    others[row] = -1
    return shortened(clusters[int(others.argmax())].name)


def _draw_confusion(ax: Axes, clusters: list[_Cluster]) -> None:
    values = np.stack([cluster.others for cluster in clusters])
    # a cluster's own probability is the panel at the left, and would hide the rest
    np.fill_diagonal(values, np.nan)
    texts = [["" if np.isnan(value) or value < 0.005 else f"{100 * value:.0f}" for value in row] for row in values]
    names = [shortened(cluster.name) for cluster in clusters]
    vmax = max(float(np.nanmax(values, initial=0.0)), _PALE)
    draw_matrix(ax, values, texts, rows=names, columns=names, cmap="Oranges", vmax=vmax, side=cell_size(len(names)))
    ax.set_aspect("auto")
    ax.tick_params(axis="y", labelleft=False)
    ax.set_title("mean probability of other clusters (%)", fontsize="small")
