from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import semtx as st

if TYPE_CHECKING:
    from anndata import AnnData

FAST = {"max_epochs": 2, "accelerator": "cpu", "show_progress_bar": False}


def run(adata: AnnData, n_clusters: int | None = 4, **options) -> AnnData:
    return st.tl.semst(adata, n_clusters, copy=True, **{**FAST, **options})


def same(one: AnnData, other: AnnData) -> bool:
    """Equal but for the last digits, in which sums depend on where arrays lie in memory."""
    z, wanted = one.obsm["X_semst"], other.obsm["X_semst"]
    return z.shape == wanted.shape and np.abs(z - wanted).max() < 1e-5 * wanted.std()


class TestWhatDoesNotMatter:
    def test_labels_of_the_truth(self, tissue):
        wanted = run(tissue)
        shuffled = tissue.copy()
        shuffled.obs["ground_truth"] = np.random.default_rng(0).permutation(tissue.obs["ground_truth"])
        del tissue.obs["ground_truth"]
        for other in (shuffled, tissue):
            got = run(other)
            assert same(got, wanted)
            assert got.obs["semst"].tolist() == wanted.obs["semst"].tolist()

    @pytest.mark.parametrize("preset", ["default", "reference"])
    @pytest.mark.parametrize("unit", [2**-20, 2**20])
    def test_units_of_the_coordinates(self, tissue, preset, unit):
        wanted = run(tissue, preset=preset)
        tissue.obsm["spatial"] = tissue.obsm["spatial"] * unit
        got = run(tissue, preset=preset)
        assert same(got, wanted)
        assert got.obs["semst"].tolist() == wanted.obs["semst"].tolist()

    def test_rotation_of_the_section(self, tissue):
        wanted = run(tissue)
        turn = np.array([[0.0, -1.0], [1.0, 0.0]])
        tissue.obsm["spatial"] = tissue.obsm["spatial"] @ turn
        got = run(tissue)
        # nearest neighbours at equal distances at the rim may be others
        assert adjusted_rand_score(got.obs["semst"], wanted.obs["semst"]) > 0.8

    def test_order_of_spots(self, tissue):
        wanted = run(tissue)
        order = np.random.default_rng(0).permutation(tissue.n_obs)
        got = run(tissue[order].copy())[wanted.obs_names]
        assert same(got, wanted)
        assert got.obs["semst"].tolist() == wanted.obs["semst"].tolist()
        graphs = (adata.obsp["spatial_connectivities"] for adata in (got, wanted))
        assert abs(next(graphs) - next(graphs)).nnz == 0

    @pytest.mark.parametrize(
        "form", [sparse.csc_matrix, lambda x: x.toarray(), lambda x: x.astype(np.int64), lambda x: x.astype(np.float64)]
    )
    @pytest.mark.parametrize("preset", ["reference", "paper"])
    def test_form_of_the_counts(self, tissue, form, preset):
        wanted = run(tissue, preset=preset)
        tissue.X = form(tissue.X)
        assert same(run(tissue, preset=preset), wanted)

    def test_random_numbers_outside(self, tissue):
        import torch

        wanted = run(tissue)
        torch.manual_seed(99)
        before = torch.get_rng_state()
        assert same(run(tissue), wanted)
        assert torch.equal(torch.get_rng_state(), before)


class TestOddTissue:
    @pytest.mark.parametrize("preset", ["default", "reference"])
    def test_spots_without_counts_or_neighbors(self, tissue, preset, capsys):
        counts = tissue.X.tolil()
        counts[[5, 77]] = 0
        tissue.X = sparse.csr_matrix(counts)
        tissue.obsm["spatial"][0] = [1e5, 1e5]
        got = run(tissue, preset=preset)
        assert np.isfinite(got.obsm["X_semst"]).all()
        assert got.obs["semst"].notna().all()
        assert got.uns["semst"]["n_empty"] == 2
        assert "2 observations have no counts" in capsys.readouterr().err

    def test_expected_counts_are_warned_of_once(self, tissue, capsys):
        parts = np.random.default_rng(0).random(tissue.X.nnz, dtype=np.float32)
        tissue.X.data *= parts
        st.tl.semst(tissue, 3, **FAST)
        assert tissue.uns["semst"]["counts_kind"] == "expected"
        assert capsys.readouterr().err.count("not whole numbers") == 1

    def test_isolated_spots_of_the_users_graph(self, tissue, capsys):
        import squidpy

        tissue.obsm["spatial"][0] = [1e5, 1e5]
        squidpy.gr.spatial_neighbors_radius(tissue, radius=105)
        got = run(tissue)
        assert got.uns["semst"]["graph"]["n_isolated"] == 1
        assert np.isfinite(got.obsm["X_semst"]).all()
        assert "1 observations have no neighbour in the graph" in capsys.readouterr().err

    def test_a_panel_of_70_genes(self, tissue):
        for preset in ("default", "reference"):
            got = run(tissue[:, :70].copy(), preset=preset)
            # the authors leave out genes detected in fewer than 100 spots
            few = 0 if preset == "default" else int((tissue[:, :70].X.getnnz(axis=0) < 100).sum())
            assert got.uns["semst"]["n_genes"] == 70 - few
            assert got.obs["semst"].nunique() == 4

    def test_a_handful_of_spots(self, tissue):
        got = run(tissue[:12].copy(), 2)
        assert got.obs["semst"].nunique() == 2

    def test_meaningless_names_are_refused_with_a_way_out(self, tissue):
        tissue.var_names = [f"probe_{i:05d}" for i in range(tissue.n_vars)]
        before = set(tissue.uns)
        with pytest.raises(ValueError, match="semantics=None"):
            st.tl.semst(tissue, 4, **FAST)
        assert set(tissue.uns) == before
        assert run(tissue, semantics=None).obs["semst"].nunique() == 4

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_semantics_that_are_the_same_everywhere(self, tissue, value):
        tissue.obsm["X_semantics"] = np.full((300, 80), value)
        assert np.isfinite(run(tissue).obsm["X_semst"]).all()


class TestSections:
    @pytest.mark.parametrize("preset", ["default", "reference"])
    def test_no_edge_joins_two_sections_at_the_same_places(self, sections, preset):
        got = run(sections, preset=preset, library_key="library_id")
        graph = got.obsp["spatial_connectivities"].tocoo()
        library = sections.obs["library_id"].to_numpy()
        assert (library[graph.row] == library[graph.col]).all()
        assert got.uns["semst"]["graph"]["n_components"] == 2
        # a grid, although each place is taken twice
        wanted = st.models.SEMST_PRESETS[preset].hidden_dim
        assert got.uns["semst"]["config"]["hidden_dim"] == wanted

    def test_edges_of_the_users_graph_between_sections_are_left_out(self, sections, capsys):
        import squidpy

        squidpy.gr.spatial_neighbors_knn(sections, n_neighs=6)
        got = run(sections, library_key="library_id")
        assert "join different sections; they are not used" in capsys.readouterr().err
        assert got.uns["semst"]["graph"]["n_components"] >= 2

    def test_batch_key_takes_a_shift_between_sections_away(self, sections):
        generator = np.random.default_rng(0)
        factors = np.exp(generator.normal(0, 0.7, sections.n_vars))
        counts, second = sections.X.tocsr(), sections.obs["library_id"].cat.codes.to_numpy() == 1
        rows = np.repeat(second, np.diff(counts.indptr))
        drawn = generator.poisson(counts.data * factors[counts.indices])
        counts.data = np.where(rows, drawn, counts.data).astype(np.float32)
        counts.eliminate_zeros()
        sections.X = counts
        scores = {
            key: adjusted_rand_score(
                sections.obs["ground_truth"],
                run(sections, library_key="library_id", batch_key=key, max_epochs=20).obs["semst"],
            )
            for key in (None, "library_id")
        }
        assert scores["library_id"] > scores[None] + 0.2

    def test_batch_key_with_what_it_does_not_go_together(self, sections):
        with pytest.raises(ValueError, match="use the default preset, or leave batch out"):
            run(sections, preset="paper", batch_key="library_id")
        with pytest.raises(ValueError, match="store_modulation=True and batch_key"):
            run(sections, store_modulation=True, batch_key="library_id")

    def test_missing_section(self, sections):
        sections.obs["library_id"] = sections.obs["library_id"].where(np.arange(300) != 4)
        with pytest.raises(ValueError, match="has 1 missing values; every spot needs a section"):
            run(sections, library_key="library_id")


class TestGraph:
    def test_of_the_user_is_used_and_stays(self, tissue):
        import squidpy

        squidpy.gr.spatial_neighbors_knn(tissue, n_neighs=10)
        before = tissue.obsp["spatial_connectivities"].copy()
        st.tl.semst(tissue, 4, **FAST)
        assert (tissue.obsp["spatial_connectivities"] != before).nnz == 0
        assert tissue.uns["semst"]["graph"]["mean_degree"] == pytest.approx(before.nnz / 300)
        assert "made_by" not in tissue.uns["spatial_neighbors"]["params"]

    def test_of_another_name(self, tissue):
        import squidpy

        squidpy.gr.spatial_neighbors_knn(tissue, n_neighs=10, key_added="wide")
        st.tl.semst(tissue, 4, neighbors_key="wide_neighbors", **FAST)
        assert tissue.uns["semst"]["graph"]["mean_degree"] >= 10
        assert "spatial_neighbors" not in tissue.uns
        with pytest.raises(KeyError, match=r"neighbors_key='narrow' is not in adata\.uns"):
            st.tl.semst(tissue, 4, neighbors_key="narrow", **FAST)

    def test_built_once_and_again_when_asked_otherwise(self, tissue):
        st.tl.semst(tissue, 4, **FAST)
        graph = tissue.obsp["spatial_connectivities"]
        assert tissue.uns["semst"]["graph"]["mean_degree"] == pytest.approx(graph.nnz / 300)
        again = run(tissue)
        assert same(again, tissue)
        wider = run(tissue, n_neighbors=12)
        assert wider.obsp["spatial_connectivities"].nnz > 1.5 * graph.nnz
        # ... unless it is named
        assert same(run(tissue, n_neighbors=12, neighbors_key="spatial_neighbors"), tissue)

    def test_number_of_neighbors_of_the_graph_built_before(self, tissue, capsys):
        key = "spatial_neighbors"
        for n_neighbors, neighbors_key, source in [
            (8, None, "built"),
            (8, None, f"uns['{key}']"),
            (8, key, f"uns['{key}']"),
            (12, None, "built"),
            (12, None, f"uns['{key}']"),
            (8, None, "built"),
        ]:
            st.tl.semst(tissue, 4, n_neighbors=n_neighbors, neighbors_key=neighbors_key, **FAST)
            assert tissue.uns["semst"]["graph"]["source"] == source
            assert tissue.uns[key]["params"]["n_neighbors"] == n_neighbors
            wanted = st.models.SemST.spatial_graph(tissue.obsm["spatial"], n_neighbors=n_neighbors)
            assert tissue.obsp["spatial_connectivities"].nnz == wanted.nnz
        assert "has no effect" not in capsys.readouterr().err
        # one that is named is not built anew
        st.tl.semst(tissue, 4, n_neighbors=12, neighbors_key=key, **FAST)
        assert tissue.uns[key]["params"]["n_neighbors"] == 8
        warned = capsys.readouterr().err
        assert f"n_neighbors=12 has no effect: the graph in adata.uns['{key}'] is used as it is" in warned
        assert "leave out neighbors_key" in warned

    def test_number_of_neighbors_after_writing_and_reading(self, tissue, capsys, tmp_path):
        import anndata

        st.tl.semst(tissue, 4, n_neighbors=8, **FAST)
        tissue.write_h5ad(tmp_path / "tissue.h5ad")
        again = anndata.read_h5ad(tmp_path / "tissue.h5ad")
        st.tl.semst(again, 4, n_neighbors=8, **FAST)
        assert again.uns["semst"]["graph"]["source"] == "uns['spatial_neighbors']"
        assert "has no effect" not in capsys.readouterr().err

    def test_number_of_neighbors_of_the_users_graph(self, tissue, capsys):
        import squidpy

        squidpy.gr.spatial_neighbors_knn(tissue, n_neighs=10)
        before = tissue.obsp["spatial_connectivities"].copy()
        st.tl.semst(tissue, 4, **FAST)
        assert "has no effect" not in capsys.readouterr().err
        st.tl.semst(tissue, 4, n_neighbors=5, **FAST)
        warned = capsys.readouterr().err
        assert warned.count("n_neighbors=5 has no effect") == 1
        assert "delete it and adata.obsp['spatial_connectivities']" in warned
        assert (tissue.obsp["spatial_connectivities"] != before).nnz == 0


class TestOnePreparation:
    @pytest.fixture
    def calls(self, monkeypatch) -> list[str]:
        from semtx.models import _semst_preprocessing as preprocessing

        calls = []
        for name in ("rings", "feature_graph"):
            original = getattr(preprocessing, name)

            def counted(*args, name=name, original=original, **options):
                calls.append(name)
                return original(*args, **options)

            monkeypatch.setattr(preprocessing, name, counted)
        return calls

    @pytest.mark.parametrize(("preset", "wanted"), [("default", "rings"), ("paper", "feature_graph")])
    def test_of_what_costs(self, tissue, calls, preset, wanted):
        run(tissue, preset=preset, store_modulation=True)
        assert calls == [wanted]


class TestSemantics:
    def test_controls_differ_and_change_nothing_stored(self, tissue):
        st.pp.gene_semantics(tissue)
        st.pp.cell_semantics(tissue)
        stored = tissue.obsm["X_semantics"].copy(), tissue.varm["gene_semantics"].copy()
        found = {}
        for semantics in ("auto", "shuffled", "random", None):
            got = run(tissue, semantics=semantics)
            np.testing.assert_array_equal(got.obsm["X_semantics"], stored[0])
            np.testing.assert_array_equal(got.varm["gene_semantics"], stored[1])
            found[semantics] = got
        for one, first in found.items():
            for other, second in found.items():
                assert same(first, second) == (one == other)
        assert found["auto"].uns["semst"]["semantics_source"] == "obsm['X_semantics']"
        assert found["shuffled"].uns["semst"]["semantics_source"] == "varm['gene_semantics'], shuffled"
        assert found[None].uns["semst"]["semantics_source"] == "none"

    def test_controls_follow_the_seed(self, tissue):
        for control in ("shuffled", "random"):
            one, again = (run(tissue, semantics=control, random_state=1) for _ in range(2))
            assert same(one, again)

    def test_computed_on_the_side(self, tissue):
        got = run(tissue)
        assert got.uns["semst"]["semantics_source"] == "built-in gene vectors"
        assert not got.varm
        assert "X_semantics" not in got.obsm

    def test_any_key_of_obsm(self, tissue):
        tissue.obsm["mine"] = np.random.default_rng(0).normal(size=(300, 20))
        got = run(tissue, semantics="mine")
        assert got.uns["semst"]["semantics_source"] == "obsm['mine']"
        assert not same(got, run(tissue))

    def test_broken_semantics(self, tissue):
        tissue.obsm["mine"] = np.full((300, 5), np.nan)
        with pytest.raises(ValueError, match=r"obsm\['mine'\] must be a matrix of numbers without NaN"):
            run(tissue, semantics="mine")

    @pytest.mark.parametrize(("preset", "views"), [("default", 1), ("paper", 2), ("reference", 2)])
    def test_modulation(self, tissue, preset, views):
        got = run(tissue, preset=preset, store_modulation=True)
        stored = got.obsm["semst_modulation"]
        assert stored.dtype == np.float32
        assert stored.shape == (300, 2 * views * got.obsm["X_semst"].shape[1])
        with pytest.raises(ValueError, match="store_modulation=True needs semantics"):
            run(tissue, semantics=None, store_modulation=True)


class TestSettings:
    @pytest.mark.parametrize("preset", ["default", "paper", "reference", "reference-cells"])
    def test_presets(self, tissue, preset):
        got = run(tissue, preset=preset)
        record = got.uns["semst"]
        assert record["params"]["preset"] == preset
        assert record["n_epochs"] == 2
        assert record["stop_reason"] == "all 2 epochs done"
        assert got.obs["semst"].cat.categories.tolist() == ["0", "1", "2", "3"]
        assert got.obsm["X_semst"].shape == (300, record["config"]["latent_dim"])
        assert got.obsm["X_semst"].dtype == np.float32

    def test_authors_presets_tell_cells_from_a_grid(self, tissue):
        assert run(tissue, preset="reference").uns["semst"]["config"]["hidden_dim"] == 256
        tissue.obsm["spatial"] = np.random.default_rng(0).uniform(0, 1, (300, 2))
        assert run(tissue, preset="reference").uns["semst"]["config"]["hidden_dim"] == 128

    def test_a_configuration_of_ones_own(self, tissue):
        config = st.models.SEMST_PRESETS["default"].updated(latent_dim=7)
        got = run(tissue, preset=config)
        assert got.obsm["X_semst"].shape == (300, 7)
        assert got.uns["semst"]["params"]["preset"] == "custom"
        assert got.uns["semst"]["config"]["max_epochs"] == 2

    def test_changes_of_a_preset(self, tissue):
        got = run(tissue, n_top_genes=100, learning_rate=0.5, spatial_loss="exact", n_neighbors=4)
        config = got.uns["semst"]["config"]
        assert (config["n_top_genes"], config["learning_rate"], config["n_neighbors"]) == (100, 0.5, 4)
        assert config["spatial_loss"] == "exact"
        assert got.uns["semst"]["n_genes"] == 100

    def test_exact_and_closed_spatial_loss_are_close(self, tissue):
        exact, closed = (
            run(tissue, preset="reference", spatial_loss=how).uns["semst"]["losses"]["spatial"][0]
            for how in ("exact", "closed_form")
        )
        assert exact != closed
        assert abs(exact - closed) < 3e-4

    def test_mask_of_genes(self, tissue):
        tissue.var["mine"] = tissue.var["program"] != "background"
        wanted = run(tissue, mask_var="mine")
        assert wanted.uns["semst"]["n_genes"] == tissue.var["mine"].sum()
        assert same(run(tissue, mask_var=tissue.var["mine"].to_numpy()), wanted)
        with pytest.raises(ValueError, match="only 1 of 705 genes are in mask_var"):
            run(tissue, mask_var=np.arange(705) == 3)

    def test_number_of_clusters_is_chosen(self, tissue):
        got = run(tissue, None)
        record = got.uns["semst"]["clustering"]
        assert record["criterion"] == "agreement"
        assert record["n_clusters"] == got.obs["semst"].nunique()

    def test_leiden(self, tissue):
        got = run(tissue, None, cluster_method="leiden", resolution=0.3)
        assert got.uns["semst"]["clustering"]["resolution"] == 0.3
        assert run(tissue, 3, cluster_method="leiden").obs["semst"].nunique() == 3

    def test_smoothing(self, tissue):
        rough, smooth = (run(tissue, n_smoothing=rounds) for rounds in (0, 3))
        assert same(rough, smooth)
        graph = rough.obsp["spatial_connectivities"].tocoo()

        def agreement(of: AnnData) -> float:
            codes = of.obs["semst"].cat.codes.to_numpy()
            return (codes[graph.row] == codes[graph.col]).mean()

        assert agreement(smooth) > agreement(rough)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"max_epochs": 0}, ValueError, "max_epochs must be at least 1"),
            ({"learning_rate": 0}, ValueError, "learning_rate must be finite, above 0"),
            ({"learning_rate": np.nan}, ValueError, "learning_rate must be finite"),
            ({"n_top_genes": 1}, ValueError, "n_top_genes must be at least 2"),
            ({"n_neighbors": 2.5}, TypeError, "n_neighbors must be a whole number"),
            ({"random_state": -1}, ValueError, "random_state must be at least 0"),
            ({"key_added": "a/b"}, ValueError, "key_added must not be empty nor contain '/'"),
            ({"key_added": "xy", "spatial_key": "xy"}, ValueError, "key_added='xy' is what is read"),
            ({"key_added": None}, TypeError, "key_added must be text, got None"),
            ({"spatial_loss": "dense"}, ValueError, "spatial_loss must be one of"),
            ({"resolution": 1.0}, ValueError, "resolution belongs to cluster_method='leiden'"),
        ],
    )
    def test_bad_settings(self, tissue, options, error, message):
        with pytest.raises(error, match=message):
            run(tissue, **options)

    def test_spatialdata(self, tissue):
        spatialdata = pytest.importorskip("spatialdata")
        wanted = run(tissue)
        sdata = spatialdata.SpatialData(tables={"spots": tissue})
        st.tl.semst(sdata, 4, **FAST)
        assert same(sdata.tables["spots"], wanted)


class TestInterruption:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_leaves_anndata_as_it_was(self, tissue, monkeypatch, error):
        from semtx import nn

        def stop(*_, **__):
            raise error

        before = tissue.copy()
        monkeypatch.setattr(nn.ZINBDecoder, "loss", stop)
        with pytest.raises(error):
            st.tl.semst(tissue, 4, **FAST)
        assert set(tissue.uns) == set(before.uns)
        assert set(tissue.obsp) == set(before.obsp)
        assert set(tissue.obsm) == set(before.obsm)
        pd.testing.assert_frame_equal(tissue.obs, before.obs)
        assert (tissue.X != before.X).nnz == 0

    def test_a_loss_that_is_no_number_is_named(self, tissue, monkeypatch):
        from semtx import nn

        monkeypatch.setattr(nn.ZINBDecoder, "loss", lambda self, z, *_, **__: z.sum() * np.nan)
        before = set(tissue.obsp)
        with pytest.raises(FloatingPointError, match="the zinb loss is not finite in epoch 0; no input looks wrong"):
            st.tl.semst(tissue, 4, **FAST)
        assert "semst" not in tissue.uns
        assert set(tissue.obsp) == before


def test_finds_the_domains_of_the_generated_tissue(tissue):
    got = run(tissue, 5, max_epochs=None)
    assert adjusted_rand_score(tissue.obs["ground_truth"], got.obs["semst"]) > 0.45


@pytest.mark.data
@pytest.mark.slow
def test_finds_the_layers_of_a_real_section(test_data):
    """Visual cortex by STARmap, raw file to labels in one call, the truth read afterwards."""
    import anndata

    adata = anndata.read_h5ad(test_data / "spatial" / "STARmap_MVC.h5ad")
    truth = adata.obs.pop("ground_truth")
    known = truth.notna().to_numpy()
    st.tl.semst(adata, truth.nunique(), accelerator="cpu", show_progress_bar=False)
    assert adjusted_rand_score(truth[known], adata.obs["semst"][known]) > 0.45


class TestWhatWasThere:
    def test_a_graph_that_concat_kept_is_used(self, sections):
        import anndata
        import squidpy

        parts = [sections[sections.obs["library_id"] == name].copy() for name in sections.obs["library_id"].unique()]
        for part in parts:
            squidpy.gr.spatial_neighbors_knn(part, n_neighs=12)
        both = anndata.concat(parts, pairwise=True)
        before = both.obsp["spatial_connectivities"].copy()
        both = run(both, 3, library_key="library_id")
        assert (both.obsp["spatial_connectivities"] != before).nnz == 0
        assert both.uns["semst"]["graph"]["source"] == "obsp['spatial_connectivities']"

    def test_an_own_graph_that_is_gone_is_built_again(self, tissue):
        tissue = run(tissue, 3)
        del tissue.obsp["spatial_connectivities"]
        assert "spatial_connectivities" in run(tissue, 3, n_neighbors=4).obsp

    def test_modulation_of_an_earlier_run_goes(self, tissue):
        tissue = run(tissue, 3, store_modulation=True)
        assert "semst_modulation" in tissue.obsm
        assert "semst_modulation" not in run(tissue, 3, semantics=None).obsm

    @pytest.mark.parametrize("key_added", ["library_id", "spatial_neighbors", "semantics"])
    def test_what_is_read_is_not_replaced(self, sections, key_added):
        st.pp.cell_semantics(sections)
        with pytest.raises(ValueError, match="is what is read"):
            run(sections, 3, library_key="library_id", semantics="X_semantics", key_added=key_added)

    def test_the_parameter_has_its_own_name(self, tissue):
        with pytest.raises(ValueError, match="resolution belongs to cluster_method='leiden'"):
            run(tissue, resolution=1.0)

    def test_one_observation(self, tissue):
        with pytest.raises(ValueError, match="2 observations or more"):
            run(tissue[:1].copy(), None)
