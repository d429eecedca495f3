from __future__ import annotations

import numpy as np
import pytest

import semtx as st
from semtx.tl._attribution_inputs import semantic_weights, trained_read_out

FAST = {"n_clusters": 4, "max_epochs": 3, "accelerator": "cpu", "show_progress_bar": False, "store_modulation": True}


def trained(adata, **options):
    st.tl.semst(adata, **{**FAST, **options})
    return adata


def whole(adata, key="semst"):
    """Brute force: the length of each domain's modulation relative to that of the mean observation."""
    record, f, _, around = trained_read_out(adata, key)
    weights, vectors, _ = semantic_weights(adata, record)
    x = weights @ vectors
    x = x if around is None else around @ x
    change = f(x) - f(x.mean(axis=0)[None])
    return {
        name: np.linalg.norm(change[(adata.obs[key] == name).to_numpy()].mean(axis=0))
        for name in adata.obs[key].cat.categories
    }


@pytest.mark.parametrize("preset", ["default", "paper", "reference"])
def test_attributions_sum_to_the_whole(tissue, preset):
    trained(tissue, preset=preset)
    st.tl.gene_attribution(tissue)
    table = st.get.gene_attribution_df(tissue)
    sums = table.groupby("group")["attribution"].sum()
    for name, length in whole(tissue).items():
        assert sums[name] == pytest.approx(length, rel=1e-6)
    np.testing.assert_allclose(table["scale"] + table["shift"], table["attribution"])
    np.testing.assert_allclose(table.groupby("group")["share"].sum(), 1, rtol=1e-6)
    record = tissue.uns["gene_attribution_record"]
    assert bool(record["is_linear"]) == (preset == "default")
    assert record["groups"].set_index("group")["n_obs"].to_dict() == tissue.obs["semst"].value_counts().to_dict()


def test_a_linear_whole_is_that_of_the_stored_modulation(tissue):
    trained(tissue)
    st.tl.gene_attribution(tissue)
    modulation = tissue.obsm["semst_modulation"].astype(float)
    totals = tissue.uns["gene_attribution_record"]["groups"].set_index("group")["total"]
    for name in tissue.obs["semst"].cat.categories:
        inside = (tissue.obs["semst"] == name).to_numpy()
        change = modulation[inside].mean(axis=0) - modulation.mean(axis=0)
        assert totals[name] == pytest.approx(np.linalg.norm(change), rel=1e-3)


def test_a_linear_attribution_is_leave_one_gene_out(tissue):
    trained(tissue)
    st.tl.gene_attribution(tissue)
    record, f, _, around = trained_read_out(tissue, "semst")
    weights, vectors, _ = semantic_weights(tissue, record)

    def change(vectors, inside):
        modulation = f(around @ (weights @ vectors))
        return modulation[inside].mean(axis=0) - modulation.mean(axis=0)

    table = st.get.gene_attribution_df(tissue)
    for name in tissue.obs["semst"].cat.categories:
        inside = (tissue.obs["semst"] == name).to_numpy()
        full = change(vectors, inside)
        of_group = table[table["group"] == name].set_index("gene")
        for gene in [*of_group.index[:3], *of_group.index[-3:]]:
            without = vectors.copy()
            without[tissue.var_names.get_loc(gene)] = 0
            lost = (full - change(without, inside)) @ full / np.linalg.norm(full)
            assert of_group.loc[gene, "attribution"] == pytest.approx(lost, rel=1e-6, abs=1e-12)


def test_weights_are_those_of_the_cell_semantics(tissue):
    for options in (
        {},
        {"method": "top_genes", "n_top_genes": 7, "ranking": "zscore"},
        {"n_top_genes": 9, "exclude": ()},
    ):
        st.pp.cell_semantics(tissue, **options)
        trained(tissue)
        weights, vectors, used = semantic_weights(tissue, tissue.uns["semst"])
        np.testing.assert_allclose(weights @ vectors, tissue.obsm["X_semantics"], atol=1e-5)
        assert not weights[:, np.flatnonzero(~used)].nnz
        st.tl.gene_attribution(tissue)


@pytest.mark.parametrize("semantics", ["shuffled", "random"])
def test_controls_can_be_attributed(tissue, semantics):
    trained(tissue, semantics=semantics)
    st.tl.gene_attribution(tissue)
    assert len(st.get.gene_attribution_df(tissue, "0", n_genes=5)) == 5


def test_several_sections(sections):
    trained(sections, library_key="library_id")
    st.tl.gene_attribution(sections)


def test_other_groups_missing_values_and_names(tissue):
    trained(tissue, key_added="mine")
    tissue.obs["part"] = np.where(np.arange(tissue.n_obs) < 100, "a", "b")
    tissue.obs.loc[tissue.obs_names[-50:], "part"] = None
    st.tl.gene_attribution(tissue, "mine", groupby="part", key_added="why")
    assert tissue.uns["why_record"]["groups"]["n_obs"].tolist() == [100, 150]
    assert st.get.gene_attribution_df(tissue, "b", n_genes=2, key="why")["group"].tolist() == ["b", "b"]


class TestBadInput:
    def refused(self, adata, error, message, **options):
        had = set(adata.uns)
        with pytest.raises(error, match=message):
            st.tl.gene_attribution(adata, **options)
        assert set(adata.uns) == had

    def test_nothing_trained(self, tissue):
        self.refused(tissue, KeyError, "'semst' is not in adata.uns.*store_modulation=True")

    def test_no_modulation_stored(self, tissue):
        trained(tissue, store_modulation=False)
        self.refused(tissue, KeyError, "tells of no modulation.*store_modulation=True")

    def test_no_such_column(self, tissue):
        trained(tissue)
        self.refused(tissue, KeyError, "'missing' is not in adata.obs", groupby="missing")
        tissue.obs["none"] = np.nan
        self.refused(tissue, ValueError, "has no group", groupby="none")

    def test_data_that_have_changed(self, tissue):
        trained(tissue)
        part = tissue[: tissue.n_obs // 2].copy()
        self.refused(part, ValueError, "does not follow from what adata holds now")
        tissue.X = tissue.X[::-1].copy()
        self.refused(tissue, ValueError, "does not follow from what adata holds now")

    def test_semantics_that_are_no_mean_of_gene_vectors(self, tissue):
        tissue.obsm["own"] = np.random.default_rng(0).normal(size=(tissue.n_obs, 5))
        trained(tissue, semantics="own")
        self.refused(tissue, ValueError, "no record of pp.cell_semantics.*no mean of gene vectors")

    def test_a_mask_that_no_record_holds(self, tissue):
        st.pp.cell_semantics(tissue, mask_var=np.arange(tissue.n_vars) < 400)
        trained(tissue)
        self.refused(tissue, ValueError, "mask_var was an array")

    def test_table_of_what_is_not_there(self, tissue):
        with pytest.raises(KeyError, match=r"st\.tl\.gene_attribution\(adata\) first"):
            st.get.gene_attribution_df(tissue)
        trained(tissue)
        st.tl.gene_attribution(tissue)
        with pytest.raises(KeyError, match=r"group 'x' is not in adata\.uns"):
            st.get.gene_attribution_df(tissue, "x")
        with pytest.raises(KeyError, match="no result of"):
            st.get.gene_attribution_df(tissue, key="semst")
