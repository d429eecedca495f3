"""Agreement between the seeds of a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def stability(folder: Path, seeds: Iterable[int]) -> dict[int, float]:
    """Return for each seed the mean ARI of its labels with those of the other seeds, from ``FOLDER/SEED.npy``.

    All observations count, those without a true label too. Empty where there are not two seeds.
    """
    from sklearn.metrics import adjusted_rand_score

    labels = {seed: np.load(folder / f"{seed}.npy") for seed in seeds if (folder / f"{seed}.npy").exists()}
    if len(labels) < 2:
        return {}
    return {
        seed: float(np.mean([adjusted_rand_score(mine, other) for at, other in labels.items() if at != seed]))
        for seed, mine in labels.items()
    }
