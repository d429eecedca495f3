"""Time and peak memory of each step on more and more observations: ``python -m benchmarks.scale --method semst``.

The observations are copies of a generated section, of generated cells or of an .h5ad file, with counts drawn anew. Each
size runs in a process of its own. Beside them, for SemST, stands one epoch of the losses as they are defined, on all
pairs: run where it fits in ``--dense-gb``, and elsewhere its memory by the measured coefficients.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.dense_losses import dense_gigabytes

_UNIT = ["method", "n_obs", "n_vars"]
_DENSE = "dense losses, one epoch"


def main(
    sizes: Annotated[list[int] | None, typer.Argument(help="Numbers of observations.")] = None,
    method: Annotated[str, typer.Option(help="semst or scllm_dsc.")] = "semst",
    data: Annotated[Path | None, typer.Option(help="An .h5ad file with raw counts; else generated data.")] = None,
    n_clusters: Annotated[int, typer.Option(help="Clusters.")] = 10,
    n_vars: Annotated[int, typer.Option(help="Keep so many genes with most counts; 0 for all.")] = 500,
    dense_gb: Annotated[float, typer.Option(help="Run the dense losses up to so much memory; 0 for never.")] = 2.0,
    out: Annotated[Path, typer.Option(help="CSV of all steps; the plot lies beside it.")] = Path(
        "benchmarks/results/scale.csv"
    ),
) -> None:
    """Measure each size, then print the table and the slope of log seconds against log observations."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = pd.read_csv(out) if out.exists() else pd.DataFrame()
    for n_obs in sizes or [4000, 20_000, 100_000, 1_000_000]:
        found = json.loads(_process("benchmarks.scale_run", method, n_obs, data or "", n_clusters, n_vars))
        steps = found.pop("steps")
        if method == "semst":
            steps.append(_dense(found["n_obs"], found["n_vars"], dense_gb))
        made = pd.DataFrame([{**found, **step} for step in steps])
        rows = pd.concat([rows, made]).drop_duplicates([*_UNIT, "step"], keep="last")
        rows.to_csv(out, index=False)
        total = made.set_index("step").loc["total"]
        typer.echo(f"{method} {n_obs}: {total['seconds']:.1f} s, {total['peak_gb']:.2f} GiB")
    for value in ("seconds", "peak_gb"):
        table = rows.pivot_table(index=["method", "step"], columns="n_obs", values=value)
        typer.echo(f"\n{value}\n{table.round(2).to_string()}")
    typer.echo(f"\nslope of log seconds against log observations\n{slopes(rows).round(2).to_string()}")
    plot(rows, out.with_suffix(".png"))


def _process(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        typer.echo(result.stderr, err=True)
        raise typer.Exit(result.returncode)
    return result.stdout.strip().splitlines()[-1]


def _dense(n_obs: int, n_vars: int, limit: float) -> dict[str, object]:
    gigabytes = dense_gigabytes(n_obs, n_vars)
    if gigabytes > limit:
        return {"step": f"{_DENSE} (estimate)", "seconds": np.nan, "peak_gb": gigabytes}
    seconds, peak = json.loads(_process("benchmarks.scale_run", "dense", n_obs, n_vars))
    return {"step": _DENSE, "seconds": seconds, "peak_gb": peak}


def slopes(rows: pd.DataFrame) -> pd.Series:
    """Return by method and step the slope of log seconds against log observations; no number for a single size."""

    def slope(part: pd.DataFrame) -> float:
        part = part[part["seconds"] > 0]
        if part["n_obs"].nunique() < 2:
            return np.nan
        return float(np.polyfit(np.log(part["n_obs"]), np.log(part["seconds"]), 1)[0])

    return rows.groupby(["method", "step"])[["n_obs", "seconds"]].apply(slope)


def plot(rows: pd.DataFrame, path: Path) -> None:
    """Draw seconds and memory of the steps against the number of observations."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    methods = sorted(rows["method"].unique())
    figure, axes = plt.subplots(len(methods), 2, figsize=(11, 4.5 * len(methods)), squeeze=False, layout="constrained")
    for method, pair in zip(methods, axes, strict=True):
        for value, ax in zip(("seconds", "peak_gb"), pair, strict=True):
            for step, part in rows[rows["method"] == method].groupby("step", sort=False):
                line = part.sort_values("n_obs")
                ax.loglog(line["n_obs"], line[value], "o-", label=step, lw=2.5 if step == "total" else 1)
            ax.set(title=method, xlabel="observations", ylabel={"seconds": "seconds", "peak_gb": "peak GiB"}[value])
        pair[1].legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
