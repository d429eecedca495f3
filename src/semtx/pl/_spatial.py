"""Maps of tissue sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from semtx import _keys
from semtx._validate import check_key, check_number, coordinates, listed, resolve_table
from semtx.pl._figure import add_colorbar, add_legend, canvas, finish, legend_width
from semtx.pl._palette import NA_COLOR, category_colors
from semtx.pl._scalebar import ScalebarDx, draw_scalebar, unit_size
from semtx.pl._section import draw_image, draw_spots, find_image, frame, pitch, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def spatial(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    spatial_key: str = _keys.SPATIAL,
    library_key: str | None = None,
    library_id: str | Sequence[str] | None = None,
    layer: str | None = None,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    cmap: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    size: float = 1.15,
    alpha: float = 1.0,
    img: bool = True,
    img_key: str | None = None,
    img_alpha: float = 1.0,
    title: str | Sequence[str] | None = None,
    legend: bool = True,
    scalebar_dx: ScalebarDx = "auto",
    scalebar_units: str = "um",
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
) -> Axes | list[Axes] | Figure | None:
    """Draw domains or values on the section.

    Spots are drawn to scale, y points down as in the image, and both axes have the same unit. Sections lie side by side
    in a row, with one row for each of several colours.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    color
        Columns of `adata.obs` or genes, one panel each. Columns of categories, text or truth values get a palette and a
        legend, numbers a colour map; missing values are light grey. ``None`` draws the places alone.
    spatial_key
        Key of `adata.obsm` with coordinates; of three columns the first two are drawn.
    library_key
        Column of `adata.obs` that names the section of each observation, for several sections.
    library_id
        Sections to draw, in this order; all by default.
    layer
        Layer that genes are read from; `X` by default.
    palette
        Colours of categories: a list, a dict from category to colour, the name of a matplotlib colour map, or a column
        of `adata.obs`, whose colours go to the groups that share most cells with its own, so that maps of both compare.
        By default those in `adata.uns[f"{color}_colors"]`, else a set that colour-blind readers tell apart.
    cmap
        Colour map of numbers; ``"viridis"`` by default.
    vmin, vmax
        Limits of the colour map; by default the extremes, over all sections drawn.
    size
        Diameter of a spot in units of the typical distance to its six nearest neighbours. The default closes the gaps
        of a hexagonal grid; 0.55 is true to Visium and lets an image be seen.
    alpha
        Opacity of the spots.
    img
        Draw the image of the section underneath, where `adata.uns["spatial"]` has one as squidpy lays it out.
    img_key
        Which image; ``"hires"`` by default, else ``"lowres"``.
    img_alpha
        Opacity of the image.
    title
        Title of every panel; by default the colour, or the section.
    legend
        Draw legends and colour bars.
    scalebar_dx
        How many `scalebar_units` one unit of the coordinates is, for a scale bar below the section. By default it is
        drawn where `adata.uns["spatial"]` tells: of Visium, and of what has ``"microns_per_pixel"`` among its scale
        factors. ``None`` draws none.
    scalebar_units
        Unit of `scalebar_dx`.
    ncols
        Panels in a row, for several colours of one section.
    ax
        Axes to draw on; for a single panel only.
    show
        Show the figure. By default it is shown unless `ax` or `return_fig` is given.
    return_fig
        Return the figure.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes (a list for several panels). Sets
    `adata.uns[f"{color}_colors"]` for a categorical column that has none there, or with `palette`, and for
    a column given as `palette` that has none, unless `adata` is a view.

    Raises
    ------
    KeyError
        A key, gene, section or image does not exist.
    ValueError
        `ax` is given for several panels, a palette does not fit, or there is nothing to draw.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> figure = st.pl.spatial(adata, ["ground_truth", "MBP"], return_fig=True)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['ground_truth', 'MBP']
    >>> adata.uns["ground_truth_colors"][:2]
    ['#0072b2', '#e69f00']
    """
    adata = resolve_table(adata, table_key)
    check_number("size", size, minimum=0, open_minimum=True)
    places = coordinates(adata, spatial_key)[:, :2]
    keys = [color] if color is None or isinstance(color, str) else list(color)
    if not keys or not adata.n_obs:
        msg = f"there is nothing to draw: {adata.n_obs} observations, {len(keys)} colours"
        raise ValueError(msg)
    values = {key: values_of(adata, key, layer) for key in keys if key is not None}
    sections = _sections(adata, library_key, library_id)
    images = {name: find_image(adata, name, img_key) if img else None for name in sections}
    panels = [(key, name) for key in keys for name in sections]
    titles = _titles(panels, title, n_sections=len(sections))
    colors = {
        key: category_colors(adata, key, column.cat.categories, palette)
        for key, column in values.items()
        if isinstance(column.dtype, pd.CategoricalDtype)
    }

    ends_row = list(sections)[-1]
    if ax is None:
        beside = [
            0.15
            if key is None or name != ends_row or not legend
            else legend_width(colors[key])
            if key in colors
            else 0.7
            for key, name in panels
        ]
        width, height = np.ptp(places, axis=0) + 1e-12
        figure, axes = canvas(beside, len(sections) if len(sections) > 1 else ncols, tall=height / width)
    elif len(panels) == 1:
        figure, axes = ax.figure, [ax]
    else:
        msg = f"ax= takes one panel, but {len(panels)} are to be drawn; draw them one by one"
        raise ValueError(msg)
    for (key, name), panel, text in zip(panels, axes, titles, strict=True):
        inside = sections[name]
        spot = size * pitch(places[inside])
        image = images[name]
        if image is not None:
            draw_image(panel, image, img_alpha)
        last = legend and name == ends_row
        if key is None:
            draw_spots(panel, places[inside], spot, alpha, facecolors="#8c8c8c")
        elif key in colors:
            _draw_categories(panel, places[inside], spot, alpha, values[key][inside], colors[key])
            if last:
                seen = values[key][np.logical_or.reduce(list(sections.values()))]
                add_legend(panel, colors[key], missing=bool(seen.isna().any()))
        else:
            seen = values[key][np.logical_or.reduce(list(sections.values()))]
            limits = (seen.min() if vmin is None else vmin, seen.max() if vmax is None else vmax)
            spots = _draw_values(panel, places[inside], spot, alpha, values[key][inside], cmap, limits)
            if last:
                add_colorbar(figure, panel, spots)
        frame(panel, places[inside], spot)
        dx = unit_size(adata, name, places[inside], scalebar_dx)
        if dx is not None:
            draw_scalebar(panel, dx, "um" if scalebar_dx == "auto" else scalebar_units)
        panel.set_title(text, fontsize="medium")
    result = axes[0] if len(axes) == 1 else axes
    return finish(figure, result, show=show, return_fig=return_fig, own=ax is None)


def _sections(
    adata: AnnData, library_key: str | None, library_id: str | Sequence[str] | None
) -> dict[str | None, NDArray[np.bool_]]:
    """Which observations lie in each section; the name is ``None`` where there is only one."""
    # as text, which the keys of images are
    names = [] if library_id is None else [library_id] if np.isscalar(library_id) else list(library_id)
    wanted = [str(name) for name in names]
    if library_key is None:
        if len(wanted) > 1 or (wanted and wanted[0] not in adata.uns.get("spatial", {})):
            msg = f"library_id={library_id!r} needs library_key=, the column of adata.obs that names the sections"
            raise KeyError(msg)
        return {wanted[0] if wanted else None: np.ones(adata.n_obs, dtype=bool)}
    column = pd.Series(check_key(adata, "obs", library_key, parameter="library_key")).astype("category")
    present = {str(name): (column == name).to_numpy() for name in column.cat.categories if (column == name).any()}
    missing = [name for name in wanted if name not in present]
    if missing:
        msg = f"library_id={missing[0]!r} is not in adata.obs[{library_key!r}], which has {listed(present)}"
        raise KeyError(msg)
    return {name: present[name] for name in wanted or present}


def _titles(
    panels: list[tuple[str | None, str | None]], title: str | Sequence[str] | None, n_sections: int
) -> list[str]:
    if title is None:
        if n_sections == 1:
            return [key or name or "" for key, name in panels]
        several = len(panels) > n_sections
        return [f"{name}: {key}" if several and key else str(name) for key, name in panels]
    titles = [title] * len(panels) if isinstance(title, str) else list(title)
    if len(titles) != len(panels):
        msg = f"title has {len(titles)} entries for {len(panels)} panels"
        raise ValueError(msg)
    return titles


def _draw_categories(
    ax: Axes,
    places: NDArray[np.float64],
    spot: float,
    alpha: float,
    values: pd.Series,
    colors: dict[object, str],
) -> None:
    from matplotlib.colors import to_rgba_array

    codes = values.cat.codes.to_numpy()
    table = to_rgba_array([*colors.values(), NA_COLOR])
    draw_spots(ax, places, spot, alpha, facecolors=table[codes])


def _draw_values(
    ax: Axes,
    places: NDArray[np.float64],
    spot: float,
    alpha: float,
    values: pd.Series,
    cmap: str | None,
    limits: tuple[float, float],
) -> Any:
    numbers = values.to_numpy(dtype=float)
    missing = np.isnan(numbers)
    if missing.any():
        draw_spots(ax, places[missing], spot, alpha, facecolors=NA_COLOR)
    # the highest values last, so that overlapping cells do not hide them
    order = np.flatnonzero(~missing)[np.argsort(numbers[~missing], kind="stable")]
    spots = draw_spots(ax, places[order], spot, alpha, zorder=1.1, array=numbers[order], cmap=cmap or "viridis")
    spots.set_clim(*limits)
    return spots
