"""What genes are coloured by: expression, a column of ``var``, a term, sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from semtx._counts import find_counts, normalize_rows, to_csr
from semtx._validate import listed
from semtx.pl._column import as_drawn
from semtx.semantics import load_vocabulary, match_genes, score_genes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

EXPRESSION: Final = "expression"


def gene_colors(adata: AnnData, color: str | Mapping[str, Iterable[str]], layer: str | None, key: str) -> pd.Series:
    """Return a value for each gene, categorical or float, whose name is that of the panel."""
    if isinstance(color, Mapping):
        return _sets(adata, color)
    if color in adata.var:
        return as_drawn(adata.var[color], is_view=adata.is_view)
    if color == EXPRESSION:
        return _expression(adata, layer)
    return _term(adata, color, key)


def _expression(adata: AnnData, layer: str | None) -> pd.Series:
    """Average over cells: counts after normalising and taking logarithms, anything else as it is."""
    try:
        expression = score_genes(normalize_rows(find_counts(adata, layer=layer).matrix))
    except ValueError:
        stored = adata.X if layer is None else adata.layers[layer]
        if stored is None:
            msg = f"color={EXPRESSION!r} is the mean of adata.X, which is empty; name a layer with layer=, or another color"
            raise ValueError(msg) from None
        expression = to_csr(stored)
    mean = np.asarray(expression.mean(axis=0)).ravel()
    return pd.Series(mean, index=adata.var_names, name=EXPRESSION)


def _term(adata: AnnData, color: str, key: str) -> pd.Series:
    """Mark the genes of a term of the vocabulary; genes go by the names that the vectors under ``key`` were made of."""
    record = adata.uns.get(key, {})
    column = record.get("params", {}).get("gene_symbols")
    names = adata.var[column].astype(str) if column in adata.var else adata.var_names
    match = match_genes(names, organism=record.get("organism"))
    vocabulary = load_vocabulary(match.organism)
    row = vocabulary.find(color)
    if row < 0:
        msg = (
            f"color={color!r} is neither 'expression', nor in adata.var, which has {listed(adata.var.columns)}, nor a term of "
            "the vocabulary by name or id; st.semantics.load_vocabulary(...).terms lists those"
        )
        raise KeyError(msg)
    belongs = np.isin(match.rows, vocabulary.members[row].indices)
    name = vocabulary.terms["name"][row]
    if not belongs.any():
        msg = f"none of the {len(belongs)} genes is one of {name!r}"
        raise KeyError(msg)
    return _categories(adata, np.where(belongs, name, ""), [name], name)


def _sets(adata: AnnData, sets: Mapping[str, Iterable[str]]) -> pd.Series:
    """Mark the genes of sets; a gene of several belongs to the first."""
    labels = np.full(adata.n_vars, "", dtype=object)
    for name, genes in reversed(list(sets.items())):
        labels[adata.var_names.isin([genes] if isinstance(genes, str) else list(genes))] = str(name)
    if not (labels != "").any():
        msg = f"none of the genes of the sets {listed(sets)} is in adata.var_names"
        raise KeyError(msg)
    return _categories(adata, labels, [str(name) for name in sets], "gene sets")


def _categories(adata: AnnData, labels: np.ndarray, names: list[str], title: str) -> pd.Series:
    return pd.Series(pd.Categorical(labels, categories=names), index=adata.var_names, name=title)
