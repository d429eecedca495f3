"""``tl.gene_attribution``: which genes move the modulation of a domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from semtx import _keys
from semtx._record import run_record, working_copy, write_results
from semtx._validate import check_anndata, check_key, check_key_added, resolve_table
from semtx.tl._attribution_inputs import check_reproduced, semantic_weights, trained_read_out

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy import sparse

    from semtx.models._read_out import ReadOut

    Array = NDArray[np.float64]


def gene_attribution(
    adata: AnnData,
    key: str = _keys.SEMST,
    *,
    groupby: str | None = None,
    key_added: str = _keys.GENE_ATTRIBUTION,
    table_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Tell which genes move the modulation of each domain, and by how much.

    :func:`semtx.tl.semst` modulates the embedding of each observation by scales and shifts
    :math:`f_i = [\alpha_i | \beta_i]`, read from the mean of gene vectors around it,
    :math:`x_i = \sum_j w_{ij} v_j`. A domain D is told apart by how far its modulation lies from that of the mean
    observation :math:`\bar{x}`: by :math:`\Delta_D`, the mean of :math:`f(x_i) - f(\bar{x})` over the domain, whose
    direction is :math:`u_D`. A gene's attribution is what it contributes along that direction,

    .. math:: a_{Dj} = \frac{1}{|D|} \sum_{i \in D} m_i \cdot (w_{ij} - \bar{w}_j) v_j, \qquad
        \sum_j a_{Dj} = \lVert \Delta_D \rVert

    with the multipliers :math:`m_i` of the read-out. Positive genes push the domain where it went, negative ones hold it
    back, and together they are exactly the whole.

    Where the read-out is linear (the default preset), :math:`m_i` is one vector for all, and the attribution is exactly
    what the length loses when the gene's vector is taken out of the table and its weight stays, leave-one-gene-out, as
    long as length is measured along the same direction. The authors' presets have ReLUs: there the multipliers are those
    of the rescale rule of DeepLIFT, which still sum to the whole, and leaving a gene out is no longer the same.
    In both, weights are those of the data: semantics are linear in gene vectors, not in counts.

    Parameters
    ----------
    adata
        Result of :func:`semtx.tl.semst` with ``store_modulation=True``, with the counts and graph it was made of.
    key
        Key of that result.
    groupby
        Column of ``adata.obs`` with the groups; ``None`` for the domains, ``obs[key]``.
    key_added
        Key in ``adata.uns``.
    table_key
        Table to use, where ``adata`` is a SpatialData object.
    copy
        Return a new AnnData and leave the input untouched.

    Returns
    -------
    Returns `None` if `copy=False`, else an `AnnData`. Sets the following fields:

    `adata.uns['gene_attribution' | key_added]` : `pandas.DataFrame`
        One row per group and gene that enters the semantics, best first: ``group``, ``gene``, ``attribution``, ``share`` of
        the group's whole, ``scale`` and ``shift`` (the parts through alpha and beta) and ``weight``. Get it with
        :func:`semtx.get.gene_attribution_df`.
    `adata.uns['gene_attribution_record' | f'{key_added}_record']` : `dict`
        Run record. ``"groups"`` has the number of observations of each group and its whole; ``"is_linear"`` tells whether
        leave-one-gene-out is exact.

    Raises
    ------
    KeyError
        There is no such result, or it holds no modulation.
    ValueError
        The cell semantics are no mean of gene vectors, or the data have changed since.

    References
    ----------
    Modulation: equation 9 of SemST :cite:p:`Long2026`. Rescale rule: section 3.5.1 of DeepLIFT
    :cite:p:`Shrikumar2017`.

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> st.tl.semst(adata, 5, max_epochs=10, accelerator="cpu", store_modulation=True)
    >>> st.tl.gene_attribution(adata)
    >>> table = st.get.gene_attribution_df(adata, group="0", n_genes=3)
    >>> table.columns.tolist()
    ['group', 'gene', 'attribution', 'share', 'scale', 'shift', 'weight']
    """
    adata = resolve_table(adata, table_key)
    check_key_added(key_added, key)
    check_anndata(adata)
    record, read_out, stored, around = trained_read_out(adata, key)
    column = check_key(adata, "obs", groupby or key, parameter="groupby").astype("category")
    groups = column.cat.remove_unused_categories().cat
    if not len(groups.categories):
        msg = f"adata.obs[{groupby or key!r}] has no group: every value is missing"
        raise ValueError(msg)

    weights, vectors, used = semantic_weights(adata, record)
    own = weights @ vectors
    inputs = own if around is None else around @ own
    check_reproduced(read_out(inputs), stored, key)
    found = _attribute(read_out, inputs, weights, around, vectors, groups.codes.to_numpy(), len(groups.categories))
    table, totals = _tables(*found, adata.var_names.to_numpy()[used], used, [str(name) for name in groups.categories])
    totals["n_obs"] = np.bincount(groups.codes[groups.codes >= 0], minlength=len(totals))

    params = {"key": key, "groupby": groupby or key, "key_added": key_added}
    result = run_record("tl.gene_attribution", params, is_linear=read_out.is_linear, groups=totals)
    adata = working_copy(adata) if copy else adata
    write_results(adata, uns={key_added: table, key_added + _keys.RECORD_SUFFIX: result})
    return adata if copy else None


def _attribute(
    read_out: ReadOut,
    inputs: Array,
    weights: sparse.csr_matrix,
    around: sparse.csr_matrix | None,
    vectors: NDArray[np.float32],
    codes: NDArray[np.integer],
    n_groups: int,
) -> tuple[Array, Array, Array]:
    """Return parts by scales and shifts, shape (n_groups, 2, n_vars), differences of weights, and the totals."""
    n = len(inputs)
    baseline = inputs.mean(axis=0)
    outputs = read_out(inputs) - read_out(baseline[None])

    def back(x: Array) -> Array:
        # to genes at once, never through a matrix of observations by genes
        moved: Array = weights.T @ (x if around is None else around.T @ x)
        return moved

    mean_weights = back(np.full(n, 1 / n))
    halves = np.arange(outputs.shape[1]).reshape(2, -1)
    parts = np.zeros((n_groups, 2, len(vectors)))
    difference = np.zeros((n_groups, len(vectors)))
    totals = np.zeros(n_groups)
    for group in range(n_groups):
        inside = (codes == group) / (codes == group).sum()
        change = inside @ outputs
        totals[group] = np.linalg.norm(change)
        difference[group] = back(inside) - mean_weights
        for part, kept in enumerate(halves):
            direction = np.zeros_like(change)
            direction[kept] = change[kept] / (totals[group] or 1.0)
            if read_out.is_linear:
                multiplier = read_out.multipliers(baseline[None], baseline, direction)[0]
                parts[group, part] = difference[group] * (vectors @ multiplier)
                continue
            wanted = read_out.multipliers(inputs, baseline, direction) * inside[:, None]
            moved = back(wanted) - np.outer(mean_weights, wanted.sum(axis=0))
            parts[group, part] = (moved * vectors).sum(axis=1)
    return parts, difference, totals


def _tables(
    parts: Array,
    difference: Array,
    totals: Array,
    genes: NDArray[np.object_],
    used: NDArray[np.bool_],
    groups: list[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per group and gene, best first, and one row per group."""
    tables = []
    for group, name in enumerate(groups):
        scale, shift = parts[group][:, used]
        attribution = scale + shift
        columns = {
            "group": name,
            "gene": genes.astype(str),
            "attribution": attribution,
            "share": attribution / (totals[group] or 1.0),
            "scale": scale,
            "shift": shift,
            "weight": difference[group][used],
        }
        order = np.lexsort((genes.astype(str), -attribution))
        tables.append(pd.DataFrame(columns).iloc[order])
    table = pd.concat(tables, ignore_index=True)
    return table, pd.DataFrame({"group": groups, "total": totals})
