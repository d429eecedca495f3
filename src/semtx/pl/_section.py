"""What one panel of a map is made of: values, image, spots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from semtx._counts import to_csr
from semtx._validate import check_key, listed
from semtx.pl._column import as_drawn
from semtx.pl._figure import RASTERIZED_ABOVE

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Image(NamedTuple):
    """A picture of the tissue and how many of its pixels make one unit of the coordinates."""

    pixels: NDArray[Any]
    scale: float


def values_of(adata: AnnData, key: str, layer: str | None) -> pd.Series:
    """Return a column of ``obs`` or the expression of a gene; categorical, or float with NaN."""
    if key in adata.obs:
        return as_drawn(adata.obs[key], is_view=adata.is_view)
    if key in adata.var_names:
        if layer is not None:
            check_key(adata, "layers", layer, parameter="layer")
        genes = np.flatnonzero(adata.var_names == key)
        if len(genes) > 1:
            msg = f"color={key!r} names {len(genes)} genes; call adata.var_names_make_unique() first"
            raise ValueError(msg)
        stored = adata.X if layer is None else adata.layers[layer]
        if stored is None:
            msg = f"color={key!r} is a gene, and adata.X is empty; name a layer with layer="
            raise ValueError(msg)
        column = to_csr(stored[:, genes]).toarray().ravel()
        return pd.Series(column, index=adata.obs_names, name=key)
    msg = f"color={key!r} is neither in adata.obs, which has {listed(adata.obs.columns)}, nor in adata.var_names"
    raise KeyError(msg)


def find_image(adata: AnnData, library: str | None, img_key: str | None) -> Image | None:
    """Find the image of a section where squidpy keeps it, ``uns["spatial"][library]``."""
    libraries = adata.uns.get("spatial", {})
    if not hasattr(libraries, "items"):
        return None
    if library is None:
        if len(libraries) != 1:
            return None
        library = next(iter(libraries))
    images = libraries.get(library, {}).get("images", {})
    if img_key is None:
        img_key = next((name for name in ("hires", "lowres") if name in images), None)
        if img_key is None:
            return None
    if img_key not in images:
        msg = f"img_key={img_key!r} is not in adata.uns['spatial'][{library!r}]['images'], which has {listed(images)}"
        raise KeyError(msg)
    factors = libraries[library].get("scalefactors", {})
    return Image(images[img_key], float(factors.get(f"tissue_{img_key}_scalef", 1.0)))


def pitch(places: Array) -> float:
    """Typical distance between neighbours: the mean distance to the six nearest places, its median over all.

    On a hexagonal grid this is the distance of the grid; single cells that lie close together do not make it small.
    """
    from scipy.spatial import cKDTree

    unique = np.unique(places, axis=0)
    if len(unique) < 2:
        return 1.0
    distances, _ = cKDTree(unique).query(unique, k=min(7, len(unique)))
    return float(np.median(distances[:, 1:].mean(axis=1)))


def draw_image(ax: Axes, image: Image, alpha: float) -> None:
    """Lay the image under the spots, in the unit of their coordinates."""
    height, width = image.pixels.shape[:2]
    extent = (-0.5 / image.scale, (width - 0.5) / image.scale, (height - 0.5) / image.scale, -0.5 / image.scale)
    ax.imshow(image.pixels, extent=extent, alpha=alpha, cmap="gray", zorder=0, interpolation="antialiased")


def draw_spots(ax: Axes, places: Array, diameter: float, alpha: float, zorder: float = 1, **colors: Any) -> Any:
    """Draw circles whose size is in the unit of the coordinates, and return the collection."""
    from matplotlib.collections import EllipseCollection

    many = len(places) > RASTERIZED_ABOVE
    spots = EllipseCollection(
        widths=diameter,
        heights=diameter,
        angles=0,
        units="xy",
        offsets=places,
        offset_transform=ax.transData,
        linewidths=0,
        alpha=alpha,
        rasterized=many,
        zorder=zorder,
        **colors,
    )
    ax.add_collection(spots, autolim=False)
    return spots


def frame(ax: Axes, places: Array, diameter: float) -> None:
    """Show the section whole, in true proportion, y pointing down as in its image."""
    low, high = places.min(axis=0) - diameter, places.max(axis=0) + diameter
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(high[1], low[1])
    ax.set_aspect("equal")
    ax.set_axis_off()
