"""Colours of categories, kept in ``.uns[f"{key}_colors"]`` where scanpy keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from semtx.pl._contingency import contingency, diagonal_order, in_either, labels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

NA_COLOR: Final = "#d9d9d9"
_LEAST_SHARE = 0.1
# Okabe and Ito's set without black, then three of Tol's, all told apart by colour-blind readers; the rest are, one after
# the other, the colours farthest from all before, to readers with full colour vision and with each kind of colour blindness.
_DEFAULT: Final = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#f0e442",
    "#332288",
    "#882255",
    "#999933",
    "#502000",
    "#8f00ff",
    "#af1000",
    "#afbf8f",
    "#3030bf",
    "#8f5080",
    "#8f80ff",
    "#80cfff",
    "#70ff9f",
    "#efbf50",
    "#604080",
    "#401060",
    "#ef00cf",
    "#607050",
)


def _sampled(name: str, n: int) -> list[str]:
    """Colours of a matplotlib colour map: its first ones where it is a list, else evenly spread."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    chosen = mpl.colormaps[name]
    if len(getattr(chosen, "colors", ())) == chosen.N < 100:
        return [to_hex(chosen(i % chosen.N)) for i in range(n)]
    return [to_hex(chosen(i / max(n - 1, 1))) for i in range(n)]


def default_colors(n: int) -> list[str]:
    if n <= len(_DEFAULT):
        return list(_DEFAULT[:n])
    from scanpy.pl import palettes

    longest = next((p for p in (palettes.default_28, palettes.default_102) if len(p) >= n), None)
    return list(longest[:n]) if longest else _sampled("gist_rainbow", n)


def category_colors(
    adata: AnnData,
    key: str,
    categories: pd.Index,
    palette: str | Sequence[str] | Mapping[str, str] | None,
    *,
    keep: bool = True,
) -> dict[object, str]:
    """Return the colour of every category: of `palette`, else (with ``keep``) those kept in ``.uns``, else our own.

    A `palette` that is a column of ``.obs`` (with ``keep``) gives the colours of its categories to the groups they match;
    those of its own groups stay.
    Colours of a categorical column are kept in ``.uns[f"{key}_colors"]``, so that they are the same in the next plot
    and in scanpy's; those of a view are not, since writing would turn it into a copy.
    """
    from matplotlib.colors import is_color_like, to_hex

    n, place = len(categories), f"{key}_colors"
    column = palette if keep and isinstance(palette, str) and palette in adata.obs else None
    if palette is None or column == key:
        kept = _kept(adata, key, categories) if keep else None
        colors = default_colors(n) if kept is None else kept
        changed = kept is None
    else:
        changed = True
        if column is not None:
            colors = _matched(adata, key, categories, column)
        elif isinstance(palette, str):
            colors = _sampled(palette, n)
        elif isinstance(palette, Mapping):
            by_name = {str(category): color for category, color in palette.items()}
            missing = [str(category) for category in categories if str(category) not in by_name]
            if missing:
                msg = f"palette has no colour for {', '.join(missing)} of {key!r}"
                raise ValueError(msg)
            colors = [by_name[str(category)] for category in categories]
        else:
            if not len(palette):
                msg = "palette is empty; give one colour or more, or leave it out"
                raise ValueError(msg)
            colors = [palette[i % len(palette)] for i in range(n)]
        wrong = [color for color in colors if not is_color_like(color)]
        if wrong:
            msg = f"palette has {wrong[0]!r}, which matplotlib does not know as a colour"
            raise ValueError(msg)
        colors = [to_hex(color, keep_alpha=True) if len(str(color)) == 9 else to_hex(color) for color in colors]
    if keep and changed and not adata.is_view and key in adata.obs and hasattr(adata.obs[key], "cat"):
        adata.uns[place] = colors
    return dict(zip(categories, colors, strict=True))


def _kept(adata: AnnData, key: str, categories: pd.Index) -> list[str] | None:
    """Colours in ``.uns``, where each category has one; of a view, some of those that the colours are of may be drawn."""
    from matplotlib.colors import is_color_like

    kept = [str(color) for color in adata.uns.get(f"{key}_colors", ())]
    every = adata.obs[key].cat.categories if key in adata.obs and hasattr(adata.obs[key], "cat") else categories
    if len(kept) == len(every) and categories.isin(every).all():
        kept = [kept[place] for place in every.get_indexer(categories)]
    return kept[: len(categories)] if len(kept) >= len(categories) and all(map(is_color_like, kept)) else None


def _matched(adata: AnnData, key: str, categories: pd.Index, reference: str) -> list[str]:
    """Colours of the categories of another column, by the matching with the most common cells; others get new ones."""
    from matplotlib.colors import to_hex

    labels, others = labels_of(adata, key, "color"), labels_of(adata, reference, "palette")
    colors = category_colors(adata, reference, others.cat.categories, None)
    table = contingency(labels, others)
    rows, columns, n_matched = diagonal_order(table.counts)
    either = in_either(table.counts)
    found = {
        table.rows[row]: colors[table.columns[column]]
        for row, column in zip(rows[:n_matched], columns[:n_matched], strict=True)
        # left over by the others is no partner
        if table.counts[row, column] >= _LEAST_SHARE * either[row, column]
    }
    # spelled as the default colours are
    taken = {to_hex(color) for color in colors.values()}
    new = (color for color in default_colors(len(colors) + len(categories)) if color not in taken)
    return [found.get(category) or next(new) for category in categories]
