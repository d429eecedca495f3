"""``tl.modulate`` on AnnData."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import semtx as st


@pytest.fixture
def embedded(tissue):
    sc.pp.pca(tissue, n_comps=8)
    return tissue


def planted(adata, seed=0):
    """Semantics that know the domain, beside an embedding in which it is drowned."""
    rng = np.random.default_rng(seed)
    codes = np.eye(5)[adata.obs["ground_truth"].cat.codes]
    adata.obsm["X_noisy"] = (codes @ rng.normal(size=(5, 6)) + rng.normal(size=(adata.n_obs, 6))).astype(np.float32)
    adata.obsm["X_known"] = codes @ rng.normal(size=(5, 7)) + 0.1 * rng.normal(size=(adata.n_obs, 7))
    return adata


def test_useful_semantics_modulate_and_are_recorded(tissue):
    planted(tissue)
    st.tl.modulate(tissue, "X_noisy", semantics_key="X_known", show_progress_bar=False)
    record = tissue.uns["X_noisy_fsm"]
    heldout = record["heldout"]
    assert heldout["modulated"]
    assert heldout["explained_modulated"] - heldout["explained"] == pytest.approx(heldout["gain"])
    assert heldout["gain"] > heldout["gain_error"]
    assert record["semantics_source"] == "obsm['X_known']"
    assert record["graph"]["source"] == "built"
    assert record["losses"]["heldout"].argmin() + 1 == heldout["n_epochs"]
    assert st.get.history_df(tissue, "X_noisy_fsm").columns.tolist() == ["heldout"]
    assert "spatial_connectivities" not in tissue.obsp
    scores = {}
    for key in ("X_noisy", "X_noisy_fsm"):
        st.tl.cluster(tissue, 5, use_rep=key)
        scores[key] = st.metrics.clustering_scores(tissue, "cluster", "ground_truth")["ARI"]
    assert scores["X_noisy_fsm"] > scores["X_noisy"] + 0.1


def test_semantics_of_noise_leave_it_alone(tissue, caplog):
    planted(tissue)
    tissue.obsm["X_noise"] = np.random.default_rng(3).normal(size=(tissue.n_obs, 40))
    with st.settings.override(verbosity="info"):
        st.tl.modulate(tissue, "X_noisy", semantics_key="X_noise")
    assert np.array_equal(tissue.obsm["X_noisy_fsm"], tissue.obsm["X_noisy"])
    assert not tissue.uns["X_noisy_fsm"]["heldout"]["modulated"]
    assert "'X_noisy' is kept as it is" in caplog.text


def test_without_semantics(embedded):
    st.tl.modulate(embedded, "X_pca", semantics=None)
    assert np.array_equal(embedded.obsm["X_pca_fsm"], embedded.obsm["X_pca"].astype(np.float32))
    assert embedded.uns["X_pca_fsm"]["semantics_source"] == "none"


def test_where_semantics_come_from(embedded):
    def source(**options):
        made = st.tl.modulate(embedded, "X_pca", max_epochs=1, copy=True, **options)
        return made.uns["X_pca_fsm"]["semantics_source"]

    assert source() == "built-in gene vectors"
    assert source(semantics="shuffled") == "built-in gene vectors, shuffled"
    assert source(semantics="random") == "built-in gene vectors, random"
    st.pp.cell_semantics(embedded)
    assert source() == "obsm['X_semantics']"
    assert source(semantics="random") == "varm['gene_semantics'], random"


def test_stored_and_computed_semantics_are_the_same(embedded):
    computed = st.tl.modulate(embedded, "X_pca", copy=True).uns["X_pca_fsm"]
    st.pp.cell_semantics(embedded)
    st.tl.modulate(embedded, "X_pca")
    stored = embedded.uns["X_pca_fsm"]
    np.testing.assert_allclose(computed["losses"]["heldout"], stored["losses"]["heldout"], atol=1e-4)


def test_log_normalised_values_are_enough(embedded):
    sc.pp.normalize_total(embedded, target_sum=1e4)
    sc.pp.log1p(embedded)
    st.tl.modulate(embedded, "X_pca", max_epochs=2)
    assert np.isfinite(embedded.obsm["X_pca_fsm"]).all()


class TestContext:
    def graph(self, adata, **options):
        return st.tl.modulate(adata, "X_pca", max_epochs=1, copy=True, **options).uns["X_pca_fsm"]["graph"]

    def test_spatial_where_there_are_coordinates(self, embedded):
        assert self.graph(embedded)["source"] == "built"
        assert self.graph(embedded, context="embedding")["source"] == "nearest in the embedding"
        del embedded.obsm["spatial"]
        assert self.graph(embedded)["source"] == "nearest in the embedding"
        with pytest.raises(KeyError, match=r"spatial_key='spatial' is not in adata.obsm"):
            self.graph(embedded, context="spatial")

    def test_a_key_of_the_user_must_be_there(self, embedded):
        with pytest.raises(KeyError, match=r"spatial_key='typo' is not in adata.obsm"):
            self.graph(embedded, spatial_key="typo")

    def test_graph_of_the_user(self, embedded):
        # in scanpy's keys
        embedded.obsp["connectivities"] = sparse.eye_array(embedded.n_obs, k=1).tocsr()
        embedded.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {}}
        found = self.graph(embedded, neighbors_key="neighbors")
        assert found["source"] == "uns['neighbors']"
        with pytest.raises(ValueError, match="give it or neighbors_key, not both"):
            self.graph(embedded, neighbors_key="neighbors", context="embedding")

    def test_graph_of_tl_semst_is_used_again(self, embedded):
        st.tl.semst(embedded, 5, max_epochs=1, semantics=None)
        assert self.graph(embedded)["source"] == "uns['spatial_neighbors']"

    @pytest.mark.parametrize("context", ["spatial", "embedding"])
    def test_no_edge_joins_two_sections(self, sections, context):
        sc.pp.pca(sections, n_comps=5)
        apart = self.graph(sections, library_key="library_id", context=context)
        assert apart["n_components"] >= 2


def test_all_fusions(tissue):
    planted(tissue)
    found = {}
    for fusion in ("fsm", "concatenate", "add", "cross_attention"):
        st.tl.modulate(tissue, "X_noisy", semantics_key="X_known", fusion=fusion, key_added=fusion)
        found[fusion] = tissue.obsm[fusion]
        assert tissue.uns[fusion]["heldout"]["modulated"]
    assert len({part.tobytes() for part in found.values()}) == 4


def test_representations_of_any_kind(embedded):
    embedded.obsm["X_pca"] = embedded.obsm["X_pca"].astype(np.float64)
    wanted = st.tl.modulate(embedded, "X_pca", max_epochs=3, copy=True).obsm["X_pca_fsm"]
    import pandas as pd

    embedded.obsm["X_pca"] = pd.DataFrame(embedded.obsm["X_pca"], index=embedded.obs_names)
    st.tl.modulate(embedded, "X_pca", max_epochs=3)
    np.testing.assert_array_equal(embedded.obsm["X_pca_fsm"], wanted)


def test_no_genes_are_needed(embedded):
    st.pp.cell_semantics(embedded)
    bare = anndata.AnnData(obs=embedded.obs[[]], obsm=dict(embedded.obsm))
    for adata in (bare, embedded):
        st.tl.modulate(adata, "X_pca", max_epochs=2)
        st.tl.cluster(adata, 4, use_rep="X_pca_fsm")
    np.testing.assert_array_equal(bare.obsm["X_pca_fsm"], embedded.obsm["X_pca_fsm"])
    assert list(bare.obs["cluster"]) == list(embedded.obs["cluster"])


class TestErrors:
    def refused(self, adata, error, message, use_rep="X_pca", **options):
        before = [*adata.obsm], [*adata.uns]
        with pytest.raises(error, match=message):
            st.tl.modulate(adata, use_rep, **options)
        assert ([*adata.obsm], [*adata.uns]) == before

    def test_missing_representation(self, embedded):
        self.refused(
            embedded,
            KeyError,
            r"use_rep='X_scVI' is not in adata.obsm, which has .*'X_pca'.*sc.pp.pca",
            use_rep="X_scVI",
        )

    def test_missing_semantics(self, embedded):
        self.refused(
            embedded, KeyError, "semantics_key='mine' is not in adata.obsm.*cell_semantics", semantics_key="mine"
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_no_numbers(self, embedded, value):
        embedded.obsm["X_pca"][3, 0] = value
        self.refused(
            embedded, ValueError, "must be a matrix of numbers without NaN or infinite values to serve as use_rep"
        )
        embedded.obsm["broken"] = np.full((embedded.n_obs, 3), value)
        embedded.obsm["X_pca"][3, 0] = 0
        self.refused(embedded, ValueError, "without NaN .* to serve as semantics_key", semantics_key="broken")

    def test_a_vector_is_no_matrix(self, embedded):
        embedded.obsm["flat"] = np.zeros((embedded.n_obs, 2, 2))
        self.refused(embedded, ValueError, "must be a matrix", use_rep="flat")
        embedded.obsm["none"] = np.zeros((embedded.n_obs, 0))
        self.refused(embedded, ValueError, "1 dimension are the least", use_rep="none")

    def test_few_cells(self, embedded):
        self.refused(embedded[:19].copy(), ValueError, r"20 cells and 1 dimension are the least .* is \(19, 8\)")

    @pytest.mark.parametrize("key", ["X_pca", "X_semantics", "spatial"])
    def test_result_would_replace_what_is_read(self, embedded, key):
        self.refused(embedded, ValueError, "is what is read", key_added=key)

    def test_no_expression_to_make_semantics_of(self, embedded):
        embedded.X = sparse.csr_matrix(embedded.X) * -1.5
        self.refused(embedded, ValueError, r"Or put semantic vectors into adata.obsm\['X_semantics'\]")
        embedded.obsm["X_semantics"] = np.random.default_rng(0).normal(size=(embedded.n_obs, 4))
        st.tl.modulate(embedded, "X_pca", max_epochs=1)

    @pytest.mark.parametrize(
        ("option", "error"),
        [
            ({"semantics": "missing"}, ValueError),
            ({"context": "missing"}, ValueError),
            ({"max_scale": 0}, ValueError),
            ({"n_components": 0}, ValueError),
            ({"max_epochs": 0}, ValueError),
            ({"learning_rate": 0}, ValueError),
            ({"accelerator": "missing"}, ValueError),
            ({"random_state": -1}, ValueError),
            ({"max_epochs": 2.5}, TypeError),
        ],
    )
    def test_parameters_out_of_range(self, embedded, option, error):
        self.refused(embedded, error, next(iter(option)), **option)
