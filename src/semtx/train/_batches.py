from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from semtx.train._patches import patches

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse
    from torch import Tensor

# patches in a batch: enough for pairs of different ones, few enough that most edges stay inside
_PATCHES = 16


class Batch(NamedTuple):
    """Some of the observations.

    Attributes
    ----------
    rows
        In ascending order, shape (b,); ``None`` for all.
    patch
        Patch of each row, numbered from 0 in this batch, where batches are made of patches.
    n_chosen, n_patches
        Patches in this batch, and of all observations.
    """

    rows: Tensor | None
    patch: Tensor | None = None
    n_chosen: int = 0
    n_patches: int = 0


class Batches:
    """The batches of an epoch, by torch's global random numbers: single rows, or patches of a graph.

    Parameters
    ----------
    n
        Observations.
    size
        Rows of a batch at most, about so with patches; ``None`` for all at once.
    graph
        Draw patches of this graph, so that most neighbours of a row are in its batch; ``None`` draws rows.
    random_state
        Seed of the patches.
    """

    def __init__(self, n: int, size: int | None, graph: sparse.csr_matrix | None = None, random_state: int = 0) -> None:
        self._n, self._graph, self._random_state = n, graph, random_state
        self._patch: NDArray[np.int64] | None = None
        self._resize(size)

    @property
    def full(self) -> bool:
        """Whether all observations enter every step."""
        return self.n_batches == 1

    def draw(self, number: int) -> Batch:
        """Return one batch of an epoch; the first shuffles."""
        if self.full:
            return Batch(None)
        if number == 0:
            self._shuffled = torch.randperm(self._n if self._patch is None else self._n_patches)
        # batches of nearly one size, so that none is of a few observations
        drawn = self._shuffled.tensor_split(self.n_batches)[number].sort().values
        if self._patch is None:
            return Batch(drawn)
        place = np.full(self._n_patches, -1)
        place[drawn.numpy()] = np.arange(len(drawn))
        patch = place[self._patch]
        rows = np.flatnonzero(patch >= 0)
        return Batch(torch.from_numpy(rows), torch.from_numpy(patch[rows]), len(drawn), self._n_patches)

    def halve(self) -> int:
        """Make batches of half the size and return how many there are; 0, and nothing changes, where they are too small."""
        size = math.ceil(self._n / self.n_batches) // 2
        if size < 2:
            return 0
        self._resize(size)
        return self.n_batches

    def _resize(self, size: int | None) -> None:
        self.n_batches = 1 if size is None else math.ceil(self._n / size)
        if self._graph is not None and not self.full:
            # as many in each batch
            self._patch = patches(self._graph, min(self.n_batches * _PATCHES, self._n), self._random_state)
            self._n_patches = int(self._patch.max()) + 1
            # two patches in each batch at least, as pairs of different ones stand for most pairs
            self.n_batches = max(1, min(self.n_batches, self._n_patches // 2))
