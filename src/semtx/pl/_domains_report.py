"""One page on a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from semtx import _keys
from semtx._logging import logger
from semtx._record import stored_name
from semtx._validate import check_key, coordinates, resolve_table
from semtx.pl._figure import finish
from semtx.pl._history import history
from semtx.pl._matrix import shortened
from semtx.pl._report_facts import domain_table, run_facts
from semtx.pl._report_html import report_html
from semtx.pl._spatial import spatial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.19  # inches
_FORMATS = (".html", ".png")


def domains_report(
    adata: AnnData,
    key: str = _keys.SEMST,
    *,
    describe_key: str = _keys.DESCRIBE,
    spatial_key: str = _keys.SPATIAL,
    library_key: str | None = None,
    palette: str | Sequence[str] | Mapping[str, str] | None = None,
    filename: str | Path | Sequence[str | Path] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    table_key: str | None = None,
) -> list[Axes] | Figure | None:
    """Report on a run on one page: map, number of domains, scores without truth, top terms, losses, parameters, versions.

    Parameters
    ----------
    adata
        Result of :func:`semtx.tl.semst`; or a SpatialData object.
    key
        Key of that result (its `key_added`): domains in `adata.obs[key]`, run record in `adata.uns[key]`.
    describe_key
        Key of `adata.uns` with a result of :func:`semtx.tl.describe` on these domains; terms are left out where there is
        none.
    spatial_key
        Key of `adata.obsm` with coordinates.
    library_key
        Column of `adata.obs` that names the section; by default the one of the run.
    palette
        Colours of the domains, as in :func:`semtx.pl.spatial`.
    filename
        File to write, or several: ``.html`` is a page of its own that needs no other file and no network, ``.png`` a
        picture.
    show
        Show the figure. By default it is shown unless `return_fig` or `filename` is given.
    return_fig
        Return the figure.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    ``None`` when shown, the figure with `return_fig`, else the axes. Sets `adata.uns[f"{key}_colors"]` for a categorical
    column that has none there, or with `palette`, unless `adata` is a view.

    Raises
    ------
    KeyError
        There are no such domains, record or coordinates.
    ValueError
        A file ends in neither ``.html`` nor ``.png``.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> st.tl.semst(adata, 5, max_epochs=2, accelerator="cpu")
    >>> st.tl.describe(adata, "semst")
    >>> figure = st.pl.domains_report(adata, return_fig=True)
    """
    import matplotlib.pyplot as plt

    adata = resolve_table(adata, table_key)
    fix = f"run st.tl.semst(adata) first (with key_added={key!r})"
    check_key(adata, "obs", key, parameter="key", fix=fix)
    record = check_key(adata, "uns", key, parameter="key", fix=fix)
    coordinates(adata, spatial_key)
    files = [Path(path) for path in ([filename] if isinstance(filename, (str, Path)) else filename or ())]
    wrong = [path.name for path in files if path.suffix not in _FORMATS]
    if wrong:
        msg = f"filename={wrong[0]!r} must end in {' or '.join(_FORMATS)}"
        raise ValueError(msg)
    library_key = library_key or record.get("params", {}).get("library_key")
    table = domain_table(adata, key, _described(adata, key, describe_key))
    facts = run_facts(adata, key, record, spatial_key=spatial_key, library_key=library_key)

    title = f"semtx: domains in obs[{key!r}]"
    where: dict[str, Any] = {"spatial_key": spatial_key, "library_key": library_key, "palette": palette}
    pictures: dict[str, Any] = {"map of the domains": spatial(adata, key, return_fig=True, **where)}
    if record.get("losses"):
        pictures["losses by epoch"] = history(adata, key, return_fig=True)
    figure = _page(title, pictures, table, facts)
    for path in files:
        if path.suffix == ".html":
            path.write_text(report_html(title, pictures, table, facts), encoding="utf-8")
        else:
            figure.savefig(path, dpi=130)
    for picture in pictures.values():
        plt.close(picture)
    return finish(figure, figure.axes, show=show, return_fig=return_fig, own=not files)


def _described(adata: AnnData, key: str, describe_key: str) -> pd.DataFrame | None:
    """Return the terms, if they are those of these domains."""
    record = adata.uns.get(describe_key + _keys.RECORD_SUFFIX, {})
    if describe_key not in adata.uns or record.get("params", {}).get("groupby") != key:
        return None
    sizes = {stored_name(name): n for name, n in adata.obs[key].value_counts().items() if n}
    if {name: int(n) for name, n in record.get("n_cells", sizes).items()} != sizes:
        logger.warning(
            "adata.uns[%r] describes other domains than adata.obs[%r] has now; its terms are left out. Run "
            "st.tl.describe(adata, %r) again",
            describe_key,
            key,
            key,
        )
        return None
    return adata.uns[describe_key]


def _page(
    title: str, pictures: Mapping[str, Figure], table: pd.DataFrame, facts: Mapping[str, Mapping[str, str]]
) -> Figure:
    """Set the pictures, each as it is drawn alone and side by side where they fit, above the tables."""
    import matplotlib.pyplot as plt
    import numpy as np

    width = 10.0
    drawn = []
    for picture in pictures.values():
        picture.set_dpi(130)
        picture.canvas.draw()
        drawn.append(np.asarray(picture.canvas.buffer_rgba()))  # type: ignore[attr-defined]
    # no picture larger than it was drawn, nor wider than the page
    widths = [min(width, image.shape[1] / 130) for image in drawn]
    beside = sum(widths) <= width
    rows = [list(range(len(drawn)))] if beside else [[place] for place in range(len(drawn))]
    tall = [wide * image.shape[0] / image.shape[1] for wide, image in zip(widths, drawn, strict=True)]
    heights = [max(tall[place] for place in row) for row in rows]
    columns = [["Result", "In space, without truth"], ["Gene semantics", "Run"], ["Versions"]]
    lines = max(sum(len(facts[name]) + 2 for name in column) for column in columns)
    heights += [_LINE * (len(table) + 2), _LINE * lines]
    figure = plt.figure(figsize=(width, sum(heights) + 0.5), layout="constrained")
    figure.suptitle(title, x=0.02, ha="left", fontsize="large")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    for place, row in enumerate(rows):
        taken = [widths[one] for one in row]
        cells = grid[place].subgridspec(1, len(row) + 1, width_ratios=[*taken, max(width - sum(taken), 0.01)])
        for cell, one in enumerate(row):
            ax = figure.add_subplot(cells[cell])
            ax.imshow(drawn[one], interpolation="antialiased")
            ax.set_anchor("W")
    axes = [*figure.axes, figure.add_subplot(grid[-2]), figure.add_subplot(grid[-1])]
    for ax in axes:
        ax.set_axis_off()
    _write(axes[-2], [[str(name) for name in table], *table.astype(str).to_numpy().tolist()], [0.0, 0.14, 0.28])
    for place, column in enumerate(columns):
        lines_of: list[list[str]] = []
        for name in column:
            lines_of += [[name], *([f"  {one}", value] for one, value in facts[name].items()), []]
        _write(axes[-1], lines_of, [0.36 * place, 0.36 * place + 0.19 - 0.06 * (place == 2)], n_lines=lines, limit=24)
    return figure


def _write(
    ax: Axes, rows: list[list[str]], starts: list[float], *, n_lines: int | None = None, limit: int = 90
) -> None:
    n = n_lines or len(rows) + 1
    for line, row in enumerate(rows):
        head = len(row) == 1 or (line == 0 and n_lines is None)
        for start, text in zip(starts, row, strict=False):
            ax.text(
                start,
                1 - (line + 0.5) / n,
                shortened(text, limit if start != starts[0] else 30),
                transform=ax.transAxes,
                va="center",
                fontsize=8,
                weight="bold" if head else "normal",
                color="#222222",
            )
