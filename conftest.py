"""What every test and every example in a docstring runs under."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Before anything imports pyplot: tests draw into memory.
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each test a cache folder of its own, so that none reads or fills the user's."""
    from semtx import settings

    folder = tmp_path_factory.mktemp("cache")
    with settings.override(cachedir=folder, datasetdir=folder / "datasets"):
        yield
