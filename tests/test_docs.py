"""Examples on the pages of the documentation run, where they are written with prompts."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGES = [
    path
    for path in sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
    if ">>> " in path.read_text(encoding="utf-8")
]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_examples_run(page):
    found = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS, encoding="utf-8")
    assert found.attempted
    assert not found.failed
