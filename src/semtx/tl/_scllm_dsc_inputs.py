"""What ``tl.scllm_dsc`` reads: expression, gene vectors and sentences, each found in the AnnData or made on the side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from semtx import _keys
from semtx._counts import find_counts, normalize_rows, without_warning
from semtx._logging import logger
from semtx._validate import finite_matrix
from semtx.models._expression import centred_unit_rows
from semtx.pp._cell_inputs import normalized_expression
from semtx.pp._gene_names import match_of
from semtx.semantics._cell import rank_weights, weighted_semantics
from semtx.semantics._state_genes import state_genes
from semtx.tl._semst_inputs import CONTROLS, find_gene_vectors, select_genes, stored_semantics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from scipy import sparse

    from semtx.models import ScLLMDSCConfig
    from semtx.semantics import Encoder

# names in a sentence, best first; what comes later is mostly in every cell
_SENTENCE_GENES = 100


@dataclass
class Expression:
    """What the network reads.

    Attributes
    ----------
    x
        Counts of the chosen genes, CSR, or a representation, dense.
    library_sizes
        Counts of each cell over all genes, or ``None``.
    names
        Names of the genes, or ``None``.
    genes
        Their columns in the AnnData, or ``None``.
    source
        Where it was found.
    all_genes
        Makes the normalised expression of all genes, not on a log scale, where it is known: not every text needs it.
    """

    x: sparse.csr_matrix | NDArray[np.float32]
    library_sizes: NDArray[np.float64] | None
    names: list[str] | None
    genes: NDArray[np.intp] | None
    source: str
    all_genes: Callable[[], sparse.csr_matrix] | None


def find_expression(
    adata: AnnData,
    config: ScLLMDSCConfig,
    *,
    layer: str | None,
    use_rep: str | None,
    mask_var: str | NDArray[np.bool_] | None,
    leave_out: NDArray[np.intp] | None = None,
) -> Expression:
    """Return counts of the chosen genes, none of ``leave_out``, or the representation that ``use_rep`` names."""
    if use_rep is not None:
        if layer is not None or mask_var is not None:
            msg = "use_rep is read as it is: give it, or layer and mask_var, not both"
            raise ValueError(msg)
        fix = "compute it first, such as sc.pp.pca(adata) for 'X_pca'"
        z = finite_matrix(adata, use_rep, parameter="use_rep", fix=fix).astype(np.float32)
        try:
            with without_warning():
                expression = normalized_expression(adata, None)[0]
        except ValueError:
            return Expression(z, None, None, None, f"obsm[{use_rep!r}]", None)
        return Expression(z, None, None, None, f"obsm[{use_rep!r}]", lambda: expression)
    try:
        counts = find_counts(adata, layer=layer)
    except ValueError as error:
        msg = f"{error}. Or cluster a representation of the cells, such as use_rep='X_pca' of sc.pp.pca(adata)"
        raise ValueError(msg) from error
    genes = select_genes(adata, counts.matrix, mask_var, config, leave_out)
    x = counts.matrix[:, genes]
    library_sizes = np.asarray(counts.matrix.sum(axis=1, dtype=np.float64)).ravel()
    n_empty = int((x.getnnz(axis=1) == 0).sum())
    if n_empty:
        logger.warning("%d cells have no counts in the genes used; they are kept", n_empty)
    names = adata.var_names[genes].tolist()
    return Expression(x, library_sizes, names, genes, counts.source, partial(normalize_rows, counts.matrix))


def find_states(adata: AnnData, vectors: NDArray[np.float32], gene_symbols: str | None) -> dict[str, NDArray[np.intp]]:
    """Return the genes that tell the state of a cell, by programme, as the vectors of all genes say."""
    return state_genes(match_of(adata, gene_symbols).symbols, vectors)


@dataclass
class TextView:
    """What the text view is made of.

    Attributes
    ----------
    gene_vectors
        Vectors of the genes that the network reads (path 1), or ``None``.
    semantics
        Cells' own vectors, or ``None``.
    source
        Where each path comes from.
    """

    gene_vectors: NDArray[np.float32] | None = None
    semantics: NDArray[np.float32] | None = None
    source: str = "none"


def find_text(
    adata: AnnData,
    expression: Expression,
    semantics: str | None,
    config: ScLLMDSCConfig,
    *,
    sentence_encoder: str | Path | Encoder | None,
    gene_symbols: str | None,
    random_state: int,
    found: tuple[NDArray[np.float32], str] | None = None,
) -> TextView:
    """Return the paths of the text view, made of the gene vectors ``found`` (and where) if they were looked for before."""
    if sentence_encoder is not None and semantics not in ("auto", *CONTROLS):
        msg = f"sentence_encoder reads path 2 of the text view, which semantics={semantics!r} leaves out; give semantics='auto'"
        raise ValueError(msg)
    if semantics is None:
        return TextView()
    stored = stored_semantics(adata, semantics)
    if stored is not None:
        return TextView(semantics=stored, source=f"obsm[{semantics!r}]")
    if expression.all_genes is None:
        if semantics in CONTROLS:
            msg = (
                f"semantics={semantics!r} needs the expression of genes, and adata has neither counts nor log-normalised "
                "values; keep one of them in X, raw or layers['counts']"
            )
            raise ValueError(msg)
        logger.warning(
            "semantics are left out: adata has neither counts nor log-normalised values that tell which genes a cell "
            "expresses; keep one of them in X, raw or layers['counts'], or give semantics=None"
        )
        return TextView(source="none: no expression of genes")
    vectors, source = found or find_gene_vectors(adata, semantics, gene_symbols, random_state)
    sentences, path2 = None, ""
    if config.learn_omega and expression.genes is None:
        msg = (
            "omega='learned' weighs two paths in the network, and with use_rep they are mixed before it; give a number"
        )
        raise ValueError(msg)
    if config.omega < 1 or config.learn_omega or sentence_encoder is not None:
        sentences, path2 = _sentences(adata, expression.all_genes(), vectors, sentence_encoder, gene_symbols, semantics)
    if expression.genes is None:
        # a representation has no genes of its own to weigh vectors by
        weighted = weighted_semantics(expression.all_genes().log1p(), vectors)
        if sentences is not None:
            # centred and of one length, so that omega alone decides how much each weighs
            first, second = centred_unit_rows(weighted), centred_unit_rows(sentences)
            weighted = np.hstack([np.sqrt(config.omega) * first, np.sqrt(1 - config.omega) * second])
        return TextView(semantics=weighted.astype(np.float32), source=f"{source}{path2}")
    used = vectors[expression.genes]
    if not used.any():
        msg = f"none of the {len(used)} genes used has a vector; raise n_top_genes, or leave semantics out with semantics=None"
        raise ValueError(msg)
    return TextView(used, sentences, f"{source}{path2}")


def _sentences(
    adata: AnnData,
    expression: sparse.csr_matrix,
    vectors: NDArray[np.float32],
    encoder: str | Path | Encoder | None,
    gene_symbols: str | None,
    semantics: str,
) -> tuple[NDArray[np.float32], str]:
    """Return path 2, read by a text encoder, or else gene vectors weighted by rank; and what it is."""
    if encoder is None:
        weights = rank_weights(expression, adata.var_names.astype(str).to_numpy(), _SENTENCE_GENES)
        return weighted_semantics(weights, vectors), "; path 2: no text encoder, the same vectors weighted by rank"
    if semantics in CONTROLS:
        msg = (
            f"semantics={semantics!r} changes gene vectors, and a sentence that sentence_encoder reads has none; compare with "
            "sentence_encoder=None or with semantics=None"
        )
        raise ValueError(msg)
    from semtx.pp import cell_semantics

    holder = AnnData(expression, var=adata.var.copy())
    with without_warning():
        cell_semantics(
            holder,
            "sentence",
            n_top_genes=min(_SENTENCE_GENES, adata.n_vars),
            encoder=encoder,
            gene_symbols=gene_symbols,
        )
    name = holder.uns[_keys.CELL_SEMANTICS_RECORD]["encoder"]["name"]
    return holder.obsm[_keys.CELL_SEMANTICS], f"; path 2: sentences read by {name}"
