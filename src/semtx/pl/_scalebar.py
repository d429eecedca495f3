"""A bar that tells how large the tissue is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from semtx._validate import check_number
from semtx.pl._section import pitch

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

ScalebarDx = float | Literal["auto"] | None

# Visium: distance of neighbouring spots in micrometres, and which part of it a spot is in the files of Space Ranger
_VISIUM_PITCH = 100.0
_VISIUM_SPOT = (0.5, 0.75)
_UNITS = {"um": "µm", "µm": "µm", "mm": "mm", "nm": "nm", "px": "px"}


def unit_size(adata: AnnData, library: str | None, places: NDArray[np.float64], given: ScalebarDx) -> float | None:
    """Return how many units of the bar make one of the coordinates: as given, or in micrometres where files tell."""
    if given is None:
        return None
    if given != "auto":
        check_number("scalebar_dx", given, minimum=0, open_minimum=True)
        return float(given)
    libraries = adata.uns.get("spatial", {})
    if not hasattr(libraries, "items"):
        return None
    if library is None and len(libraries) == 1:
        library = next(iter(libraries))
    factors = libraries.get(library, {}).get("scalefactors", {})
    if "microns_per_pixel" in factors:
        return float(factors["microns_per_pixel"])
    if "fiducial_diameter_fullres" in factors and "spot_diameter_fullres" in factors:
        distance = pitch(places)
        # a part of the spots, or other coordinates, may not have the distance of the grid
        if _VISIUM_SPOT[0] < float(factors["spot_diameter_fullres"]) / distance < _VISIUM_SPOT[1]:
            return _VISIUM_PITCH / distance
    return None


def draw_scalebar(ax: Axes, dx: float, units: str) -> None:
    """Draw a bar of a round length below the section, which grows by the room that it takes."""
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    width, height = right - left, bottom - top
    length = round_length(0.3 * width * dx)
    text, unit = length, _UNITS.get(units, units)
    if unit == "µm" and length >= 1000:
        text, unit = length / 1000, "mm"
    ax.set_ylim(bottom + 0.1 * height, top)
    start, row = left + 0.02 * width, bottom + 0.03 * height
    line: dict[str, Any] = {"color": "#333333", "linewidth": 2, "solid_capstyle": "butt", "gid": "scalebar"}
    ax.plot([start, start + length / dx], [row, row], **line)
    ax.annotate(
        f"{text:g} {unit}",
        (start + 0.5 * length / dx, row),
        (0, -3),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize="small",
        color="#333333",
    )


def round_length(largest: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is not above."""
    power = 10.0 ** np.floor(np.log10(largest))
    return float(max(step for step in (1, 2, 5) if step * power <= largest) * power)
