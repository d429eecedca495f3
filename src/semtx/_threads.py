"""How many threads the numerical libraries take."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from semtx._settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def limit_threads(n_jobs: int | None = None) -> Iterator[None]:
    """Run a block with at most so many threads for BLAS, OpenMP and, if it is loaded, torch.

    A library that is loaded inside the block is not limited: import torch before, where the block uses it.

    Parameters
    ----------
    n_jobs
        Number of threads, -1 to leave things as they are; ``None`` takes ``settings.n_jobs``.
    """
    n_jobs = settings.n_jobs if n_jobs is None else n_jobs
    if n_jobs == -1:
        yield
        return
    # Their libraries are found only once loaded, and what comes in the block needs them.
    import scipy.linalg  # noqa: F401
    import sklearn  # noqa: F401
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    with threadpool_limits(limits=n_jobs):
        if torch is not None:
            torch.set_num_threads(n_jobs)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


@contextmanager
def one_order_of_sums() -> Iterator[None]:
    """Run scikit-learn's k-means on one OpenMP thread: of several, the sums of the one that is done first come first.

    With more than two threads that would be another order, and so other last digits, in each run.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="openmp"):
        yield
