"""Label-free modulation on arrays: what it learns, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from semtx.models._modulation import N_FOLDS, _read_out, _Task, make_groups, modulate_embedding

N, D = 400, 6


@pytest.fixture
def tissue():
    """Places, their graph, and a smooth signal in the first two dimensions of an embedding full of noise."""
    rng = np.random.default_rng(0)
    side = 20
    row, column = np.divmod(np.arange(N), side)
    places = np.column_stack([row, column]).astype(float)
    step = sparse.diags([1.0, 1.0], [-1, 1], shape=(side, side))
    graph = sparse.csr_matrix(sparse.kron(step, sparse.identity(side)) + sparse.kron(sparse.identity(side), step))
    signal = np.column_stack([np.sin(row / 3), np.cos(column / 4)])
    z = rng.normal(size=(N, D))
    z[:, :2] += 1.5 * signal
    return places, graph, signal, z


def modulated(z, semantics, graph, groups=None, **options):
    settings = {
        "fusion": "fsm",
        "max_scale": 0.5,
        "n_components": 16,
        "max_epochs": 60,
        "learning_rate": 1e-2,
        "random_state": 0,
        "accelerator": "cpu",
        "show_progress_bar": False,
    }
    groups = make_groups(None, None, len(z), 0) if groups is None else groups
    return modulate_embedding(z, semantics, graph, groups, **{**settings, **options})


class TestLearning:
    @pytest.mark.parametrize("fusion", ["fsm", "concatenate", "add", "cross_attention"])
    def test_semantics_that_know_the_signal_are_used(self, tissue, fusion):
        places, graph, signal, z = tissue
        rng = np.random.default_rng(1)
        semantics = signal @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(N, 5))
        found = modulated(z, semantics, graph, make_groups(places, None, N, 0), fusion=fusion)
        assert found.report["modulated"]
        assert found.report["gain"] > found.report["gain_error"]
        assert found.report["explained_modulated"] > found.report["explained"] + 0.05
        before, after = ([abs(np.corrcoef(x[:, i], signal[:, i])[0, 1]) for i in range(2)] for x in (z, found.z))
        assert min(np.subtract(after, before)) > 0.02
        assert found.z.shape == z.shape
        assert found.z.dtype == np.float32

    def test_noise_is_seldom_taken_for_a_gain(self, tissue):
        """The best of many epochs is picked, and still at most one in twenty draws of noise passes."""
        places, graph, _, z = tissue
        passed = 0
        for seed in range(12):
            noise = np.random.default_rng(seed).normal(size=(N, 16))
            found = modulated(z, noise, graph, make_groups(places, None, N, seed), max_epochs=25)
            passed += found.report["modulated"]
        assert passed <= 1

    @pytest.mark.parametrize("fusion", ["fsm", "concatenate", "add", "cross_attention"])
    def test_noise_is_not_learned(self, tissue, fusion):
        """Identity is the start, and stays."""
        places, graph, _, z = tissue
        noise = np.random.default_rng(1).normal(size=(N, 30))
        found = modulated(z, noise, graph, make_groups(places, None, N, 0), fusion=fusion)
        assert not found.report["modulated"]
        assert found.report["n_epochs"] == 0
        assert found.report["gain"] < 0.01
        assert np.array_equal(found.z, z.astype(np.float32))

    def test_rescaling_is_no_gain(self, tissue):
        """Columns of noise that had better be shrunk: the read-out does so already, and semantics get no credit."""
        places, graph, _, z = tissue
        z = z.copy()
        z[:, 3] *= 30
        semantics = np.random.default_rng(2).normal(size=(N, 3)) + 5
        assert not modulated(z, semantics, graph, make_groups(places, None, N, 0)).report["modulated"]

    def test_units_do_not_matter(self, tissue):
        places, graph, signal, z = tissue
        groups = make_groups(places, None, N, 0)
        one = modulated(z, signal, graph, groups)
        other = modulated(z * 512 + 64, signal * 8 + 3, graph, groups)
        np.testing.assert_allclose((other.z - 64) / 512, one.z, atol=1e-3)

    def test_same_seed_same_result_and_the_global_stream_stays(self, tissue):
        import torch

        _, graph, signal, z = tissue
        state = torch.get_rng_state()
        first = modulated(z, signal, graph, max_epochs=5, fusion="cross_attention")
        assert torch.equal(torch.get_rng_state(), state)
        assert np.array_equal(first.z, modulated(z, signal, graph, max_epochs=5, fusion="cross_attention").z)

    def test_batches(self, tissue, monkeypatch):
        _, graph, signal, z = tissue
        whole = modulated(z, signal, graph)
        monkeypatch.setattr("semtx.models._modulation._BATCH", 100)
        parts = modulated(z, signal, graph)
        assert parts.report["modulated"]
        assert parts.report["explained_modulated"] > whole.report["explained"] + 0.05

    def test_wide_embedding(self, tissue):
        _, graph, signal, z = tissue
        wide = z @ np.random.default_rng(3).normal(size=(D, 70))
        found = modulated(wide, signal, graph, max_epochs=3)
        assert found.z.shape == (N, 70)
        assert np.isfinite(found.z).all()


class TestBounds:
    def test_odd_cells_are_not_flung_out(self, tissue):
        """A cell whose semantics lie far out is modulated no more than its likes."""
        _, graph, signal, z = tissue
        odd = signal.copy()
        odd[7] = 1e4
        found = modulated(z, odd, graph)
        moved = np.abs(found.z - z).max(axis=1)
        assert moved[7] < 3 * moved.max(initial=0, where=np.arange(N) != 7) + 1e-6
        assert np.isfinite(found.z).all()

    @pytest.mark.parametrize("bound", [0.1, None])
    def test_scale(self, tissue, bound):
        """From two cells of the same semantics, the scales of the modulation: at most 1 + the bound."""
        _, graph, signal, z = tissue
        z, signal = z.copy(), signal.copy()
        signal[1::2] = signal[::2]
        found = modulated(z, signal, graph, max_scale=bound, max_epochs=200, learning_rate=0.1)
        scales = (found.z[1::2] - found.z[::2]) / (z[1::2] - z[::2])
        assert found.report["modulated"]
        assert (np.abs(scales - 1).max() < 0.1 + 1e-3) == (bound is not None)


class TestExplained:
    def test_read_out_is_the_best_linear_one(self, tissue):
        """Explained share before training, against scikit-learn on the same folds."""
        from sklearn.linear_model import LinearRegression

        places, graph, signal, z = tissue
        groups = make_groups(places, None, N, 0)
        found = modulated(z, signal, graph, groups, max_epochs=1)
        target = np.asarray(graph @ z / graph.sum(axis=1))
        unexplained = 0.0
        for fold in range(N_FOLDS):
            held = groups % N_FOLDS == fold
            error = target[held] - LinearRegression().fit(z[~held], target[~held]).predict(z[held])
            unexplained += (error**2).sum() / target[~held].var(axis=0).sum() / N
        assert found.report["explained"] == pytest.approx(1 - unexplained, abs=2e-3)

    def test_own_embedding_is_not_in_the_target(self, tissue):
        _, graph, signal, z = tissue
        looped = sparse.csr_matrix(5 * graph + sparse.identity(N))
        one, other = (_Task.make(z, signal, part, 16, 0) for part in (graph, looped))
        np.testing.assert_array_equal(one.target, other.target)
        np.testing.assert_allclose(one.target[0], z[graph[0].indices].mean(axis=0), rtol=1e-5)
        weights, bias = _read_out(one, one.rows)
        residual = one.z @ weights + bias - one.target
        assert np.abs(residual.mean(axis=0)).max() < 1e-5


class TestNothingToLearn:
    @pytest.mark.parametrize("case", ["equal semantics", "constant embedding", "no neighbours"])
    def test_embedding_is_kept(self, tissue, case):
        _, graph, signal, z = tissue
        if case == "equal semantics":
            signal = np.ones((N, 4))
        elif case == "constant embedding":
            z = np.ones((N, D))
        else:
            graph = sparse.csr_matrix((N, N))
        found = modulated(z, signal, graph)
        assert (found.report.pop("modulated"), found.report.pop("n_epochs")) == (False, 0)
        assert len(found.report) == 4
        assert np.isnan(list(found.report.values())).all()
        assert np.array_equal(found.z, z.astype(np.float32))

    def test_isolated_cells_are_modulated_but_not_learned_from(self, tissue):
        _, graph, signal, z = tissue
        graph = graph.tolil()
        graph[:5] = 0
        graph[:, :5] = 0
        found = modulated(z, signal, sparse.csr_matrix(graph))
        assert found.report["modulated"]
        assert (found.z[:5] != z[:5].astype(np.float32)).any(axis=1).all()


class TestGroups:
    def test_tiles_are_held_out_together(self, tissue):
        places = tissue[0]
        groups = make_groups(places, None, N, 0)
        assert np.bincount(groups).tolist() == [16] * 25
        beside = np.abs(places[:, None] - places[None]).sum(axis=2) == 1
        assert (groups[:, None] == groups[None])[beside].mean() > 0.7

    def test_every_fold_has_some_whatever_the_places(self):
        line = np.column_stack([np.arange(30), np.arange(30)]).astype(float)
        for places in (line, np.zeros((30, 3)), None):
            assert set(make_groups(places, None, 30, 0) % N_FOLDS) == set(range(N_FOLDS))

    def test_sections_have_tiles_of_their_own(self, tissue):
        places = np.vstack([tissue[0], tissue[0] + 1e6])
        sections = np.repeat(["a", "b"], N)
        groups = make_groups(places, sections, 2 * N, 0)
        assert not set(groups[:N]) & set(groups[N:])
        assert len(set(groups)) == 50

    def test_at_random_without_places(self):
        assert sorted(np.bincount(make_groups(None, None, 103, 0))) == [4] * 22 + [5] * 3
