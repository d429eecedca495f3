"""Police of signatures, docstrings, namespaces and metadata: the API stays one API."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import semtx as st

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

NAMESPACES = [name for name in st.__all__ if inspect.ismodule(getattr(st, name))]
TOP_FLOOR = [f"{room}.{name}" for room in ("pp", "tl", "pl") for name in getattr(st, room).__all__]
WRITING = [name for name in TOP_FLOOR if not name.startswith("pl.")]
FUNCTIONS = [
    f"{room}.{name}"
    for room in ("pp", "tl", "pl", "metrics", "datasets", "get")
    for name in getattr(getattr(st, room), "__all__", [])
]
# what functions return, and what presets are made of: the examples are theirs
RETURNED = {
    "models.ScLLMDSCConfig",
    "models.ScLLMDSCResult",
    "models.SemSTConfig",
    "nn.AttachedFSM",
    "nn.AttachingFSM",
    "nn.ScLLMDSCViews",
    "nn.SemSTInputs",
    "semantics.GeneMatch",
    "semantics.Vocabulary",
}
CALLABLES = [
    f"{room}.{name}"
    for room in NAMESPACES
    for name in getattr(st, room).__all__
    if callable(getattr(getattr(st, room), name)) and f"{room}.{name}" not in RETURNED
]
# names of the field that mean something else elsewhere in it
PAGES = ["pl.domains_report"]  # plots that lay out a figure of several panels and tables
FOREIGN_NAMES = {
    "seed": "random_state",
    "rng": "random_state",
    "device": "accelerator",
    "out_key": "key_added",
    "sample_key": "library_key",
    "slide_key": "library_key",
    "batch": "library_key",
    "connectivity_key": "neighbors_key",
    "save": "return_fig",
    "inplace": "copy",
}


def public(name: str):
    room, function = name.split(".")
    return getattr(getattr(st, room), function)


def parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(public(name)).parameters)


def sections(docstring: str) -> dict[str, str]:
    """Split a numpydoc docstring into its sections."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {"Summary": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> dict[str, str]:
    """Names at the margin of a section, with the indented text below each."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line[0].isspace():
            names = [name.strip() for name in line.split(",")]
            found.update(dict.fromkeys(names, ""))
        else:
            found.update({name: found[name] + line for name in names})
    return found


class TestSignatures:
    @pytest.mark.parametrize("name", TOP_FLOOR)
    def test_adata_first_and_few_positional(self, name):
        given = parameters(name)
        positional = [p.name for p in given.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional[0] == "adata"
        assert len(positional) <= 3
        assert not [p.name for p in given.values() if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
        assert "AnnData" in str(given["adata"].annotation)

    @pytest.mark.parametrize("name", TOP_FLOOR)
    def test_spatialdata_is_accepted(self, name):
        table_key = parameters(name)["table_key"]
        assert table_key.kind is table_key.KEYWORD_ONLY
        assert table_key.default is None
        assert table_key.annotation == "str | None"

    @pytest.mark.parametrize("name", WRITING)
    def test_in_place_or_copy(self, name):
        copy = parameters(name)["copy"]
        assert copy.kind is copy.KEYWORD_ONLY
        assert copy.default is False
        assert copy.annotation == "bool"
        assert inspect.signature(public(name)).return_annotation == "AnnData | None"

    @pytest.mark.parametrize("name", [name for name in TOP_FLOOR if name.startswith("pl.")])
    def test_plots(self, name):
        given = parameters(name)
        assert {"show", "return_fig"} <= set(given)
        assert ("ax" in given) == (name not in PAGES)
        assert given["show"].default is None
        assert given["return_fig"].default is False
        assert "copy" not in given

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_names_of_the_field(self, name):
        given = parameters(name)
        assert not {wrong: right for wrong, right in FOREIGN_NAMES.items() if wrong in given}

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_everything_is_annotated(self, name):
        signature = inspect.signature(public(name))
        assert signature.return_annotation is not signature.empty
        assert not [p.name for p in signature.parameters.values() if p.annotation is p.empty]

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_no_positional_flags_and_no_mutable_defaults(self, name):
        given = parameters(name).values()
        assert not [p.name for p in given if isinstance(p.default, bool) and p.kind is not p.KEYWORD_ONLY]
        assert not [p.name for p in given if isinstance(p.default, (list, dict, set))]

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_seeds_are_fixed_by_default(self, name):
        seed = parameters(name).get("random_state")
        assert seed is None or seed.default == 0


class TestDocstrings:
    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_sections(self, name):
        doc = sections(public(name).__doc__)
        assert doc["Summary"].strip()
        assert {"Returns", "Examples"} <= set(doc)
        assert ">>> " in doc["Examples"]
        if not name.startswith("datasets."):  # loaders download
            assert "doctest: +SKIP" not in doc["Examples"]

    @pytest.mark.parametrize("name", CALLABLES)
    def test_examples(self, name):
        """All that users call has an example that runs, or one marked +SKIP where it would download."""
        assert ">>> " in sections(public(name).__doc__)["Examples"]

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_each_parameter_is_described_in_order_and_without_types(self, name):
        given = list(parameters(name))
        described = entries(sections(public(name).__doc__).get("Parameters", ""))
        assert list(described) == given, "order and names of the section are those of the signature"
        assert not [name for name, text in described.items() if not text.strip()]
        # "name : type" would have been read as a name of its own

    @pytest.mark.parametrize("name", WRITING)
    def test_returns_lists_the_keys_written(self, name):
        returns = sections(public(name).__doc__)["Returns"]
        assert returns.startswith("Returns `None` if `copy=False`, else")
        assert "Sets the following fields:" in returns
        assert re.search(r"^`adata\.(obs|var|obsm|varm|obsp|uns)\[", returns, flags=re.MULTILINE)

    @pytest.mark.parametrize("room", NAMESPACES)
    def test_rooms_and_their_names_have_docstrings(self, room):
        module = getattr(st, room)
        assert module.__doc__
        named = {name: getattr(module, name) for name in module.__all__}
        assert not [name for name, value in named.items() if callable(value) and not value.__doc__]


class TestNamespaces:
    def test_tab_completion_shows_every_public_name(self):
        assert set(st.__all__) <= set(dir(st))
        for room in NAMESPACES:
            module = getattr(st, room)
            assert sorted(module.__all__) == sorted(name for name in dir(module) if not name.startswith("_")), room

    @pytest.mark.parametrize("room", NAMESPACES)
    def test_lazy_names_are_those_that_type_checkers_see(self, room):
        module = getattr(st, room)
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        seen = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"semtx.{room}."):
                seen.update({alias.name: node.module for alias in node.names})
        assert sorted(seen) == sorted(module.__all__)
        for name, where in seen.items():
            assert getattr(module, name) is getattr(import_module(where), name)

    @pytest.mark.parametrize("module", ["", *[f".{room}" for room in NAMESPACES]])
    def test_unknown_names_list_those_there_are(self, module):
        with pytest.raises(AttributeError, match="has no attribute 'missing_name'"):
            _ = import_module(f"semtx{module}").missing_name

    @pytest.mark.parametrize("name", TOP_FLOOR)
    def test_one_function_per_file(self, name):
        room, function = name.split(".")
        assert public(name).__module__ == f"semtx.{room}._{function}"


class TestMetadata:
    def test_one_version(self):
        assert st.__version__ == version("semtx") == PYPROJECT["project"]["version"]
        assert f"## {st.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert f"version: {st.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")

    def test_lower_bounds_only(self):
        capped = [
            line for line in PYPROJECT["project"]["dependencies"] if re.search(r"[<=~!]=?[\d]", line.replace(">=", ""))
        ]
        assert capped == ["pynndescent>=0.5.13,<0.7"]
        bare = [line for line in PYPROJECT["project"]["dependencies"] if ">=" not in line]
        assert bare == []

    def test_torch_is_pinned_for_the_two_commands_only(self):
        assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        assert "torch>=2.4" in PYPROJECT["project"]["dependencies"]

    def test_extras_are_what_users_can_ask_for(self):
        assert set(PYPROJECT["project"]["optional-dependencies"]) == {"llm", "offline", "openai", "dask", "bench"}


class TestWorkflows:
    FOLDER = ROOT / ".github"

    def read(self, name):
        return pytest.importorskip("yaml").safe_load((self.FOLDER / name).read_text(encoding="utf-8"))

    def test_what_is_tested(self):
        jobs = {path.stem: set(self.read(path)["jobs"]) for path in (self.FOLDER / "workflows").glob("*.yaml")}
        assert jobs == {
            "test": {"readme", "newest", "lowest", "plain", "wheel", "lint"},
            "docs": {"build", "links"},
            "notebooks": {"execute"},
            "release": {"build", "publish"},
        }

    def test_tokens_can_do_little_and_commands_name_what_exists(self):
        for path in (self.FOLDER / "workflows").glob("*.yaml"):
            workflow = self.read(path)
            assert workflow["permissions"] == {"contents": "read"}
            steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
            groups = re.findall(r"--group (\w+)", " ".join(step.get("run", "") for step in steps))
            assert set(groups) <= set(PYPROJECT["dependency-groups"])

    def test_entry_for_the_ecosystem(self):
        entry = self.read("ecosystem/meta.yaml")
        project = PYPROJECT["project"]
        assert entry["name"] == entry["install"]["pypi"] == project["name"]
        assert entry["version"] == project["version"]
        assert entry["license"] == project["license"]
        assert entry["project_home"] == project["urls"]["Source"]
        assert entry["documentation_home"] == project["urls"]["Documentation"]
        page = entry["tutorials_home"].removeprefix(f"{entry['documentation_home']}/en/latest/")
        assert (ROOT / "docs" / page).with_suffix(".md").exists()


class TestReadme:
    TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

    def test_two_commands_and_no_more(self):
        commands = re.findall(r"^```sh\n(.*?)^```", self.TEXT, flags=re.MULTILINE | re.DOTALL)
        assert len(commands) == 2
        for command in commands:
            assert command.count("\n") == 1
            assert "-m venv .venv-" in command
            assert "pip install -c constraints.txt" in command
        assert commands[0].endswith("semtx demo\n")
        assert "pytest" in commands[1]

    def test_ci_runs_the_second_command(self, tmp_path):
        """Run .ci/run on a README whose command only leaves a trace."""
        (tmp_path / ".ci").mkdir()
        (tmp_path / ".ci" / "run").write_bytes((ROOT / ".ci" / "run").read_bytes())
        before, after = self.TEXT.split("<!-- test command -->", 1)
        command = after.split("```sh\n", 1)[1].split("\n", 1)[0]
        replaced = f"{before}<!-- test command -->{after.replace(command, 'echo one && echo two > trace', 1)}"
        (tmp_path / "README.md").write_text(replaced, encoding="utf-8")
        run = subprocess.run(["bash", tmp_path / ".ci" / "run"], capture_output=True, text=True, check=True)
        assert run.stdout.splitlines() == ["+ echo one && echo two > trace", "one"]
        assert (tmp_path / "trace").read_text(encoding="utf-8") == "two\n"

    def test_links_lead_somewhere(self):
        targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", self.TEXT)
        assert targets
        assert not [target for target in targets if not (ROOT / target).exists()]


@pytest.mark.parametrize("room", NAMESPACES)
def test_every_public_name_has_a_page(room):
    listed = (ROOT / "docs" / "api" / f"{room}.md").read_text(encoding="utf-8").split()
    assert sorted(name for name in listed if name.startswith(f"{room}.")) == sorted(
        f"{room}.{name}" for name in getattr(st, room).__all__
    )


def test_no_machine_path_is_written_anywhere():
    """Files of the repository speak of no one's own folders."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git clone")
    pattern = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|opt|tmp)/\w")
    text_files = [
        ROOT / name for name in listing.stdout.split() if name.endswith((".py", ".md", ".toml", ".ipynb", ".yaml"))
    ]
    assert text_files
    found = [path.name for path in text_files if path.exists() and pattern.search(path.read_text(encoding="utf-8"))]
    assert found == []
