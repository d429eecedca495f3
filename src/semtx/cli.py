"""The ``semtx`` command: the same functions, for people who run pipelines."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from semtx import __version__
from semtx._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from anndata import AnnData

app = typer.Typer(
    help="Semantic transcriptomics: text knowledge about genes guides the clustering of tissue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Input = Annotated[Path, typer.Argument(metavar="IN.h5ad", help="AnnData file to read; it is never changed.")]
Output = Annotated[Path, typer.Option("--out", metavar="OUT", help="AnnData to write: OUT.h5ad or OUT.zarr.")]
Force = Annotated[bool, typer.Option("--force", help="Allow --out to name the input file.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell each step; show the traceback of an error.")]
Seed = Annotated[int, typer.Option(help="Seed; the same seed gives the same labels on the same machine.")]


def _print_version(value: bool) -> None:  # noqa: FBT001
    if value:
        typer.echo(f"semtx {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Semantic transcriptomics: text knowledge about genes guides the clustering of tissue."""


@app.command()
def demo(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the picture and the AnnData file.")] = Path(
        "semtx_demo"
    ),
    random_state: Seed = 0,
    verbose: Verbose = False,
) -> None:
    """Find the domains of the embedded generated tissue: scores, run record, picture and AnnData file."""
    with _errors_in_one_line(verbose=verbose):
        from semtx._demo import run_demo

        run_demo(out, random_state=random_state, echo=typer.echo)


@app.command()
def semst(
    path: Input,
    *,
    out: Output,
    n_clusters: Annotated[int | None, typer.Option(help="Number of domains; chosen without labels if absent.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="MAP.png", help="Picture of the domains to write.")] = None,
    preset: Annotated[str, typer.Option(help="default, paper or reference.")] = "default",
    semantics: Annotated[
        str, typer.Option(help="auto, none, an obsm key, or the controls shuffled and random.")
    ] = "auto",
    layer: Annotated[str | None, typer.Option(help="Layer with raw counts; looked for if absent.")] = None,
    spatial_key: Annotated[str, typer.Option(help="obsm key of the coordinates.")] = "spatial",
    library_key: Annotated[str | None, typer.Option(help="obs column that tells several sections apart.")] = None,
    mask_var: Annotated[str | None, typer.Option(help="Boolean var column of the genes to use.")] = None,
    n_top_genes: Annotated[
        int | None, typer.Option(help="Highly variable genes; the preset's number if absent.")
    ] = None,
    cluster_method: Annotated[
        str | None, typer.Option(help="Method of the clustering, as in tl.cluster; the preset has its own.")
    ] = None,
    resolution: Annotated[float | None, typer.Option(help="Resolution, for Leiden.")] = None,
    key_added: Annotated[str, typer.Option(help="Name of the results.")] = "semst",
    random_state: Seed = 0,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu, gpu, cuda or mps.")] = None,
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Find the spatial domains of one section or of several, from raw counts and coordinates."""
    _check_paths(path, out, plot, force=force)
    with _errors_in_one_line(verbose=verbose):
        from anndata import read_h5ad

        import semtx as st

        adata = read_h5ad(path)
        st.tl.semst(
            adata,
            n_clusters,
            preset=preset,
            semantics=None if semantics.lower() == "none" else semantics,
            layer=layer,
            spatial_key=spatial_key,
            library_key=library_key,
            mask_var=mask_var,
            n_top_genes=n_top_genes,
            cluster_method=cast("Any", cluster_method),
            resolution=resolution,
            key_added=key_added,
            random_state=random_state,
            accelerator=accelerator,
        )
        # first of all: a picture that fails must not cost the results
        _write(adata, out)
        typer.echo(f"{adata.obs[key_added].nunique()} domains of {adata.n_obs} spots in obs[{key_added!r}] of {out}")
        if plot is not None:
            _plot(adata, plot, color=key_added, spatial_key=spatial_key, library_key=library_key)
            typer.echo(f"picture in {plot}")


@app.command()
def gene_semantics(
    path: Input,
    *,
    out: Output,
    encoder: Annotated[
        str, typer.Option(help="builtin, offline, a sentence-transformers name or path, openai:MODEL or llm:NAME.")
    ] = "builtin",
    organism: Annotated[str | None, typer.Option(help="human or mouse; told from the names if absent.")] = None,
    gene_symbols: Annotated[
        str | None, typer.Option(help="var column with symbols, if they are not the names.")
    ] = None,
    key_added: Annotated[str, typer.Option(help="Name of the results.")] = "gene_semantics",
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Give every gene a vector of what is written about it."""
    _check_paths(path, out, force=force)
    with _errors_in_one_line(verbose=verbose):
        from anndata import read_h5ad

        import semtx as st

        adata = read_h5ad(path)
        st.pp.gene_semantics(adata, encoder, organism=organism, gene_symbols=gene_symbols, key_added=key_added)
        _write(adata, out)
        matched = int(adata.var[f"{key_added}_matched"].sum())
        n_dims = adata.varm[key_added].shape[1]
        typer.echo(f"vectors of {n_dims} numbers for {matched} of {adata.n_vars} genes in varm[{key_added!r}] of {out}")


@contextmanager
def _errors_in_one_line(*, verbose: bool) -> Iterator[None]:
    """Turn an exception into one clear line and exit code 1, unless the traceback is wanted."""
    with settings.override(verbosity="info") if verbose else settings.override():
        try:
            yield
        except Exception as error:
            if verbose:
                raise
            # a KeyError prints its message in quotes
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            typer.echo(f"semtx: error: {' '.join(str(message).split()) or type(error).__name__}", err=True)
            raise typer.Exit(1) from error


def _check_paths(path: Path, out: Path, plot: Path | None = None, *, force: bool) -> None:
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


def _replace(target: Path, write: Callable[[Path], Any]) -> None:
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


def _write(adata: AnnData, out: Path) -> None:
    _replace(out, adata.write_zarr if out.suffix.lower() == ".zarr" else adata.write_h5ad)


def _plot(adata: AnnData, target: Path, **options: Any) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import semtx as st

    figure: Any = st.pl.spatial(adata, show=False, return_fig=True, **options)
    _replace(target, lambda path: figure.savefig(path, dpi=150, bbox_inches="tight"))


if __name__ == "__main__":
    sys.exit(app())
