"""What every test and every example in a docstring runs under."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

# Before anything imports pyplot: tests draw into memory.
os.environ["MPLBACKEND"] = "Agg"

# Workers that run side by side share the cores: with threads of their own they wait for each other most of the time.
if n_workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    n_threads = max(1, (os.cpu_count() or 1) // n_workers)
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(n_threads))
    # plugins of pytest have loaded numpy already
    threadpool_limits(n_threads)


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each test a cache folder of its own, so that none reads or fills the user's."""
    from semtx import settings

    folder = tmp_path_factory.mktemp("cache")
    with settings.override(cachedir=folder, datasetdir=folder / "datasets"):
        yield
