from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import sparse

import semtx as st
from semtx.models._semst_config import resolve_preset
from semtx.models._semst_training import SemSTObjective

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

    def test_mixed_precision_halves_no_count(self, data, preset, monkeypatch):
        seen = []
        forward = SemSTObjective.forward

        def watched(self, given):
            seen.append(given.value)
            return forward(self, given)

        monkeypatch.setattr(SemSTObjective, "forward", watched)
        full, mixed = (fitted(data, preset, precision=precision) for precision in ("32-true", "bf16-mixed"))
        assert mixed.record.precision == "bf16-mixed"
        for step in seen:
            for given in (step.target, step.size_factors, step.edges):
                assert given is None or given.dtype == torch.float32
        for name, losses in full.record.losses.items():
            np.testing.assert_allclose(mixed.record.losses[name], losses, rtol=0.02, atol=1e-3)

    def test_what_fit_prepared_is_what_embed_and_modulation_prepare(self, data, preset):
        model = st.models.SemST(small(preset), accelerator="cpu")
        inputs = model._fit(*data, gene_names=None, show_progress_bar=False)
        np.testing.assert_array_equal(model._embed(inputs), model.embed(*data))
        for got, wanted in zip(model._modulation(inputs.semantics), model.modulation(*data[1:]), strict=True):
            np.testing.assert_array_equal(got, wanted)

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


class TestArrays:
    """What fit and embed refuse, and that nothing is fitted then."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {1: sparse.identity(299, format="csr")},
                r"graph must have shape \(300, 300\).*\(300, 120\), got \(299, 299\)",
            ),
            ({1: sparse.csr_matrix((300, 299))}, r"graph must have shape \(300, 300\).*got \(300, 299\)"),
            ({1: sparse.diags(np.full(300, np.nan), format="csr")}, "graph must have finite weights"),
            ({2: np.ones((299, 5))}, r"semantics must have shape \(300, d\).*\(300, 120\), got \(299, 5\)"),
            ({2: np.ones(300)}, r"semantics must have shape \(300, d\).*got \(300,\)"),
            ({2: np.ones((300, 0))}, r"semantics must have shape \(300, d\).*got \(300, 0\)"),
            ({2: np.where(np.eye(300, 5), np.inf, 1)}, "semantics must be finite; 5 rows"),
            ({0: sparse.csr_matrix(np.where(np.eye(300, 120), np.nan, 1))}, "counts must be finite; 120 values"),
            ({0: sparse.csr_matrix(-np.eye(300, 120))}, "counts must not be negative; the least is -1"),
        ],
    )
    def test_shapes_and_values(self, data, change, message):
        wrong = [change.get(i, array) for i, array in enumerate(data)]
        model = st.models.SemST(small("default"), accelerator="cpu")
        with pytest.raises(ValueError, match=message):
            model.fit(*wrong)
        with pytest.raises(RuntimeError, match="no weights yet"):
            model.embed(*data)
        with pytest.raises(ValueError, match=message):
            fitted(data).embed(*wrong)

    def test_modulation(self, data):
        with pytest.raises(ValueError, match=r"semantics must have shape \(300, d\) to go with graph"):
            fitted(data).modulation(data[1], data[2][:-1])

    def test_other_sparse_and_dense_arrays_do(self, data):
        counts, graph, semantics = data
        z = fitted((counts.toarray(), graph.tocoo(), semantics.tolist())).embed(
            counts.tocsc(), graph.toarray(), semantics
        )
        np.testing.assert_allclose(z, fitted(data).embed(*data), atol=1e-4)


class TestDivergence:
    """What the message blames where a loss is no longer finite."""

    def message(self, config, *arrays) -> str:
        with pytest.raises(FloatingPointError, match="finite") as caught:
            st.models.SemST(config, accelerator="cpu").fit(*arrays, show_progress_bar=False)
        return str(caught.value).partition("what looks wrong: ")[2]

    @pytest.mark.parametrize("preset", ["default", "paper"])
    def test_learning_rate(self, data, preset):
        message = self.message(small(preset).updated(learning_rate=1e35), *data)
        assert message == "learning_rate (1e+35)"

    @pytest.fixture
    def broken(self, monkeypatch):
        # the network takes extreme inputs, so its loss is broken by hand
        monkeypatch.setattr(st.nn.ZINBDecoder, "loss", lambda self, z, *_, **__: z.sum() * np.nan)

    @pytest.mark.usefixtures("broken")
    def test_semantics(self, data):
        semantics = np.clip(data[2], -1, 1) * np.float32(1e10)
        assert self.message(small("default"), *data[:2], semantics) == "semantics (largest absolute value 1e+10)"

    @pytest.mark.usefixtures("broken")
    def test_counts(self, data):
        counts = data[0].toarray()
        counts[:, 3] = 1e9
        message = self.message(small("default"), sparse.csr_matrix(counts), *data[1:])
        assert message == "counts (largest value 1e+09, 100% of all in one gene)"

    @pytest.mark.usefixtures("broken")
    def test_nothing_in_particular(self, data):
        with pytest.raises(
            FloatingPointError, match=r"zinb loss is not finite in epoch 0; no input looks wrong: counts \("
        ):
            fitted(data[:2])

    def test_an_earlier_fit_stays(self, data):
        model = fitted(data)
        z, losses = model.embed(*data), model.record.losses
        model.config = model.config.updated(learning_rate=1e35)
        with pytest.raises(FloatingPointError):
            model.fit(*data, show_progress_bar=False)
        np.testing.assert_array_equal(model.embed(*data), z)
        assert model.record.losses == losses


class TestConfig:
    @pytest.mark.parametrize("field", dataclasses.fields(st.models.SemSTConfig), ids=lambda field: field.name)
    @pytest.mark.parametrize("value", [-1, "other", np.nan, True, (1,)])
    def test_every_setting_is_checked(self, field, value):
        name, value = field.name, 2 if value is True and isinstance(field.default, bool) else value
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be"):
            st.models.SemSTConfig(**{name: value})

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"latent_dim": 0}, ValueError, "latent_dim must be at least 1, got 0"),
            ({"latent_dim": 2.5}, TypeError, "latent_dim must be a whole number"),
            ({"max_epochs": None}, TypeError, "max_epochs must be a whole number, got None"),
            ({"learning_rate": 0}, ValueError, "learning_rate must be finite, above 0"),
            ({"radius": 0.0}, ValueError, "radius must be finite, above 0"),
            ({"encoder": "gcn"}, ValueError, "encoder must be one of 'convolution', 'propagated', got 'gcn'"),
        ],
    )
    def test_what_the_message_says(self, change, error, message):
        with pytest.raises(error, match=message):
            st.models.SemSTConfig(**change)

    @pytest.mark.parametrize(
        "name", ["radius", "n_semantic_genes", "decoder_hidden_dim", "n_decoded_genes", "batch_size"]
    )
    def test_none_where_it_has_a_meaning(self, name):
        assert getattr(st.models.SemSTConfig(**{name: None}), name) is None

    @pytest.mark.parametrize(
        ("preset", "change", "message"),
        [
            ("paper", {"expression": "pca"}, "encoder='convolution' and expression='pca' do not go together"),
            (
                "default",
                {"expression": "scaled"},
                "encoder='propagated' and expression='scaled' .*use expression='pca'",
            ),
            ("default", {"target": "scaled"}, "encoder='propagated' and target='scaled' .*use target='counts'"),
            ("default", {"correlation_weight": 0.1}, "encoder='propagated' and correlation_weight=0.1 .*one view"),
        ],
    )
    def test_settings_that_do_not_go_together(self, preset, change, message):
        with pytest.raises(ValueError, match=message):
            st.models.SEMST_PRESETS[preset].updated(**change)

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


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("width", [1, 2])
def test_semantics_of_few_dimensions(data, preset, width):
    counts, graph, semantics = data
    z = fitted((counts, graph, semantics[:, :width]), preset).embed(counts, graph, semantics[:, :width])
    assert np.isfinite(z).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_one_new_observation(data, preset):
    counts, _, semantics = data
    z = fitted(data, preset).embed(counts[:1], sparse.csr_matrix((1, 1)), semantics[:1])
    assert z.shape[0] == 1
    assert np.isfinite(z).all()


def test_numbers_of_numpy_can_be_saved(data, tmp_path):
    config = small("default").updated(max_epochs=np.int64(1))
    model = st.models.SemST(config, random_state=np.int64(1), accelerator="cpu")
    model.fit(*data, checkpoint=tmp_path / "checkpoint", show_progress_bar=False).save(tmp_path / "model")
    loaded = st.models.SemST.load(tmp_path / "model", accelerator="cpu")
    np.testing.assert_array_equal(loaded.embed(*data), model.embed(*data))


def test_the_threads_of_the_settings(data, monkeypatch):
    seen = []
    forward = SemSTObjective.forward

    def watched(self, given):
        seen.append(torch.get_num_threads())
        return forward(self, given)

    monkeypatch.setattr(SemSTObjective, "forward", watched)
    with st.settings.override(n_jobs=1):
        fitted(data)
    assert set(seen) == {1}


def test_other_gpus_are_left_alone(data, monkeypatch):
    """A look at the generator of a GPU starts CUDA on it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda *_: pytest.fail("looked at"))
    fitted(data)
