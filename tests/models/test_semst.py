from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import sparse

import semtx as st
from semtx.models._semst_config import resolve_preset

SHORT = {"max_epochs": 3}


def small(preset: str) -> st.models.SemSTConfig:
    """A preset with narrow layers, so that a test takes no time."""
    config = st.models.SEMST_PRESETS[preset].updated(**SHORT)
    if config.encoder == "convolution":
        config = config.updated(hidden_dim=16, latent_dim=8, modulation_dim=6, decoder_hidden_dim=16)
    return config


@pytest.fixture
def data(tissue) -> tuple[sparse.csr_matrix, sparse.csr_matrix, np.ndarray]:
    graph = st.models.SemST.spatial_graph(tissue.obsm["spatial"])
    semantics = np.random.default_rng(0).normal(size=(tissue.n_obs, 30)).astype(np.float32)
    return tissue.X[:, :120], graph, semantics


def fitted(data, preset: str = "default", **options) -> st.models.SemST:
    model = st.models.SemST(small(preset), accelerator="cpu", **options)
    names = [f"gene{i}" for i in range(data[0].shape[1])]
    return model.fit(*data, gene_names=names, show_progress_bar=False)


PRESETS = sorted(st.models.SEMST_PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
class TestEveryPreset:
    def test_shapes_and_record(self, data, preset):
        model = fitted(data, preset)
        z = model.embed(*data)
        assert z.shape == (300, model.config.latent_dim)
        assert z.dtype == np.float32
        assert np.isfinite(z).all()
        wanted = {"default": {"zinb", "total"}}.get(preset, {"zinb", "correlation", "spatial", "total"})
        assert set(model.record.losses) == wanted
        assert all(len(values) == 3 for values in model.record.losses.values())
        alpha, beta = model.modulation(*data[1:])
        assert alpha.shape == beta.shape
        assert len(alpha) == 300

    def test_same_seed_same_result_and_another_seed_another(self, data, preset):
        one, same, other = (fitted(data, preset, random_state=seed).embed(*data) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()

    def test_round_trip(self, data, preset, tmp_path):
        model = fitted(data, preset, random_state=5)
        model.save(tmp_path / "new" / "folder")
        loaded = st.models.SemST.load(tmp_path / "new" / "folder", accelerator="cpu")
        np.testing.assert_array_equal(loaded.embed(*data), model.embed(*data))
        for got, wanted in zip(loaded.modulation(*data[1:]), model.modulation(*data[1:]), strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert loaded.config == model.config
        assert loaded.random_state == 5
        assert loaded.gene_names == model.gene_names
        assert loaded.record.losses == model.record.losses

    def test_new_section(self, data, preset):
        counts, graph, semantics = data
        model = fitted(data, preset)
        part = np.arange(0, 200)
        z = model.embed(counts[part], graph[part][:, part], semantics[part])
        assert z.shape == (200, model.config.latent_dim)
        assert np.isfinite(z).all()

    def test_nothing_outside_changes(self, data, preset):
        counts, graph, semantics = data
        before = [counts.copy(), graph.copy(), semantics.copy()]
        torch.manual_seed(3)
        state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        model = fitted(data, preset)
        model.embed(*data)
        assert torch.equal(torch.get_rng_state(), state)
        np.testing.assert_array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
        assert (counts != before[0]).nnz == 0
        assert (graph != before[1]).nnz == 0
        np.testing.assert_array_equal(semantics, before[2])

    def test_training_lowers_the_loss(self, data, preset):
        model = st.models.SemST(small(preset).updated(max_epochs=15), accelerator="cpu")
        losses = model.fit(*data, show_progress_bar=False).record.losses["total"]
        assert losses[-1] < losses[0]

    def test_weights_and_diagonal_of_the_graph_do_not_count(self, data, preset):
        counts, graph, semantics = data
        weighted = graph.tolil()
        weighted.setdiag(5)
        weighted = sparse.csr_matrix(weighted)
        weighted.data *= np.linspace(1, 2, weighted.nnz)
        one, other = fitted(data, preset), fitted((counts, weighted, semantics), preset)
        assert one.record.losses == other.record.losses
        np.testing.assert_array_equal(one.embed(*data), other.embed(counts, weighted, semantics))

    def test_without_semantics(self, data, preset):
        counts, graph, _ = data
        model = fitted((counts, graph), preset)
        assert np.isfinite(model.embed(counts, graph)).all()
        with pytest.raises(ValueError, match="trained without semantics"):
            model.modulation(*data[1:])


def test_a_spot_embeds_by_its_surroundings_alone_in_the_default(data):
    """A part of a section embeds as the whole does, away from the cut: what is fitted is kept."""
    counts, graph, semantics = data
    model = fitted(data)
    part = np.arange(200)
    z, whole = model.embed(counts[:200], graph[:200][:, :200], semantics[:200]), model.embed(*data)
    reach = (sparse.identity(300) + graph).astype(bool).astype(np.int64) ** 3
    whole_reach = np.diff(reach.tocsr().indptr)
    inner = np.flatnonzero(np.diff(reach.tocsr()[part][:, part].indptr) == whole_reach[part])
    assert len(inner) > 50
    np.testing.assert_allclose(z[inner], whole[inner], atol=1e-4)


class TestMisuse:
    def test_embed_before_fit(self, data, tmp_path):
        model = st.models.SemST()
        for call in (lambda: model.embed(*data), lambda: model.modulation(*data[1:]), lambda: model.save(tmp_path)):
            with pytest.raises(RuntimeError, match="no weights yet; call fit"):
                call()
        assert not list(tmp_path.iterdir())

    def test_other_number_of_genes(self, data):
        counts, graph, semantics = data
        with pytest.raises(ValueError, match="trained on 120 genes, these counts have 119"):
            fitted(data).embed(counts[:, 1:], graph, semantics)

    def test_other_genes_or_order(self, data):
        model = fitted(data)
        names = list(model.gene_names)
        with pytest.raises(ValueError, match="they come in another order"):
            model.embed(*data, gene_names=names[::-1])
        with pytest.raises(ValueError, match="it does not know 'strange'"):
            model.embed(*data, gene_names=["strange", *names[1:]])
        assert np.isfinite(model.embed(*data, gene_names=names)).all()

    def test_semantics_in_one_of_fit_and_embed(self, data):
        counts, graph, _ = data
        with pytest.raises(ValueError, match="trained with semantics"):
            fitted(data).embed(counts, graph)
        with pytest.raises(ValueError, match="trained without semantics"):
            fitted((counts, graph)).embed(*data)

    @pytest.mark.parametrize("preset", ["default", "paper"])
    def test_semantics_of_another_width(self, data, preset):
        counts, graph, semantics = data
        with pytest.raises(ValueError, match="30 semantic dimensions, these have 29"):
            fitted(data, preset).embed(counts, graph, semantics[:, 1:])

    def test_nothing_saved_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no model\.json.*SemST\.save"):
            st.models.SemST.load(tmp_path)

    def test_a_file_of_another_format(self, data, tmp_path):
        fitted(data).save(tmp_path)
        path = tmp_path / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
        with pytest.raises(ValueError, match="has format 99; this version of semtx reads format 1"):
            st.models.SemST.load(tmp_path)


class TestConfig:
    def test_updated_leaves_out_none_and_refuses_the_unknown(self):
        config = st.models.SEMST_PRESETS["default"]
        assert config.updated(max_epochs=None) == config
        assert config.updated(max_epochs=7).max_epochs == 7
        assert config.max_epochs != 7
        with pytest.raises(TypeError, match=r"has no 'epochs'; it has .*'max_epochs'"):
            config.updated(epochs=7)

    def test_the_authors_presets_follow_the_platform(self):
        for name in ("paper", "reference"):
            assert resolve_preset(name, grid=True, n_obs=1000) == st.models.SEMST_PRESETS[name]
            assert resolve_preset(name, grid=False, n_obs=1000) == st.models.SEMST_PRESETS[f"{name}-cells"]
        assert resolve_preset("default", grid=False, n_obs=1000) == resolve_preset("default", grid=True, n_obs=1000)
        assert resolve_preset("reference", grid=True, n_obs=1000, max_epochs=9).max_epochs == 9

    def test_reference_is_the_code_column(self):
        spots, cells = (st.models.SEMST_PRESETS[name] for name in ("reference", "reference-cells"))
        assert (spots.hidden_dim, spots.latent_dim, spots.modulation_dim) == (256, 128, 153)
        assert (cells.hidden_dim, cells.latent_dim, cells.modulation_dim) == (128, 64, 32)
        for config in (spots, cells):
            assert config.normalization == "row"
            assert config.gene_ranking == "zscore"
            assert config.n_semantic_genes == 10
            assert config.zinb_ridge == 0.05
            assert config.fusion == "mlp"
            assert config.decoder_hidden_dim == config.hidden_dim
            assert (config.learning_rate, config.weight_decay) == (1e-3, 5e-4)
        assert (spots.n_feature_neighbors, cells.n_feature_neighbors) == (14, 5)
        assert (spots.max_epochs, cells.max_epochs) == (100, 2000)
        assert (spots.correlation_weight, spots.spatial_weight) == (0.1, 0.1)
        assert (cells.correlation_weight, cells.spatial_weight) == (1, 1)

    def test_paper_is_the_paper_column(self):
        spots, cells = (st.models.SEMST_PRESETS[name] for name in ("paper", "paper-cells"))
        for config in (spots, cells):
            assert config.normalization == "symmetric"
            assert config.fusion == "linear"
            assert config.semantic_head == "mlp"
            assert config.zinb_ridge == 0
            assert config.correlation_weighting == "uniform"
        assert (spots.n_semantic_genes, cells.n_semantic_genes) == (20, 30)
        assert (spots.n_feature_neighbors, cells.n_feature_neighbors) == (14, 15)
