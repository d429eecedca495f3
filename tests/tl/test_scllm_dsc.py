from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import semtx as st

if TYPE_CHECKING:
    from anndata import AnnData

PRESETS = sorted(st.models.SCLLM_DSC_PRESETS)
QUICK = {
    name: config.updated(pretrain_epochs=1, max_epochs=1, hidden_dim=32, projection_dim=16)
    for name, config in st.models.SCLLM_DSC_PRESETS.items()
}
FAST = {"accelerator": "cpu", "show_progress_bar": False}


@cache
def generated() -> AnnData:
    return st.datasets.cells(300)


@pytest.fixture(autouse=True)
def _one_thread():
    """Arrays are small: threads would wait for one another longer than they work, above all on a busy machine."""
    with st.settings.override(n_jobs=1):
        yield


@pytest.fixture
def cells() -> AnnData:
    """A fresh copy of 300 generated cells of nine types in two batches."""
    return generated().copy()


def run(adata: AnnData, n_clusters: int | None = 5, preset: str = "default", **options) -> AnnData:
    return st.tl.scllm_dsc(adata, n_clusters, preset=QUICK[preset], copy=True, **{**FAST, **options})


def same(one: AnnData, other: AnnData) -> bool:
    """Equal but for the last digits, in which sums depend on where arrays lie in memory."""
    z, wanted = one.obsm["X_scllm_dsc"], other.obsm["X_scllm_dsc"]
    return z.shape == wanted.shape and np.abs(z - wanted).max() < 1e-4 * wanted.std()


def record(adata: AnnData) -> dict:
    return adata.uns["scllm_dsc"]


class Toy:
    """Reads a text as a few random numbers that its words stand for."""

    name, dimension, identity = "toy", 7, {"backend": "toy"}

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        words = [[np.random.default_rng(list(word.encode())).normal(size=7) for word in text.split()] for text in texts]
        return np.array([np.sum(of, axis=0) for of in words], dtype=np.float32)


class TestWhatDoesNotMatter:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_labels_of_the_truth(self, cells, preset):
        wanted = run(cells, preset=preset)
        shuffled = cells.copy()
        shuffled.obs["ground_truth"] = np.random.default_rng(0).permutation(cells.obs["ground_truth"])
        del cells.obs["ground_truth"]
        for other in (shuffled, cells):
            got = run(other, preset=preset)
            np.testing.assert_array_equal(got.obsm["X_scllm_dsc"], wanted.obsm["X_scllm_dsc"])
            np.testing.assert_array_equal(got.obsm["scllm_dsc_proba"], wanted.obsm["scllm_dsc_proba"])
            assert got.obs["scllm_dsc"].tolist() == wanted.obs["scllm_dsc"].tolist()

    def test_random_numbers_outside(self, cells):
        import torch

        wanted = run(cells)
        torch.manual_seed(99)
        np.random.seed(99)  # noqa: NPY002
        before = torch.get_rng_state()
        assert same(run(cells), wanted)
        assert torch.equal(torch.get_rng_state(), before)
        assert not same(run(cells, random_state=1), wanted)

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize("form", [sparse.csc_matrix, lambda x: x.toarray(), lambda x: x.astype(np.int64)])
    def test_form_of_the_counts(self, cells, form, preset):
        wanted = run(cells, preset=preset)
        cells.X = form(cells.X)
        before = cells.X.copy()
        assert same(run(cells, preset=preset), wanted)
        assert abs(cells.X - before).max() == 0

    def test_layers_and_x_stay(self, cells):
        cells.layers["counts"] = cells.X.copy()
        cells.X = np.log1p(cells.X.toarray())
        x, counts = cells.X.copy(), cells.layers["counts"].copy()
        st.tl.scllm_dsc(cells, 4, preset=QUICK["default"], **FAST)
        np.testing.assert_array_equal(cells.X, x)
        assert (cells.layers["counts"] != counts).nnz == 0
        assert record(cells)["expression"] == "layers['counts']"


class TestOutput:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_fields(self, cells, preset):
        got = run(cells, preset=preset, store_views=True)
        labels, proba = got.obs["scllm_dsc"], got.obsm["scllm_dsc_proba"]
        assert labels.cat.categories.tolist() == ["0", "1", "2", "3", "4"]
        assert (np.diff(labels.value_counts(sort=False)) <= 0).all()
        assert (proba.shape, proba.dtype) == ((300, 5), np.float32)
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
        confidence = got.obs["scllm_dsc_confidence"]
        assert confidence.dtype == np.float32
        np.testing.assert_array_equal(confidence, proba[np.arange(300), labels.cat.codes])
        # ... which is the most that any cluster gets
        np.testing.assert_array_equal(confidence, proba.max(axis=1))
        for key in ("X_scllm_dsc", "X_scllm_dsc_structure", "X_scllm_dsc_text"):
            assert (got.obsm[key].shape, got.obsm[key].dtype) == ((300, 16), np.float32)
        assert set(got.obsm) == {"X_scllm_dsc", "X_scllm_dsc_structure", "X_scllm_dsc_text", "scllm_dsc_proba"}
        assert not got.varm
        assert not got.obsp

    def test_views_without_text(self, cells):
        got = run(cells, semantics=None, store_views=True)
        assert set(got.obsm) == {"X_scllm_dsc", "X_scllm_dsc_structure", "scllm_dsc_proba"}
        np.testing.assert_array_equal(got.obsm["X_scllm_dsc"], got.obsm["X_scllm_dsc_structure"])

    def test_record(self, cells):
        told = record(run(cells, preset="paper"))
        assert told["params"]["preset"] == "custom"
        assert told["n_inputs"] == cells.n_vars == 689
        assert told["n_epochs"] == 2
        assert told["stop_reason"] == "all 1 epochs done"
        assert told["clustering"]["n_clusters"] == 5
        assert set(told["losses"]) == {"reconstruction", "cut", "alignment", "clustering", "total"}
        assert told["omega"] == 0.5
        assert "batch_mixing" not in told

    @pytest.mark.parametrize("preset", PRESETS)
    def test_presets_by_name(self, cells, preset):
        got = st.tl.scllm_dsc(cells[:60].copy(), 3, preset=preset, max_epochs=1, copy=True, **FAST)
        assert record(got)["params"]["preset"] == preset
        assert record(got)["config"]["max_epochs"] == 1

    def test_key_added(self, cells):
        got = run(cells, key_added="mine", store_views=True)
        assert {"mine", "mine_confidence"} <= set(got.obs)
        assert set(got.obsm) == {"X_mine", "X_mine_structure", "X_mine_text", "mine_proba"}
        assert "scllm_dsc" not in got.uns
        wanted = run(cells)
        np.testing.assert_array_equal(got.obsm["X_mine"], wanted.obsm["X_scllm_dsc"])

    def test_in_place_and_copy(self, cells):
        before = cells.copy()
        got = run(cells)
        assert set(cells.obs) == set(before.obs)
        assert not cells.obsm
        assert st.tl.scllm_dsc(cells, 5, preset=QUICK["default"], **FAST) is None
        assert same(cells, got)

    def test_view_and_backed(self, cells, tmp_path):
        import anndata

        wanted = run(cells[:200].copy())
        view = cells[:200]
        st.tl.scllm_dsc(view, 5, preset=QUICK["default"], **FAST)
        assert same(view, wanted)
        assert not cells.obsm
        cells[:200].copy().write_h5ad(tmp_path / "cells.h5ad")
        backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
        st.tl.scllm_dsc(backed, 5, preset=QUICK["default"], **FAST)
        assert same(backed, wanted)
        backed.file.close()

    @pytest.mark.parametrize("form", ["h5ad", "zarr"])
    @pytest.mark.filterwarnings("ignore:Writing zarr v2")
    def test_everything_survives_a_file(self, cells, tmp_path, form):
        import anndata

        got = run(cells, None, batch_key="batch", store_views=True, preset="paper")
        getattr(got, f"write_{form}")(tmp_path / "cells")
        back = getattr(anndata, f"read_{form}")(tmp_path / "cells")
        np.testing.assert_equal(dict(record(back)["losses"]), dict(record(got)["losses"]))
        assert record(back)["batch_mixing"] == record(got)["batch_mixing"]
        assert set(record(back)["clustering"]["candidates"]) == {"n_clusters", "stability", "null_stability"}
        assert back.obs["scllm_dsc"].tolist() == got.obs["scllm_dsc"].tolist()


class TestText:
    def test_controls_differ_and_change_nothing_stored(self, cells):
        st.pp.gene_semantics(cells)
        stored = cells.varm["gene_semantics"].copy()
        found = {semantics: run(cells, semantics=semantics) for semantics in ("auto", "shuffled", "random", None)}
        for got in found.values():
            np.testing.assert_array_equal(got.varm["gene_semantics"], stored)
        for one, first in found.items():
            for other, second in found.items():
                assert same(first, second) == (one == other)
        sources = {semantics: record(got)["text_source"] for semantics, got in found.items()}
        assert sources == {
            "auto": "varm['gene_semantics']",
            "shuffled": "varm['gene_semantics'], shuffled",
            "random": "varm['gene_semantics'], random",
            None: "none",
        }

    def test_controls_follow_the_seed(self, cells):
        for control in ("shuffled", "random"):
            one, again = (run(cells, semantics=control, random_state=1) for _ in range(2))
            assert same(one, again)

    def test_built_in_vectors_are_found_on_the_side(self, cells):
        got = run(cells)
        assert record(got)["text_source"] == "built-in gene vectors"
        st.pp.gene_semantics(cells)
        assert same(run(cells), got)

    def test_vectors_of_ones_own(self, cells):
        cells.varm["gene_semantics"] = np.random.default_rng(0).normal(size=(cells.n_vars, 8))
        got = run(cells)
        assert record(got)["text_source"] == "varm['gene_semantics']"
        del cells.varm["gene_semantics"]
        assert not same(got, run(cells))

    @pytest.mark.parametrize("preset", ["default", "paper"])
    def test_a_key_of_obsm_is_the_text_view(self, cells, preset):
        cells.obsm["mine"] = np.random.default_rng(0).normal(size=(300, 20))
        got = run(cells, semantics="mine", preset=preset)
        assert record(got)["text_source"] == "obsm['mine']"
        assert record(got)["omega"] == 0
        assert not same(got, run(cells, preset=preset))

    def test_of_pp_cell_semantics(self, cells):
        st.pp.cell_semantics(cells)
        assert record(run(cells, semantics="X_semantics"))["text_source"] == "obsm['X_semantics']"

    def test_broken_semantics(self, cells):
        cells.obsm["mine"] = np.full((300, 5), np.nan)
        with pytest.raises(ValueError, match=r"obsm\['mine'\] must be a matrix of numbers without NaN"):
            run(cells, semantics="mine")
        with pytest.raises(KeyError, match=r"semantics='other' is not in adata\.obsm"):
            run(cells, semantics="other")
        with pytest.raises(TypeError, match=r"semantics must be a key of adata\.obsm.*got int"):
            run(cells, semantics=3)

    def test_path_2_without_an_encoder_is_noted(self, cells):
        got = run(cells, preset="paper")
        fallback = "built-in gene vectors; path 2: no text encoder, the same vectors weighted by rank"
        assert record(got)["text_source"] == fallback
        # the controls change that path's vectors too
        shuffled = run(cells, preset="paper", semantics="shuffled")
        assert record(shuffled)["text_source"].startswith("built-in gene vectors, shuffled; path 2: no text encoder")
        # weighing nothing, it is not made
        assert record(run(cells, preset="paper", omega=1))["text_source"] == "built-in gene vectors"

    @pytest.mark.parametrize("preset", ["default", "paper"])
    def test_sentences_read_by_an_encoder(self, cells, preset):
        encoder = Toy()
        got = run(cells, preset=preset, sentence_encoder=encoder)
        assert record(got)["text_source"] == "built-in gene vectors; path 2: sentences read by toy"
        assert record(got)["params"]["sentence_encoder"] == "toy"
        assert record(got)["omega"] == 0.5
        assert not same(got, run(cells, preset=preset))
        # a cell's genes by rank, best first, and no numbers
        words = encoder.texts[0].split()
        assert 50 < len(words) <= 100
        counts = np.asarray(cells[0, words].X.todense()).ravel()
        assert (np.diff(counts) <= 0).all()
        assert counts[-1] > 0

    def test_sentences_have_no_control(self, cells):
        with pytest.raises(ValueError, match="semantics='shuffled' changes gene vectors, and a sentence"):
            run(cells, semantics="shuffled", sentence_encoder=Toy())

    @pytest.mark.parametrize("semantics", [None, "mine"])
    def test_sentences_are_not_left_out_without_a_word(self, cells, semantics):
        cells.obsm["mine"] = np.ones((300, 3))
        with pytest.raises(ValueError, match="sentence_encoder reads path 2 of the text view, which semantics="):
            run(cells, semantics=semantics, sentence_encoder=Toy())

    @pytest.mark.parametrize(("omega", "encoder"), [(0.3, None), (0.3, Toy()), (0, None), (1, None)])
    def test_omega_is_what_is_asked(self, cells, omega, encoder):
        got = run(cells, omega=omega, sentence_encoder=encoder)
        assert record(got)["omega"] == pytest.approx(omega)
        assert record(got)["config"]["omega"] == omega

    def test_omega_is_learned(self, cells):
        got = run(cells, preset="paper", omega="learned", max_epochs=5, learning_rate=0.05)
        assert abs(record(got)["omega"] - 0.5) > 0.005
        assert record(got)["params"]["omega"] == "learned"

    def test_symbols_in_a_column(self, cells):
        wanted = run(cells)
        cells.var["symbol"] = cells.var_names.astype(str)
        cells.var_names = [f"probe{i:05d}" for i in range(cells.n_vars)]
        assert same(run(cells, gene_symbols="symbol"), wanted)

    def test_meaningless_names_are_refused_with_a_way_out(self, cells):
        cells.var_names = [f"probe_{i:05d}" for i in range(cells.n_vars)]
        before = set(cells.uns)
        with pytest.raises(ValueError, match="semantics=None"):
            st.tl.scllm_dsc(cells, 4, **FAST)
        assert set(cells.uns) == before
        assert run(cells, semantics=None).obs["scllm_dsc"].nunique() == 5

    def test_genes_without_a_vector_only(self, cells):
        cells.varm["gene_semantics"] = np.zeros((cells.n_vars, 8))
        cells.varm["gene_semantics"][:5] = 1
        with pytest.raises(ValueError, match=r"none of the 20 genes used has a vector.*semantics=None"):
            run(cells, mask_var=np.arange(cells.n_vars) >= cells.n_vars - 20)


class TestStates:
    """Genes that tell a state are left out by their text."""

    def test_are_recorded_and_not_read(self, cells, tmp_path):
        adata = run(cells)
        found = record(adata)
        names = found["state_genes"]
        assert {"IFIT1", "IFIT2"} <= set(names["interferon response"])
        assert {"MKI67", "TOP2A"} <= set(names["cell cycle"])
        left_out = set().union(*names.values())
        assert found["n_inputs"] == cells.n_vars - len(left_out)
        of_no_type = ["interferon", "cell cycle", "stress", "background", "housekeeping"]
        assert cells.var.loc[sorted(left_out), "program"].isin(of_no_type).mean() > 0.8
        adata.write_h5ad(tmp_path / "cells.h5ad")

    @pytest.mark.parametrize("options", [{"semantics": None}, {"semantics": "shuffled"}, {"mask_var": "all"}])
    def test_stay_where_nothing_is_known_of_them_or_genes_are_chosen(self, cells, options):
        cells.var["all"] = True
        assert record(run(cells, **options))["n_inputs"] == cells.n_vars

    @pytest.mark.parametrize("preset", ["paper", "reference"])
    def test_stay_in_the_presets_of_the_authors(self, cells, preset):
        found = record(run(cells, preset=preset))
        assert found["n_inputs"] == cells.n_vars
        assert "state_genes" not in found


class TestRepresentation:
    @pytest.fixture
    def reduced(self, cells) -> AnnData:
        """Scaled as ``pbmc68k_reduced``: neither counts nor their logarithm are left."""
        import scanpy as sc

        sc.pp.normalize_total(cells)
        sc.pp.log1p(cells)
        sc.pp.scale(cells)
        sc.pp.pca(cells, n_comps=10)
        del cells.uns["log1p"]
        return cells

    def test_scaled_x_is_refused_with_a_way_out(self, reduced):
        before = set(reduced.uns)
        with pytest.raises(ValueError, match=r"X has negative values.*use_rep='X_pca' of sc\.pp\.pca"):
            st.tl.scllm_dsc(reduced, 4, **FAST)
        assert set(reduced.uns) == before

    @pytest.mark.parametrize("preset", PRESETS)
    def test_is_read_instead(self, reduced, preset, capsys):
        got = run(reduced, preset=preset, use_rep="X_pca")
        assert record(got)["expression"] == "obsm['X_pca']"
        assert record(got)["n_inputs"] == 10
        assert record(got)["config"]["expression"] == "given"
        assert record(got)["text_source"] == "none: no expression of genes"
        assert "semantics are left out" in capsys.readouterr().err
        run(reduced, preset=preset, use_rep="X_pca", semantics=None)
        assert "semantics are left out" not in capsys.readouterr().err
        with pytest.raises(ValueError, match="semantics='shuffled' needs the expression of genes"):
            run(reduced, preset=preset, use_rep="X_pca", semantics="shuffled")

    def test_the_cut_is_that_of_nearest_neighbors(self, reduced, monkeypatch):
        from semtx.nn import CutGraph

        made, original = [], CutGraph.from_adjacency
        monkeypatch.setattr(CutGraph, "from_adjacency", lambda graph: made.append(graph.shape) or original(graph))
        run(reduced, use_rep="X_pca", semantics=None)
        assert made
        assert all(shape == (300, 300) for shape in made)

    @pytest.mark.parametrize("where", ["X", "lognormalized X", "layer"])
    @pytest.mark.parametrize("preset", ["default", "paper"])
    def test_text_is_made_where_expression_is_known(self, cells, preset, where):
        cells.obsm["X_mine"] = np.random.default_rng(0).normal(size=(300, 12))
        wanted = run(cells, preset=preset, use_rep="X_mine", store_views=True)
        assert record(wanted)["text_source"].startswith("built-in gene vectors")
        if where == "layer":
            cells.layers["counts"] = cells.X.copy()
        if where != "X":
            import scanpy as sc

            sc.pp.normalize_total(cells, target_sum=1e4)
            sc.pp.log1p(cells)
        got = run(cells, preset=preset, use_rep="X_mine", store_views=True)
        np.testing.assert_allclose(got.obsm["X_mine"], wanted.obsm["X_mine"])
        np.testing.assert_allclose(got.obsm["X_scllm_dsc_text"], wanted.obsm["X_scllm_dsc_text"], atol=5e-3)
        for control in ("shuffled", "random"):
            assert not same(run(cells, preset=preset, use_rep="X_mine", semantics=control), wanted)

    def test_with_sentences_omega_weighs_paths_of_one_length(self, cells):
        cells.obsm["X_mine"] = np.random.default_rng(0).normal(size=(300, 12))
        one, other = Toy(), Toy()
        other.embed = lambda texts: 1e4 * Toy.embed(other, texts)
        other.identity = {"backend": "other"}
        found = [run(cells, use_rep="X_mine", sentence_encoder=encoder) for encoder in (one, other)]
        np.testing.assert_allclose(found[0].obsm["X_scllm_dsc"], found[1].obsm["X_scllm_dsc"], atol=1e-2)
        assert record(found[0])["text_source"].endswith("path 2: sentences read by toy")

    def test_omega_is_not_learned(self, cells):
        cells.obsm["X_mine"] = np.random.default_rng(0).normal(size=(300, 12))
        with pytest.raises(ValueError, match="omega='learned' weighs two paths in the network, and with use_rep"):
            run(cells, use_rep="X_mine", omega="learned")

    def test_not_beside_layer_or_mask(self, reduced):
        for option in ({"layer": "counts"}, {"mask_var": "program"}):
            with pytest.raises(ValueError, match="use_rep is read as it is: give it, or layer and mask_var, not both"):
                run(reduced, use_rep="X_pca", **option)

    def test_sparse_is_as_dense(self, reduced):
        wanted = run(reduced, use_rep="X_pca", semantics=None)
        reduced.obsm["X_pca"] = sparse.csr_matrix(reduced.obsm["X_pca"])
        assert same(run(reduced, use_rep="X_pca", semantics=None), wanted)

    def test_nan_and_missing(self, reduced):
        reduced.obsm["X_pca"][3, 0] = np.nan
        with pytest.raises(ValueError, match=r"obsm\['X_pca'\] must be a matrix of numbers without NaN .*use_rep"):
            run(reduced, use_rep="X_pca")
        with pytest.raises(KeyError, match=r"use_rep='X_scvi' is not in adata\.obsm.*sc\.pp\.pca"):
            run(reduced, use_rep="X_scvi")

    def test_scanpys_example(self):
        import scanpy as sc

        adata = sc.datasets.pbmc68k_reduced()
        with pytest.raises(ValueError, match=r"X has negative values.*raw has .*use_rep='X_pca'"):
            run(adata)
        got = run(adata, use_rep="X_pca")
        assert got.obs["scllm_dsc"].nunique() == 5


class TestBatches:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_mixing_is_recorded(self, cells, preset):
        got = run(cells, preset=preset, batch_key="batch")
        mixing = record(got)["batch_mixing"]
        assert {"lisi", "mixing", "purity", "mixing:batch1", "mixing:batch2", "n_batches"} <= set(mixing)
        assert mixing["n_batches"] == 2
        assert all(isinstance(value, float) and np.isfinite(value) for value in mixing.values())
        again = st.metrics.batch_scores(got, "batch", use_rep="X_scllm_dsc")
        assert mixing["lisi"] == pytest.approx(again["lisi"], rel=1e-3)

    def test_are_mixed_better_than_without(self, cells):
        with_key, without = run(cells, batch_key="batch"), run(cells)
        with_key, without = (
            st.metrics.batch_scores(got, "batch", use_rep="X_scllm_dsc")["mixing"] for got in (with_key, without)
        )
        assert with_key > without

    @pytest.mark.parametrize("form", ["category", str, object])
    def test_type_of_the_column(self, cells, form):
        wanted = run(cells, batch_key="batch")
        cells.obs["batch"] = cells.obs["batch"].astype(form)
        assert same(run(cells, batch_key="batch"), wanted)

    def test_names_that_files_do_not_take(self, cells, tmp_path):
        cells.obs["batch"] = cells.obs["batch"].cat.rename_categories(["donor/1", "donor/2"])
        got = run(cells, batch_key="batch")
        got.write_h5ad(tmp_path / "cells.h5ad")
        assert "mixing:donor|1" in record(got)["batch_mixing"]

    def test_one_batch_is_none(self, cells):
        cells.obs["one"] = "only"
        got = run(cells, batch_key="one")
        assert same(got, run(cells))
        assert "batch_mixing" not in record(got)

    def test_of_one_cell(self, cells):
        cells.obs["batch"] = ["alone", *cells.obs["batch"][1:]]
        with pytest.raises(ValueError, match=r"batch 'alone' of adata\.obs\['batch'\] has one observation.*join it"):
            run(cells, batch_key="batch")

    def test_unused_categories_are_no_batches(self, cells):
        cells.obs["batch"] = cells.obs["batch"].cat.add_categories(["empty"])
        assert record(run(cells, batch_key="batch"))["batch_mixing"]["n_batches"] == 2

    def test_missing(self, cells):
        cells.obs["batch"] = cells.obs["batch"].where(np.arange(300) > 2)
        with pytest.raises(
            ValueError, match=r"adata\.obs\['batch'\] has 3 missing values; every observation needs a batch"
        ):
            run(cells, batch_key="batch")


class TestOddCells:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_empty_cells_and_cells_of_one_gene(self, cells, preset, capsys):
        counts = cells.X.tolil()
        counts[[5, 77]] = 0
        counts[8] = 0
        counts[8, 3] = 2
        cells.X = sparse.csr_matrix(counts)
        got = run(cells, preset=preset)
        assert all(np.isfinite(got.obsm[key]).all() for key in got.obsm)
        assert got.obs["scllm_dsc"].notna().all()
        assert "2 cells have no counts in the genes used; they are kept" in capsys.readouterr().err

    def test_no_counts_at_all(self, cells):
        cells.X = sparse.csr_matrix(cells.shape, dtype=np.float32)
        with pytest.raises(ValueError, match="only 0 of 689 genes have counts in 1 or more observations; two genes"):
            run(cells)

    def test_duplicate_cells(self, cells):
        import anndata

        twice = anndata.concat([cells, cells], index_unique="-")
        got = run(twice)
        codes = got.obs["scllm_dsc"].cat.codes.to_numpy()
        np.testing.assert_array_equal(codes[:300], codes[300:])

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.filterwarnings("ignore:Number of distinct clusters", "ignore:invalid value", "ignore:divide by zero")
    def test_all_equal_cells(self, cells, preset):
        cells.X = sparse.csr_matrix(np.tile(cells.X[0].toarray(), (300, 1)))
        got = run(cells, 3, preset=preset)
        assert np.isfinite(got.obsm["X_scllm_dsc"]).all()

    def test_a_handful_of_cells(self, cells):
        assert run(cells[:12].copy(), 2).obs["scllm_dsc"].nunique() == 2

    def test_expected_counts_are_warned_of_once(self, cells, capsys):
        cells.X.data *= np.random.default_rng(0).random(cells.X.nnz, dtype=np.float32)
        st.tl.scllm_dsc(cells, 3, preset=QUICK["default"], **FAST)
        assert capsys.readouterr().err.count("not whole numbers") == 1


class TestSettings:
    def test_changes_of_a_preset(self, cells):
        config = record(
            run(cells, n_top_genes=100, learning_rate=0.5, batch_size=64, max_epochs=2, cluster_on="structure")
        )["config"]
        assert (config["n_top_genes"], config["learning_rate"], config["batch_size"]) == (100, 0.5, 64)
        assert (config["max_epochs"], config["cluster_on"]) == (2, "structure")

    def test_genes(self, cells):
        assert record(run(cells, n_top_genes=100))["n_inputs"] == 100
        cells.var["mine"] = cells.var["program"] != "background"
        wanted = run(cells, mask_var="mine")
        assert record(wanted)["n_inputs"] == cells.var["mine"].sum()
        assert same(run(cells, mask_var=cells.var["mine"].to_numpy()), wanted)
        with pytest.raises(ValueError, match="only 1 of 689 genes are in mask_var"):
            run(cells, mask_var=np.arange(689) == 3)

    def test_layer(self, cells):
        wanted = run(cells)
        cells.layers["mine"] = cells.X.copy()
        cells.X = cells.X * 2
        assert same(run(cells, layer="mine"), wanted)
        assert record(run(cells, layer="mine"))["expression"] == "layers['mine']"

    @pytest.mark.parametrize("cluster_on", ["fused", "structure", "text"])
    @pytest.mark.parametrize("cluster_method", ["consensus", "kmeans", "mixture", "leiden"])
    def test_clusters_of_any_view_by_any_method(self, cells, cluster_on, cluster_method):
        told = record(run(cells, cluster_on=cluster_on, cluster_method=cluster_method))["clustering"]
        assert (told["clustered"], told["method"], told["n_clusters_asked"]) == (cluster_on, cluster_method, 5)

    def test_no_text_to_cluster(self, cells):
        with pytest.raises(ValueError, match="cluster_on='text' needs a text view, and there is none"):
            run(cells, cluster_on="text", semantics=None)

    def test_number_of_clusters_is_chosen(self, cells):
        got = run(cells, None)
        told = record(got)["clustering"]
        assert (told["criterion"], told["resolution"]) == ("resolution", 0.8)
        assert told["n_clusters"] == got.obs["scllm_dsc"].nunique() == got.obsm["scllm_dsc_proba"].shape[1]

    @pytest.mark.parametrize("preset", PRESETS)
    def test_leiden(self, cells, preset):
        coarse, fine = (
            run(cells, None, preset=preset, cluster_method="leiden", resolution=resolution) for resolution in (0.1, 3)
        )
        assert record(fine)["clustering"]["criterion"] == "resolution"
        assert coarse.obs["scllm_dsc"].nunique() < fine.obs["scllm_dsc"].nunique()

    def test_many_cells_take_fewer_epochs_of_a_preset_but_not_of_ones_own(self):
        from semtx.tl._scllm_dsc import _config

        wanted = st.models.SCLLM_DSC_PRESETS["default"].updated(max_epochs=40)
        for n_obs in (1000, 10**6):
            assert _config(wanted, n_obs, None, None, None).max_epochs == 40
        one, many = (_config("default", n_obs, None, None, None).max_epochs for n_obs in (1000, 10**9))
        assert one == st.models.SCLLM_DSC_PRESETS["default"].max_epochs
        assert many == 1

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"n_clusters": 1}, ValueError, "n_clusters must be at least 2, got 1"),
            ({"n_clusters": 0}, ValueError, "n_clusters must be at least 2, got 0"),
            ({"n_clusters": -1}, ValueError, "n_clusters must be at least 2, got -1"),
            ({"n_clusters": 2.5}, TypeError, r"n_clusters must be a whole number, got 2\.5"),
            ({"n_clusters": 301}, ValueError, "n_clusters=301 is more than the 300 observations"),
            ({"max_epochs": 0}, ValueError, "max_epochs must be at least 1"),
            ({"learning_rate": 0}, ValueError, "learning_rate must be finite, above 0"),
            ({"batch_size": 1}, ValueError, "batch_size must be at least 2"),
            ({"n_top_genes": 1}, ValueError, "n_top_genes must be at least 2"),
            ({"random_state": -1}, ValueError, "random_state must be at least 0"),
            ({"omega": 1.5}, ValueError, "omega must be finite, at least 0 and at most 1"),
            ({"omega": "half"}, TypeError, "omega must be a number, got 'half'"),
            ({"key_added": "a/b"}, ValueError, "key_added must not be empty nor contain '/'"),
            ({"key_added": "spatial"}, ValueError, "key_added='spatial' is what is read"),
            (
                {"resolution": 1.0},
                ValueError,
                "resolution belongs to cluster_method='consensus' or cluster_method='leiden'",
            ),
            ({"resolution": 1.0, "cluster_method": "leiden"}, ValueError, "give n_clusters or resolution, not both"),
            ({"cluster_method": "louvain"}, ValueError, "cluster_method must be one of 'consensus'"),
            ({"cluster_on": "latent"}, ValueError, "cluster_on must be one of 'fused', 'structure', 'text'"),
            ({"accelerator": "abacus"}, ValueError, "accelerator must be one of"),
            ({"layer": "missing"}, KeyError, "layer='missing' is not in adata.layers"),
            ({"batch_key": "missing"}, KeyError, "batch_key='missing' is not in adata.obs"),
            ({"mask_var": "missing"}, KeyError, "mask_var='missing' is not in adata.var"),
            ({"gene_symbols": "missing"}, KeyError, "missing"),
        ],
    )
    def test_bad_settings(self, cells, options, error, message):
        before = cells.copy()
        with pytest.raises(error, match=message):
            st.tl.scllm_dsc(cells, **{"n_clusters": 4, "preset": QUICK["default"], **FAST, **options})
        assert not cells.obsm
        assert set(cells.uns) == set(before.uns)
        pd.testing.assert_frame_equal(cells.obs, before.obs)

    def test_unknown_preset(self, cells):
        with pytest.raises(ValueError, match="preset must be one of 'default', 'paper', 'reference', got 'mine'"):
            st.tl.scllm_dsc(cells, 4, preset="mine", **FAST)

    def test_lognormalized_x(self, cells):
        import scanpy as sc

        sc.pp.normalize_total(cells)
        sc.pp.log1p(cells)
        with pytest.raises(ValueError, match=r"X has log-normalised values.*layers\['counts'\].*use_rep"):
            run(cells)


class TestInterruption:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_leaves_anndata_as_it_was(self, cells, monkeypatch, error):
        from semtx import nn

        def stop(*_, **__):
            raise error

        before = cells.copy()
        monkeypatch.setattr(nn.ScLLMDSCNetwork, "decode", stop)
        with pytest.raises(error):
            st.tl.scllm_dsc(cells, 4, preset=QUICK["default"], **FAST)
        assert set(cells.uns) == set(before.uns)
        assert not cells.obsm
        assert not cells.varm
        pd.testing.assert_frame_equal(cells.obs, before.obs)
        assert (cells.X != before.X).nnz == 0

    def test_a_loss_that_is_no_number_is_named(self, cells, monkeypatch):
        from semtx import nn

        monkeypatch.setattr(
            nn.ScLLMDSCNetwork,
            "decode",
            lambda self, z, *_: z.new_full((len(z), self.decoder.linear.out_features), np.nan),
        )
        with pytest.raises(
            FloatingPointError, match="the reconstruction loss is not finite in epoch 0; no input looks"
        ):
            st.tl.scllm_dsc(cells, 4, preset=QUICK["default"], **FAST)
        assert "scllm_dsc" not in cells.uns


def test_spatialdata(cells):
    spatialdata = pytest.importorskip("spatialdata")
    wanted = run(cells)
    sdata = spatialdata.SpatialData(tables={"cells": cells})
    st.tl.scllm_dsc(sdata, 5, preset=QUICK["default"], **FAST)
    assert same(sdata.tables["cells"], wanted)


def test_finds_the_types_of_the_generated_cells():
    adata = st.datasets.cells()
    st.tl.scllm_dsc(adata, 9, batch_key="batch", **FAST)
    assert adjusted_rand_score(adata.obs["ground_truth"], adata.obs["scllm_dsc"]) > 0.6


def test_views_of_an_earlier_run_go():
    adata = generated().copy()
    options = {"preset": QUICK["default"], **FAST}
    st.tl.scllm_dsc(adata, 3, store_views=True, **options)
    assert "X_scllm_dsc_text" in adata.obsm
    st.tl.scllm_dsc(adata, 3, semantics=None, **options)
    assert not {"X_scllm_dsc_text", "X_scllm_dsc_structure"} & set(adata.obsm)


@pytest.mark.parametrize(("option", "key_added"), [({"batch_key": "batch"}, "batch"), ({"use_rep": "X_pca"}, "pca")])
def test_what_is_read_is_not_replaced(option, key_added):
    adata = generated().copy()
    adata.obs["batch"] = ["a", "b"] * 150
    adata.obsm["X_pca"] = adata.X[:, :10].toarray()
    with pytest.raises(ValueError, match="is what is read"):
        st.tl.scllm_dsc(adata, 3, key_added=key_added, **option, **FAST)


def test_scaled_cells_with_log_normalised_values_in_raw_keep_their_text():
    import scanpy as sc

    adata = generated().copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    adata.raw = adata
    sc.pp.scale(adata)
    sc.pp.pca(adata, n_comps=10)
    st.tl.scllm_dsc(adata, 3, use_rep="X_pca", preset=QUICK["default"], **FAST)
    assert adata.uns["scllm_dsc"]["text_source"].startswith("built-in")
