"""Tables and plots of finished runs: ``python -m benchmarks.report RUNS.csv OUT``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated

import pandas as pd
import typer

MEASURES = ("ARI", "NMI", "ACC", "F1_macro", "CHAOS", "PAS", "stability", "seconds", "cpu_seconds", "peak_gb")
LOWER = {"CHAOS", "PAS", "seconds", "cpu_seconds", "peak_gb"}


def table(runs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return mean and standard deviation over seeds and the number of seeds, by method and data set."""
    groups = runs[runs[measure].notna()].groupby(["data", "method"])[measure]
    return groups.agg(["mean", "std", "count"]).reset_index()


def mean_rank(runs: pd.DataFrame, measure: str) -> pd.Series:
    """Return the mean rank over the data sets of each method that ran on all of them; 1 is best."""
    wide = table(runs, measure).pivot_table(index="method", columns="data", values="mean").dropna()
    return wide.rank(ascending=measure in LOWER).mean(axis=1).sort_values()


def kinds(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the runs on sections and those on cells by themselves: other methods run on each."""
    scored = runs[runs["ARI"].notna()] if "ARI" in runs else runs[:0]
    spatial = scored["CHAOS"].notna() if "CHAOS" in scored else pd.Series(data=False, index=scored.index)
    both = {"sections": scored[spatial], "cells": scored[~spatial]}
    return {kind: found for kind, found in both.items() if len(found)}


def draw(runs: pd.DataFrame, measure: str, path: Path) -> None:
    """Draw each method's runs on each data set, and the mean rank."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    runs = runs[runs[measure].notna()]
    names, ranks = sorted(runs["data"].unique()), mean_rank(runs, measure)
    methods = ranks.index.union(runs["method"].unique(), sort=False).tolist()[::-1]
    figure, axes = plt.subplots(
        1, len(names) + 1, figsize=(2.6 * (len(names) + 1), 0.3 * len(methods) + 1.2), sharey=True, squeeze=False
    )
    for ax, name in zip(axes[0], names, strict=False):
        here = runs[runs["data"] == name]
        ax.plot(here[measure], [methods.index(method) for method in here["method"]], "o", alpha=0.6)
        ax.set(title=name, xlabel=measure)
        ax.title.set_fontsize(8)
    axes[0, -1].barh([methods.index(method) for method in ranks.index], ranks)
    axes[0, -1].set(title="mean rank", xlabel="1 is best")
    axes[0, 0].set_yticks(range(len(methods)), methods)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(
    runs: Annotated[Path, typer.Argument(help="CSV of `python -m benchmarks`.")],
    out: Annotated[Path, typer.Argument(help="Folder of tables and plots.")],
) -> None:
    """Write summary.csv and a plot of each measure, and print the tables."""
    found = pd.read_csv(runs)
    out.mkdir(parents=True, exist_ok=True)
    summary = []
    for kind, scored in kinds(found).items():
        for measure in (name for name in MEASURES if name in scored and scored[name].notna().any()):
            summary.append(table(scored, measure).assign(kind=kind, measure=measure))
            shown = summary[-1].pivot_table(index="method", columns="data", values="mean")
            typer.echo(f"\n{measure}, {kind}\n{shown.assign(rank=mean_rank(scored, measure)).round(3).to_string()}")
            draw(scored, measure, out / f"{measure}_{kind}.png")
    if summary:
        pd.concat(summary).to_csv(out / "summary.csv", index=False)
    for told in ("machine", "versions"):
        if told in found:
            typer.echo(f"\n{told}\n" + "\n".join(sorted(found[told].dropna().unique())))
    if "error" in found and found["error"].notna().any():
        failed = found.loc[found["error"].notna(), ["data", "method", "seed", "error"]]
        typer.echo(f"\nNot run\n{failed.to_string(index=False)}")


if __name__ == "__main__":
    typer.run(main)
