"""Genes in the plane, by what is written about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from semtx import _keys
from semtx._record import write_results
from semtx._validate import (
    check_choice,
    check_integer,
    check_number,
    check_random_state,
    gene_mask,
    listed,
    resolve_table,
    stored_gene_vectors,
)
from semtx.pl._figure import RASTERIZED_ABOVE, add_colorbar, add_legend, canvas, finish, legend_width
from semtx.pl._gene_colors import EXPRESSION, gene_colors
from semtx.pl._layout import fingerprints, holds, umap
from semtx.pl._palette import NA_COLOR, category_colors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

Layout = Literal["umap", "pca"]


def gene_semantics(
    adata: AnnData,
    color: str | Mapping[str, Iterable[str]] | Sequence[str | Mapping[str, Iterable[str]]] = EXPRESSION,
    *,
    method: Layout = "umap",
    names: Sequence[str] = (),
    key: str = _keys.GENE_SEMANTICS,
    mask_var: str | NDArray[np.bool_] | None = None,
    layer: str | None = None,
    n_neighbors: int = 15,
    min_dist: float = 0.5,
    random_state: int = 0,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    cmap: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    size: float | None = None,
    title: str | Sequence[str] | None = None,
    ncols: int = 4,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
) -> Axes | list[Axes] | Figure | None:
    """Draw genes in the plane by their vectors: genes of which like things are written lie together.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object, with gene vectors of :func:`semtx.pp.gene_semantics`. Genes without one are left
        out.
    color
        One panel each: ``"expression"`` (mean over cells, log-normalised where there are counts), a column of `adata.var`,
        a term of :func:`semtx.semantics.load_vocabulary` by name or id such as ``"myelination"``, or gene sets of your own
        as a dict from name to genes. Genes in no set are light grey.
    method
        ``"umap"`` or ``"pca"``, the first two principal components.
    names
        Genes whose names are written beside them.
    key
        Key of the vectors in `adata.varm`. Vectors of two columns are drawn as they are.
    mask_var
        Genes to draw, where a UMAP of all takes too long: a boolean column of `adata.var`, such as ``"highly_variable"``,
        or a boolean array.
    layer
        Layer that expression is read from; by default what holds counts, else `X`.
    n_neighbors, min_dist, random_state
        Neighbours of each gene, least distance, and seed of the UMAP.
    palette
        Colours of categories or sets, as in :func:`semtx.pl.embedding`.
    cmap
        Colour map of numbers; ``"viridis"`` by default.
    vmin, vmax
        Limits of the colour map.
    size
        Area of a dot in square points; by default smaller for more genes.
    title
        One title for each panel.
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

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes (a list for several panels). With ``method="umap"`` and
    unless `adata` is a view, sets the following fields:

    `adata.varm[f"{key}_umap"]` : `numpy.ndarray` (dtype `float32`)
        Coordinates, shape (n_vars, 2); NaN for genes that are not drawn.
    `adata.uns[f"{key}_umap"]` : `dict`
        Options of the UMAP, and a number for each vector that tells whether it has changed.

    Raises
    ------
    KeyError
        There are no vectors, or a colour or name is not known.
    ValueError
        `ax` is given for several panels, or there are too few genes with a vector.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(100)
    >>> st.pp.gene_semantics(adata)
    >>> axes = st.pl.gene_semantics(adata, ["expression", "myelination"], method="pca", names=["MBP"], show=False)
    >>> [ax.get_title() for ax in axes]
    ['expression', 'myelination']
    """
    adata = resolve_table(adata, table_key)
    check_choice("method", method, get_args(Layout))
    check_integer("n_neighbors", n_neighbors, minimum=2)
    check_number("min_dist", min_dist, minimum=0)
    check_random_state(random_state)
    colors = [color] if isinstance(color, (str, Mapping)) else list(color)
    if not colors or (ax is not None and len(colors) > 1):
        msg = f"there are {len(colors)} colours; give one or more, and one only with ax="
        raise ValueError(msg)
    options = {"n_neighbors": int(n_neighbors), "min_dist": float(min_dist), "random_state": int(random_state)}
    vectors = stored_gene_vectors(adata, key, parameter="key", fix="run st.pp.gene_semantics(adata) first")
    drawn = gene_mask(adata, mask_var) & vectors.any(axis=1)
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in adata.var_names[drawn]]
    if unknown:
        msg = f"names has {listed(unknown)}, not among the genes that are drawn: those in mask_var with a vector"
        raise KeyError(msg)
    values = [gene_colors(adata, one, layer, key)[drawn] for one in colors]
    titles = [str(one.name) for one in values] if title is None else [title] if isinstance(title, str) else list(title)
    if len(titles) != len(colors):
        msg = f"there are {len(colors)} colours and {len(titles)} titles"
        raise ValueError(msg)
    places, labels = _places(adata, vectors, drawn, key, method, options)

    palettes = [
        category_colors(adata, str(one.name), one.cat.categories, palette, keep=False)
        if isinstance(one.dtype, pd.CategoricalDtype)
        else None
        for one in values
    ]
    own = ax is None
    if ax is None:
        figure, axes = canvas(
            [0.8 if shown is None else legend_width(shown) if len(shown) > 1 else 0.1 for shown in palettes], ncols
        )
    else:
        figure, axes = ax.figure, [ax]
    dot = size if size is not None else float(np.clip(20_000 / len(places), 2, 40))
    for panel, one, chosen, text in zip(axes, values, palettes, titles, strict=True):
        if chosen is None:
            order = np.argsort(one.fillna(-np.inf).to_numpy(), kind="stable")
            spots = _scatter(
                panel, places[order], one.to_numpy()[order], dot, cmap=cmap or "viridis", vmin=vmin, vmax=vmax
            )
            add_colorbar(figure, panel, spots)
        else:
            _draw_sets(panel, places, one, chosen, dot)
        _write_names(panel, places, adata.var_names[drawn], names)
        panel.set_title(text, fontsize="medium")
        panel.set(xticks=[], yticks=[])
        panel.set_xlabel(labels[0], fontsize="small")
        panel.set_ylabel(labels[1], fontsize="small")
        panel.spines[:].set_color("#cccccc")
        panel.set_box_aspect(1)
    return finish(figure, axes[0] if len(axes) == 1 else axes, show=show, return_fig=return_fig, own=own)


def _places(
    adata: AnnData,
    vectors: NDArray[np.float32],
    drawn: NDArray[np.bool_],
    key: str,
    method: Layout,
    options: dict[str, Any],
) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """Return where each gene that is drawn lies, and the names of the two axes; a UMAP is kept for the next plot."""
    chosen = vectors[drawn].astype(np.float64)
    if chosen.shape[1] == 2:
        return chosen, (f"{key} 1", f"{key} 2")
    if method == "pca":
        if len(chosen) < 3 or chosen.shape[1] < 2:
            msg = (
                "principal components take at least 3 genes with a vector of 2 or more dimensions, there are "
                f"{len(chosen)} of {chosen.shape[1]}"
            )
            raise ValueError(msg)
        left, values, _ = np.linalg.svd(chosen - chosen.mean(axis=0), full_matrices=False)
        share = values**2 / (values**2).sum()
        return left[:, :2] * values[:2], (f"PC1 ({share[0]:.0%})", f"PC2 ({share[1]:.0%})")
    place = key + _keys.UMAP_SUFFIX
    rows = fingerprints(chosen)
    if place in adata.varm and place in adata.uns and holds(adata.uns[place], rows, options):
        kept = np.asarray(adata.varm[place], dtype=np.float64)[drawn]
        if np.isfinite(kept).all():
            return kept, ("UMAP1", "UMAP2")
    layout = umap(chosen, **options)
    if not adata.is_view:
        whole = np.full((adata.n_vars, 2), np.nan, dtype=np.float32)
        whole[drawn] = layout
        record = {"key": key, "params": options, "rows": np.sort(rows)}
        write_results(adata, varm={place: whole}, uns={place: record})
    return layout.astype(np.float64), ("UMAP1", "UMAP2")


def _scatter(ax: Axes, places: NDArray[np.float64], values: Any, size: float, **options: Any) -> Any:
    many = len(places) > RASTERIZED_ABOVE
    return ax.scatter(places[:, 0], places[:, 1], c=values, s=size, linewidths=0, rasterized=many, **options)


def _draw_sets(
    ax: Axes, places: NDArray[np.float64], values: pd.Series, colors: dict[object, str], size: float
) -> None:
    """Draw genes in no set first and small, then the sets, the largest first."""
    missing = values.isna().to_numpy()
    _scatter(ax, places[missing], NA_COLOR, 0.6 * size)
    for name in values.value_counts().index:
        _scatter(ax, places[(values == name).to_numpy()], colors[name], 1.6 * size if missing.any() else size)
    if len(colors) > 1:
        add_legend(ax, colors, missing=False)


def _write_names(ax: Axes, places: NDArray[np.float64], genes: pd.Index, names: Sequence[str]) -> None:
    from matplotlib.patheffects import withStroke

    for number, name in enumerate(names):
        # in turn right and left, above and below, so that the names of neighbours are apart
        left, below = number % 2, number // 2 % 2
        ax.annotate(
            name,
            places[genes.get_loc(name)],
            xytext=(-3 if left else 3, -3 if below else 3),
            ha="right" if left else "left",
            va="top" if below else "bottom",
            textcoords="offset points",
            fontsize="small",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
