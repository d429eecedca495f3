from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from semtx._progress import progress_bar


class Screen(io.StringIO):
    def isatty(self):
        return True


def drawn(monkeypatch, where, show=None):
    monkeypatch.setattr(sys, "stderr", where)
    bar = progress_bar(3, "Trial", show)
    bar.update()
    bar.close()
    return where.getvalue()


@pytest.fixture
def kernel(monkeypatch):
    """IPython as a kernel of a notebook has it, but without the display of widgets."""
    shell = SimpleNamespace(kernel=object(), config={})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)


@pytest.fixture
def python(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)


@pytest.mark.usefixtures("python")
class TestPython:
    def test_shown_in_a_terminal(self, monkeypatch):
        assert "Trial" in drawn(monkeypatch, Screen())

    def test_not_shown_in_a_file(self, monkeypatch):
        assert drawn(monkeypatch, io.StringIO()) == ""

    def test_as_asked(self, monkeypatch):
        assert "Trial" in drawn(monkeypatch, io.StringIO(), show=True)
        assert drawn(monkeypatch, Screen(), show=False) == ""


def test_shown_in_a_notebook(monkeypatch, kernel):
    assert "Trial" in drawn(monkeypatch, io.StringIO())
    assert drawn(monkeypatch, io.StringIO(), show=False) == ""


def test_ipython_without_a_kernel_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert drawn(monkeypatch, io.StringIO()) == ""


def test_ipython_that_only_was_imported_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert drawn(monkeypatch, io.StringIO()) == ""
