"""Does FSM improve other methods? ``python -m benchmarks.plug_in --data DIR --name SECTION``.

Each host is run alone; its embedding is modulated afterwards (``st.tl.modulate``); and FSM is trained inside the host
(``st.nn.attach_fsm``). Beside the real semantics stand the controls: gene vectors shuffled over genes, and random ones. The
last epoch counts, no label is read before scoring, k is given. Finished runs are kept in one CSV and not repeated. A host
that cannot be imported or run is listed with its error. Hosts may have a Python of their own: ``--python scvi=PATH``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks.__main__ import _DEFAULT_DATA, labelled
from benchmarks.peers import why
from benchmarks.plug_in_hosts import HOSTS

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

_UNIT = ["data", "host", "inside", "seed", "epochs"]
SEMANTICS = ("auto", "shuffled", "random")
_FUSIONS = ("concatenate", "add", "cross_attention")


def semantics_of(adata: AnnData, kind: str, seed: int) -> NDArray[np.float32]:
    """Return 16 components of the cells' semantics, or of a control's, shape (n_obs, 16)."""
    import semtx as st
    from semtx.models._expression import PrincipalComponents
    from semtx.tl._semst_inputs import control_vectors

    made = adata.copy()
    st.pp.gene_semantics(made)
    if kind != "auto":
        made.varm["gene_semantics"] = control_vectors(made.varm["gene_semantics"], kind, seed)
    st.pp.cell_semantics(made)
    cells = made.obsm["X_semantics"]
    reduced = PrincipalComponents.fit(cells, 16, 0).transform(cells)
    return reduced / np.sqrt(reduced.var(axis=0).mean())


def run(path: str, host: str, inside: str, seed: int, epochs: int) -> list[dict[str, Any]]:
    """Run a host once, and return the scores of its embedding and, unless FSM was inside, of those modulated."""
    import anndata

    import semtx as st
    from benchmarks.measure import scores

    adata = anndata.read_h5ad(path)
    truth = adata.obs["ground_truth"]
    adata.obs = adata.obs[[]].copy()
    unit = {"data": Path(path).stem, "host": host, "inside": inside, "seed": seed, "epochs": epochs}
    rows: list[dict[str, Any]] = []

    def add(how: str, semantics: str, fusion: str, key: str, started: float, **more: Any) -> None:
        seconds = time.perf_counter() - started
        st.tl.cluster(adata, int(truth.nunique()), use_rep=key, random_state=seed)
        told = {"how": how, "semantics": semantics, "fusion": fusion, "seconds": seconds, **more}
        rows.append({**unit, **told, **scores(adata, truth, adata.obs["cluster"])})

    semantics = None if inside == "none" else semantics_of(adata, inside, seed)
    started = time.perf_counter()
    adata.obsm["host"] = np.asarray(HOSTS[host](adata, seed, semantics, epochs or None))
    if inside != "none":
        add("attached", inside, "fsm", "host", started)
        return rows
    add("alone", "none", "none", "host", started)
    for kind, fusion in [*((kind, "fsm") for kind in SEMANTICS), *(("auto", fusion) for fusion in _FUSIONS)]:
        started = time.perf_counter()
        st.tl.modulate(
            adata, "host", semantics=kind, fusion=fusion, random_state=seed, accelerator="cpu", show_progress_bar=False
        )
        heldout = adata.uns["host_fsm"]["heldout"]
        add("modulated", kind, fusion, "host_fsm", started, **{name: float(value) for name, value in heldout.items()})
    return rows


def main(
    data: Annotated[Path, typer.Option(help="Folder of .h5ad files with obs['ground_truth'].")] = Path(_DEFAULT_DATA)
    / "spatial",
    name: Annotated[list[str] | None, typer.Option(help="Only these files, by stem.")] = None,
    host: Annotated[list[str] | None, typer.Option(help=f"Only these of {', '.join(HOSTS)}.")] = None,
    python: Annotated[list[str] | None, typer.Option(help="HOST=PATH: the Python that has the host's package.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ...")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of the hosts; 0 for their own default.")] = 0,
    out: Annotated[Path, typer.Option(help="CSV of all runs.")] = Path("benchmarks/results/plug_in.csv"),
) -> None:
    """Run what is not yet in the CSV, then print mean ARI and NMI of each host with and without FSM."""
    pythons = dict(given.split("=", 1) for given in python or [])
    done = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=[*_UNIT, "error"])
    # what failed may work by now
    done = done[done["error"].isna()] if "error" in done else done
    out.parent.mkdir(parents=True, exist_ok=True)
    finished = set(done[_UNIT].itertuples(index=False, name=None))
    for path in labelled(data, name or []):
        for chosen in host or list(HOSTS):
            for seed in range(seeds):
                for inside in ("none", *(SEMANTICS if chosen != "pca" else ())):
                    # PCA has no epochs
                    unit = (path.stem, chosen, inside, seed, 0 if chosen == "pca" else epochs)
                    if unit in finished:
                        continue
                    call = f"import json; from benchmarks.plug_in import run; print(json.dumps(run({str(path)!r}, *{unit[1:]!r})))"
                    command = [pythons.get(chosen, sys.executable), "-c", call]
                    result = subprocess.run(command, capture_output=True, text=True, check=False)
                    if result.returncode:
                        rows = [{**dict(zip(_UNIT, unit, strict=True)), "error": why(result)}]
                    else:
                        rows = json.loads(result.stdout.strip().splitlines()[-1])
                    done = pd.concat([done, pd.DataFrame(rows)], ignore_index=True)
                    done.to_csv(out, index=False)
                    for row in rows:
                        found = row.get("error") or f"{row['how']} {row['semantics']} {row['fusion']} {row['ARI']:.3f}"
                        typer.echo(f"{' '.join(map(str, unit))}: {found}")
    for measure in ("ARI", "NMI"):
        if measure in done:
            typer.echo(f"\n{measure}, mean and standard deviation over seeds, and runs")
            scored = done[done[measure].notna()]
            table = scored.groupby(["data", "host", "epochs", "how", "semantics", "fusion"], sort=False)[measure]
            typer.echo(table.agg(["mean", "std", "count"]).round(3).to_string())


if __name__ == "__main__":
    typer.run(main)
