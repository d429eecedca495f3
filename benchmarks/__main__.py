"""Compare methods on every labelled file of a folder: ``python -m benchmarks --data DIR``.

Each run is a process of its own, so that its peak memory is its own. Finished runs are kept in one tidy CSV and not
repeated; what failed is kept with its error and tried again. Tables and plots are made at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from benchmarks.machine import machine
from benchmarks.methods import NAMES
from benchmarks.peers import ENVS, why
from benchmarks.report import main as report
from benchmarks.stability import stability

_DEFAULT_DATA = os.environ.get("SEMTX_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
_RUN = ["data", "method", "seed"]


def labelled(folder: Path, names: list[str]) -> list[Path]:
    """Return the files of a folder that have two or more classes in ``obs["ground_truth"]``."""
    import anndata

    paths = sorted(path for path in folder.glob("*.h5ad") if not names or path.stem in names)
    missing = set(names) - {path.stem for path in paths}
    if missing:
        msg = f"{folder} has no {', '.join(sorted(missing))}"
        raise typer.BadParameter(msg)
    found = []
    for path in paths:
        obs = anndata.read_h5ad(path, backed="r").obs
        if "ground_truth" in obs and obs["ground_truth"].value_counts().gt(0).sum() > 1:
            found.append(path)
    return found


def finished(runs: pd.DataFrame) -> set[tuple[str, str, int]]:
    """Return data, method and seed of the runs that need not be repeated: those without an error."""
    good = runs[runs["error"].isna()] if "error" in runs else runs
    return set(good[_RUN].itertuples(index=False, name=None))


def added(runs: pd.DataFrame, row: dict[str, Any], labels: Path) -> pd.DataFrame:
    """Return the runs with one more, in the place of an older try, and the stability of its method brought up to date."""
    older = (runs[_RUN] == pd.Series(row)[_RUN]).all(axis=1)
    runs = pd.concat([runs[~older], pd.DataFrame([row])], ignore_index=True)
    same = (runs["data"] == row["data"]) & (runs["method"] == row["method"])
    steady = stability(labels / row["data"] / row["method"], runs.loc[same, "seed"])
    for seed, value in steady.items():
        runs.loc[same & (runs["seed"] == seed), "stability"] = value
    return runs


def main(
    data: Annotated[Path, typer.Option(help="Folder of .h5ad files with obs['ground_truth'].")] = Path(_DEFAULT_DATA)
    / "spatial",
    name: Annotated[list[str] | None, typer.Option(help="Only these files, by stem.")] = None,
    method: Annotated[list[str] | None, typer.Option(help=f"Only these of {', '.join(NAMES)}.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ...")] = 5,
    envs: Annotated[Path, typer.Option(help="Folder of the peers' environments, PEER/bin/python.")] = Path("envs"),
    out: Annotated[Path, typer.Option(help="CSV of all runs.")] = Path("benchmarks/results/runs.csv"),
) -> None:
    """Run what is not yet in the CSV, then print the tables and draw the plots beside it."""
    os.environ[ENVS] = str(envs.absolute())
    runs = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=_RUN)
    out.parent.mkdir(parents=True, exist_ok=True)
    for path in labelled(data, name or []):
        for chosen in method or NAMES:
            for seed in range(seeds):
                run = (path.stem, chosen, seed)
                if run in finished(runs):
                    continue
                keep = out.parent / "labels" / path.stem / chosen / f"{seed}.npy"
                command = [sys.executable, "-m", "benchmarks.measure", str(path), chosen, str(seed), str(keep)]
                result = subprocess.run(command, capture_output=True, text=True, check=False)
                if result.returncode:
                    row = {**dict(zip(_RUN, run, strict=True)), "machine": machine(), "error": why(result)}
                else:
                    row = json.loads(result.stdout.strip().splitlines()[-1])
                runs = added(runs, row, out.parent / "labels")
                runs.to_csv(out, index=False)
                typer.echo(f"{path.stem} {chosen} {seed}: {row.get('ARI', row.get('error'))}")
    if len(runs):
        report(out, out.parent / "report")


if __name__ == "__main__":
    typer.run(main)
