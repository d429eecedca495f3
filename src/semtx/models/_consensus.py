"""Clusters on which many runs of k-means agree, each heard once by each view of the cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semtx.models._clustering import by_size
from semtx.models._scllm_dsc_clusters import count_distinct, k_means, merge_prototypes, sample
from semtx.models._votes import agreed_clusters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_N_RUNS = 16


@dataclass(frozen=True)
class Consensus:
    """Prototypes of several runs of k-means, and what each says of the cluster of a cell that is nearest to it.

    Which prototypes k-means ends with, and which of them are alike enough to be one cluster, is partly chance and partly
    a matter of the view. Here every view merges the prototypes of every run into clusters and has a vote; k-means on these
    votes :cite:p:`Wu2015` gives the clusters that they agree on. A cell's soft assignment is the mean over the runs of the
    share that each cluster has in the prototype nearest to the cell: where it is low, runs disagree.

    Attributes
    ----------
    prototypes
        Those of all runs, shape (m, d).
    sizes
        Number of prototypes of each run, shape (n_runs,).
    shares
        Share of the clusters in the cells of each prototype, shape (m, n_clusters).
    """

    prototypes: NDArray[np.float32]
    sizes: NDArray[np.int64]
    shares: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        z: NDArray[np.floating],
        views: Sequence[NDArray[np.floating]],
        weights: Sequence[float],
        n_clusters: int,
        prototypes_per_cluster: int,
        random_state: int,
    ) -> Consensus:
        """Find the clusters; of many cells, a sample is enough.

        Parameters
        ----------
        z
            View in which prototypes lie, shape (n, d).
        views, weights
            Views that merge them, each of shape (n, d'), and the weight of their votes.
        n_clusters
            Number of clusters; fewer are found where fewer cells differ.
        prototypes_per_cluster
            Half of the runs have so many prototypes for each cluster, the other half one more.
        random_state
            Seed.
        """
        rows = sample(len(z), random_state)
        z_of_rows, *views = (np.asarray(view[rows], dtype=np.float64) for view in (z, *views))
        n_distinct = count_distinct(z_of_rows)
        seeds = np.random.SeedSequence(random_state).generate_state(_N_RUNS + 1) % 2**31
        runs, votes, heard = [], [], []
        for run, seed in enumerate(seeds[:_N_RUNS]):
            n_prototypes = min(n_clusters * (prototypes_per_cluster + run % 2), n_distinct)
            centers, nearest = k_means(z_of_rows, n_prototypes, int(seed), n_init=1)
            runs.append((centers, nearest))
            for view, weight in zip(views, weights, strict=True):
                if weight:
                    votes.append(merge_prototypes(view, nearest, n_prototypes, n_clusters)[nearest])
                    heard.append(weight)
        clusters = agreed_clusters(np.column_stack(votes), np.array(heard), n_clusters, int(seeds[-1]))
        shares = [_shares(nearest, clusters, len(centers)) for centers, nearest in runs]
        prototypes = np.concatenate([centers for centers, _ in runs]).astype(np.float32)
        sizes, all_shares = np.array([len(centers) for centers, _ in runs]), np.concatenate(shares).astype(np.float32)
        found = cls(prototypes, sizes, all_shares)
        # no cluster without a cell and the largest first; where cells are tied, another order can assign them otherwise
        for _ in range(n_clusters):
            nearest = found.proba(z).argmax(axis=1)
            labels = by_size(nearest)
            order = [nearest[np.flatnonzero(labels == label)[0]] for label in range(labels.max() + 1)]
            if order == list(range(found.shares.shape[1])):
                break
            found = cls(prototypes, sizes, found.shares[:, order])
        return found

    def proba(self, z: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return soft assignments of cells, whose rows sum to 1, shape (n, n_clusters)."""
        from sklearn.metrics import pairwise_distances_argmin

        z = np.asarray(z, dtype=np.float32)
        total = np.zeros((len(z), self.shares.shape[1]), dtype=np.float32)
        for stop, size in zip(np.cumsum(self.sizes), self.sizes, strict=True):
            run = slice(stop - size, stop)
            total += self.shares[run][pairwise_distances_argmin(z, self.prototypes[run])]
        # prototypes of clusters that no cell ended in can leave nothing
        total[total.sum(axis=1) == 0] = 1
        return total / total.sum(axis=1, keepdims=True)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what :meth:`from_arrays` needs."""
        return {"prototypes": self.prototypes, "sizes": self.sizes, "shares": self.shares}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Consensus:
        """Undo :meth:`arrays`."""
        return cls(**arrays)  # type: ignore[arg-type]


def _shares(nearest: NDArray[np.int64], clusters: NDArray[np.int64], n_prototypes: int) -> NDArray[np.float64]:
    table = np.zeros((n_prototypes, clusters.max() + 1))
    np.add.at(table, (nearest, clusters), 1)
    # a prototype without cells says no more than the sizes of the clusters do
    table[table.sum(axis=1) == 0] = table.sum(axis=0)
    return table / table.sum(axis=1, keepdims=True)
