from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import semtx as st

PRESETS = sorted(st.models.SCLLM_DSC_PRESETS)
METHODS = ["consensus", "kmeans", "mixture", "leiden"]
VIEWS = ("labels", "proba", "fused", "structure", "text")
N, D = 150, 60


def small(preset: str, **changes) -> st.models.ScLLMDSCConfig:
    """A preset with narrow layers and few epochs, so that a test takes no time."""
    sizes = {"hidden_dim": 16, "latent_dim": 6, "projection_dim": 8, "pretrain_epochs": 1, "max_epochs": 2}
    return st.models.SCLLM_DSC_PRESETS[preset].updated(**{**sizes, "tolerance": 0.0, **changes})


@cache
def generated() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    types = generator.choice(4, N, p=[0.4, 0.3, 0.2, 0.1])
    rates = generator.gamma(0.4, 3, (4, D))
    return {
        "types": types,
        "x": generator.poisson(rates[types]).astype(np.float32),
        "gene_vectors": generator.normal(size=(D, 12)).astype(np.float32),
        "semantics": (generator.normal(size=(4, 9))[types] + generator.normal(size=(N, 9))).astype(np.float32),
        "batch": generator.choice(["a", "b", "c"], N),
        "library_sizes": generator.uniform(100, 200, N),
    }


@pytest.fixture(autouse=True)
def _one_thread():
    """Arrays are small: threads would wait for one another longer than they work, above all on a busy machine."""
    with st.settings.override(n_jobs=1):
        yield


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    made = {name: value.copy() for name, value in generated().items()}
    made["x"] = sparse.csr_matrix(made["x"])
    return made


ALL = ("gene_vectors", "semantics", "library_sizes", "batch")
OF_CELLS = ("semantics", "library_sizes", "batch")


def part(data: dict, names: tuple[str, ...] = ALL, rows: slice = slice(None)) -> dict:
    return {name: data[name] if name == "gene_vectors" else data[name][rows] for name in names}


def fitted(data: dict, config="default", names: tuple[str, ...] = ALL, n_clusters=4, **options) -> st.models.ScLLMDSC:
    config = small(config) if isinstance(config, str) else config
    model = st.models.ScLLMDSC(config, accelerator="cpu", **options)
    genes = [f"gene{i}" for i in range(data["x"].shape[1])]
    return model.fit(data["x"], n_clusters, **part(data, names), gene_names=genes, show_progress_bar=False)


def assert_same(got: st.models.ScLLMDSCResult, wanted: st.models.ScLLMDSCResult, but: tuple[str, ...] = ()) -> None:
    for name in VIEWS:
        if name not in but:
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), err_msg=name)


@pytest.mark.parametrize("preset", PRESETS)
class TestEveryPreset:
    def test_shapes_and_record(self, data, preset):
        model = fitted(data, preset)
        result = model.result
        assert np.unique(result.labels).tolist() == [0, 1, 2, 3]
        sizes = np.bincount(result.labels)
        assert (np.diff(sizes) <= 0).all()
        assert result.proba.shape == (N, 4)
        np.testing.assert_allclose(result.proba.sum(axis=1), 1, atol=1e-5)
        for name in ("proba", "fused", "structure", "text"):
            view = getattr(result, name)
            assert view.dtype == np.float32
            assert np.isfinite(view).all()
            assert name == "proba" or view.shape == (N, 8)
        assert set(model.record.losses) == {"reconstruction", "cut", "alignment", "clustering", "total"}
        assert [np.isnan(values).tolist() for values in model.record.losses.values()] == [
            [name in ("alignment", "clustering"), False, False] for name in model.record.losses
        ]
        assert model.report["n_clusters"] == model.report["n_clusters_asked"] == 4

    def test_predict_gives_back_what_fit_found(self, data, preset):
        model = fitted(data, preset)
        assert_same(model.predict(data["x"], **part(data, OF_CELLS)), model.result)
        np.testing.assert_array_equal(model.embed(data["x"], **part(data, OF_CELLS)), model.result.fused)

    def test_round_trip(self, data, preset, tmp_path):
        model = fitted(data, preset, random_state=5)
        model.save(tmp_path / "new" / "folder")
        loaded = st.models.ScLLMDSC.load(tmp_path / "new" / "folder", accelerator="cpu")
        assert_same(loaded.predict(data["x"], **part(data, OF_CELLS)), model.result)
        new = [
            value.predict(data["x"][:9], **{**part(data, OF_CELLS, slice(9)), "batch": ["new"] * 9})
            for value in (model, loaded)
        ]
        assert_same(*new)
        assert loaded.config == model.config
        assert loaded.random_state == 5
        assert loaded.gene_names == model.gene_names
        assert loaded.omega == model.omega
        np.testing.assert_equal(loaded.record.losses, model.record.losses)

    @pytest.mark.parametrize("names", [(), ("gene_vectors",), ("semantics",), ("gene_vectors", "semantics")])
    def test_paths_of_the_text_view(self, data, preset, names, tmp_path):
        model = fitted(data, preset, names)
        assert (model.result.text is None) == (not names)
        cells = part(data, tuple(name for name in names if name != "gene_vectors"))
        assert_same(model.predict(data["x"], **cells), model.result, () if names else ("text",))
        model.save(tmp_path)
        loaded = st.models.ScLLMDSC.load(tmp_path, accelerator="cpu")
        assert_same(loaded.predict(data["x"], **cells), model.result, () if names else ("text",))
        assert loaded.omega == model.omega
        if len(names) == 1:
            assert model.omega == float(names == ("gene_vectors",))

    def test_same_seed_same_result_and_another_seed_another(self, data, preset):
        one, same, other = (fitted(data, preset, random_state=seed).result for seed in (1, 1, 2))
        assert_same(one, same)
        assert (one.fused != other.fused).any()

    def test_random_numbers_outside_do_not_matter_and_stay(self, data, preset):
        wanted = fitted(data, preset).result
        torch.manual_seed(99)
        state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        model = fitted(data, preset)
        model.predict(data["x"], **part(data, OF_CELLS))
        assert_same(model.result, wanted)
        assert torch.equal(torch.get_rng_state(), state)
        np.testing.assert_array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002

    def test_the_input_stays_as_it_is(self, data, preset):
        for form in (sparse.csr_matrix, lambda x: x.toarray()):
            given = {**data, "x": form(data["x"])}
            before = {name: value.copy() for name, value in given.items()}
            fitted(given, preset).predict(given["x"], **part(given, OF_CELLS))
            for name, value in given.items():
                assert (value != before[name]).sum() == 0, name

    def test_training_lowers_the_loss(self, data, preset):
        config = small(preset, pretrain_epochs=30, max_epochs=30, learning_rate=1e-3, target_interval=100)
        total = np.array(fitted(data, config).record.losses["total"])
        assert total[29] < total[0]
        assert total[-1] < total[30]

    def test_expression_in_any_form(self, data, preset):
        names = ("gene_vectors", "semantics", "batch")
        wanted = fitted(data, preset, names).result
        forms = [sparse.csc_matrix, sparse.csr_array, lambda x: x.astype(np.int64), lambda x: x.astype(np.float64)]
        for form in forms:
            assert_same(fitted({**data, "x": form(data["x"])}, preset, names).result, wanted)


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("cluster_on", ["fused", "structure", "text"])
@pytest.mark.parametrize("cluster_method", METHODS)
def test_clusters_of_any_view_by_any_method(data, preset, cluster_on, cluster_method):
    model = fitted(data, small(preset, cluster_on=cluster_on, cluster_method=cluster_method, max_epochs=1))
    labels, proba = model.result.labels, model.result.proba
    assert model.report["method"] == cluster_method
    assert model.report["clustered"] == cluster_on
    k = model.report["n_clusters"]
    assert (proba.shape, labels.max() + 1) == ((N, k), k)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    again = model.predict(data["x"], **part(data, OF_CELLS))
    np.testing.assert_array_equal(again.proba, proba)
    # a mixture and Leiden draw other borders than nearest means do
    least = 1 if cluster_method in ("consensus", "kmeans") else 0.6
    assert np.mean(again.labels == labels) >= least


def test_finds_types_and_assigns_held_out_cells(data):
    config = small("default", max_epochs=5)
    kept = {**data, **part(data, OF_CELLS, slice(100)), "x": data["x"][:100]}
    model = fitted(kept, config)
    assert adjusted_rand_score(data["types"][:100], model.result.labels) > 0.9
    new = model.predict(data["x"][100:], **part(data, OF_CELLS, slice(100, None)))
    assert adjusted_rand_score(data["types"][100:], new.labels) > 0.9


def test_a_cell_is_assigned_by_itself(data):
    model = fitted(data)
    one = model.predict(data["x"][7:8], **part(data, OF_CELLS, slice(7, 8)))
    for name in VIEWS:
        np.testing.assert_allclose(getattr(one, name), getattr(model.result, name)[7:8], atol=1e-5)


class TestBatches:
    def test_a_new_batch_is_centred_by_itself(self, data):
        """The cells of a training batch under another name are the same cells."""
        model = fitted(data)
        rows = data["batch"] == "b"
        cells = {name: data[name][rows] for name in ("semantics", "library_sizes")}
        renamed = model.predict(data["x"][rows], batch=["new"] * rows.sum(), **cells)
        unnamed = model.predict(data["x"][rows], **cells)
        assert_same(renamed, unnamed)
        np.testing.assert_allclose(renamed.proba, model.result.proba[rows], atol=1e-3)

    def test_matter(self, data):
        with_batch, without = (fitted(data, names=names).result for names in (ALL, ALL[:3]))
        assert np.abs(with_batch.fused - without.fused).max() > 1e-2

    def test_one_batch_is_none(self, data):
        without = fitted(data, names=ALL[:3])
        one = fitted({**data, "batch": np.full(N, "a")})
        assert_same(one.result, without.result)
        assert_same(one.predict(data["x"], **part({**data, "batch": ["other"] * N}, OF_CELLS)), without.result)

    @pytest.mark.parametrize("form", [list, lambda x: np.unique(x, return_inverse=True)[1]])
    def test_any_names_do(self, data, form):
        assert_same(fitted({**data, "batch": form(data["batch"])}).result, fitted(data).result)


class TestOddCells:
    """Cells of which there is little to say."""

    @pytest.mark.parametrize("preset", PRESETS)
    def test_empty_cells_and_cells_of_one_gene(self, data, preset):
        x = data["x"].toarray()
        x[:5] = 0
        x[5:12] = 0
        x[np.arange(5, 12), np.arange(7)] = 4
        result = fitted({**data, "x": x}, preset, ("gene_vectors",)).result
        assert all(np.isfinite(getattr(result, name)).all() for name in VIEWS)
        # what is equal is assigned alike
        np.testing.assert_allclose(result.fused[:5], result.fused[:1].repeat(5, axis=0), atol=1e-4)
        assert len(np.unique(result.labels[:5])) == 1

    @pytest.mark.parametrize("preset", PRESETS)
    def test_duplicate_cells(self, data, preset):
        x = np.repeat(data["x"][:8].toarray(), 10, axis=0)
        result = fitted({**data, "x": x}, preset, ("gene_vectors",), n_clusters=3).result
        labels = result.labels.reshape(8, 10)
        assert (labels == labels[:, :1]).all()
        assert len(np.unique(labels)) == 3

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.filterwarnings("ignore:Number of distinct clusters")
    def test_fewer_kinds_of_cells_than_clusters(self, data, preset):
        x = np.repeat(data["x"][:4].toarray(), 10, axis=0)
        model = fitted({**data, "x": x}, preset, ("gene_vectors",), n_clusters=6)
        assert np.isfinite(model.result.fused).all()
        assert model.report["n_clusters"] == model.result.proba.shape[1] <= 6
        # cells of two kinds are in no cluster together
        assert all(
            len(set(np.repeat(range(4), 10)[model.result.labels == label])) == 1 for label in model.result.labels
        )

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize("value", [0.0, 3.0])
    @pytest.mark.filterwarnings("ignore:Number of distinct clusters")
    def test_cells_that_are_all_equal(self, data, preset, value):
        result = fitted({**data, "x": np.full((30, D), value)}, preset, ("gene_vectors",), n_clusters=3).result
        assert (result.labels == 0).all()
        np.testing.assert_allclose(result.proba, 1, atol=1e-6)
        assert np.isfinite(result.fused).all()

    @pytest.mark.parametrize("preset", PRESETS)
    def test_two_cells_and_two_genes(self, data, preset):
        assert sorted(fitted({**data, "x": data["x"][:2]}, preset, ("gene_vectors",), n_clusters=2).result.labels) == [
            0,
            1,
        ]
        few = {**data, "x": data["x"][:, :2], "gene_vectors": data["gene_vectors"][:2]}
        assert np.isfinite(fitted(few, preset, n_clusters=2).result.fused).all()

    def test_mini_batches_of_two_with_one_cell_left_over(self, data):
        result = fitted({**data, "x": data["x"][:31]}, small("default", batch_size=2), ("gene_vectors",), 3).result
        assert np.isfinite(result.fused).all()

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_semantics_that_are_the_same_everywhere(self, data, value):
        result = fitted({**data, "semantics": np.full((N, 5), value)}).result
        assert np.isfinite(result.fused).all()


class TestNumberOfClusters:
    def test_is_chosen(self, data):
        model = fitted(data, small("default", cluster_method="kmeans"), n_clusters=None)
        assert model.report["criterion"] == "stability"
        assert model.report["n_clusters"] == model.result.labels.max() + 1 == model.result.proba.shape[1]
        assert set(model.report["candidates"]) == {"n_clusters", "stability", "null_stability"}

    def test_consensus_has_as_many_as_leiden_finds(self, data):
        coarse, usual, fine = (
            st.models.ScLLMDSC(small("default"), accelerator="cpu")
            .fit(data["x"], resolution=resolution, show_progress_bar=False)
            .report
            for resolution in (0.1, None, 3.0)
        )
        assert usual["resolution"] == 0.8
        assert usual["criterion"] == "resolution"
        assert 1 <= coarse["n_clusters"] <= usual["n_clusters"] < fine["n_clusters"]

    @pytest.mark.parametrize("preset", ["default", "paper"])
    def test_leiden_takes_a_resolution(self, data, preset):
        config = small(preset, cluster_method="leiden")
        coarse, fine = (
            st.models.ScLLMDSC(config, accelerator="cpu").fit(
                data["x"], gene_vectors=data["gene_vectors"], resolution=resolution, show_progress_bar=False
            )
            for resolution in (0.05, 3.0)
        )
        assert coarse.report["criterion"] == fine.report["criterion"] == "resolution"
        assert coarse.report["n_clusters"] < fine.report["n_clusters"]

    @pytest.mark.parametrize("factor", [1, 2, 5])
    def test_a_consensus_has_the_number_asked(self, data, factor):
        model = fitted(data, small("default", prototypes_per_cluster=factor, cluster_method="consensus"))
        assert model.report["n_prototypes"] == 8 * 4 * factor + 8 * 4 * (factor + 1)
        assert model.report["n_clusters"] == 4


class TestOmega:
    def test_is_learned(self, data):
        config = small("paper", learn_omega=True, learning_rate=0.05, max_epochs=5)
        model = fitted(data, config)
        assert 0 < model.omega < 1
        assert abs(model.omega - 0.5) > 0.005

    def test_decides_what_the_text_view_is(self, data):
        found = {omega: fitted(data, small("paper", omega=omega)).result.text for omega in (0.0, 0.5, 1.0)}
        assert np.isfinite(list(found.values())).all()
        for omega, name in ((0.0, "semantics"), (1.0, "gene_vectors")):
            other = {**data, name: data[name][::-1].copy()}
            changed = fitted(other, small("paper", omega=omega)).result.text
            unchanged = {"semantics": "gene_vectors", "gene_vectors": "semantics"}[name]
            left_out = {**data, unchanged: data[unchanged][::-1].copy()}
            assert np.abs(changed - found[omega]).max() > 0.01
            # views go through heads that training changes, by nothing that the path without weight holds
            np.testing.assert_allclose(
                fitted(left_out, small("paper", omega=omega)).result.text, found[omega], atol=1e-5
            )


class TestMisuse:
    def test_before_fit(self, data, tmp_path):
        model = st.models.ScLLMDSC()
        assert model.result is None
        for call in (lambda: model.predict(data["x"]), lambda: model.save(tmp_path), lambda: model.omega):
            with pytest.raises(RuntimeError, match="no weights yet; call fit"):
                call()
        assert not list(tmp_path.iterdir())

    def test_other_genes_or_order(self, data):
        model = fitted(data)
        cells = part(data, OF_CELLS)
        with pytest.raises(ValueError, match="trained on 60 columns, these cells have 59"):
            model.predict(data["x"][:, 1:], **cells)
        names = list(model.gene_names)
        with pytest.raises(ValueError, match="they come in another order"):
            model.predict(data["x"], gene_names=names[::-1], **cells)
        with pytest.raises(ValueError, match="it does not know 'strange'"):
            model.predict(data["x"], gene_names=["strange", *names[1:]], **cells)
        assert_same(model.predict(data["x"], gene_names=names, **cells), model.result)

    def test_semantics_in_one_of_fit_and_predict(self, data):
        with pytest.raises(ValueError, match="trained with semantics=; give the same"):
            fitted(data).predict(data["x"])
        for names in (("gene_vectors",), ()):
            with pytest.raises(ValueError, match="trained without semantics=; give the same"):
                fitted(data, names=names).predict(data["x"], semantics=data["semantics"])

    @pytest.mark.parametrize("names", [ALL, ("semantics",)])
    def test_semantics_of_another_width(self, data, names):
        with pytest.raises(ValueError, match="9 semantic dimensions, these have 8"):
            fitted(data, names=names).predict(data["x"], semantics=data["semantics"][:, 1:])

    def test_nothing_saved_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no model\.json.*ScLLMDSC\.save"):
            st.models.ScLLMDSC.load(tmp_path)

    def test_a_model_of_another_kind(self, data, tmp_path):
        fitted(data).save(tmp_path)
        with pytest.raises(ValueError, match=r"holds a ScLLMDSC, not a SemST; load it with st\.models\.ScLLMDSC\.load"):
            st.models.SemST.load(tmp_path)

    def test_a_file_of_another_format(self, data, tmp_path):
        fitted(data).save(tmp_path)
        path = tmp_path / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
        with pytest.raises(ValueError, match="has format 99"):
            st.models.ScLLMDSC.load(tmp_path)


class TestArrays:
    """What fit and predict refuse, and that nothing is fitted then."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"x": np.zeros((1, 60))}, r"needs 2 cells and 2 columns or more, got x of shape \(1, 60\)"),
            ({"x": np.zeros((150, 1))}, r"needs 2 cells and 2 columns or more, got x of shape \(150, 1\)"),
            ({"x": np.where(np.eye(N, D), np.nan, 1)}, "counts must be finite; 60 values"),
            ({"x": -np.eye(N, D)}, "counts must not be negative; the least is -1"),
            ({"gene_vectors": np.ones((59, 3))}, r"gene_vectors must be finite, of shape \(60, d\).*got \(59, 3\)"),
            ({"gene_vectors": np.ones(60)}, r"gene_vectors must be finite, of shape \(60, d\)"),
            ({"gene_vectors": np.full((60, 2), np.inf)}, "gene_vectors must be finite"),
            ({"gene_vectors": np.zeros((60, 2))}, "no gene has a vector"),
            ({"semantics": np.ones((149, 5))}, r"semantics must have shape \(150, d\).*got \(149, 5\)"),
            ({"semantics": np.ones((150, 0))}, r"semantics must have shape \(150, d\).*got \(150, 0\)"),
            ({"semantics": np.where(np.eye(150, 5), np.nan, 1)}, "semantics must be finite; 5 rows"),
            ({"batch": ["a"] * 149}, r"batch must have shape \(150,\).*got \(149,\)"),
            ({"library_sizes": np.ones((150, 1))}, r"library_sizes must have shape \(150,\).*got \(150, 1\)"),
        ],
    )
    def test_shapes_and_values(self, data, change, message):
        model = st.models.ScLLMDSC(small("default"), accelerator="cpu")
        wrong = {**data, **change}
        with pytest.raises(ValueError, match=message):
            model.fit(wrong["x"], 4, **part(wrong))
        assert model.result is None
        if "gene_vectors" not in change:
            trained = fitted(data)
            if wrong["x"].shape == (N, D):
                with pytest.raises(ValueError, match=message):
                    trained.predict(wrong["x"], **part(wrong, OF_CELLS))

    def test_a_representation_may_be_negative_but_not_nan(self, data):
        z = np.random.default_rng(0).normal(size=(N, 7))
        given = {**data, "x": z}
        assert np.isfinite(fitted(given, "paper", ("semantics",)).result.fused).all()
        given["x"] = np.where(np.eye(N, 7), np.nan, z)
        with pytest.raises(ValueError, match="x must be finite"):
            fitted(given, "paper", ("semantics",))


class TestDivergence:
    """What the message blames where a loss is no longer finite."""

    def message(self, data, config, names=ALL) -> str:
        with pytest.raises(FloatingPointError, match="finite") as caught:
            fitted(data, config, names)
        return str(caught.value)

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize("epochs", [(3, 1), (1, 1), (0, 1), (0, 3)])
    def test_learning_rate(self, data, preset, epochs):
        """In whichever epoch it shows, the last step of a phase too."""
        config = small(preset, learning_rate=1e35, pretrain_epochs=epochs[0], max_epochs=epochs[1])
        assert self.message(data, config).endswith("; what looks wrong: learning_rate (1e+35)")

    @pytest.fixture
    def broken(self, monkeypatch):
        # the network takes extreme inputs, so its loss is broken by hand
        decode = st.nn.ScLLMDSCNetwork.decode
        monkeypatch.setattr(st.nn.ScLLMDSCNetwork, "decode", lambda self, *given: decode(self, *given) * np.nan)

    @pytest.mark.usefixtures("broken")
    def test_counts(self, data):
        x = data["x"].toarray()
        x[:, 3] = 1e9
        message = self.message({**data, "x": x}, "default")
        assert message.endswith("wrong: counts (largest value 1e+09, 100% of all in one gene)")

    @pytest.mark.usefixtures("broken")
    def test_a_representation(self, data):
        message = self.message({**data, "x": -1e9 * np.eye(N, D)}, "paper")
        assert message.endswith("wrong: x (largest absolute value 1e+09)")

    @pytest.mark.usefixtures("broken")
    def test_semantics(self, data):
        message = self.message({**data, "semantics": data["semantics"] * 0 + np.float32(1e5)}, "default")
        assert message.endswith("wrong: semantics (largest absolute value 100000)")

    @pytest.mark.usefixtures("broken")
    def test_nothing_in_particular(self, data):
        message = self.message(data, "default", ())
        assert message.startswith("the reconstruction loss is not finite in epoch 0; no input looks wrong: counts (")

    def test_an_earlier_fit_stays(self, data):
        model = fitted(data)
        result, losses, report = model.result, model.record.losses, model.report
        model.config = model.config.updated(learning_rate=1e35)
        other = {**data, "x": data["x"][:, :50], "gene_vectors": data["gene_vectors"][:50]}
        with pytest.raises(FloatingPointError):
            model.fit(other["x"], 4, **part(other), show_progress_bar=False)
        assert (model.result, model.record.losses, model.report) == (result, losses, report)
        assert len(model.gene_names) == D
        assert_same(model.predict(data["x"], **part(data, OF_CELLS)), result)


@pytest.mark.parametrize("preset", PRESETS)
def test_mixed_precision(preset, data, monkeypatch):
    from semtx.models._scllm_dsc_training import ScLLMDSCObjective

    seen, losses = [], []
    forward = ScLLMDSCObjective.forward

    def watched(self, given):
        seen.extend([given.value.x, given.value.target])
        return forward(self, given)

    monkeypatch.setattr(ScLLMDSCObjective, "forward", watched)
    for precision in ("32-true", "bf16-mixed"):
        model = st.models.ScLLMDSC(small(preset), accelerator="cpu", precision=precision)
        model.fit(data["x"], 4, gene_vectors=data["gene_vectors"], semantics=data["semantics"], show_progress_bar=False)
        losses.append(model.record.losses)
    assert {given.dtype for given in seen if given is not None} == {torch.float32}
    for name, values in losses[0].items():
        np.testing.assert_allclose(losses[1][name][0], values[0], rtol=0.05, atol=0.02)


def test_cells_that_are_all_equal():
    config = small("default").updated(expression="given")
    result = st.models.ScLLMDSC(config, accelerator="cpu").fit(np.ones((100, 10)), 3, show_progress_bar=False).result
    assert np.isfinite(result.fused).all()


def test_the_report_comes_back(data, tmp_path):
    model = st.models.ScLLMDSC(small("default"), accelerator="cpu")
    model.fit(data["x"], None, gene_vectors=data["gene_vectors"], show_progress_bar=False).save(tmp_path)
    loaded = st.models.ScLLMDSC.load(tmp_path, accelerator="cpu").report
    assert loaded["n_clusters"] == model.report["n_clusters"]
    assert set(loaded) == set(model.report)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_two_paths_on_a_gpu(data):
    model = st.models.ScLLMDSC(small("default", omega=0.5), accelerator="gpu")
    model.fit(data["x"], 4, gene_vectors=data["gene_vectors"], semantics=data["semantics"], show_progress_bar=False)
    assert np.isfinite(model.result.fused).all()
