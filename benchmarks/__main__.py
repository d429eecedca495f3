"""Compare methods on every labelled section of a folder: ``python -m benchmarks --data DIR``.

Each run is a process of its own, so that its peak memory is its own. Finished runs are kept in one tidy CSV and not
repeated; the table is printed at the end.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from benchmarks.methods import METHODS
from benchmarks.peers import ENVS

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


def main(
    data: Annotated[Path, typer.Option(help="Folder of .h5ad files with obs['ground_truth'].")] = Path(_DEFAULT_DATA)
    / "spatial",
    name: Annotated[list[str] | None, typer.Option(help="Only these files, by stem.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only these methods.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ...")] = 5,
    envs: Annotated[Path, typer.Option(help="Folder of the peers' environments, PEER/bin/python.")] = Path("envs"),
    out: Annotated[Path, typer.Option(help="CSV of all runs.")] = Path("benchmarks/results/runs.csv"),
) -> None:
    """Run what is not yet in the CSV, then print mean and standard deviation of ARI and NMI."""
    os.environ[ENVS] = str(envs.absolute())
    done = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=_RUN)
    out.parent.mkdir(parents=True, exist_ok=True)
    finished = set(done[_RUN].itertuples(index=False, name=None))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}, semtx {version('semtx')}"
    for path in labelled(data, name or []):
        for chosen in method or list(METHODS):
            for seed in range(seeds):
                if (path.stem, chosen, seed) in finished:
                    continue
                keep = out.parent / "labels" / path.stem / chosen / f"{seed}.npy"
                command = [sys.executable, "-m", "benchmarks.measure", str(path), chosen, str(seed), str(keep)]
                result = subprocess.run(command, capture_output=True, text=True, check=False)
                if result.returncode:
                    row = dict(zip(_RUN, (path.stem, chosen, seed), strict=True))
                    row["error"] = result.stderr.strip().splitlines()[-1]
                else:
                    row = json.loads(result.stdout.strip().splitlines()[-1])
                done = pd.concat([done, pd.DataFrame([{**row, "machine": machine}])], ignore_index=True)
                done.to_csv(out, index=False)
                typer.echo(f"{path.stem} {chosen} {seed}: {row.get('ARI', row.get('error'))}")
    wanted = done[done["method"].isin(method or list(METHODS))]
    for measure in ("ARI", "NMI", "seconds", "peak_gb"):
        typer.echo(f"\n{measure}, mean and standard deviation over seeds")
        table = wanted.groupby(["data", "method"])[measure].agg(["mean", "std"]).round(3)
        typer.echo(table.unstack("data").to_string())  # noqa: PD010


if __name__ == "__main__":
    typer.run(main)
