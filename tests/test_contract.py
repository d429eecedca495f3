"""The contract of the public functions, on every one of them: in place or copy, all or nothing, any input, any file."""

from __future__ import annotations

import inspect
import re
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from generate.keys import written_table
from scipy import sparse

import semtx as st

# How to call each function that writes; a new function joins here.
CALLS: dict[str, dict] = {
    "pp.gene_semantics": {},
    "pp.cell_semantics": {},
    "tl.query": {"query": "myelin sheath", "encoder": "vocabulary"},
    "tl.semst": {"n_clusters": 3},
    "tl.scllm_dsc": {"n_clusters": 3},
    "tl.describe": {"groupby": "ground_truth"},
    "tl.gene_attribution": {"key": "trained"},
    "tl.cluster": {"n_clusters": 3, "use_rep": "X_pca"},
    "tl.modulate": {"use_rep": "X_pca"},
}
PLOTS: dict[str, dict] = {
    "pl.spatial": {"color": "ground_truth", "show": False},
    "pl.history": {"show": False},
    "pl.domains_report": {"key": "trained", "show": False},
    "pl.modulation": {"key": "trained", "show": False},
    "pl.embedding": {"key": "ground_truth", "use_rep": "spatial", "show": False},
    "pl.confidence": {"key": "ground_truth", "show": False},
    "pl.describe": {"key": "described", "n_terms": 2, "max_pval_adj": 1.0, "show": False},
    "pl.gene_semantics": {"key": "plane", "show": False},
    "pl.agreement": {"first": "ground_truth", "second": "ground_truth", "kind": "flow", "show": False},
}
NEEDS_COUNTS = ["pp.cell_semantics", "tl.describe", "tl.query", "tl.semst", "tl.scllm_dsc"]
NEEDS_PLACE = ["tl.semst", "pl.modulation", "pl.domains_report", "pl.spatial"]
N_OBS = 100

pytestmark = pytest.mark.filterwarnings(
    "ignore:Writing zarr v2", "ignore:.*names are not unique:UserWarning", "ignore:Transforming to str index"
)


@cache
def example() -> AnnData:
    adata = st.datasets.tissue(N_OBS)
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(N_OBS, 5)).astype(np.float32)
    adata.uns["semst"] = {"losses": {"total": np.array([2.0, 1.0])}}
    adata.layers["scaled"] = adata.X.toarray() - 1
    adata.obsm["ground_truth_proba"] = np.full((N_OBS, 5), 0.2)
    adata.obs["ground_truth_confidence"] = 0.2
    adata.varm["plane"] = np.random.default_rng(1).normal(size=(adata.n_vars, 2)).astype(np.float32)
    st.tl.describe(adata, "ground_truth", n_terms=3, key_added="described")
    _add_training(adata)
    return adata


def _add_training(adata: AnnData) -> None:
    """Add what ``tl.semst`` stores, with a graph of its own, so that the usual keys stay free."""
    made = st.tl.semst(adata, 3, max_epochs=2, key_added="trained", store_modulation=True, copy=True)
    adata.obs["trained"] = made.obs["trained"]
    adata.obsm["trained_modulation"] = made.obsm["trained_modulation"]
    adata.obsp["trained_connectivities"] = made.obsp["spatial_connectivities"]
    adata.uns["trained_neighbors"] = {"connectivities_key": "trained_connectivities"}
    adata.uns["trained"] = made.uns["trained"]
    adata.uns["trained"]["params"]["neighbors_key"] = "trained_neighbors"


@pytest.fixture
def adata() -> AnnData:
    made = example().copy()
    del made.uns["semst"]
    return made


def call(name: str, data, **options):
    """Call a function as in ``CALLS``, with a short training."""
    room, function = name.split(".")
    function = getattr(getattr(st, room), function)
    options = {**CALLS.get(name, {}), **PLOTS.get(name, {}), **options}
    if "max_epochs" in inspect.signature(function).parameters:
        options.setdefault("max_epochs", 2)
    return function(data, **options)


def frozen(value):
    """Turn anything an AnnData holds into something that compares by content."""
    if sparse.issparse(value):
        csr = value.tocsr().sorted_indices()
        return (csr.shape, csr.dtype.str, csr.data.tobytes(), csr.indices.tolist(), csr.indptr.tolist())
    if isinstance(value, np.ndarray):
        is_text = value.dtype.kind in "OUST"  # files give another type of text back
        return (value.shape, value.tolist()) if is_text else (value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, (pd.DataFrame, pd.Series)):
        frame = pd.DataFrame(value)
        columns = {str(name): (str(frame[name].dtype), frame[name].tolist()) for name in frame}
        return (frame.index.tolist(), columns)
    if hasattr(value, "items"):
        return {key: frozen(item) for key, item in value.items()}
    return value


def state(adata: AnnData) -> dict:
    """Everything in an AnnData, as plain values."""
    held = {name: frozen(getattr(adata, name)) for name in ("X", "layers", "obsm", "varm", "obsp", "varp", "uns")}
    for name in ("obs", "var"):
        frame = getattr(adata, name)
        held[f"{name}_names"] = frame.index.tolist()
        held[name] = {column: (str(frame[column].dtype), frame[column].astype(object).tolist()) for column in frame}
    return held


def keys(adata: AnnData) -> set[str]:
    return {
        f"{name}[{key!r}]"
        for name in ("obs", "var", "obsm", "varm", "obsp", "uns", "layers")
        for key in getattr(adata, name)
    }


def results(adata: AnnData, before: set[str]) -> dict:
    """What was written, without times and dates."""
    held = state(adata)
    return {
        key: held[key.split("[")[0]][key.split("['")[1][:-2]]
        for key in sorted(keys(adata) - before)
        if not key.startswith("uns")
    }


def test_every_function_is_under_contract():
    public = {f"{room}.{name}" for room in ("pp", "tl", "pl") for name in getattr(st, room).__all__}
    assert public == {*CALLS, *PLOTS}


@pytest.mark.parametrize("name", CALLS)
class TestResults:
    def test_copy_leaves_the_input_and_in_place_returns_none(self, adata, name):
        before, had = state(adata), keys(adata)
        copied = call(name, adata, copy=True)
        assert state(adata) == before
        assert isinstance(copied, AnnData)
        assert call(name, adata) is None
        assert keys(adata) == keys(copied)
        assert keys(adata) > had
        assert results(adata, had) == results(copied, had), "same seed, same results"

    def test_what_was_there_stays(self, adata, name):
        before = state(adata)
        call(name, adata)
        after = state(adata)
        assert after["X"] == before["X"]
        for part, held in before.items():
            if isinstance(held, dict):
                assert {key: after[part][key] for key in held} == held

    @pytest.mark.parametrize("form", ["h5ad", "zarr"])
    def test_results_survive_a_file(self, adata, tmp_path, name, form):
        had = keys(adata)
        call(name, adata)
        path = tmp_path / f"file.{form}"
        getattr(adata, f"write_{form}")(path)
        back = getattr(anndata, f"read_{form}")(path)
        assert keys(back) == keys(adata)
        assert results(back, had) == results(adata, had)
        assert frozen(back.uns) == frozen(adata.uns)

    def test_key_added_renames_all_results(self, adata, name):
        had = keys(adata)
        call(name, adata)
        default = keys(adata) - had
        other = example().copy()
        del other.uns["semst"]
        call(name, other, key_added="other")
        renamed = keys(other) - had
        # results of steps that were missing keep their names, as do squidpy's
        own = {key for key in default if key not in renamed}
        assert own
        assert len(renamed) == len(default)
        assert all("other" in key for key in renamed - default)

    def test_no_nan(self, adata, name):
        had = keys(adata)
        call(name, adata)
        for key in keys(adata) - had:
            part, key = re.match(r"(\w+)\['(.*)'\]", key).groups()  # noqa: PLW2901
            value = getattr(adata, part)[key]
            if part in ("obsm", "varm"):
                assert np.isfinite(np.asarray(value)).all(), key
            elif part in ("obs", "var"):
                assert value.notna().all(), key

    def test_every_key_is_documented(self, adata, name):
        table = written_table()
        had = keys(adata)
        call(name, adata)
        assert not [key for key in keys(adata) - had if key.replace("'", '"') not in table]


FORMS = {
    "csc": sparse.csc_matrix,
    "csr array": sparse.csr_array,
    "dense": lambda x: x.toarray(),
    "float64": lambda x: x.astype(np.float64),
    "int64": lambda x: x.astype(np.int64),
    "dense int32": lambda x: x.toarray().astype(np.int32),
    "fortran": lambda x: np.asfortranarray(x.toarray()),
}


@pytest.mark.parametrize("name", CALLS)
class TestInput:
    @pytest.fixture
    def wanted(self, adata, name):
        had = keys(adata)
        return results(call(name, adata, copy=True), had)

    @pytest.mark.parametrize("form", FORMS)
    def test_any_matrix_gives_the_same_results(self, adata, name, wanted, form):
        had = keys(adata)
        adata.X = FORMS[form](adata.X)
        before = frozen(adata.X)
        call(name, adata)
        assert results(adata, had) == wanted
        assert frozen(adata.X) == before

    def test_view(self, adata, name, wanted, capsys):
        had = keys(adata)
        whole = anndata.concat(
            [adata, adata[:5].copy()], merge="same", uns_merge="same", index_unique="-", pairwise=True
        )
        whole.varm.update(adata.varm)
        whole.obs_names = [*adata.obs_names, *(f"more{i}" for i in range(5))]
        before = state(whole)
        view = whole[:N_OBS]
        assert view.is_view
        call(name, view)
        assert results(view, had) == wanted
        assert state(whole) == before
        assert "adata is a view" in capsys.readouterr().err

    @pytest.mark.parametrize("form", ["csr", "csc", "dense"])
    def test_backed_and_read_only_file(self, adata, tmp_path, monkeypatch, name, wanted, form):
        had = keys(adata)
        path = tmp_path / "file.h5ad"
        adata.X = adata.X.toarray() if form == "dense" else adata.X.asformat(form)
        # many blocks, the last of them short
        monkeypatch.setattr("semtx._counts._BLOCK", 30 * adata.n_vars)
        adata.write_h5ad(path)
        path.chmod(0o444)
        content = path.read_bytes()
        backed = anndata.read_h5ad(path, backed="r")
        call(name, backed)
        assert results(backed.to_memory(), had) == wanted
        backed.file.close()
        assert path.read_bytes() == content

    @pytest.mark.parametrize("chunks", [(30, -1), (30, 200)])
    def test_dask(self, adata, name, wanted, chunks):
        dask_array = pytest.importorskip("dask.array")
        had = keys(adata)
        adata.X = dask_array.from_array(adata.X.toarray(), chunks=chunks)
        if chunks[1] == -1:
            adata.X = adata.X.map_blocks(sparse.csr_matrix)
        call(name, adata)
        assert isinstance(adata.X, dask_array.Array)
        assert results(adata, had) == wanted

    def test_spatialdata(self, adata, name, wanted):
        spatialdata = pytest.importorskip("spatialdata")
        had = keys(adata)
        sdata = spatialdata.SpatialData(tables={"bins": adata, "cells": adata.copy()})
        with pytest.raises(ValueError, match="'bins', 'cells'; say which one with table_key="):
            call(name, sdata)
        call(name, sdata, table_key="cells")
        assert results(sdata.tables["cells"], had) == wanted
        assert keys(sdata.tables["bins"]) == had


@pytest.mark.parametrize("name", NEEDS_COUNTS)
@pytest.mark.parametrize("place", ["layer", "raw"])
def test_normalized_x_with_counts_elsewhere(adata, name, place):
    import scanpy as sc

    wanted, had = call(name, adata, copy=True), keys(adata)
    if place == "raw":
        adata.raw = adata.copy()
    else:
        adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    call(name, adata)
    for key in keys(wanted) - had:
        part, key = re.match(r"(\w+)\['(.*)'\]", key).groups()  # noqa: PLW2901
        if part == "obsm":  # functions that take normalised values too round differently
            np.testing.assert_allclose(adata.obsm[key], wanted.obsm[key], atol=1e-5)
        elif part == "obs":
            assert adata.obs[key].tolist() == wanted.obs[key].tolist()


class TestBadInput:
    """Each fault has its own message, and AnnData stays as it was."""

    def refused(self, name, data, error, message, **options):
        before = state(data)
        with pytest.raises(error, match=message):
            call(name, data, **options)
        assert state(data) == before

    @pytest.mark.parametrize("name", {**CALLS, **PLOTS})
    def test_not_an_anndata(self, name):
        with pytest.raises(TypeError, match="expected an AnnData or SpatialData object, got DataFrame"):
            call(name, pd.DataFrame())

    @pytest.mark.parametrize("name", CALLS)
    @pytest.mark.parametrize("axis", ["obs", "var"])
    def test_names_twice(self, adata, name, axis):
        names = getattr(adata, f"{axis}_names").tolist()
        setattr(adata, f"{axis}_names", [names[1], *names[1:]])
        self.refused(name, adata, ValueError, f"{axis}_names are not unique.*{axis}_names_make_unique")

    @pytest.mark.parametrize("name", CALLS)
    @pytest.mark.parametrize("part", [np.s_[:0], np.s_[:, :0]])
    def test_empty(self, adata, name, part):
        if name == "tl.cluster" and adata[part].n_obs:
            # an embedding needs no genes
            assert call(name, adata[part].copy(), copy=True).obs["cluster"].nunique() == 3
            return
        self.refused(name, adata[part].copy(), ValueError, r"empty: \d+ observations x \d+ variables")

    @pytest.mark.parametrize("name", NEEDS_PLACE)
    def test_no_coordinates(self, adata, name):
        del adata.obsm["spatial"]
        self.refused(name, adata, KeyError, r"'spatial' is not in adata.obsm, which has 'X_pca'")

    @pytest.mark.parametrize("name", NEEDS_PLACE)
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_coordinates_that_are_no_numbers(self, adata, name, value):
        adata.obsm["spatial"][3, 0] = value
        self.refused(name, adata, ValueError, "NaN or infinite coordinates in 1 observations")

    @pytest.mark.parametrize("name", NEEDS_PLACE)
    def test_one_column_of_coordinates(self, adata, name):
        adata.obsm["spatial"] = adata.obsm["spatial"][:, :1]
        self.refused(name, adata, ValueError, r"must have 2 or 3 columns of coordinates, its shape is \(100, 1\)")

    def test_duplicate_coordinates_are_a_warning(self, adata, capsys):
        adata.obsm["spatial"][1] = adata.obsm["spatial"][0]
        call("tl.semst", adata)
        assert adata.obs["semst"].notna().all()
        assert re.search(r"WARNING: .*(same|duplicate)", capsys.readouterr().err, flags=re.IGNORECASE)

    @pytest.mark.parametrize("name", NEEDS_COUNTS)
    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            (lambda x: np.where(x > 3, -x, x), "negative values"),
            (lambda x: np.where(x > 3, np.nan, x), "NaN or infinite"),
            (lambda x: np.where(x > 3, np.inf, x), "NaN or infinite"),
        ],
        ids=["negative", "nan", "infinite"],
    )
    def test_values_that_are_no_counts(self, adata, name, fault, message):
        adata.X = fault(adata.X.toarray())
        self.refused(name, adata, ValueError, message)

    @pytest.mark.parametrize("name", ["tl.semst", "tl.scllm_dsc"])
    def test_lognormalized_values_where_counts_are_needed(self, adata, name):
        values = adata.X.toarray()
        adata.X = np.log1p(values / values.sum(axis=1, keepdims=True) * 1e4)
        self.refused(name, adata, ValueError, r"X has log-normalised values.*layers\['counts'\]")

    @pytest.mark.parametrize("name", ["tl.semst", "tl.scllm_dsc", "tl.cluster"])
    @pytest.mark.parametrize(
        ("n_clusters", "error", "message"),
        [
            (1, ValueError, "at least 2, got 1"),
            (0, ValueError, "at least 2, got 0"),
            (-1, ValueError, "at least 2, got -1"),
            (2.5, TypeError, r"whole number, got 2\.5"),
            ("5", TypeError, "whole number, got '5'"),
            (N_OBS + 1, ValueError, f"more than the {N_OBS} observations"),
        ],
    )
    def test_number_of_clusters(self, adata, name, n_clusters, error, message):
        self.refused(name, adata, error, f"n_clusters.*{message}", n_clusters=n_clusters)

    @pytest.mark.parametrize(
        ("name", "option", "error"),
        [
            ("pp.cell_semantics", {"layer": "missing"}, KeyError),
            ("pp.cell_semantics", {"method": "missing"}, ValueError),
            ("pp.cell_semantics", {"ranking": "missing"}, ValueError),
            ("pp.cell_semantics", {"gene_semantics_key": "missing"}, KeyError),
            ("pp.cell_semantics", {"mask_var": "missing"}, KeyError),
            ("pp.gene_semantics", {"organism": "missing"}, ValueError),
            ("pp.gene_semantics", {"gene_symbols": "missing"}, KeyError),
            ("tl.gene_attribution", {"key": "missing"}, KeyError),
            ("tl.gene_attribution", {"groupby": "missing"}, KeyError),
            ("tl.query", {"layer": "missing"}, KeyError),
            ("tl.query", {"mask_var": "missing"}, KeyError),
            ("tl.query", {"gene_symbols": "missing"}, KeyError),
            ("tl.query", {"gene_semantics_key": "missing"}, KeyError),
            ("tl.query", {"kind": "missing"}, ValueError),
            ("tl.semst", {"layer": "missing"}, KeyError),
            ("tl.semst", {"spatial_key": "missing"}, KeyError),
            ("tl.semst", {"library_key": "missing"}, KeyError),
            ("tl.semst", {"mask_var": "missing"}, KeyError),
            ("tl.semst", {"semantics": "missing"}, KeyError),
            ("tl.semst", {"preset": "missing"}, ValueError),
            ("tl.semst", {"accelerator": "missing"}, ValueError),
            ("tl.semst", {"precision": "missing"}, ValueError),
            ("tl.semst", {"batch_key": "missing"}, KeyError),
            ("tl.semst", {"cluster_method": "missing"}, ValueError),
            ("tl.scllm_dsc", {"layer": "missing"}, KeyError),
            ("tl.scllm_dsc", {"use_rep": "missing"}, KeyError),
            ("tl.scllm_dsc", {"batch_key": "missing"}, KeyError),
            ("tl.scllm_dsc", {"gene_symbols": "missing"}, KeyError),
            ("tl.scllm_dsc", {"mask_var": "missing"}, KeyError),
            ("tl.scllm_dsc", {"semantics": "missing"}, KeyError),
            ("tl.scllm_dsc", {"preset": "missing"}, ValueError),
            ("tl.scllm_dsc", {"accelerator": "missing"}, ValueError),
            ("tl.scllm_dsc", {"precision": "missing"}, ValueError),
            ("tl.scllm_dsc", {"cluster_on": "missing"}, ValueError),
            ("tl.scllm_dsc", {"cluster_method": "missing"}, ValueError),
            ("tl.describe", {"groupby": "missing"}, KeyError),
            ("tl.describe", {"layer": "missing"}, KeyError),
            ("tl.describe", {"mask_var": "missing"}, KeyError),
            ("tl.describe", {"evidence": "missing"}, ValueError),
            ("tl.cluster", {"use_rep": "missing"}, KeyError),
            ("tl.modulate", {"use_rep": "missing"}, KeyError),
            ("tl.modulate", {"semantics_key": "missing"}, KeyError),
            ("tl.modulate", {"library_key": "missing"}, KeyError),
            ("tl.modulate", {"neighbors_key": "missing"}, KeyError),
            ("tl.modulate", {"spatial_key": "missing", "context": "spatial"}, KeyError),
            ("tl.modulate", {"fusion": "missing"}, ValueError),
            ("tl.cluster", {"method": "missing"}, ValueError),
            ("pl.domains_report", {"key": "missing"}, KeyError),
            ("pl.spatial", {"color": "missing"}, KeyError),
            ("pl.spatial", {"library_key": "missing"}, KeyError),
            ("pl.embedding", {"use_rep": "missing"}, KeyError),
            ("pl.modulation", {"key": "missing"}, KeyError),
            ("pl.modulation", {"part": "missing"}, ValueError),
            ("pl.embedding", {"color": "missing"}, KeyError),
            ("pl.confidence", {"key": "missing"}, KeyError),
            ("pl.describe", {"key": "missing"}, KeyError),
            ("pl.describe", {"groups": "missing"}, KeyError),
            ("pl.gene_semantics", {"key": "missing"}, KeyError),
            ("pl.gene_semantics", {"color": "missing"}, KeyError),
            ("pl.gene_semantics", {"mask_var": "missing"}, KeyError),
            ("pl.agreement", {"second": "missing"}, KeyError),
            ("pl.agreement", {"kind": "missing"}, ValueError),
        ],
    )
    def test_what_is_not_there_is_named(self, adata, name, option, error):
        self.refused(name, adata, error, "missing", **option)

    @pytest.mark.parametrize("name", NEEDS_COUNTS)
    def test_a_layer_without_counts(self, adata, name):
        self.refused(name, adata, ValueError, r"layers\['scaled'\].* has negative", layer="scaled")

    def test_history_without_a_run(self, adata):
        with pytest.raises(KeyError, match="semst"):
            call("pl.history", adata)


class TestNoLabels:
    @pytest.mark.parametrize("name", ["tl.semst", "tl.scllm_dsc"])
    def test_the_truth_changes_nothing(self, adata, name):
        had = keys(adata)
        without = adata.copy()
        del without.obs["ground_truth"]
        call(name, adata)
        call(name, without)
        assert results(adata, had) == results(without, had - {"obs['ground_truth']"})

    def test_none_reads_labels(self):
        """Only metrics, datasets, the demonstration and plots of what is asked for speak of the truth."""
        source = Path(st.__file__).parent
        allowed = {"metrics", "datasets", "_demo.py"}
        files = [path for path in source.rglob("*.py") if path.relative_to(source).parts[0] not in allowed]
        code = {
            path.name: re.sub(r'""".*?"""|#.*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL) for path in files
        }
        assert not [name for name, text in code.items() if "ground_truth" in text]


@pytest.mark.parametrize("name", PLOTS)
def test_plots_change_nothing_but_colors(name):
    import matplotlib.pyplot as plt

    shown = example().copy()
    before, had = state(shown), keys(shown)
    figure = call(name, shown, return_fig=True)
    assert figure.axes
    plt.close(figure)
    assert {key for key in keys(shown) - had if "_colors" not in key} == set()
    after = state(shown)
    after["uns"] = {key: value for key, value in after["uns"].items() if key in before["uns"]}
    assert after == before
