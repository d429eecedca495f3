"""What a report on a run tells beside its pictures, as tables of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from semtx import _keys
from semtx.pl._matrix import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

_PARAMS = ("preset", "semantics", "layer", "library_key", "mask_var", "cluster_method", "n_smoothing", "random_state")


def run_facts(
    adata: AnnData, key: str, record: Mapping[str, Any], *, spatial_key: str, library_key: str | None
) -> dict[str, dict[str, str]]:
    """Return sections of name and value: the result, how it lies in space, the semantics, the run, versions."""
    from semtx.metrics import spatial_scores

    params = record.get("params", {})
    clustering, graph = record.get("clustering", {}), record.get("graph", {})
    scores = spatial_scores(adata, key, spatial_key=spatial_key, library_key=library_key)
    result = {
        "observations": f"{adata.n_obs:,}",
        "domains (k)": str(adata.obs[key].nunique()),
        "k was": "chosen without labels" if clustering.get("n_clusters_asked") is None else "given",
        "without a domain": f"{int(adata.obs[key].isna().sum()):,}",
    }
    space = {
        "CHAOS (1 is smoothest)": f"{scores['CHAOS']:.2f}",
        "PAS (0 is smoothest)": f"{scores['PAS']:.2f}",
        "neighbours of one domain": f"{scores['join']:.0%}",
    }
    if graph:
        space["neighbours, mean"] = f"{float(graph['mean_degree']):.1f}"
        space["spots without any"] = f"{int(graph['n_isolated']):,}"
    semantics = {"source": str(record.get("semantics_source", "not recorded"))}
    matched = _keys.GENE_SEMANTICS + _keys.MATCHED_SUFFIX
    if matched in adata.var:
        semantics["genes with a vector"] = f"{int(adata.var[matched].sum()):,} of {adata.n_vars:,}"
    if "n_genes" in record:
        semantics["genes used"] = f"{int(record['n_genes']):,}"
    how = {name: str(params[name]) for name in _PARAMS if params.get(name) is not None}
    if "date" in record:
        how["ended (UTC)"] = str(record["date"])[:16].replace("T", " ")
    for name in ("device", "n_epochs", "stop_reason"):
        if name in record:
            how[name.replace("_", " ")] = str(record[name])
    if "seconds" in record:
        how["seconds"] = f"{float(record['seconds']):.0f}"
    return {
        "Result": result,
        "In space, without truth": space,
        "Gene semantics": semantics,
        "Run": how,
        "Versions": {name: str(value) for name, value in record.get("versions", {}).items()},
    }


def domain_table(adata: AnnData, key: str, described: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row for each domain: its size and, where it was described, its best terms."""
    sizes = adata.obs[key].value_counts(sort=False)
    table = pd.DataFrame({"domain": sizes.index.astype(str), "observations": [f"{size:,}" for size in sizes]})
    if described is not None:
        best = described[described["rank"] > 0].sort_values("rank").groupby("group", observed=True)["term"]
        terms = {str(group): ", ".join(shortened(term) for term in names.head(3)) for group, names in best}
        table["top terms"] = [terms.get(name, "none") for name in table["domain"]]
    return table
