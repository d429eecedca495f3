"""Maps of how strongly semantics modulate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from semtx import _keys
from semtx._validate import check_key, resolve_table
from semtx.pl._spatial import spatial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {"scale": r"mean $|\alpha|$", "shift": r"mean $|\beta|$"}


def modulation(
    adata: AnnData,
    key: str = _keys.SEMST,
    *,
    part: str | None = None,
    spatial_key: str = _keys.SPATIAL,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
    **options: Any,
) -> Axes | list[Axes] | Figure | None:
    r"""Draw on the section how far the modulation of each observation is from none.

    Semantics scale an embedding by :math:`1 + \alpha` and shift it by :math:`\beta`; shown are the means of
    :math:`|\alpha|` and of :math:`|\beta|` over the dimensions. Both are in units of the network's own; compare places,
    and maps of one kind, not a scale with a shift.

    Parameters
    ----------
    adata
        Result of :func:`semtx.tl.semst` with ``store_modulation=True``; or a SpatialData object.
    key
        Key of that result: `adata.obsm[f"{key}_modulation"]` is read.
    part
        ``"scale"`` or ``"shift"``; ``None`` draws both.
    spatial_key
        Key of `adata.obsm` with coordinates.
    title
        Title; by default what is drawn.
    ax
        Axes to draw on; for a single ``part`` only.
    show
        Show the figure. By default it is shown unless `ax` or `return_fig` is given.
    return_fig
        Return the figure.
    table_key
        Table of a SpatialData object.
    options
        Further options of :func:`semtx.pl.spatial`, such as ``library_key``, ``cmap``, ``vmax``, ``size`` or ``img``.

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes (a list for both parts). Nothing is written.

    Raises
    ------
    KeyError
        There is no modulation, or a key of the map does not exist.
    ValueError
        ``part`` is neither of the two, or `ax` is given for both.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> st.tl.semst(adata, 5, max_epochs=10, accelerator="cpu", store_modulation=True)
    >>> figure = st.pl.modulation(adata, return_fig=True)
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['mean $|\\alpha|$', 'mean $|\\beta|$']
    """
    adata = resolve_table(adata, table_key)
    if part is not None and part not in PARTS:
        msg = f"part must be 'scale', 'shift' or None for both, got {part!r}"
        raise ValueError(msg)
    name = key + _keys.MODULATION_SUFFIX
    fix = f"run st.tl.semst(adata, store_modulation=True) first (with key_added={key!r})"
    stored = np.asarray(check_key(adata, "obsm", name, fix=fix))
    if stored.ndim != 2 or stored.shape[1] % 2:
        msg = f"adata.obsm[{name!r}] must hold scales and shifts side by side, its shape is {stored.shape}"
        raise ValueError(msg)
    halves = dict(zip(PARTS, np.hsplit(np.abs(stored), 2), strict=True))
    wanted = list(PARTS) if part is None else [part]
    columns = {PARTS[one]: halves[one].mean(axis=1) for one in wanted}
    # an object of its own that has what a map needs: the user's gets no column
    shown = AnnData(obs=pd.concat([adata.obs, pd.DataFrame(columns, index=adata.obs_names)], axis=1))
    shown.obsm[spatial_key] = check_key(adata, "obsm", spatial_key, parameter="spatial_key")
    shown.uns.update({entry: adata.uns[entry] for entry in ("spatial",) if entry in adata.uns})
    drawn = list(columns) if len(columns) > 1 else next(iter(columns))
    return spatial(
        shown, drawn, spatial_key=spatial_key, title=title, ax=ax, show=show, return_fig=return_fig, **options
    )
