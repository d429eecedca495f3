"""Sphinx configuration: ``sphinx-build -W -b html docs docs/_build/html``, with or without a network."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # generate beside this file, benchmarks beside docs

from generate import architecture, keys
from generate.benchmark import benchmark_page
from generate.presets import presets_table

from semtx import models

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_meta = metadata("semtx")
project = "semtx"
author = "The semtx founders"
copyright = f"2026, {author}"
version = release = _meta["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]

# Notebooks live beside docs, where users look for them; Sphinx reads a copy.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
(HERE / "notebooks").mkdir()
for _notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
    shutil.copy(_notebook, HERE / "notebooks")

exclude_patterns = ["_build", "generated", "generate", "benchmark/*", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
nb_execution_mode = "off"  # outputs are committed; the tests execute the notebooks
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "literal"  # of single backticks in docstrings
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_use_param = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
copybutton_prompt_text = ">>> "


# Parts of pages that are made from the code, and from finished runs where there are any.
(HERE / "generated").mkdir(exist_ok=True)
_runs = HERE / "benchmark" / "runs.csv"
_made = {
    "semst_presets.md": presets_table(models.SEMST_PRESETS),
    "scllm_dsc_presets.md": presets_table(models.SCLLM_DSC_PRESETS),
    "keys_read.md": keys.read_table(),
    "keys_written.md": keys.written_table(),
    "semst.svg": architecture.semst(),
    "scllm_dsc.svg": architecture.scllm_dsc(),
    "benchmark.md": benchmark_page(pd.read_csv(_runs), HERE / "generated")
    if _runs.exists()
    else "This copy of the pages has no finished runs.\n",
}
for _name, _text in _made.items():
    (HERE / "generated" / _name).write_text(_text, encoding="utf-8")

_inventories = {
    "anndata": "anndata.readthedocs.io/en/stable",
    "numpy": "numpy.org/doc/stable",
    "pandas": "pandas.pydata.org/pandas-docs/stable",
    "python": "docs.python.org/3",
    "scanpy": "scanpy.readthedocs.io/en/stable",
    "scipy": "docs.scipy.org/doc/scipy",
    "squidpy": "squidpy.readthedocs.io/en/stable",
}


def _reachable(host: str) -> bool:
    """Tell whether links to another project can be resolved: a build without network must not fail for them."""
    try:
        socket.create_connection((host, 443), timeout=2).close()
    except OSError:
        return False
    return True


intersphinx_mapping = {
    name: (f"https://{address}/", None) for name, address in _inventories.items() if _reachable(address.split("/")[0])
}

# for `sphinx-build -b linkcheck`, which runs on a schedule
linkcheck_ignore = [r"http://localhost"]
linkcheck_anchors_ignore_for_url = [r"https://github\.com/"]  # made by a script after the page is there
linkcheck_retries = 3

html_theme = "sphinx_book_theme"
html_title = "semtx"
html_static_path = ["_static"]
html_css_files = ["semtx.css"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {
    "repository_url": "https://github.com/semtx/semtx",
    "path_to_docs": "docs",
    "use_repository_button": True,
    "show_navbar_depth": 1,
}


def _literals(text: str) -> str:
    """Turn single backticks into literals; literals and roles stay."""
    marked = re.compile(r"(``.*?``|:[\w:]+:`[^`]*`)|`([^`\n]+)`")
    return marked.sub(lambda found: found[1] or f"``{found[2]}``", text)


def _list_keys(_app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Set Returns and Attributes as definition lists: napoleon takes each entry for the name of one variable."""
    section = re.compile(r"^(Returns|Attributes)\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}\n|\Z)", flags=re.MULTILINE | re.DOTALL)
    # two blank lines end the section before
    text = section.sub(lambda found: f"\n\n.. rubric:: {found[1]}\n\n{_literals(found[2])}\n", "\n".join(lines))
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> None:
    """Run before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _list_keys, priority=400)
