"""Where the ``semtx`` command reads and writes: paths are checked first, files come whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from anndata import AnnData


def check_paths(path: Path, out: Path, plot: Path | None = None, *, force: bool) -> None:
    """Check where to read and to write before anything else: training takes longer than a typing error."""
    if not path.is_file():
        msg = f"{path} does not exist or is no file"
        raise typer.BadParameter(msg)
    _check_target(path, out, (".h5ad", ".zarr"), "--out", force=force)
    if out.suffix.lower() == ".zarr" and out.exists() and not _is_zarr(out):
        msg = f"{out} exists and is no zarr store; it is not replaced"
        raise typer.BadParameter(msg)
    if plot is not None:
        from matplotlib.backend_bases import FigureCanvasBase

        suffixes = [f".{name}" for name in FigureCanvasBase.get_supported_filetypes()]
        _check_target(path, plot, suffixes, "--plot", force=force)


def _check_target(path: Path, target: Path, suffixes: Collection[str], option: str, *, force: bool) -> None:
    if target.suffix.lower() not in suffixes:
        msg = f"{option} {target} must end in {' or '.join(suffixes)}"
        raise typer.BadParameter(msg)
    if not target.parent.is_dir():
        msg = f"the folder of {target} does not exist"
        raise typer.BadParameter(msg)
    if target.is_dir() and target.suffix.lower() != ".zarr":
        msg = f"{target} is a folder"
        raise typer.BadParameter(msg)
    if target.exists() and target.samefile(path) and not force:
        msg = f"{target} is the input; give another --out, or --force to replace it"
        raise typer.BadParameter(msg)


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in (".zgroup", "zarr.json"))


def replace(target: Path, write: Callable[[Path], Any]) -> None:
    """Write beside the target and move into place, so that a kill in the middle leaves no half result."""
    folder = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    try:
        # in a folder, so that file and store get the permissions of new ones
        written = folder / target.name
        write(written)
        before = folder / "before"
        if target.is_dir():
            # a folder cannot be moved over another
            target.rename(before)
        try:
            written.replace(target)
        except OSError:
            if before.exists():
                before.rename(target)
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(adata: AnnData, out: Path) -> None:
    """Write an h5ad file or a zarr store, told by the suffix."""
    replace(out, adata.write_zarr if out.suffix.lower() == ".zarr" else adata.write_h5ad)
