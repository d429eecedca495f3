from __future__ import annotations

from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from semtx._record import labels_to_categorical, run_record, sanitize, working_copy, write_results

AWKWARD = {
    "tuple": (1, 2.5),
    "flags": [True, False],
    "names": ["a", None, 3],
    "empty": [],
    "set": {"x"},
    "path": Path("somewhere"),
    "none": None,
    "nested": {1: {"a/b": "slash"}, "none": None},
    "records": [{"a": 1}, {"b": 2}],
    "number": np.float32(1.5),
    "array": np.arange(3),
    "frame": pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    "mapping": OrderedDict(a=1),
    "type": int,
}


@pytest.fixture
def adata():
    return AnnData(np.ones((4, 3), np.float32), obs=pd.DataFrame(index=list("abcd")))


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, pd.DataFrame):
        return np.array_equal(left.to_numpy(), right.to_numpy())
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    return left == right or (left is None and right is None)


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_sanitized_values_survive_a_file(adata, tmp_path, form):
    adata.uns["record"] = sanitize(AWKWARD)
    path = tmp_path / f"file.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(anndata, f"read_{form}")(path).uns["record"]
    assert same(adata.uns["record"], back)


def test_sanitize_makes_keys_that_files_can_hold():
    assert sanitize({1: {"a/b": 2, "": 3}}) == {"1": {"a|b": 2, "(empty)": 3}}


def test_sanitize_is_idempotent():
    once = sanitize(AWKWARD)
    assert same(once, sanitize(once))


def test_run_record_tells_what_ran():
    record = run_record("tl.semst", {"random_state": 3, "hidden": (4, 2)}, losses={"total": [2.0, 1.0]}, device="cpu")
    assert record["function"] == "semtx.tl.semst"
    assert record["params"]["random_state"] == 3
    assert record["params"]["hidden"].tolist() == [4, 2]
    assert record["losses"]["total"].tolist() == [2, 1]
    assert record["device"] == "cpu"
    assert record["versions"]["anndata"] == version("anndata")
    assert pd.Timestamp(record["date"]).tzinfo is not None


def test_labels_are_ordered_by_number():
    labels = labels_to_categorical(np.array([10, 2, 0, 10]))
    assert labels.tolist() == ["10", "2", "0", "10"]
    assert labels.categories.tolist() == ["0", "2", "10"]


def test_working_copy_shares_nothing(adata):
    copied = working_copy(adata)
    copied.X[0, 0] = 7
    copied.obs["new"] = 1
    assert adata.X[0, 0] == 1
    assert "new" not in adata.obs


def test_working_copy_of_a_backed_file_is_in_memory(adata, tmp_path):
    adata.write_h5ad(tmp_path / "file.h5ad")
    backed = anndata.read_h5ad(tmp_path / "file.h5ad", backed="r")
    copied = working_copy(backed)
    backed.file.close()
    assert not copied.isbacked
    np.testing.assert_array_equal(copied.X, adata.X)


class TestWriteResults:
    def test_writes_every_field(self, adata):
        write_results(adata, obs={"label": list("xxyy")}, obsm={"X_e": np.zeros((4, 2))}, uns={"run": {"a": 1}})
        assert adata.obs["label"].tolist() == list("xxyy")
        assert adata.obsm["X_e"].shape == (4, 2)
        assert adata.uns["run"] == {"a": 1}

    def test_all_or_nothing(self, adata):
        adata.obs["label"] = list("abcd")
        with pytest.raises(ValueError, match="shape"):
            write_results(adata, obs={"label": list("xxyy"), "new": 1}, obsm={"X_e": np.zeros((3, 2))})
        assert adata.obs["label"].tolist() == list("abcd")
        assert list(adata.obs) == ["label"]
        assert list(adata.obsm) == []

    @pytest.mark.filterwarnings("error")
    def test_a_view_becomes_its_own_object_with_one_message(self, adata, capsys):
        view = adata[:2]
        write_results(view, obs={"label": [1, 2]})
        assert not view.is_view
        assert view.obs["label"].tolist() == [1, 2]
        assert "label" not in adata.obs
        assert "adata is a view" in capsys.readouterr().err

    def test_none_takes_away_and_comes_back_after_an_error(self, adata):
        adata.obsm["old"] = np.ones((4, 2))
        with pytest.raises(ValueError, match="shape"):
            write_results(adata, obsm={"old": None, "X_e": np.zeros((3, 2))})
        assert adata.obsm["old"].sum() == 8
        write_results(adata, obsm={"old": None, "never": None})
        assert list(adata.obsm) == []
