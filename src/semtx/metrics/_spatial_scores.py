"""How smoothly a clustering lies in space; no labels needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from semtx._validate import check_integer, check_key, coordinates, resolve_table

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.intp]

_PAS_NEIGHBORS = 10
_PAS_SHARE = 0.6


def spatial_scores(
    adata: AnnData,
    cluster_key: str,
    *,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    n_neighbors: int = 6,
    table_key: str | None = None,
) -> pd.Series:
    r"""How smoothly a clustering lies in space; needs no labels.

    These scores tell noise from continuous domains. They do not tell right from wrong: one domain everywhere would be
    smoothest. With `library_key` every section is scored on its own, and the mean over sections is given. Time is
    :math:`O(n \log n)`.

    Parameters
    ----------
    adata
        AnnData, or a SpatialData object.
    cluster_key
        Column of `adata.obs` with the domains. Observations without one (NaN) are left out.
    spatial_key
        Key of `adata.obsm` with coordinates, shape (n_obs, 2 or 3), in any unit.
    library_key
        Column of `adata.obs` that names the section of each observation.
    n_neighbors
        Neighbours of each observation in the graph of `moran` and `join`, made symmetric.
    table_key
        Table of a SpatialData object.

    Returns
    -------
    A :class:`pandas.Series` named `cluster_key` with

    `CHAOS`
        Mean distance of an observation to the nearest one of the same domain [1]_, in units of the pitch (the median
        distance to the nearest observation of any domain), so that it does not depend on the unit of the coordinates:
        1 on a regular grid where everyone has a neighbour of its own domain. Lower is smoother. A domain of one
        observation has no such distance; it is left out here and counted in `n_single`.
    `PAS`
        Part of the observations whose domain differs from at least 6 of their 10 nearest neighbours [1]_; in sections
        of fewer than 11 observations, from at least 60 % of the others. Lower is smoother.
    `moran`
        Moran's I [2]_ of the labels: with :math:`z_{ic}` the centred indicator of domain c,
        :math:`I = \frac{n}{\sum_{ij} w_{ij}} \frac{\sum_{ij} w_{ij} \sum_c z_{ic} z_{jc}}{\sum_i \sum_c z_{ic}^2}`,
        the mean of the domains' own Moran's I weighted by their variance. About 0 for labels without place, near 1 for
        large continuous domains, NaN for a single domain.
    `join`
        Part of the edges that join two observations of the same domain (join count [2]_).
    `n_scored`, `n_unclustered`, `n_single`, `n_libraries`
        Observations scored; without a domain; alone in their domain; sections.

    Raises
    ------
    KeyError
        A key does not exist.
    ValueError
        Coordinates are not finite, or a section has fewer than three observations with a domain.

    References
    ----------
    .. [1] Shang L, Zhou X. Spatially aware dimension reduction for spatial transcriptomics. Nature Communications 13,
       7203 (2022), which sums CHAOS over standardised coordinates; here it is in units of the pitch.
    .. [2] Cliff AD, Ord JK. Spatial processes: models and applications. Pion (1981).

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.tissue(n_obs=300)
    >>> st.metrics.spatial_scores(adata, "ground_truth")[["CHAOS", "PAS", "moran", "join"]].round(2)
    CHAOS    1.00
    PAS      0.10
    moran    0.74
    join     0.80
    Name: ground_truth, dtype: float64
    """
    adata = resolve_table(adata, table_key)
    check_integer("n_neighbors", n_neighbors, minimum=1)
    clusters = pd.Series(check_key(adata, "obs", cluster_key, parameter="cluster_key"))
    places = coordinates(adata, spatial_key)
    if library_key is None:
        library = np.zeros(adata.n_obs, dtype=int)
    else:
        library, _ = pd.factorize(check_key(adata, "obs", library_key, parameter="library_key"))
    codes, _ = pd.factorize(clusters)
    # an observation of no section (NaN) lies nowhere
    scored = (codes >= 0) & (library >= 0)
    sections = []
    for number in np.unique(library[library >= 0]):
        inside = scored & (library == number)
        if inside.sum() < 3:
            msg = (
                f"a section has {inside.sum()} observations with a domain in adata.obs[{cluster_key!r}]; "
                "three are the least that can be scored"
            )
            raise ValueError(msg)
        sections.append(_score_section(places[inside], np.unique(codes[inside], return_inverse=True)[1], n_neighbors))
    table = pd.DataFrame(sections)
    means = table.drop(columns="n_single").mean().to_dict()
    counts = {
        "n_scored": scored.sum(),
        "n_unclustered": (codes < 0).sum(),
        "n_single": table["n_single"].sum(),
        "n_libraries": len(sections),
    }
    return pd.Series({**means, **counts}, dtype=float, name=cluster_key)


def _score_section(places: Array, codes: Indices, n_neighbors: int) -> dict[str, float]:
    from scipy.spatial import cKDTree

    tree = cKDTree(places)
    neighbors = _without_self(tree, places, max(_PAS_NEIGHBORS, n_neighbors))
    unique = np.unique(places, axis=0)
    pitch = float(np.median(cKDTree(unique).query(unique, k=2)[0][:, 1])) if len(unique) > 1 else np.nan
    near = neighbors[:, :_PAS_NEIGHBORS]
    different = (codes[near] != codes[:, None]).sum(axis=1)
    same, n_single = _same_domain_distances(places, codes)
    moran, join = _label_moran(neighbors[:, :n_neighbors], codes)
    return {
        "CHAOS": float(np.mean(same)) / pitch if same.size else np.nan,
        "PAS": float(np.mean(different >= np.ceil(_PAS_SHARE * near.shape[1]))),
        "moran": moran,
        "join": join,
        "n_single": n_single,
    }


def _without_self(tree: Any, places: Array, n_neighbors: int) -> Indices:
    """Nearest neighbours of each point; where several share a place, the point itself is not always found first."""
    k = min(n_neighbors + 1, len(places))
    _, neighbors = tree.query(places, k=k)
    itself = neighbors == np.arange(len(places))[:, None]
    itself[~itself.any(axis=1), -1] = True

    return neighbors[~itself].reshape(len(places), k - 1)


def _same_domain_distances(places: Array, codes: Indices) -> tuple[Array, int]:
    from scipy.spatial import cKDTree

    found, n_single = [], 0
    for code in range(codes.max() + 1):
        domain = places[codes == code]
        if len(domain) == 1:
            n_single += 1
        else:
            found.append(cKDTree(domain).query(domain, k=2)[0][:, 1])
    return np.concatenate(found) if found else np.empty(0), n_single


def _label_moran(neighbors: Indices, codes: Indices) -> tuple[float, float]:
    from scipy import sparse

    n, k = neighbors.shape
    directed = sparse.csr_array((np.ones(n * k), neighbors.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    edges = directed.maximum(directed.T).tocoo()
    # sum_c z_ic z_jc = [c_i == c_j] - p[c_i] - p[c_j] + sum_c p_c^2, with p the shares of the domains
    share = np.bincount(codes) / n
    squared = float(share @ share)
    equal = codes[edges.row] == codes[edges.col]
    product = equal - share[codes[edges.row]] - share[codes[edges.col]] + squared
    variance = 1 - squared
    moran = float(product.mean()) / variance if share.size > 1 else np.nan
    return moran, float(equal.mean())
