"""The house holds: no import runs up a floor, nothing heavy is loaded by ``import semtx``."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

import semtx

SOURCE = Path(__file__).parents[1] / "src" / "semtx"
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

# what each room may import, besides itself and the private helpers at the root
SIDE_ROOMS = {"semantics", "graphs", "metrics", "datasets"}
MAY_IMPORT = {
    "nn": set(),
    "train": {"nn"},
    "models": {"train", "nn", "graphs"},
    "semantics": set(),
    "graphs": set(),
    "metrics": set(),
    "datasets": set(),
    "get": SIDE_ROOMS,
    "pp": {"pp", "models", *SIDE_ROOMS},
    "tl": {"pp", "tl", "models", *SIDE_ROOMS},
    "pl": {"pl", "get", *SIDE_ROOMS},
}
ROOT_MAY_IMPORT_ROOMS = {"__init__.py", "cli.py", "_demo.py"}
HEAVY = {
    "torch",
    "torch_geometric",
    "lightning",
    "squidpy",
    "scanpy",
    "matplotlib",
    "transformers",
    "sentence_transformers",
}


def imports(tree: ast.AST, file: Path, *, top_level: bool = False) -> set[str]:
    """Absolute dotted names of what a file imports; ``from a import b`` gives ``a`` and ``a.b``."""
    found = set()
    nodes = at_import(tree) if top_level else ast.walk(tree)
    package = ["semtx", *file.relative_to(SOURCE).parts[:-1]]
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.update([module, *(f"{module}.{alias.name}" for alias in node.names)])
    return found


def at_import(tree: ast.AST):
    """Nodes that run when the file is imported: not inside functions, not under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from chain.from_iterable(at_import_of(child) for child in node.orelse)
            continue
        yield from at_import_of(node)


def at_import_of(node: ast.AST):
    yield node
    yield from at_import(node)


def rooms(names: set[str]) -> set[str]:
    parts = (name.split(".") for name in names if name.startswith("semtx."))
    return {part[1] for part in parts if part[1] in MAY_IMPORT}


@pytest.fixture(scope="module", params=FILES, ids=NAMES)
def source(request):
    path = request.param
    return path, ast.parse(path.read_text(encoding="utf-8"))


def test_no_arrow_runs_up(source):
    path, tree = source
    where = path.relative_to(SOURCE)
    used = rooms(imports(tree, path))
    if len(where.parts) == 1:
        assert not used or where.name in ROOT_MAY_IMPORT_ROOMS, f"a helper imports the rooms {used}"
        return
    room = where.parts[0]
    assert room in MAY_IMPORT, f"a new room, {room}: say in this test what it may import"
    assert used - {room} <= MAY_IMPORT[room]


def test_relative_imports_are_seen():
    file = SOURCE / "nn" / "_x.py"
    assert "semtx.tl" in imports(ast.parse("from .. import tl"), file)
    assert "semtx.nn._layers" in imports(ast.parse("from ._layers import Layer"), file)
    assert imports(ast.parse("def f():\n    import torch"), file, top_level=True) == set()
    assert imports(ast.parse("try:\n    import torch\nexcept ImportError: ..."), file, top_level=True) == {"torch"}


def test_nothing_heavy_at_import(source):
    path, tree = source
    where = path.relative_to(SOURCE)
    allowed = HEAVY if where.parts[0] in {"nn", "train", "models"} else set()
    loaded = {name.split(".")[0] for name in imports(tree, path, top_level=True)}
    assert loaded & HEAVY <= allowed


def parsed(*wanted: str):
    """Name and syntax tree of every file of some rooms."""
    for path in FILES:
        if path.relative_to(SOURCE).parts[0] in wanted:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_nn_knows_no_anndata():
    for path, tree in parsed("nn"):
        names = imports(tree, path)
        assert not {name for name in names if name.split(".")[0] in {"anndata", "scanpy", "squidpy", "pandas"}}, path
        # helpers that load anndata in their turn
        assert not names & {"semtx._record", "semtx._validate", "semtx._counts"}, path


def test_top_floor_defines_no_torch_module():
    for path, tree in parsed("tl", "pp", "pl", "get"):
        bases = [ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
        assert not [base for base in bases if base.split(".")[-1] == "Module"], path


def test_no_assert_no_print_no_leftovers(source):
    path, tree = source
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], (
        "errors of users vanish with -O"
    )
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"], "use the logger"
    text = path.read_text(encoding="utf-8")
    assert not [word for word in ("TODO", "FIXME", "XXX", "breakpoint(") if word in text]


def test_files_stay_small(source):
    path, _ = source
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, "split the file"


def test_median_file_is_small():
    lines = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES)
    assert lines[len(lines) // 2] <= 200


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running the code."""
    code = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_import_is_light():
    loaded = modules_after("import semtx as st; dir(st); st.settings; st.__version__")
    assert "semtx" in loaded
    assert not loaded & {*HEAVY, "sklearn", "umap", "numba", "pooch", "typer"}


@pytest.mark.parametrize("room", ["semantics", "graphs", "metrics", "datasets", "pp", "tl", "pl", "get"])
def test_rooms_without_torch(room):
    loaded = modules_after(f"import semtx.{room}; dir(semtx.{room})")
    assert not loaded & {"torch", "torch_geometric", "transformers", "squidpy"}


def test_command_line_is_light():
    assert not modules_after("import semtx.cli") & {*HEAVY, "sklearn"}


def test_import_prints_and_writes_nothing(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import semtx"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (run.stdout, run.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_every_room_is_checked():
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(MAY_IMPORT)
    assert set(semtx._NAMESPACES) <= folders
