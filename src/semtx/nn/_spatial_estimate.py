from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn.functional import normalize

from semtx._csr import sparse_csr
from semtx.nn._spatial_regularization import CHUNK, softplus_of_pairs

if TYPE_CHECKING:
    from torch import Tensor


def spatial_estimate(
    z: Tensor,
    adjacency: Tensor,
    patch: Tensor,
    *,
    n_patches: int,
    n_obs: int,
    n_edges: int,
    method: Literal["closed_form", "exact"] = "closed_form",
    balance: Literal["pairs", "edges"] = "pairs",
    chunk: int = CHUNK,
) -> Tensor:
    r"""Unbiased estimate of :func:`spatial_regularization` from some patches of a section.

    The loss is a sum over ordered pairs. All observations are cut into T patches, and m of them, drawn at random without
    replacement, are the batch. Then a pair inside one patch is in the batch with probability m / T, and a pair of two
    patches with probability m (m - 1) / (T (T - 1)). With each pair divided by its probability (Horvitz and Thompson),

    .. math:: \sum_{i \ne j} f_{ij} \approx \frac{T}{m} \sum_{\text{one patch}} f_{ij}
              + \frac{T (T - 1)}{m (m - 1)} \sum_{\text{two patches}} f_{ij}

    has the sum over all pairs as its expectation, whatever :math:`f`: softplus of the cosine for all pairs, or the cosine
    for edges. The N pairs of an observation with itself are a constant. Patches that are connected keep most edges
    inside, where the weight, and with it the variance, is small.

    Parameters
    ----------
    z
        Embedding of the batch, shape (b, h).
    adjacency
        Edges inside the batch, sparse CSR of ones without a diagonal, shape (b, b).
    patch
        Patch of each row, numbered from 0 to m - 1, shape (b,).
    n_patches, n_obs, n_edges
        Patches T, observations N and directed edges of all.
    method, balance, chunk
        As in :func:`spatial_regularization`.
    """
    n_chosen = int(patch.max()) + 1
    inside = n_patches / n_chosen
    across = inside * (n_patches - 1) / max(n_chosen - 1, 1)
    unit = normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)

    rows = torch.repeat_interleave(adjacency.crow_indices().diff())
    columns = adjacency.col_indices()
    weights = torch.where(patch[rows] == patch[columns], unit.new_tensor(inside), unit.new_tensor(across))
    weighted = sparse_csr(adjacency.crow_indices(), columns, weights, (len(z), len(z)))
    order = patch.argsort(stable=True)
    sizes = torch.bincount(patch, minlength=n_chosen).tolist()
    with torch.autocast(unit.device.type, enabled=False):
        attraction = (unit * torch.sparse.mm(weighted, unit)).sum()
        parts = (softplus_of_pairs(part, method, chunk) for part in torch.split(unit[order], sizes))
        of_one = sum(parts, start=unit.new_zeros(()))
        of_all = softplus_of_pairs(unit, method, chunk)
    repulsion = inside * of_one + across * (of_all - of_one) + n_obs * math.log(2)
    if balance == "edges":
        return repulsion / n_obs**2 - attraction / max(n_edges, 1)
    return (repulsion - attraction) / (2 * n_obs**2)
