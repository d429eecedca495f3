"""The benchmark page, from a CSV of finished runs as ``python -m benchmarks`` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.report import LOWER, kinds, mean_rank, table

if TYPE_CHECKING:
    from pathlib import Path

# measure, how it is called, digits
_SCORES = (
    ("ARI", "adjusted Rand index", 3),
    ("NMI", "normalised mutual information", 3),
    ("ACC", "accuracy, clusters matched to classes", 3),
    ("F1_macro", "macro F1, clusters matched to classes", 3),
    ("PAS", "PAS, lower is smoother; no label is read", 3),
    ("stability", "agreement of a seed with the others (ARI)", 3),
    ("seconds", "seconds", 0),
    ("cpu_seconds", "seconds of the processor", 0),
    ("peak_gb", "peak memory in GB", 1),
)
_INK, _DOT, _GRID = "#808080", "#2f8fd8", "#80808050"  # readable on a light and on a dark page


def benchmark_page(runs: pd.DataFrame, folder: Path) -> str:
    """Return the page's tables as Markdown; the pictures are written to the folder."""
    titles = {"sections": "Sections", "cells": "Single cells"}
    parts = []
    for name, scored in kinds(runs).items():
        # with those that were not finished
        every = runs[runs["data"].isin(scored["data"])]
        parts.append(_kind(titles[name], name, every, folder))
    parts.append("Machines: " + "; ".join(sorted(runs["machine"].dropna().unique())) + ".\n")
    return "\n".join(parts)


def _kind(title: str, name: str, runs: pd.DataFrame, folder: Path) -> str:
    seeds = table(runs, "ARI")["count"]
    few, most = seeds.min(), seeds.max()
    _draw(runs, folder / f"benchmark_{name}.svg")
    text = [
        f"## {title}\n",
        f"Each dot is a seed; {most if few == most else f'{few} to {most}'} seeds.\n",
        f"```{{figure}} generated/benchmark_{name}.svg\n:class: dark-light\n:alt: ARI of each method on each data set\n```\n",
    ]
    for measure, called, digits in _SCORES:
        if measure in runs and runs[measure].notna().any():
            shown = _table(runs, measure, digits)
            text.append(f"### {title}: {called}\n\n{shown}")
    failed = runs[runs["error"].notna()] if "error" in runs else runs.iloc[:0]
    if len(failed):
        text.append(f"### {title}: not finished\n")
        for (data, method), rows in failed.groupby(["data", "method"]):
            text.append(f"- {data}, {method}, {len(rows)} runs: {_plain(rows['error'].iloc[0])}")
        text.append("")
    return "\n".join(text)


def _table(runs: pd.DataFrame, measure: str, digits: int) -> str:
    """Return mean and standard deviation over seeds, the mean over data sets and the mean rank, best method first."""
    found = table(runs, measure)
    rank = mean_rank(runs, measure)
    means = found.pivot_table(index="method", columns="data", values="mean").loc[_methods(runs, measure)]
    spread = found.pivot_table(index="method", columns="data", values="std", dropna=False).reindex_like(means)
    lines = [f"| method | {' | '.join(means)} | mean | mean rank |", "|---" * (means.shape[1] + 3) + "|"]
    for method in means.index:
        cells = [_number(means.loc[method, data], spread.loc[method, data], digits) for data in means]
        whole = means.loc[method]
        mean = "" if whole.isna().any() else f"{whole.mean():,.{digits}f}"
        place = f"{rank[method]:.1f}" if method in rank else ""
        lines.append(f"| `{method}` | {' | '.join(cells)} | {mean} | {place} |")
    return "\n".join(lines) + "\n"


def _methods(runs: pd.DataFrame, measure: str) -> list[str]:
    """Return the methods that ran on all data sets by their mean rank, then the others by their mean."""
    means = table(runs, measure).groupby("method")["mean"].mean().sort_values(ascending=measure in LOWER)
    ranked = list(mean_rank(runs, measure).index)
    return [*ranked, *(method for method in means.index if method not in ranked)]


def _number(mean: float, spread: float, digits: int) -> str:
    if pd.isna(mean):
        return ""
    return f"{mean:,.{digits}f}" + ("" if pd.isna(spread) else f" ± {spread:,.{digits}f}")


def _plain(message: str) -> str:
    """Keep a message from being read as markup."""
    return "`" + str(message).replace("`", "'").replace("\n", " ") + "`"


def _draw(runs: pd.DataFrame, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    runs = runs[runs["ARI"].notna()]
    names = sorted(runs["data"].unique())
    methods = _methods(runs, "ARI")
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    colors = dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"], _INK)
    with mpl.rc_context({**colors, "font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "semtx"}):
        size = (1.6 + 1.9 * columns, rows * (0.17 * len(methods) + 0.7))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for place, (ax, name) in enumerate(zip(axes.ravel(), names, strict=False)):
            here = runs[runs["data"] == name]
            places = [methods.index(method) for method in here["method"]]
            ax.plot(here["ARI"], places, "o", color=_DOT, alpha=0.9, markersize=4, markeredgewidth=0)
            ax.set_title(name if len(name) < 25 else f"{name[:23]}…", fontsize=8)
            ax.set_facecolor("none")
            ax.grid(axis="both", color=_GRID, linewidth=0.5)
            ax.spines[:].set_visible(False)
            ax.tick_params(length=0, labelbottom=place + columns >= len(names))
        for ax in axes.ravel()[len(names) :]:
            ax.remove()
        axes[0, 0].set_yticks(range(len(methods)), methods)
        axes[0, 0].invert_yaxis()
        figure.supxlabel("adjusted Rand index (ARI)", fontsize=8)
        figure.savefig(path, transparent=True, metadata={"Date": None})
