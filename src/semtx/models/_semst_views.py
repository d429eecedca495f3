"""Embeddings in closed form, beside the trained one: what is seen with fewer or more components and from farther away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx.graphs import ring_means, rings
from semtx.graphs._rings import MAX_NEIGHBORS
from semtx.models._reduced_rank import reduced_rank_regression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from scipy import sparse

    from semtx.models._semst_config import SemSTConfig

# of the components that the network reads
_SHARES = (2 / 3, 1, 5 / 3)


def components_of_views(config: SemSTConfig) -> list[int]:
    """Return how many components the views read, fewest first."""
    return [max(1, round(share * config.n_components)) for share in _SHARES] if config.consensus else []


def closed_form_views(
    components: NDArray, graph: sparse.csr_matrix, config: SemSTConfig, n_rings: int
) -> Iterator[NDArray]:
    """Predict the components of each observation from its surroundings, by reduced-rank regression.

    Parameters
    ----------
    components
        Principal components of expression, shape (n, d).
    graph
        Spatial graph, CSR, shape (n, n).
    config
        Settings.
    n_rings
        Rings that the network reads; half of the views read one more.

    Yields
    ------
    Embeddings, each of shape (n, latent_dim) or less; fewer of them where components or rings are few.
    """
    around = rings(graph, n_rings + 1, max_neighbors=2 * MAX_NEIGHBORS)
    n, most = components.shape
    means = ring_means(around, components).reshape(n, len(around), most)
    for n_components in sorted({min(wanted, most) for wanted in components_of_views(config)}):
        own = components[:, :n_components]
        for reach in sorted({min(n_rings, len(around)), len(around)}):
            x = means[:, :reach, :n_components].reshape(n, -1)
            weights, bias = reduced_rank_regression(x, own, min(config.latent_dim, n_components))
            yield x @ weights + bias
