from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from semtx import _validate as v


@pytest.fixture
def adata():
    made = AnnData(np.ones((4, 3), np.float32))
    made.obsm["spatial"] = np.arange(8.0).reshape(4, 2)
    return made


def test_listed_shortens():
    assert v.listed([]) == "none"
    assert v.listed(["a", "b"]) == "'a', 'b'"
    assert v.listed(range(30), limit=2) == "0, 1, ... (30 in all)"


class TestResolveTable:
    def test_anndata_is_itself(self, adata):
        assert v.resolve_table(adata) is adata

    def test_only_table(self, adata):
        assert v.resolve_table(SimpleNamespace(tables={"table": adata})) is adata

    def test_named_table(self, adata):
        data = SimpleNamespace(tables={"cells": adata, "bins": None})
        assert v.resolve_table(data, "cells") is adata

    def test_several_tables_ask_which(self, adata):
        with pytest.raises(ValueError, match=r"'bins', 'cells'; say which one with table_key="):
            v.resolve_table(SimpleNamespace(tables={"bins": adata, "cells": adata}))

    def test_unknown_table(self, adata):
        with pytest.raises(KeyError, match=r"table_key='x' is not among .*'cells'"):
            v.resolve_table(SimpleNamespace(tables={"cells": adata}), "x")

    def test_something_else(self):
        with pytest.raises(TypeError, match="expected an AnnData or SpatialData object, got DataFrame"):
            v.resolve_table(pd.DataFrame())


class TestCheckAnndata:
    @pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
    def test_empty(self, shape):
        with pytest.raises(ValueError, match=rf"empty: {shape[0]} observations x {shape[1]} variables"):
            v.check_anndata(AnnData(np.zeros(shape)))

    @pytest.mark.parametrize("axis", ["obs", "var"])
    @pytest.mark.filterwarnings("ignore:.*names are not unique")
    def test_names_twice(self, adata, axis):
        names = getattr(adata, f"{axis}_names").tolist()
        setattr(adata, f"{axis}_names", [names[0], *names[:-1]])
        with pytest.raises(
            ValueError, match=rf"{axis}_names are not unique \('0'\); call adata.{axis}_names_make_unique"
        ):
            v.check_anndata(adata)

    def test_good(self, adata):
        assert v.check_anndata(adata) is None


def test_check_key_returns_or_tells(adata):
    assert v.check_key(adata, "obsm", "spatial") is adata.obsm["spatial"]
    with pytest.raises(
        KeyError, match=r"use_rep='X_pca' is not in adata.obsm, which has 'spatial'; call scanpy.pp.pca"
    ):
        v.check_key(adata, "obsm", "X_pca", parameter="use_rep", fix="call scanpy.pp.pca")
    with pytest.raises(KeyError, match=r"'x' is not in adata.layers, which has none"):
        v.check_key(adata, "layers", "x")


def test_check_choice():
    assert v.check_choice("preset", "paper", ("paper", "default")) is None
    with pytest.raises(ValueError, match=r"preset must be one of 'paper', 'default', got 'papper'"):
        v.check_choice("preset", "papper", ("paper", "default"))


class TestKeyAdded:
    @pytest.mark.parametrize("key", ["semst", "my key", "spatial_domains"])
    def test_good(self, key):
        assert v.check_key_added(key, "xy") is None

    @pytest.mark.parametrize("key", [None, 3, ("a",), ["a"]])
    def test_no_text(self, key):
        with pytest.raises(TypeError, match="key_added must be text, got"):
            v.check_key_added(key)

    @pytest.mark.parametrize("key", ["", " ", "a/b", "/"])
    def test_cannot_be_written(self, key):
        with pytest.raises(ValueError, match=f"must not be empty nor contain '/'.* got '{key}'"):
            v.check_key_added(key)

    @pytest.mark.parametrize("key", ["spatial", "xy"])
    def test_taken(self, key):
        with pytest.raises(ValueError, match=f"key_added='{key}' is what is read"):
            v.check_key_added(key, "xy")


class TestNumbers:
    @pytest.mark.parametrize("value", [1, np.int64(5)])
    def test_integer(self, value):
        assert v.check_integer("k", value, minimum=1, maximum=5) is None

    @pytest.mark.parametrize("value", [2.5, True, "3", None])
    def test_not_an_integer(self, value):
        with pytest.raises(TypeError, match="k must be a whole number"):
            v.check_integer("k", value, minimum=1)

    @pytest.mark.parametrize("value", [0, 6])
    def test_integer_out_of_range(self, value):
        with pytest.raises(ValueError, match=f"k must be at least 1 and at most 5, got {value}"):
            v.check_integer("k", value, minimum=1, maximum=5)

    def test_optional_integer(self):
        assert v.check_integer("k", None, minimum=1, optional=True) is None

    @pytest.mark.parametrize("value", [0.0, 0.5, np.float32(1), 1])
    def test_number(self, value):
        assert v.check_number("part", value, minimum=0, maximum=1) is None

    @pytest.mark.parametrize("value", ["1", None, False])
    def test_not_a_number(self, value):
        with pytest.raises(TypeError, match="part must be a number"):
            v.check_number("part", value)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
    def test_number_out_of_range(self, value):
        with pytest.raises(ValueError, match="part must be finite"):
            v.check_number("part", value, minimum=0, maximum=1)

    def test_open_minimum(self):
        with pytest.raises(ValueError, match="resolution must be finite, above 0, got 0"):
            v.check_number("resolution", 0, minimum=0, open_minimum=True)


class TestClusters:
    @pytest.mark.parametrize("value", [None, 2, 10])
    def test_good(self, value):
        assert v.check_n_clusters(value, 10) is None

    @pytest.mark.parametrize("value", [1, 0, -1])
    def test_too_few(self, value):
        with pytest.raises(ValueError, match=f"n_clusters must be at least 2, got {value}"):
            v.check_n_clusters(value, 10)

    def test_fraction(self):
        with pytest.raises(TypeError, match=r"n_clusters must be a whole number, got 2\.5"):
            v.check_n_clusters(2.5, 10)

    def test_more_than_observations(self):
        with pytest.raises(ValueError, match="n_clusters=11 is more than the 10 observations"):
            v.check_n_clusters(11, 10)


class TestCoordinates:
    def test_good(self, adata):
        np.testing.assert_array_equal(v.coordinates(adata, "spatial"), adata.obsm["spatial"])

    def test_data_frame(self, adata):
        adata.obsm["frame"] = pd.DataFrame(adata.obsm["spatial"], index=adata.obs_names, columns=["x", "y"])
        np.testing.assert_array_equal(v.coordinates(adata, "frame"), adata.obsm["spatial"])

    def test_missing(self, adata):
        with pytest.raises(KeyError, match=r"spatial_key='xy' is not in adata.obsm, which has 'spatial'; put an array"):
            v.coordinates(adata, "xy")

    @pytest.mark.parametrize("n_columns", [1, 4])
    def test_columns(self, adata, n_columns):
        adata.obsm["spatial"] = np.zeros((4, n_columns))
        with pytest.raises(ValueError, match=rf"2 or 3 columns of coordinates, its shape is \(4, {n_columns}\)"):
            v.coordinates(adata, "spatial")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, adata, value):
        adata.obsm["spatial"][2, 1] = value
        with pytest.raises(ValueError, match=r"NaN or infinite coordinates in 1 observations \(first: '2'\)"):
            v.coordinates(adata, "spatial")
