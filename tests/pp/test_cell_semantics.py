from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import semtx as st


@pytest.fixture
def adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    names = ["SNAP25", "MBP", "GFAP", "MT-CO1", "RPL3", "PLP1", "NRGN", "BLANK-1"]
    counts = sparse.csr_matrix(rng.poisson(2, size=(30, 8)).astype(np.float32))
    made = ad.AnnData(counts, var=pd.DataFrame(index=names))
    made.varm["gene_semantics"] = rng.normal(size=(8, 5)).astype(np.float32)
    made.varm["gene_semantics"][7] = 0
    return made


def test_weighted_is_the_mean_by_log_normalised_expression(adata):
    st.pp.cell_semantics(adata)
    counts = adata.X.toarray().astype(np.float64)
    weights = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    weights[:, [3, 4, 7]] = 0  # excluded, though they count in the normalisation
    expected = weights @ adata.varm["gene_semantics"] / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(adata.obsm["X_semantics"], expected, rtol=1e-4, atol=1e-6)
    assert adata.obsm["X_semantics"].dtype == np.float32
    record = adata.uns["semantics"]
    assert record["n_genes"] == 5
    assert record["expression"] == "X"
    assert record["params"]["method"] == "weighted"


def test_top_genes_is_the_mean_of_the_best(adata):
    st.pp.cell_semantics(adata, "top_genes", n_top_genes=2, exclude=())
    counts = adata.X.toarray()
    names = adata.var_names
    cell = 4
    best = sorted([g for g in np.flatnonzero(counts[cell]) if g != 7], key=lambda g: (-counts[cell, g], names[g]))[:2]
    np.testing.assert_allclose(
        adata.obsm["X_semantics"][cell], adata.varm["gene_semantics"][best].mean(axis=0), rtol=1e-5
    )


def test_log_normalised_values_give_the_same_as_the_counts(adata):
    log = adata.copy()
    totals = log.X.toarray().sum(axis=1, keepdims=True)
    log.X = np.log1p(1e4 * log.X.toarray() / totals).astype(np.float32)
    st.pp.cell_semantics(adata)
    st.pp.cell_semantics(log)
    np.testing.assert_allclose(adata.obsm["X_semantics"], log.obsm["X_semantics"], rtol=1e-3, atol=1e-5)
    assert "log-normalised" in log.uns["semantics"]["expression"]


def test_mask_and_layer_and_key(adata, tmp_path):
    adata.layers["raw"] = adata.X.copy()
    adata.X = adata.X * -1
    adata.var["highly_variable"] = [True, False, True, False, False, False, False, False]
    before = adata.layers["raw"].toarray()
    st.pp.cell_semantics(adata, layer="raw", mask_var="highly_variable", key_added="mine")
    assert adata.uns["mine_record"]["n_genes"] == 2
    np.testing.assert_array_equal(adata.layers["raw"].toarray(), before)
    adata.write_h5ad(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "x.h5ad").obsm["mine"], adata.obsm["mine"])


def test_an_empty_cell_is_zero_and_is_told(adata, caplog):
    dense = adata.X.toarray()
    dense[3] = 0
    adata.X = dense
    st.pp.cell_semantics(adata)
    assert not adata.obsm["X_semantics"][3].any()
    assert adata.uns["semantics"]["n_empty"] == 1
    assert "1 of 30 observations" in caplog.text


def test_copy_leaves_the_input_untouched(adata):
    made = st.pp.cell_semantics(adata, copy=True)
    assert "X_semantics" in made.obsm
    assert not adata.obsm
    assert not adata.uns


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "mean"}, ValueError, "method must be one of"),
        ({"ranking": "rank"}, ValueError, "ranking must be one of"),
        ({"n_top_genes": 0}, ValueError, "at least 1"),
        ({"n_top_genes": 2.5}, TypeError, "whole number"),
        ({"layer": "no"}, KeyError, "layer='no'"),
        ({"mask_var": "no"}, KeyError, "mask_var='no'"),
        ({"mask_var": np.ones(3, dtype=bool)}, ValueError, "boolean of shape"),
        ({"mask_var": np.arange(8) == 7}, ValueError, "no gene is left"),
        ({"gene_semantics_key": "no"}, KeyError, "pp.gene_semantics"),
        ({"gene_symbols": "no"}, KeyError, "gene_symbols='no'"),
        ({"exclude": ["mito"]}, ValueError, "exclude must be one of"),
    ],
)
def test_bad_options_leave_adata_alone(adata, options, error, message):
    with pytest.raises(error, match=message):
        st.pp.cell_semantics(adata, **options)
    assert not adata.obsm
    assert not adata.uns


@pytest.mark.parametrize(("value", "message"), [(-1, "negative"), (np.nan, "NaN")])
def test_bad_values(adata, value, message):
    adata.X = adata.X.toarray()
    adata.X[0, 0] = value
    with pytest.raises(ValueError, match=message):
        st.pp.cell_semantics(adata)
    assert not adata.obsm


def test_bad_vectors(adata):
    adata.varm["gene_semantics"][0, 0] = np.nan
    with pytest.raises(ValueError, match="finite vectors"):
        st.pp.cell_semantics(adata)


class Reader:
    """Remembers what it reads; the vector says which genes of the panel are named."""

    name, dimension, identity = "reader", 5, {"backend": "reader"}

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(self, texts: list[str]) -> np.ndarray:
        self.seen += texts
        panel = ["SNAP25", "MBP", "GFAP", "PLP1", "NRGN"]
        return np.array([[gene in text for gene in panel] for text in texts], dtype=np.float32)


def test_prompt_names_the_best_genes_best_first(adata):
    reader = Reader()
    st.pp.cell_semantics(adata, "prompt", n_top_genes=2, encoder=reader, prompt="{genes}")
    counts = adata.X.toarray()
    allowed = [0, 1, 2, 5, 6]
    expected = []
    for cell in counts:
        best = sorted([g for g in allowed if cell[g]], key=lambda g: (-cell[g], adata.var_names[g]))[:2]
        expected.append(", ".join(adata.var_names[g] for g in best))
    assert sorted(reader.seen) == sorted(set(expected))  # equal lists are read once
    assert adata.obsm["X_semantics"].sum(axis=1).tolist() == [len(text.split(", ")) for text in expected]
    assert adata.uns["semantics"]["encoder"]["name"] == "reader"
    assert not any("gene_semantics" in key for key in adata.uns)

    again = Reader()
    st.pp.cell_semantics(adata, "prompt", n_top_genes=2, encoder=again, prompt="{genes}")
    assert again.seen == []


def test_sentence_writes_official_symbols_in_upper_case(adata):
    adata.var_names = ["Snap25.1", *adata.var_names[1:]]
    adata.var["names"] = ["snap25", "MBP", "Gfap", "MT-CO1", "RPL3", "PLP1", "NRGN", "BLANK-1"]
    reader = Reader()
    st.pp.cell_semantics(adata, "sentence", encoder=reader, organism="human", gene_symbols="names", exclude=())
    words = {word for text in reader.seen for word in text.split()}
    assert words == {"SNAP25", "MBP", "GFAP", "MT-CO1", "RPL3", "PLP1", "NRGN", "BLANK-1"}
    adata.var_names = ["Snap25", "Mbp", "Gfap", "mt-Co1", "Rpl3", "Plp1", "Nrgn", "clone.7"]
    mouse = Reader()
    st.pp.cell_semantics(adata, "sentence", encoder=mouse, organism="mouse")
    assert {word for text in mouse.seen for word in text.split()} == {"Snap25", "Mbp", "Gfap", "Plp1", "Nrgn"}


@pytest.mark.parametrize("method", ["prompt", "sentence"])
def test_text_methods_need_an_encoder(adata, method):
    with pytest.raises(ValueError, match="has text read: say by what, such as encoder="):
        st.pp.cell_semantics(adata, method)


def test_built_in_vectors_are_computed_where_there_are_none(tissue):
    st.pp.cell_semantics(tissue)
    assert tissue.obsm["X_semantics"].shape == (tissue.n_obs, 384)
    alone = tissue.copy()
    for key in list(alone.varm):
        del alone.varm[key]
    st.pp.gene_semantics(alone)
    np.testing.assert_array_equal(alone.varm["gene_semantics"], tissue.varm["gene_semantics"])
    assert {"gene_semantics_matched", "gene_semantics_match"} <= set(tissue.var)
    assert tissue.uns["gene_semantics"]["organism"] == "human"


def test_built_in_vectors_are_not_written_when_something_fails(tissue):
    mask = np.zeros(tissue.n_vars, dtype=bool)
    tissue.var_names = ["BLANK-1", *tissue.var_names[1:]]
    mask[0] = True
    with pytest.raises(ValueError, match="no gene is left"):
        st.pp.cell_semantics(tissue, mask_var=mask)
    assert not tissue.varm
    assert "gene_semantics" not in tissue.uns


def test_a_view_and_a_spatialdata_like_object(adata):
    class Bag:
        tables = {"table": adata}  # noqa: RUF012

    st.pp.cell_semantics(Bag())
    whole = adata.obsm["X_semantics"]
    view = adata[:10]
    made = st.pp.cell_semantics(view, copy=True, key_added="again")
    np.testing.assert_allclose(made.obsm["again"], whole[:10], rtol=1e-5)
    assert view.is_view


def test_record_survives_h5ad_and_zarr(adata, tmp_path):
    st.pp.cell_semantics(adata, "top_genes", n_top_genes=3, mask_var=np.ones(8, dtype=bool))
    adata.write_h5ad(tmp_path / "x.h5ad")
    adata.write_zarr(tmp_path / "x.zarr")
    for read in (ad.read_h5ad(tmp_path / "x.h5ad"), ad.read_zarr(tmp_path / "x.zarr")):
        assert read.uns["semantics"]["params"]["n_top_genes"] == 3
        assert read.uns["semantics"]["params"]["exclude"].tolist() == ["mitochondrial", "ribosomal", "control"]


def test_key_added_is_checked(adata):
    with pytest.raises(ValueError, match="key_added must not be empty nor contain '/'"):
        st.pp.cell_semantics(adata, key_added="a/b")
