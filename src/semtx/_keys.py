"""Every AnnData key that semtx writes, once; ``key_added`` renames them."""

from __future__ import annotations

from typing import Final

# Read: where the field keeps things.
SPATIAL: Final = "spatial"
COUNTS_LAYER: Final = "counts"

# pp.gene_semantics
GENE_SEMANTICS: Final = "gene_semantics"  # varm, uns
MATCHED_SUFFIX: Final = "_matched"  # var: bool
MATCH_SUFFIX: Final = "_match"  # var: categorical, how the gene was matched

# pp.cell_semantics
CELL_SEMANTICS: Final = "X_semantics"  # obsm
CELL_SEMANTICS_RECORD: Final = "semantics"  # uns

# tl.semst
SEMST: Final = "semst"  # obs, uns
MODULATION_SUFFIX: Final = "_modulation"  # obsm

# tl.scllm_dsc
SCLLM_DSC: Final = "scllm_dsc"  # obs, uns
PROBA_SUFFIX: Final = "_proba"  # obsm
CONFIDENCE_SUFFIX: Final = "_confidence"  # obs
STRUCTURE_SUFFIX: Final = "_structure"  # obsm
TEXT_SUFFIX: Final = "_text"  # obsm

# tl.describe
DESCRIBE: Final = "describe"  # uns
RECORD_SUFFIX: Final = "_record"  # uns

# tl.gene_attribution
GENE_ATTRIBUTION: Final = "gene_attribution"  # uns

# tl.query
QUERY: Final = "query"  # obs, uns

# tl.modulate
FSM_SUFFIX: Final = "_fsm"  # obsm, uns

# pl.embedding
UMAP_SUFFIX: Final = "_umap"  # obsm, uns

# squidpy's own graph keys
SPATIAL_NEIGHBORS: Final = "spatial_neighbors"  # uns
SPATIAL_CONNECTIVITIES: Final = "spatial_connectivities"  # obsp
SPATIAL_DISTANCES: Final = "spatial_distances"  # obsp

# tl.cluster
CLUSTER: Final = "cluster"  # obs, uns


def embedding(key: str) -> str:
    """Return the ``obsm`` key of the embedding that belongs to a result, as scanpy's ``X_pca``."""
    return f"X_{key}"
