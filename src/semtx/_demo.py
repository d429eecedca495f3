"""``semtx demo``: the main job on the embedded generated tissue, end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


_KEY, _TRUTH = "semst", "ground_truth"


def run_demo(folder: Path, *, random_state: int = 0, echo: Callable[[str], Any] = print) -> None:
    """Find the domains of the generated tissue, print scores and run record, write picture and AnnData file.

    Parameters
    ----------
    folder
        Where ``demo.png`` and ``demo.h5ad`` go; made if it does not exist.
    random_state
        Seed of the method; the tissue is always the same.
    echo
        Called with each line to print.
    """
    import matplotlib as mpl

    mpl.use("agg")
    import semtx as st

    adata = st.datasets.tissue()
    n_domains = adata.obs[_TRUTH].nunique()
    echo(f"generated tissue: {adata.n_obs} spots x {adata.n_vars} genes, {n_domains} domains, raw counts\n")

    st.tl.semst(adata, n_clusters=n_domains, random_state=random_state)

    _echo_table(echo, "scores against the known domains", st.metrics.clustering_scores(adata, _KEY, _TRUTH))
    _echo_table(echo, "scores that need no truth", st.metrics.spatial_scores(adata, _KEY))
    echo(f"run record, adata.uns[{_KEY!r}]")
    _echo_record(echo, adata.uns[_KEY])

    folder.mkdir(parents=True, exist_ok=True)
    figure: Any = st.pl.spatial(adata, color=[_KEY, _TRUTH], palette=_TRUTH, return_fig=True)
    figure.savefig(folder / "demo.png", dpi=110, bbox_inches="tight")
    adata.write_h5ad(folder / "demo.h5ad")
    echo(f"\nwritten: {folder / 'demo.png'}, {folder / 'demo.h5ad'}")


def _echo_table(echo: Callable[[str], Any], title: str, scores: Mapping[str, Any]) -> None:
    echo(title)
    for name, value in dict(scores).items():
        echo(f"  {name:<24}{_short(value)}")
    echo("")


def _echo_record(echo: Callable[[str], Any], record: Mapping[str, Any], indent: int = 2) -> None:
    for name, value in record.items():
        if hasattr(value, "items"):
            echo(f"{' ' * indent}{name}")
            _echo_record(echo, value, indent + 2)
        else:
            echo(f"{' ' * indent}{name:<{26 - indent}}{_short(value)}")


def _short(value: Any) -> str:
    """Write a number with few digits, and a long array as its first and last values."""
    if getattr(value, "ndim", 0) == 1:
        if value.size > 6:
            return f"{_short(value[0])} ... {_short(value[-1])} ({value.size} values)"
        return ", ".join(map(_short, value))
    if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, int):
        return str(value)
    return f"{float(value):.4g}"
