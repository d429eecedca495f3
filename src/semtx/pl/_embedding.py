"""Cells in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from semtx import _keys
from semtx._validate import check_integer, check_number, check_random_state, resolve_table
from semtx.pl._figure import RASTERIZED_ABOVE, add_colorbar, add_legend, canvas, finish, legend_width
from semtx.pl._layout import planar
from semtx.pl._palette import NA_COLOR, category_colors
from semtx.pl._section import values_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_BESIDE = "right margin"


def embedding(
    adata: AnnData,
    key: str = _keys.SCLLM_DSC,
    *,
    color: str | Sequence[str] | None = None,
    use_rep: str | None = None,
    layer: str | None = None,
    n_neighbors: int = 15,
    min_dist: float = 0.5,
    random_state: int = 0,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    cmap: str | None = None,
    vmin: float | str | None = None,
    vmax: float | str | None = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    legend_loc: str | None = _BESIDE,
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
    **kwargs: Any,
) -> Axes | list[Axes] | Figure | None:
    """Draw cells in the plane, by UMAP of the embedding that a tool wrote, coloured by its clusters or by anything.

    The UMAP [1]_ is scanpy's, :func:`scanpy.pp.neighbors` and :func:`scanpy.tl.umap`, and is kept in
    ``adata.obsm[f"X_{key}_umap"]`` so that a second call is quick. It is made anew when the embedding or the options
    have changed, and used as it is for a part of the cells. The drawing is that of :func:`scanpy.pl.embedding`. Distances
    between clusters in a UMAP mean little; see :func:`semtx.pl.confidence` for which clusters are close.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    key
        Name of a result (the `key_added` of the tool): clusters in `adata.obs[key]`, embedding in
        ``adata.obsm[f"X_{key}"]``.
    color
        Columns of `adata.obs` or genes, one panel each; the clusters by default. Columns of categories, text or truth
        values get a palette and a legend, numbers a colour map; missing values are light grey.
    use_rep
        Key of `adata.obsm` with another embedding, whose UMAP is kept in ``adata.obsm[f"{use_rep}_umap"]``. One of two
        columns is drawn as it is.
    layer
        Layer that genes are read from; `X` by default.
    n_neighbors, min_dist, random_state
        Neighbours of each cell, least distance, and seed of the UMAP.
    palette
        Colours of categories: a list, a dict from category to colour, the name of a matplotlib colour map, or a column
        of `adata.obs`, whose colours go to the groups that share most cells with its own, so that maps of both compare.
        By default those in `adata.uns[f"{color}_colors"]`, else a set that colour-blind readers tell apart.
    cmap
        Colour map of numbers; ``"viridis"`` by default.
    vmin, vmax
        Limits of the colour map; also a percentile such as ``"p99"``.
    size
        Area of a dot in square points; by default smaller for more cells.
    title
        Title of every panel; by default its colour.
    legend_loc
        ``"right margin"``, ``"on data"``, any other place that scanpy knows, or ``None`` for no legend.
    ncols
        Panels in a row.
    ax
        Axes to draw on; for a single panel only.
    show
        Show the figure. By default it is shown unless `ax` or `return_fig` is given.
    return_fig
        Return the figure.
    table_key
        Table of a SpatialData object.
    kwargs
        More for :func:`scanpy.pl.embedding`, such as `groups`, `alpha`, `add_outline`.

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes (a list for several panels). Unless `adata` is a
    view, sets the following fields:

    `adata.obsm[f"X_{key}_umap"]` : `numpy.ndarray` (dtype `float32`)
        Coordinates, shape (n_obs, 2), unless the embedding has two columns.
    `adata.uns[f"X_{key}_umap"]` : `dict`
        Options of the UMAP, and a number for each row of the embedding that tells whether it has changed.
    `adata.uns[f"{color}_colors"]` : `list`
        Palette of a categorical column that has none there, or with `palette`; of a column given as `palette` too.

    Raises
    ------
    KeyError
        The embedding, a column or a gene does not exist.
    ValueError
        `ax` is given for several panels, a palette does not fit, there is nothing to draw, the embedding has NaN, or
        there are too few cells for a UMAP.

    References
    ----------
    .. [1] McInnes L, Healy J, Melville J. UMAP: Uniform manifold approximation and projection for dimension reduction.
       arXiv:1802.03426 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> import semtx as st
    >>> adata = st.datasets.cells(300)
    >>> adata.obsm["X_plane"] = np.random.default_rng(0).normal(size=(300, 2))
    >>> figure = st.pl.embedding(adata, color=["ground_truth", "CD3D"], use_rep="X_plane", return_fig=True)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['ground_truth', 'CD3D']
    """
    adata = resolve_table(adata, table_key)
    check_integer("n_neighbors", n_neighbors, minimum=2)
    check_number("min_dist", min_dist, minimum=0)
    check_random_state(random_state)
    if color is None:
        colors: list[str | None] = [key if key in adata.obs else None]
    else:
        colors = [color] if isinstance(color, str) else list(color)
    titles = [name or key for name in colors] if title is None else [title] if isinstance(title, str) else list(title)
    if not colors or len(titles) != len(colors):
        msg = f"there are {len(colors)} colours and {len(titles)} titles"
        raise ValueError(msg)
    if ax is not None and len(colors) > 1:
        msg = f"ax= takes one panel, but {len(colors)} are to be drawn; draw them one by one"
        raise ValueError(msg)
    columns = {name: values_of(adata, name, layer) for name in colors if name is not None}
    places = planar(
        adata,
        _keys.embedding(key) if use_rep is None else use_rep,
        fix="run st.tl.scllm_dsc(adata) first, or name another embedding with use_rep=",
        n_neighbors=int(n_neighbors),
        min_dist=float(min_dist),
        random_state=int(random_state),
    )
    palettes: dict[str | None, dict[object, str]] = {
        name: category_colors(adata, name, column.cat.categories, palette)
        for name, column in columns.items()
        if isinstance(column.dtype, pd.CategoricalDtype)
    }
    holder = _holder(places, columns, palettes)

    if ax is None:
        beside = [_beside(name, palettes, legend_loc) for name in colors]
        figure, axes = canvas(beside, ncols)
    else:
        figure, axes = ax.figure, [ax]
    options = {
        "cmap": cmap or "viridis",
        "size": min(60_000 / len(places), 60) if size is None else size,
        "vmin": vmin,
        "vmax": vmax,
        "frameon": False,
        "na_color": NA_COLOR,
        # names on the data are to be read whatever is under them, and that a value is missing has no one place
        "legend_fontsize": "small",
        "legend_fontoutline": 2,
        "na_in_legend": legend_loc != "on data",
        **kwargs,
    }
    for name, panel, text in zip(colors, axes, titles, strict=True):
        _draw(figure, panel, holder, name, palettes.get(name), legend_loc, options)
        panel.set_title(text, fontsize="medium")
    result = axes[0] if len(axes) == 1 else axes
    return finish(figure, result, show=show, return_fig=return_fig, own=ax is None)


def _holder(
    places: NDArray[np.float64], columns: dict[str, pd.Series], palettes: dict[str | None, dict[object, str]]
) -> AnnData:
    """What scanpy draws from, since it turns text in `obs` into categories where it finds it."""
    from anndata import AnnData

    obs = {
        name: column.cat.rename_categories([str(category) for category in column.cat.categories])
        if name in palettes
        else column
        for name, column in columns.items()
    }
    index = pd.RangeIndex(len(places)).astype(str)
    table = pd.DataFrame({name: column.array for name, column in obs.items()}, index=index)
    holder = AnnData(obs=table, obsm={"X_umap": places})
    for name, colors in palettes.items():
        holder.uns[f"{name}_colors"] = list(colors.values())
    return holder


def _beside(name: str | None, palettes: dict[str | None, dict[object, str]], legend_loc: str | None) -> float:
    """Inches that are needed right of a panel."""
    if name is None:
        return 0.15
    if name not in palettes:
        return 0.7
    return legend_width(palettes[name]) if legend_loc == _BESIDE else 0.15


def _draw(
    figure: Any,
    ax: Axes,
    holder: AnnData,
    name: str | None,
    colors: dict[object, str] | None,
    legend_loc: str | None,
    options: dict[str, Any],
) -> None:
    import scanpy as sc

    before = len(ax.collections)
    # legend and colour bar are ours, since scanpy's take the panel out of the layout of the figure
    within = None if legend_loc == _BESIDE else legend_loc
    sc.pl.embedding(
        holder, "umap", color=name, ax=ax, show=False, legend_loc=within, colorbar_loc=None, title="", **options
    )
    for points in ax.collections[before:]:
        points.set_rasterized(points.get_rasterized() or holder.n_obs > RASTERIZED_ABOVE)
    if colors is not None and legend_loc == _BESIDE:
        groups = options.get("groups")
        chosen = {groups} if isinstance(groups, str) else set(map(str, colors if groups is None else groups))
        shown = {category: color for category, color in colors.items() if str(category) in chosen}
        add_legend(ax, shown, missing=len(shown) < len(colors) or bool(holder.obs[name].isna().any()))
    elif name is not None and colors is None:
        # missing values are drawn before, in one colour
        add_colorbar(figure, ax, ax.collections[before:][-1])
