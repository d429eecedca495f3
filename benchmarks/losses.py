"""One epoch of the losses of SemST, as semtx computes them and as they are defined: ``python -m benchmarks.losses``.

Both decode an embedding with the same widths and take all gradients. Each run is in a process of its own, the sides in turn;
the table has medians of seconds of the processor, which other work on the machine does not count into, and of memory above
what the process held before it had input, and their ratios.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from benchmarks.dense_losses import dense_epoch, dense_gigabytes, dense_spatial
from benchmarks.scale_run import _forget_peak, _peak

if TYPE_CHECKING:
    from collections.abc import Callable

_LATENT, _HIDDEN, _NEIGHBORS = 128, 256, 6


def main(
    n_obs: Annotated[int, typer.Argument(help="Observations.")] = 3600,
    n_vars: Annotated[int, typer.Argument(help="Genes.")] = 3000,
    repeats: Annotated[int, typer.Option(help="Runs of each side.")] = 3,
    *,
    dense: Annotated[
        bool, typer.Option(help="Run the definition; else its memory is that of the coefficients.")
    ] = True,
) -> None:
    """Print seconds, GiB and ratios of all losses and of the spatial term alone."""
    sides = ["ours", "ours spatial"] + (["dense", "dense spatial"] if dense else [])
    found: dict[str, list[list[float]]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            command = [sys.executable, "-m", "benchmarks.losses", "one", side, str(n_obs), str(n_vars)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[side].append(json.loads(said.splitlines()[-1]))
    medians = {side: np.median(values, axis=0) for side, values in found.items()}
    for side, (seconds, gigabytes) in medians.items():
        typer.echo(f"{side:14s} {seconds:8.3f} s {gigabytes:8.3f} GiB")
    if dense:
        for name in ("", " spatial"):
            faster, leaner = medians[f"dense{name}"] / medians[f"ours{name}"]
            typer.echo(f"ratio{name or ' of all':9s} {faster:8.1f} times faster, {leaner:.1f} times leaner")
    else:
        estimate = dense_gigabytes(n_obs, n_vars)
        typer.echo(f"definition: {estimate:.2f} GiB estimated, {estimate / medians['ours'][1]:.1f} times more")


def one(side: str, n_obs: int, n_vars: int) -> tuple[float, float]:
    """Return seconds of an epoch after a small one, and the memory that it adds."""
    run = {"ours": our_epoch, "dense": dense_epoch, "ours spatial": our_spatial, "dense spatial": spatial_as_defined}[
        side
    ]
    run(64, n_vars)()
    _forget_peak()
    before = _peak()
    epoch = run(n_obs, n_vars)
    _forget_peak()
    started = time.process_time()
    epoch()
    return time.process_time() - started, _peak() - before


def our_epoch(n_obs: int, n_vars: int) -> Callable[[], None]:
    """Draw random input, and return one epoch: decoder, ZINB, correlation and spatial term."""
    import torch
    from scipy import sparse

    import semtx as st
    from semtx.models._semst_preprocessing import csr_tensor

    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n_obs, _LATENT, generator=generator, requires_grad=True)
    feature = torch.randn(n_obs, _LATENT, generator=generator, requires_grad=True)
    # drawn in blocks, so that what is measured is the losses
    parts = [
        sparse.csr_matrix(torch.poisson(torch.full((len(rows), n_vars), 0.3), generator=generator).numpy())
        for rows in torch.arange(n_obs).split(512)
    ]
    counts = csr_tensor(sparse.vstack(parts, format="csr"))
    del parts
    decoder = st.nn.ZINBDecoder(_LATENT, n_vars, hidden_dim=_HIDDEN)
    edges = _edges(n_obs)

    def epoch() -> None:
        loss = decoder.loss(z, counts) + st.nn.correlation_reduction(z, feature)
        (loss + 0.1 * st.nn.spatial_regularization(z, edges)).backward()

    return epoch


def our_spatial(n_obs: int, n_vars: int) -> Callable[[], None]:
    """Return the spatial term alone."""
    import torch

    import semtx as st

    del n_vars
    z = torch.randn(n_obs, _LATENT, generator=torch.Generator().manual_seed(0), requires_grad=True)
    edges = _edges(n_obs)
    return lambda: st.nn.spatial_regularization(z, edges).backward()


def spatial_as_defined(n_obs: int, n_vars: int) -> Callable[[], None]:
    """Return the spatial term alone, of all pairs."""
    import torch

    del n_vars
    z = torch.randn(n_obs, _LATENT, generator=torch.Generator().manual_seed(0), requires_grad=True)
    adjacency = torch.zeros(n_obs, n_obs)
    adjacency[tuple(_edges(n_obs))] = 1
    return lambda: dense_spatial(z, adjacency).backward()


def _edges(n_obs: int):
    import torch

    rows = torch.arange(n_obs).repeat_interleave(_NEIGHBORS)
    return torch.stack([rows, (rows + torch.arange(1, _NEIGHBORS + 1).repeat(n_obs)) % n_obs])


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
    else:
        typer.run(main)
