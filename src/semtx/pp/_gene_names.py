"""Names and identifiers of the genes of an AnnData, and what to say when they match nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semtx._logging import logger
from semtx._validate import check_key, listed
from semtx.semantics._describe import describe_names
from semtx.semantics._match import looks_like_ensembl, match_genes
from semtx.semantics._organism import detect_organism, organism_votes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from semtx.semantics._match import GeneMatch

LOW_COVERAGE = 0.7
_ENSEMBL_COLUMNS = ("gene_ids", "ensembl", "ensembl_id", "ensembl_ids", "gene_id", "feature_id")
_SAMPLE = 200


def names_of(adata: AnnData, gene_symbols: str | None) -> list[str]:
    """Return ``var_names``, or the column ``gene_symbols`` with ``var_names`` where it is empty."""
    names = [str(name) for name in adata.var_names]
    if gene_symbols is None:
        return names
    column = check_key(adata, "var", gene_symbols, parameter="gene_symbols")
    missing = column.isna()
    symbols = column.astype(object).where(~missing, "").astype(str).str.strip()
    return [symbol or name for symbol, name in zip(symbols, names, strict=True)]


def ensembl_of(adata: AnnData, column: str | None) -> tuple[list[str] | None, str | None]:
    """Return Ensembl ids and the column of ``adata.var`` they are from; without a name, any column that looks so."""
    if column is not None:
        return _strings(adata, check_key(adata, "var", column, parameter="ensembl_ids").name), column
    usual = [name for name in _ENSEMBL_COLUMNS if name in adata.var]
    for name in [*usual, *(name for name in adata.var if name not in usual)]:
        if _holds_text(adata, name) and looks_like_ensembl(_sample(adata, name)):
            return _strings(adata, name), str(name)
    return None, None


def match_of(adata: AnnData, gene_symbols: str | None, organism: str | None = None) -> GeneMatch:
    """Find the genes of an AnnData in the facts table, by their names and by any column of Ensembl ids."""
    return match_genes(names_of(adata, gene_symbols), organism=organism, ensembl_ids=ensembl_of(adata, None)[0])


def check_coverage(
    method: NDArray[np.object_], adata: AnnData, names: Sequence[str], organism: str, gene_symbols: str | None
) -> None:
    """Raise if no gene matched, warn if few did."""
    missed = np.isin(method, ("none", "ambiguous"))
    coverage = 1 - missed.mean()
    if coverage == 0:
        raise ValueError(_nothing_matched(adata, names, organism, gene_symbols))
    ambiguous = [name for name, how in zip(names, method, strict=True) if how == "ambiguous"]
    if ambiguous:
        logger.info("%d names are aliases of several genes and stay without: %s", len(ambiguous), listed(ambiguous, 8))
    if coverage < LOW_COVERAGE:
        unknown = [name for name, miss in zip(names, missed, strict=True) if miss]
        logger.warning(
            "only %.0f %% of %d genes match (organism %s); of those that do not, %s",
            100 * coverage,
            len(names),
            organism,
            describe_names(unknown),
        )
    else:
        logger.info("%.1f %% of %d genes match (organism %s)", 100 * coverage, len(names), organism)


def _nothing_matched(adata: AnnData, names: Sequence[str], organism: str, gene_symbols: str | None) -> str:
    where = "adata.var_names" if gene_symbols is None else f"adata.var[{gene_symbols!r}]"
    likely = detect_organism(names)
    # an organism that only the letter case of unknown names spoke for would mislead
    tried = organism if organism != likely or any(organism_votes(names).values()) else "human or mouse"
    message = f"none of the {len(names)} names in {where} is a known {tried} gene: {describe_names(names)}"
    if likely != organism and match_genes(names, organism=likely).coverage > 0.5:
        return f"{message}; they are {likely} genes, pass organism={likely!r}"
    for column in adata.var:
        if column != gene_symbols and _holds_text(adata, column):
            sample = _sample(adata, column)
            if sample and match_genes(sample, organism=organism).coverage > 0.5:
                return f"{message}; adata.var[{str(column)!r}] holds known genes, pass gene_symbols={str(column)!r}"
    return (
        f"{message}. Gene symbols or Ensembl ids of human or mouse are needed: put them in a column of adata.var and pass "
        f"gene_symbols=, or pass your own vectors as encoder="
    )


def _holds_text(adata: AnnData, column: str) -> bool:
    dtype = adata.var[column].dtype
    return dtype.name in {"object", "category", "string", "str"}


def _sample(adata: AnnData, column: str) -> list[str]:
    return [str(value) for value in adata.var[column].dropna().iloc[:_SAMPLE]]


def _strings(adata: AnnData, column: str) -> list[str]:
    values = adata.var[column]
    return [str(value) for value in values.astype(object).where(values.notna(), "")]
