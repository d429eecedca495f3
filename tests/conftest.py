"""Shared fixtures: small generated tissue, the labelled sections."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import semtx as st
from semtx._logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What semtx logs: its logger does not propagate to the root logger, where pytest listens."""
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@cache
def _generated(n_obs: int, n_sections: int) -> AnnData:
    return st.datasets.tissue(n_obs, n_sections)


@pytest.fixture
def tissue() -> AnnData:
    """A fresh copy of a small generated section: 300 spots, 705 genes, 5 domains."""
    return _generated(300, 1).copy()


@pytest.fixture
def sections() -> AnnData:
    """A fresh copy of two generated sections of 150 spots, ``library_key="library_id"``."""
    return _generated(150, 2).copy()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the labelled sections and gene tables, or skip."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEMTX_TEST_DATA", default))
    if not (folder / "spatial").is_dir():
        pytest.skip(f"no test data at {folder}; name the folder in SEMTX_TEST_DATA")
    return folder
