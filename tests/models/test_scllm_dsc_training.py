"""Where training starts and what it moves: heads, centres, omega; targets that stay with their centres."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import sparse

import semtx as st
from semtx.graphs import feature_graph
from semtx.models import _scllm_dsc_training as training
from semtx.models._scllm_dsc_clusters import Centers, k_means, views_of
from semtx.models._scllm_dsc_preprocessing import Cells, ScLLMDSCPreprocessing
from semtx.models._scllm_dsc_start import cut_graphs, warm_start_autoencoder, warm_start_heads
from semtx.models._scllm_dsc_training import joined_record, train_network
from semtx.train import TrainingRecord, make_fabric

PRESETS = sorted(st.models.SCLLM_DSC_PRESETS)
N, D = 90, 30


def small(preset: str, **changes) -> st.models.ScLLMDSCConfig:
    sizes = {"hidden_dim": 12, "latent_dim": 5, "projection_dim": 6, "pretrain_epochs": 1, "max_epochs": 1}
    return st.models.SCLLM_DSC_PRESETS[preset].updated(**{**sizes, **changes})


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    types = np.arange(N) % 3
    rates = generator.gamma(0.5, 2, (3, D))
    return {
        "types": types,
        "counts": generator.poisson(rates[types]).astype(np.float32),
        "vectors": generator.normal(size=(D, 8)).astype(np.float32),
        "sentences": (generator.normal(size=(3, 7))[types] + generator.normal(size=(N, 7))).astype(np.float32),
        "batch": generator.integers(0, 2, N),
    }


class Training:
    """What ``ScLLMDSC.fit`` puts together, in parts."""

    def __init__(self, data, config, *, paths: int = 2, batches: bool = False, x=None) -> None:
        torch.manual_seed(0)
        self.config = config
        batch = data["batch"] if batches else np.zeros(N, dtype=np.int64)
        x = sparse.csr_matrix(data["counts"]) if x is None else x
        vectors, sentences = data["vectors"] if paths else None, data["sentences"] if paths == 2 else None
        preprocessing, self.cells = ScLLMDSCPreprocessing.fit(config, x, None, batch, vectors, sentences, 0)
        self.network = st.nn.ScLLMDSCNetwork(
            x.shape[1],
            latent_dim=config.latent_dim,
            hidden_dim=config.hidden_dim,
            projection_dim=config.projection_dim,
            text_widths=preprocessing.text_widths,
            omega=config.omega,
            learn_omega=config.learn_omega,
            encoder=config.encoder,
            head=config.head,
            unit_views=config.unit_views,
            n_batches=2 if batches else 0,
        )
        self.graphs = cut_graphs(self.cells, config, torch.device("cpu"), 0)
        if config.encoder == "residual":
            warm_start_autoencoder(self.network, self.cells, 0)
        if config.head == "residual":
            warm_start_heads(self.network, self.cells)
        start, _ = k_means(views_of(self.network, self.cells).structure.double().numpy(), 3, 0)
        self.centers = Centers(start, "structure", 1.0, 1.0)

    def run(self, *, alone: bool = False) -> TrainingRecord:
        return train_network(
            self.network,
            self.config,
            self.cells,
            make_fabric("cpu"),
            cut_graph=self.graphs,
            centers=None if alone else self.centers,
            show_progress_bar=False,
        )


@pytest.fixture(autouse=True)
def _own_random_numbers():
    with torch.random.fork_rng():
        yield


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def moved(before: dict[str, torch.Tensor], module: torch.nn.Module) -> set[str]:
    return {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("preset", PRESETS)
class TestOneStep:
    def test_heads_autoencoder_and_centers_change(self, data, preset):
        """In the authors' code the heads are never given to an optimiser."""
        of = Training(data, small(preset, batch_size=N, learning_rate=1e-2))
        before = weights(of.network) | {f"centers.{name}": value for name, value in weights(of.centers).items()}
        record = of.run()
        assert set(record.losses) == {"reconstruction", "cut", "alignment", "clustering", "total"}
        changed = moved(before, of.network)
        for part in ("encoder", "decoder", "structure_head", "text_head"):
            of_part = {name for name in before if name.startswith(part)}
            # a branch that starts at zero is opened by its last layer first
            closed = {name for name in of_part if ".bend." in name and not name.endswith("bend.3.weight")}
            assert of_part - closed <= changed, part
        assert not torch.equal(before["centers.position"], of.centers.position)

    def test_the_autoencoder_alone_leaves_the_heads(self, data, preset):
        of = Training(data, small(preset, batch_size=N))
        before = weights(of.network)
        record = of.run(alone=True)
        assert set(record.losses) == {"reconstruction", "cut", "total"}
        assert {name.split(".")[0] for name in moved(before, of.network)} == {"encoder", "decoder"}

    def test_without_text(self, data, preset):
        of = Training(data, small(preset), paths=0)
        assert set(of.run().losses) == {"reconstruction", "cut", "clustering", "total"}

    def test_alignment_moves_the_encoder_by_itself(self, data, preset):
        config = small(preset, batch_size=N, cut_weight=0, reconstruction_weight=0, clustering_weight=0)
        of = Training(data, config)
        before = weights(of.network)
        of.run()
        changed = {name.split(".")[0] for name in moved(before, of.network)}
        assert {"encoder", "structure_head", "text_head"} <= changed

    def test_in_mini_batches(self, data, preset):
        of = Training(data, small(preset, batch_size=32, max_epochs=3, tolerance=0.0), batches=True)
        record = of.run()
        assert all(len(values) == 3 for values in record.losses.values())
        assert np.isfinite(list(record.losses.values())).all()


@pytest.mark.parametrize(("leave_out", "prototypes"), [(False, 1), (True, 1), (True, 2)])
def test_the_losses_are_those_of_nn(data, leave_out, prototypes):
    """The first step's losses from the equations, all cells at once; negatives of the own batch, not of the own cluster."""
    config = small("paper", batch_size=None, leave_out_cluster=leave_out, prototypes_per_cluster=prototypes)
    of = Training(data, config, batches=True)
    views, batch = views_of(of.network, of.cells), torch.from_numpy(of.cells.batch)
    x = of.cells.expression(slice(None))
    log_q = st.nn.student_t(views.structure, of.centers.position.detach(), dof=1.0, log=True)
    target = st.nn.optimal_transport_target(log_q, sharpness=config.sharpness)
    graph = st.nn.CutGraph(torch.from_numpy(data["counts"]))
    labels = target.argmax(dim=1)
    text = views.text
    if prototypes > 1:
        text = torch.stack([text[labels == label].mean(dim=0) for label in labels])
    hinge = st.nn.variance_hinge(views.structure) + st.nn.variance_hinge(text)
    no_negatives = batch[:, None] != batch
    if leave_out:
        no_negatives |= labels[:, None] == labels
    no_negatives &= ~torch.eye(N, dtype=torch.bool)
    cosines = torch.nn.functional.normalize(text, dim=1) @ views.structure.T
    logits = (cosines / config.temperature).masked_fill(no_negatives, -torch.inf)
    own = torch.arange(N)
    contrast = (torch.nn.functional.cross_entropy(way, own) for way in (logits, logits.T))
    with torch.no_grad():
        wanted = {
            "reconstruction": (of.network.decode(views.latent, batch) - x).square().mean(),
            "cut": st.nn.graph_cut(views.latent, graph),
            "alignment": sum(contrast) / 2 + config.variance_weight * hinge,
            "clustering": (target * (target.log() - log_q)).sum(dim=1).mean(),
        }
    wanted["total"] = sum(getattr(config, f"{name}_weight") * value for name, value in wanted.items())
    record = of.run()
    assert {name: values[0] for name, values in record.losses.items()} == pytest.approx(
        {name: float(value) for name, value in wanted.items()}, rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("learn_omega", [True, False])
def test_a_learned_omega_moves(data, learn_omega):
    of = Training(data, small("paper", learn_omega=learn_omega, learning_rate=0.05, max_epochs=5))
    assert of.network.omega == pytest.approx(0.5)
    of.run()
    assert (abs(of.network.omega - 0.5) > 0.01) == learn_omega


class TestTarget:
    @pytest.fixture
    def seen(self, monkeypatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Assignments and targets at each refresh."""
        seen = []

        def noted(log_q, **options):
            target = st.nn.optimal_transport_target(log_q, **options)
            seen.append((log_q, target))
            return target

        monkeypatch.setattr(training, "optimal_transport_target", noted)
        return seen

    @pytest.mark.parametrize("batch_size", [None, 30])
    def test_columns_stay_with_their_centres(self, data, seen, batch_size):
        """The authors run k-means anew each epoch: the clusters stay, but only by chance their numbers."""
        changes = {"target_interval": 1, "tolerance": 0.0, "batch_size": batch_size or N, "learning_rate": 5e-3}
        config = small("default", max_epochs=30, **changes)
        of = Training(data, config)
        first = of.centers.position.detach().clone()
        of.run()
        assert len(seen) == 31
        labels = [log_q.argmax(dim=1) for log_q, _ in seen]
        for (_, target), at, later in zip(seen[:-1], labels, labels[1:], strict=False):
            assert (target.argmax(dim=1) == at).float().mean() > 0.9
            assert (at == later).float().mean() > 0.9
        assert (labels[0] == labels[-1]).float().mean() > 0.8
        # ... and each centre is still nearest to where its own cells are now
        z = views_of(of.network, of.cells).structure
        own = torch.stack([z[labels[0] == number].mean(dim=0) for number in range(3)])
        assert torch.cdist(own, of.centers.position.detach()).argmin(dim=1).tolist() == [0, 1, 2]
        assert not torch.equal(first, of.centers.position)

    @pytest.mark.parametrize(("interval", "refreshes"), [(1, 7), (2, 4), (3, 3), (10, 1)])
    def test_is_refreshed_on_schedule(self, data, seen, interval, refreshes):
        """Before the first of six epochs, then after every so many; the authors' slip froze it for good."""
        Training(data, small("paper", max_epochs=6, target_interval=interval)).run()
        assert len(seen) == refreshes

    def test_stops_when_few_cells_change(self, data, seen):
        of = Training(data, small("default", max_epochs=50, target_interval=2, tolerance=0.01, learning_rate=1e-9))
        record = of.run()
        assert record.stop_reason == "0.00% of the cells changed their cluster, fewer than 1.00%"
        # one refresh to start with and one to compare
        assert len(record.losses["total"]) == 2
        assert len(seen) == 2

    def test_does_not_stop_without_a_tolerance(self, data):
        of = Training(data, small("default", max_epochs=6, target_interval=1, tolerance=0.0, learning_rate=1e-9))
        assert of.run().stop_reason == "all 6 epochs done"


class TestCutGraphs:
    def test_cosines_of_what_is_not_negative(self, data):
        of = Training(data, small("paper"))
        z = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
        unit = torch.nn.functional.normalize(torch.from_numpy(data["counts"]), dim=1)
        for rows in (None, np.array([3, 5, 8, 13])):
            cosine = unit @ unit.T if rows is None else unit[rows] @ unit[rows].T
            degrees = cosine.sum(dim=1)
            part = z if rows is None else z[rows]
            wanted = (part.T @ (cosine / torch.outer(degrees, degrees).sqrt()) @ part).trace()
            torch.testing.assert_close(of.graphs(rows).traces(part)[0], wanted, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
    def test_neighbors_of_what_is_negative(self, data, form):
        values = data["counts"] - data["counts"].mean(axis=0)
        config = small("paper", n_neighbors=7)
        matrix = form(values)
        graph = cut_graphs(Cells(matrix, None, np.zeros(N, dtype=np.int64)), config, torch.device("cpu"), 0)
        directed = feature_graph(values, 7, random_state=0).toarray() > 0
        wanted = (directed | directed.T).astype(np.float32) + np.eye(N, dtype=np.float32)
        np.testing.assert_array_equal(graph(None).degrees, wanted.sum(axis=1))
        rows = np.array([2, 40, 41])
        np.testing.assert_array_equal(graph(rows).degrees, wanted[np.ix_(rows, rows)].sum(axis=1))

    def test_more_neighbors_than_cells(self):
        few = Cells(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), None, np.zeros(4, dtype=np.int64))
        graph = cut_graphs(few, small("paper", n_neighbors=15), torch.device("cpu"), 0)
        np.testing.assert_array_equal(graph(None).degrees, np.full(4, 4))

    def test_no_weight_no_graph(self, data):
        of = Training(data, small("paper", cut_weight=0))
        of.graphs = None
        assert "cut" not in of.run().losses


class TestWarmStart:
    def test_the_autoencoder_starts_at_principal_components(self, data):
        of = Training(data, small("default"))
        x = of.cells.expression(slice(None)).double().numpy()
        _, lengths, axes = np.linalg.svd(x, full_matrices=False)
        views = views_of(of.network, of.cells)
        latent = views.latent.double().numpy()
        assert np.square(latent).sum(axis=1).mean() == pytest.approx(5, rel=1e-4)
        scores = x @ axes[:5].T
        np.testing.assert_allclose(np.abs(latent / latent.std()), np.abs(scores / scores.std()), atol=1e-3)
        decoded = of.network.decode(views.latent).detach().double().numpy()
        np.testing.assert_allclose(decoded, scores @ axes[:5], atol=1e-3)
        assert np.square(x - decoded).sum() == pytest.approx(np.square(lengths[5:]).sum(), rel=1e-3)

    @pytest.mark.parametrize("projection_dim", [6, 20])
    def test_the_heads_start_at_rotations(self, data, projection_dim):
        """They keep lengths and angles of each view, and no rotation of one brings it closer to the other."""
        of = Training(data, small("default", projection_dim=projection_dim), paths=1)
        views = views_of(of.network, of.cells)
        text = torch.from_numpy(of.cells.text)
        torch.testing.assert_close(
            views.structure @ views.structure.T, views.latent @ views.latent.T, atol=1e-4, rtol=0
        )
        if projection_dim >= text.shape[1]:
            torch.testing.assert_close(views.text @ views.text.T, text @ text.T, atol=1e-4, rtol=0)
            nearest = torch.linalg.svdvals(views.latent.T @ text).sum()
            torch.testing.assert_close((views.structure * views.text).sum(), nearest, rtol=1e-4, atol=1e-4)

    def test_without_text(self, data):
        of = Training(data, small("default"), paths=0)
        views = views_of(of.network, of.cells)
        torch.testing.assert_close(views.structure[:, :5], views.latent)
        assert not views.structure[:, 5:].any()


def test_joined_record():
    first = TrainingRecord({"cut": [1.0, 2.0], "total": [1.0, 2.0]}, "cpu", "all 2 epochs done", 1.5)
    second = TrainingRecord({"cut": [3.0], "alignment": [4.0], "total": [7.0]}, "cpu", "enough", 2.0)
    joined = joined_record(first, second)
    assert joined.losses["cut"] == [1, 2, 3]
    assert joined.losses["total"] == [1, 2, 7]
    assert [math.isnan(value) for value in joined.losses["alignment"]] == [True, True, False]
    assert (joined.stop_reason, joined.seconds) == ("enough", 3.5)
    alone = joined_record(TrainingRecord(stop_reason="no epochs asked for"), second)
    assert alone.losses == second.losses


def test_the_gradient_of_the_alignment_has_one_order_of_sums():
    """A gradient of indexing is added up by all threads at once, in single precision in the order in which they come."""
    from types import SimpleNamespace

    from semtx.models._scllm_dsc_training import ScLLMDSCObjective

    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(2000, 64, generator=generator).requires_grad_() for _ in range(2))
    target = torch.rand(2000, 12, generator=generator)
    config = st.models.SCLLM_DSC_PRESETS["default"]
    assert config.prototypes_per_cluster > 1
    objective = SimpleNamespace(config=config, network=SimpleNamespace(n_batches=0))
    threads = torch.get_num_threads()
    gradients = []
    try:
        torch.set_num_threads(2)
        for _ in range(5):
            loss = ScLLMDSCObjective._alignment(objective, u, v, torch.zeros(2000, dtype=torch.long), target)
            gradients.append(torch.autograd.grad(loss, [u, v]))
    finally:
        torch.set_num_threads(threads)
    for others in gradients[1:]:
        assert all(torch.equal(one, other) for one, other in zip(gradients[0], others, strict=True))
