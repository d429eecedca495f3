"""Do queries in words find the right spots? ``python -m benchmarks.query --data DIR``.

White matter and neurons are scored against the labels of a DLPFC section, vessels against the tenth of spots that
express known vascular genes most, none of which may enter the query. Beside each query: the same with gene vectors permuted
over genes, which should be at chance, 0.5. For vessels there is no label, so that noise sets a limit: ``markers`` tells how
well half of the known genes find the spots of the other half.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.__main__ import _DEFAULT_DATA, labelled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy import sparse

_WHITE_MATTER = "WM"
_TOP = 0.9
_MARKERS = (
    "PECAM1 VWF CDH5 KDR FLT1 TEK TIE1 ENG ESAM ROBO4 EMCN CLDN5 EGFL7 ACTA2 ACTG2 MYH11 TAGLN CNN1 MYLK MYL9 LMOD1 SMTN "
    "DES CALD1 TPM2 RGS5 PDGFRB"
)
VASCULAR = _MARKERS.split()
QUERIES = {
    "white matter": [
        "cholesterol biosynthesis and myelination",
        "myelin sheath",
        "oligodendrocytes",
        "myelinated axons in the white matter of the brain",
        "GO:0042552",
        "PLP1",
        "white matter",
    ],
    "neurons": [
        "synaptic transmission",
        "neuronal cell bodies and synapses",
        "GO:0035249",
        "SNAP25",
        "neurons",
    ],
    "vasculature": ["blood vessels", "vasculature", "endothelial cells of blood vessels", "GO:0001570"],
}


def targets(adata: AnnData) -> dict[str, NDArray[np.bool_]]:
    """Return which spots each kind of query is to find."""
    white = (adata.obs["ground_truth"] == _WHITE_MATTER).to_numpy()
    return {"white matter": white, "neurons": ~white, "vasculature": _most(adata, VASCULAR)}


def aurocs(adata: AnnData, target: NDArray[np.bool_], known: NDArray[np.bool_], n_queries: int) -> list[float]:
    """Return how well each query ranks the target spots."""
    from sklearn.metrics import roc_auc_score

    scores = (adata.obs[f"query_{place}"].to_numpy() for place in range(n_queries))
    return [float(roc_auc_score(target[known], score[known])) for score in scores]


def limit(adata: AnnData, known: NDArray[np.bool_], n_repeats: int) -> tuple[float, float]:
    """Return how well half of the vascular genes, scored as a query is, find the spots of the other half."""
    from sklearn.metrics import roc_auc_score

    from semtx._counts import standard_deviations
    from semtx.semantics._calibrate import calibrated_scores

    places = np.flatnonzero(adata.var_names.isin(VASCULAR))
    expression = _log(adata)
    usable = standard_deviations(expression) > 0
    found = []
    for seed in range(n_repeats):
        mixed = np.random.default_rng(seed).permutation(places)
        weights = np.zeros((1, adata.n_vars))
        weights[0, mixed[: len(mixed) // 2]] = 1
        held_out = _most(adata, adata.var_names[mixed[len(mixed) // 2 :]])
        score = calibrated_scores(expression, weights * usable, usable)[:, 0]
        found.append(roc_auc_score(held_out[known], score[known]))
    return float(np.mean(found)), float(np.std(found))


def _log(adata: AnnData) -> sparse.csr_matrix:
    from semtx._counts import find_counts, normalize_rows
    from semtx.semantics import score_genes

    return score_genes(normalize_rows(find_counts(adata).matrix))


def _most(adata: AnnData, genes: Iterable[str]) -> NDArray[np.bool_]:
    total = np.asarray(_log(adata)[:, adata.var_names.isin(genes)].sum(axis=1)).ravel()
    return total >= np.quantile(total, _TOP)


def main(
    data: Annotated[Path, typer.Option(help="Folder with DLPFC sections.")] = Path(_DEFAULT_DATA) / "spatial",
    name: Annotated[str, typer.Option(help="Section, by stem.")] = "DLPFC_151673",
    encoder: Annotated[list[str] | None, typer.Option(help="offline, vocabulary ...; both of these if absent.")] = None,
    shuffles: Annotated[int, typer.Option(help="Permutations of the gene vectors.")] = 20,
) -> None:
    """Print the AUROC of each query, with the mean and standard deviation over permuted gene vectors."""
    import anndata

    import semtx as st
    from semtx.tl._semst_inputs import control_vectors

    (path,) = labelled(data, [name])
    adata = anndata.read_h5ad(path)
    st.pp.gene_semantics(adata)
    vectors = adata.varm["gene_semantics"].copy()
    known = adata.obs["ground_truth"].notna().to_numpy()
    adata.var["not_vascular"] = ~adata.var_names.isin(VASCULAR)
    rows = []
    for used in encoder or ["offline", "vocabulary"]:
        for what, target in targets(adata).items():
            mask = "not_vascular" if what == "vasculature" else None
            scores = []
            for seed in range(-1, shuffles):
                adata.varm["gene_semantics"] = vectors if seed < 0 else control_vectors(vectors, "shuffled", seed)
                st.tl.query(adata, QUERIES[what], encoder=used, mask_var=mask)
                scores.append(aurocs(adata, target, known, len(QUERIES[what])))
            found, *shuffled = np.array(scores)
            for place, asked in enumerate(QUERIES[what]):
                row = {"to find": what, "query": asked, "encoder": used, "AUROC": found[place]}
                if shuffles:
                    control = [scores[place] for scores in shuffled]
                    row["shuffled"] = f"{np.mean(control):.3f} ± {np.std(control):.3f}"
                rows.append(row)
    typer.echo("\n" + pd.DataFrame(rows).round(3).to_string(index=False))
    adata.varm["gene_semantics"] = vectors
    mean, deviation = limit(adata, known, max(shuffles, 1))
    typer.echo(f"\nvascular markers against held-out vascular markers: {mean:.3f} ± {deviation:.3f}")


if __name__ == "__main__":
    typer.run(main)
