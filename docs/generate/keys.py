"""AnnData keys as tables; their names come from ``semtx._keys``."""

from __future__ import annotations

from semtx import _keys as k

_OBSP = (("obsp", k.SPATIAL_CONNECTIVITIES), ("obsp", k.SPATIAL_DISTANCES), ("uns", k.SPATIAL_NEIGHBORS))
_FSM = "X_pca" + k.FSM_SUFFIX
_UMAP = k.embedding(k.SCLLM_DSC) + k.UMAP_SUFFIX
_COLORED = "`pl.spatial`, `pl.embedding`, `pl.confidence`, `pl.agreement`, `pl.domains_report`"

# where, by which functions, remark; a where is pairs of slot and key, or text
READ = [
    (f'`layers["{k.COUNTS_LAYER}"]`, `X`, `raw`', "all that needs counts", "or `layer=`"),
    (
        [("obsm", k.SPATIAL)],
        "`tl.semst`, `tl.modulate`, `pl.spatial`, `metrics.spatial_scores`",
        "(n_obs, 2 or 3), any unit; or `spatial_key=`",
    ),
    ("`obs[library_key]`", "the same", "tells sections apart"),
    ([("uns", "spatial")], "`pl.spatial`", "image and scale factors, as squidpy reads them"),
    ([("obsp", k.SPATIAL_CONNECTIVITIES)], "`tl.semst`, `tl.cluster`, `tl.modulate`", "used if present"),
    ("`obs[batch_key]`", "`tl.semst`, `tl.scllm_dsc`, `metrics.batch_scores`", "names the batch"),
    (
        "`obsm[use_rep]`",
        "`tl.modulate`, `tl.scllm_dsc`, `tl.cluster`, `metrics.batch_scores`",
        "read in place of counts, or of the tool's embedding",
    ),
    (
        [("obsm", k.CELL_SEMANTICS)],
        "`tl.semst`, `tl.modulate`",
        "semantic vectors of cells, used if present; or `semantics=` (of `tl.scllm_dsc` too), `semantics_key=`",
    ),
    ([("obs", k.SCLLM_DSC), ("obsm", k.embedding(k.SCLLM_DSC))], "`pl.embedding`", "or `key=`, `use_rep=`"),
    ([("obs", k.SEMST)], "`tl.describe`", "or any column of clusters with `groupby`"),
    (
        [("obsm", k.SEMST + k.MODULATION_SUFFIX), ("uns", k.SEMST)],
        "`tl.gene_attribution`, `pl.modulation`",
        "of `tl.semst(store_modulation=True)`; or `key=`",
    ),
    (
        [("varm", k.GENE_SEMANTICS)],
        "`pp.cell_semantics`, `tl.semst`, `tl.scllm_dsc`, `tl.modulate`, `tl.gene_attribution`, `tl.query`, "
        "`pl.gene_semantics`",
        "gene vectors, yours or those of `pp.gene_semantics`",
    ),
    ([("uns", k.DESCRIBE)], "`get.describe_df`, `pl.describe`", "or `key=`"),
    ([("uns", k.GENE_ATTRIBUTION)], "`get.gene_attribution_df`", "or `key=`"),
    (
        [("obs", k.SCLLM_DSC + k.CONFIDENCE_SUFFIX), ("obsm", k.SCLLM_DSC + k.PROBA_SUFFIX)],
        "`pl.confidence`",
        "or `key=`",
    ),
]

# function, where, what
WRITTEN = [
    (
        "`pp.gene_semantics`",
        [("varm", k.GENE_SEMANTICS)],
        "float32 (n_vars, d), one vector per gene, zeros where there is no match, no NaN",
    ),
    ("", [("var", k.GENE_SEMANTICS + k.MATCHED_SUFFIX)], "bool"),
    (
        "",
        [("var", k.GENE_SEMANTICS + k.MATCH_SUFFIX)],
        "categorical: `symbol`, `alias`, `ensembl`, `ortholog`, `ambiguous`, `none`",
    ),
    ("", [("uns", k.GENE_SEMANTICS)], "run record with encoder, template, coverage, and what vectors were centred by"),
    ("`pp.cell_semantics`", [("obsm", k.CELL_SEMANTICS)], "float32 (n_obs, d)"),
    ("", [("uns", k.CELL_SEMANTICS_RECORD)], "run record"),
    ("`tl.semst`", [("obs", k.SEMST)], 'categorical of strings `"0"`, `"1"`, ..., `"0"` the largest'),
    ("", [("obsm", k.embedding(k.SEMST))], "float32 (n_obs, h), the embedding"),
    (
        "",
        [("obsm", k.SEMST + k.MODULATION_SUFFIX)],
        "float32 (n_obs, ...), scales and shifts of the modulation; with `store_modulation=True`",
    ),
    ("", [("uns", k.SEMST)], "run record, see below"),
    ("", _OBSP, "the spatial graph in squidpy's keys, where there was none"),
    ("`tl.scllm_dsc`", [("obs", k.SCLLM_DSC)], 'categorical of strings, `"0"` the largest'),
    ("", [("obs", k.SCLLM_DSC + k.CONFIDENCE_SUFFIX)], "float32, soft assignment of each cell to its cluster"),
    ("", [("obsm", k.embedding(k.SCLLM_DSC))], "float32 (n_obs, p), the fused embedding"),
    (
        "",
        [("obsm", k.SCLLM_DSC + k.PROBA_SUFFIX)],
        "float32 (n_obs, n_clusters), soft assignments; rows sum to 1, columns in the order of the categories",
    ),
    (
        "",
        [("obsm", k.embedding(k.SCLLM_DSC) + suffix) for suffix in (k.STRUCTURE_SUFFIX, k.TEXT_SUFFIX)],
        "float32, the two views; with `store_views=True`",
    ),
    ("", [("uns", k.SCLLM_DSC)], "run record, see below"),
    (
        "`tl.modulate`",
        [("obsm", _FSM)],
        f'float32, shape of `obsm["X_pca"]`, or of any embedding: `use_rep` followed by `{k.FSM_SUFFIX}`',
    ),
    ("", [("uns", _FSM)], "run record, see below"),
    ("`tl.cluster`", [("obs", k.CLUSTER)], 'categorical of strings, `"0"` the largest'),
    ("", [("uns", k.CLUSTER)], "run record: method, number asked and got, criterion"),
    (
        "`tl.describe`",
        [("uns", k.DESCRIBE)],
        "DataFrame, one row per cluster and term: `group`, `term`, `id`, `effect`, `pval`, `pval_adj`, `n_genes`, "
        "`genes`, `rank`; `st.get.describe_df`",
    ),
    ("", [("uns", k.DESCRIBE + k.RECORD_SUFFIX)], "run record"),
    (
        "`tl.gene_attribution`",
        [("uns", k.GENE_ATTRIBUTION)],
        "DataFrame, one row per group and gene: `group`, `gene`, `attribution`, `share`, `scale`, `shift`, `weight`; "
        "`st.get.gene_attribution_df`",
    ),
    ("", [("uns", k.GENE_ATTRIBUTION + k.RECORD_SUFFIX)], "run record with the whole of each group"),
    (
        "`tl.query`",
        [("obs", k.QUERY)],
        f'float32, z-score of each cell; of several `obs["{k.QUERY}_0"]`, `obs["{k.QUERY}_name"]`',
    ),
    (
        "",
        [("uns", k.QUERY)],
        "run record: what each query was taken for and read by; tables `genes` (with weights) and `terms`",
    ),
    ("", [("varm", k.GENE_SEMANTICS)], "and what goes with it, as `pp.gene_semantics`, where absent"),
    (_COLORED, '`uns["{color}_colors"]`', "palette, as scanpy keeps it"),
    (
        "`pl.embedding`",
        [("obsm", _UMAP)],
        f'float32 (n_obs, 2), UMAP of `obsm["{k.embedding(k.SCLLM_DSC)}"]`; not for a view',
    ),
    (
        "",
        [("uns", _UMAP)],
        "its options, and a number for each row of the embedding that tells whether it has changed",
    ),
    (
        "`pl.gene_semantics`",
        [("varm", k.GENE_SEMANTICS + k.UMAP_SUFFIX)],
        f'float32 (n_vars, 2), UMAP of `varm["{k.GENE_SEMANTICS}"]`, NaN for genes that are not drawn; not for a view',
    ),
    (
        "",
        [("uns", k.GENE_SEMANTICS + k.UMAP_SUFFIX)],
        "its options, and a number for each vector that tells whether it has changed",
    ),
]


def _where(keys: object) -> str:
    return keys if isinstance(keys, str) else ", ".join(f'`{slot}["{key}"]`' for slot, key in keys)  # type: ignore[attr-defined]


def read_table() -> str:
    rows = [f"| {_where(keys)} | {by} | {remark} |" for keys, by, remark in READ]
    return "\n".join(["| key | by | remark |", "|---|---|---|", *rows]) + "\n"


def written_table() -> str:
    rows = [f"| {function} | {_where(keys)} | {what} |" for function, keys, what in WRITTEN]
    return "\n".join(["| function | key | what |", "|---|---|---|", *rows]) + "\n"
