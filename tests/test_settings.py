from __future__ import annotations

import os
from pathlib import Path

import pytest

from semtx._settings import ACCELERATORS, VERBOSITIES, Settings


@pytest.fixture
def settings(monkeypatch):
    for name in list(os.environ):
        if name.startswith("SEMTX_"):
            monkeypatch.delenv(name)
    return Settings()


def test_defaults(settings):
    assert settings.verbosity == "warning"
    assert settings.accelerator == "auto"
    assert settings.devices == 1
    assert settings.precision == "32-true"
    assert settings.deterministic is False
    assert settings.n_jobs == -1
    assert settings.datasetdir == settings.cachedir / "datasets"


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("SEMTX_CACHEDIR", "~/there", "cachedir", Path("~/there").expanduser()),
        ("SEMTX_DATASETDIR", "data", "datasetdir", Path("data")),
        ("SEMTX_VERBOSITY", "info", "verbosity", "info"),
        ("SEMTX_VERBOSITY", "3", "verbosity", "hint"),
        ("SEMTX_ACCELERATOR", "cpu", "accelerator", "cpu"),
        ("SEMTX_DEVICES", "2", "devices", 2),
        ("SEMTX_PRECISION", "bf16-mixed", "precision", "bf16-mixed"),
        ("SEMTX_DETERMINISTIC", "True", "deterministic", True),
        ("SEMTX_DETERMINISTIC", "0", "deterministic", False),
        ("SEMTX_N_JOBS", "2", "n_jobs", 2),
    ],
)
def test_environment(settings, monkeypatch, variable, text, name, value):
    monkeypatch.setenv(variable, text)
    settings.reset()
    assert getattr(settings, name) == value


def test_environment_with_a_wrong_value_says_what_is_allowed(monkeypatch):
    monkeypatch.setenv("SEMTX_ACCELERATOR", "abacus")
    with pytest.raises(ValueError, match=r"SEMTX_ACCELERATOR='abacus'.*accelerator must be one of 'auto'.*'abacus'"):
        Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SEMTX_N_JOBS", "abc"), ("SEMTX_N_JOBS", "0"), ("SEMTX_N_JOBS", "--1"), ("SEMTX_VERBOSITY", "-1")],
)
def test_a_wrong_environment_variable_is_named_and_changes_nothing(settings, monkeypatch, variable, value):
    monkeypatch.setenv("SEMTX_CACHEDIR", "elsewhere")
    monkeypatch.setenv(variable, value)
    before = repr(settings)
    with pytest.raises(ValueError, match=f"environment variable {variable}='{value}': settings.*correct or unset it"):
        settings.reset()
    assert repr(settings) == before


def test_datasets_follow_the_cache_folder(settings, monkeypatch):
    monkeypatch.setenv("SEMTX_CACHEDIR", "cache")
    settings.reset()
    assert settings.datasetdir == Path("cache/datasets")


def test_datasets_follow_a_cache_folder_set_later(settings):
    with settings.override(cachedir="there"):
        assert settings.datasetdir == Path("there/datasets")
    assert settings.datasetdir == settings.cachedir / "datasets"
    settings.cachedir = "elsewhere"
    assert settings.datasetdir == Path("elsewhere/datasets")


def test_datasets_in_a_folder_of_their_own_stay(settings):
    settings.datasetdir = "data"
    with settings.override(cachedir="there"):
        assert settings.datasetdir == Path("data")
    with settings.override(datasetdir=None):
        assert settings.datasetdir == settings.cachedir / "datasets"
    assert settings.datasetdir == Path("data")


@pytest.mark.parametrize("value", VERBOSITIES)
def test_verbosity_by_name_and_number(settings, value):
    settings.verbosity = value.upper()
    assert settings.verbosity == value
    settings.verbosity = VERBOSITIES.index(value)
    assert settings.verbosity == value


@pytest.mark.parametrize("value", ACCELERATORS)
def test_accelerators(settings, value):
    settings.accelerator = value
    assert settings.accelerator == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verbosity", "loud"),
        ("verbosity", -1),
        ("verbosity", True),
        ("verbosity", None),
        ("accelerator", None),
        ("devices", 0),
        ("devices", "2"),
        ("devices", True),
        ("precision", "bf16"),
        ("precision", 16),
        ("deterministic", 1),
        ("deterministic", "yes"),
        ("n_jobs", 0),
        ("n_jobs", -2),
        ("n_jobs", 1.5),
        ("n_jobs", True),
        ("n_jobs", "2"),
    ],
)
def test_wrong_values_change_nothing(settings, name, value):
    before = getattr(settings, name)
    with pytest.raises(ValueError, match=f"settings.{name} must be"):
        setattr(settings, name, value)
    assert getattr(settings, name) == before


def test_unknown_setting_lists_those_there_are(settings):
    with pytest.raises(AttributeError, match=r"no setting 'verbosty'; it has cachedir, .*n_jobs"):
        settings.verbosty = "info"


def test_override_restores_also_after_an_error(settings):
    def fail():
        assert (settings.verbosity, settings.n_jobs) == ("debug", 1)
        message = "in the middle"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="in the middle"), settings.override(verbosity="debug", n_jobs=1):
        fail()
    assert (settings.verbosity, settings.n_jobs) == ("warning", -1)


def test_override_with_one_wrong_value_changes_nothing(settings):
    with pytest.raises(ValueError, match="n_jobs"), settings.override(verbosity="debug", n_jobs=0):
        pytest.fail("the block must not run")
    assert settings.verbosity == "warning"


def test_repr_names_every_setting(settings):
    text = repr(settings)
    assert all(
        f"{name} = " in text
        for name in ("cachedir", "datasetdir", "verbosity", "accelerator", "devices", "precision", "n_jobs")
    )
