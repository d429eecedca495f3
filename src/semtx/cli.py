"""The ``semtx`` command: the same functions, for people who run pipelines."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semtx import __version__, _cli_files
from semtx._settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

app = typer.Typer(
    help="Semantic transcriptomics: text knowledge about genes guides the clustering of tissue and of cells.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Input = Annotated[Path, typer.Argument(metavar="IN.h5ad", help="AnnData file to read; it is never changed.")]
Output = Annotated[Path, typer.Option("--out", metavar="OUT", help="AnnData to write: OUT.h5ad or OUT.zarr.")]
Force = Annotated[bool, typer.Option("--force", help="Allow --out to name the input file.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell each step; show the traceback of an error.")]
Seed = Annotated[int, typer.Option(help="Seed; the same seed gives the same labels on the same machine.")]
# what both methods ask for
NClusters = Annotated[int | None, typer.Option(help="Number of clusters; chosen without labels if absent.")]
Plot = Annotated[Path | None, typer.Option(metavar="MAP.png", help="Picture of the clusters to write.")]
Preset = Annotated[str, typer.Option(help="default, paper or reference.")]
Semantics = Annotated[str, typer.Option(help="auto, none, an obsm key, or the controls shuffled and random.")]
Layer = Annotated[str | None, typer.Option(help="Layer with raw counts; looked for if absent.")]
MaskVar = Annotated[str | None, typer.Option(help="Boolean var column of the genes to use.")]
NTopGenes = Annotated[int | None, typer.Option(help="Highly variable genes; the preset's number if absent.")]
GeneSymbols = Annotated[str | None, typer.Option(help="var column with symbols, if they are not the names.")]
ClusterMethod = Annotated[str | None, typer.Option(help="Method of the clustering; the preset's if absent.")]
Resolution = Annotated[float | None, typer.Option(help="Resolution, for Leiden.")]
KeyAdded = Annotated[str, typer.Option(help="Name of the results.")]
Accelerator = Annotated[str | None, typer.Option(help="auto, cpu, gpu, cuda or mps.")]


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
    """Semantic transcriptomics: text knowledge about genes guides the clustering of tissue and of cells."""


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
    n_clusters: NClusters = None,
    plot: Plot = None,
    preset: Preset = "default",
    semantics: Semantics = "auto",
    layer: Layer = None,
    spatial_key: Annotated[str, typer.Option(help="obsm key of the coordinates.")] = "spatial",
    library_key: Annotated[str | None, typer.Option(help="obs column that tells several sections apart.")] = None,
    mask_var: MaskVar = None,
    n_top_genes: NTopGenes = None,
    cluster_method: ClusterMethod = None,
    resolution: Resolution = None,
    key_added: KeyAdded = "semst",
    random_state: Seed = 0,
    accelerator: Accelerator = None,
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Find the spatial domains of one section or of several, from raw counts and coordinates."""
    _cli_files.check_paths(path, out, plot, force=force)
    where = {"spatial_key": spatial_key, "library_key": library_key}
    options = {
        "n_clusters": n_clusters,
        "preset": preset,
        "semantics": semantics,
        "layer": layer,
        "mask_var": mask_var,
        "n_top_genes": n_top_genes,
        "cluster_method": cluster_method,
        "resolution": resolution,
        "key_added": key_added,
        "random_state": random_state,
        "accelerator": accelerator,
        **where,
    }
    with _errors_in_one_line(verbose=verbose):
        adata = _clustered("semst", path, out, options, found="domains of {} spots")
        if plot is not None:
            _plot(adata, plot, "spatial", color=key_added, **where)


@app.command()
def scllm_dsc(
    path: Input,
    *,
    out: Output,
    n_clusters: NClusters = None,
    plot: Plot = None,
    preset: Preset = "default",
    semantics: Semantics = "auto",
    sentence_encoder: Annotated[
        str | None, typer.Option(help="What reads each cell's ranked gene names: as in --encoder of gene-semantics.")
    ] = None,
    layer: Layer = None,
    use_rep: Annotated[str | None, typer.Option(help="obsm key to read instead of counts, such as X_pca.")] = None,
    batch_key: Annotated[str | None, typer.Option(help="obs column that names the batch.")] = None,
    gene_symbols: GeneSymbols = None,
    mask_var: MaskVar = None,
    n_top_genes: NTopGenes = None,
    cluster_method: ClusterMethod = None,
    resolution: Resolution = None,
    key_added: KeyAdded = "scllm_dsc",
    random_state: Seed = 0,
    accelerator: Accelerator = None,
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Find the clusters of single cells, from raw counts."""
    _cli_files.check_paths(path, out, plot, force=force)
    options = {
        "n_clusters": n_clusters,
        "preset": preset,
        "semantics": semantics,
        "sentence_encoder": sentence_encoder,
        "layer": layer,
        "use_rep": use_rep,
        "batch_key": batch_key,
        "gene_symbols": gene_symbols,
        "mask_var": mask_var,
        "n_top_genes": n_top_genes,
        "cluster_method": cluster_method,
        "resolution": resolution,
        "key_added": key_added,
        "random_state": random_state,
        "accelerator": accelerator,
    }
    with _errors_in_one_line(verbose=verbose):
        adata = _clustered("scllm_dsc", path, out, options, found="clusters of {} cells")
        if plot is not None:
            _plot(adata, plot, "embedding", key=key_added, random_state=random_state)


@app.command()
def gene_semantics(
    path: Input,
    *,
    out: Output,
    encoder: Annotated[
        str, typer.Option(help="builtin, offline, a sentence-transformers name or path, openai:MODEL or llm:NAME.")
    ] = "builtin",
    organism: Annotated[str | None, typer.Option(help="human or mouse; told from the names if absent.")] = None,
    gene_symbols: GeneSymbols = None,
    key_added: KeyAdded = "gene_semantics",
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Give every gene a vector of what is written about it."""
    _cli_files.check_paths(path, out, force=force)
    with _errors_in_one_line(verbose=verbose):
        from anndata import read_h5ad

        import semtx as st

        adata = read_h5ad(path)
        st.pp.gene_semantics(adata, encoder, organism=organism, gene_symbols=gene_symbols, key_added=key_added)
        _cli_files.write(adata, out)
        matched = int(adata.var[f"{key_added}_matched"].sum())
        n_dims = adata.varm[key_added].shape[1]
        typer.echo(f"vectors of {n_dims} numbers for {matched} of {adata.n_vars} genes in varm[{key_added!r}] of {out}")


@app.command()
def query(
    path: Input,
    asked: Annotated[list[str], typer.Argument(metavar="QUERY...", help="Texts, genes or GO ids, one score each.")],
    *,
    out: Output,
    negative: Annotated[list[str] | None, typer.Option(help="What counts against each query; may be repeated.")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="That of the gene vectors if absent, else as for gene-semantics; or vocabulary.")
    ] = None,
    layer: Layer = None,
    mask_var: MaskVar = None,
    organism: Annotated[str | None, typer.Option(help="human or mouse; told from the names if absent.")] = None,
    gene_symbols: GeneSymbols = None,
    key_added: KeyAdded = "query",
    plot: Annotated[Path | None, typer.Option(metavar="MAP.png", help="Picture of the scores to write.")] = None,
    spatial_key: Annotated[str, typer.Option(help="obsm key of the coordinates, for the picture.")] = "spatial",
    library_key: Annotated[str | None, typer.Option(help="obs column that tells several sections apart.")] = None,
    force: Force = False,
    verbose: Verbose = False,
) -> None:
    """Ask in words: score every cell by how much it expresses genes of that meaning."""
    _cli_files.check_paths(path, out, plot, force=force)
    with _errors_in_one_line(verbose=verbose):
        from anndata import read_h5ad

        import semtx as st
        from semtx import _validate

        adata = read_h5ad(path)
        if plot is not None:
            _validate.coordinates(adata, spatial_key)
        st.tl.query(
            adata,
            asked[0] if len(asked) == 1 else asked,
            negative=negative or None,
            encoder=encoder,
            layer=layer,
            mask_var=mask_var,
            organism=organism,
            gene_symbols=gene_symbols,
            key_added=key_added,
        )
        _cli_files.write(adata, out)
        taken = adata.uns[key_added]["queries"]
        for key, told in taken.items():
            typer.echo(f"{told['kind']} {told['asked']!r}, read by {told['read_by']}, in obs[{key!r}] of {out}")
        if plot is not None:
            _plot(adata, plot, "spatial", color=list(taken), spatial_key=spatial_key, library_key=library_key)


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


def _clustered(tool: str, path: Path, out: Path, options: dict[str, Any], *, found: str) -> AnnData:
    """Run a tool of ``tl`` that clusters, and write what it found."""
    from anndata import read_h5ad

    import semtx as st

    adata = read_h5ad(path)
    semantics = options["semantics"]
    options = {**options, "semantics": None if semantics.lower() == "none" else semantics}
    getattr(st.tl, tool)(adata, **options)
    # first of all: a picture that fails must not cost the results
    _cli_files.write(adata, out)
    key = options["key_added"]
    typer.echo(f"{adata.obs[key].nunique()} {found.format(adata.n_obs)} in obs[{key!r}] of {out}")
    return adata


def _plot(adata: AnnData, target: Path, function: str, **options: Any) -> None:
    """Write the picture that a function of ``pl`` draws."""
    import matplotlib as mpl

    mpl.use("agg")
    import semtx as st

    figure: Any = getattr(st.pl, function)(adata, show=False, return_fig=True, **options)
    _cli_files.replace(target, lambda path: figure.savefig(path, dpi=150, bbox_inches="tight"))
    typer.echo(f"picture in {target}")


if __name__ == "__main__":
    sys.exit(app())
