"""No array of all pairs of spots anywhere: on 20,000 spots a mask of one byte for each pair would be 400 MB."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

import semtx as st
from semtx.graphs import graph_report, normalize_adjacency, ring_means, rings, spatial_graph
from semtx.models._semst_preprocessing import csr_tensor
from semtx.models._semst_training import train_network
from semtx.train import make_fabric

if TYPE_CHECKING:
    from collections.abc import Iterator

N = 20_000


class LargestTensor(TorchDispatchMode):
    """Note the largest storage, in bytes, that any operation returns, those of the backward pass too."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_iter(made):
            if isinstance(value, torch.Tensor) and value.layout == torch.strided:
                self.largest = max(self.largest, value.untyped_storage().nbytes())
        return made


@contextmanager
def no_pairs(n: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        with LargestTensor() as tensors:
            yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tensors.largest < n * n
    assert peak < n * n


@pytest.fixture(scope="module")
def graph() -> sparse.csr_matrix:
    places = np.random.default_rng(0).uniform(0, 1, (N, 2))
    return spatial_graph(places, n_neighbors=6).obsp["spatial_connectivities"]


@pytest.fixture(scope="module")
def edges(graph) -> torch.Tensor:
    return torch.from_numpy(np.vstack(graph.nonzero()).astype(np.int64))


def counts(n_genes: int = 8) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.random.default_rng(1).poisson(2, (N, n_genes)).astype(np.float32))


def test_the_check_itself_sees_pairs():
    with pytest.raises(AssertionError), no_pairs(3000):
        torch.eq(torch.zeros(3000, 1), torch.zeros(3000))
    with pytest.raises(AssertionError), no_pairs(3000):
        np.zeros((3000, 3000), dtype=bool)
    # ... in a backward pass too
    x = torch.zeros(3000, requires_grad=True)
    with pytest.raises(AssertionError), no_pairs(3000):
        (x[:, None] * x).sum().backward()


def test_spatial_term_closed_form(edges):
    z = torch.randn(N, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with no_pairs(N):
        st.nn.spatial_regularization(z, edges).backward()


@pytest.mark.slow
def test_spatial_term_exact(edges):
    z = torch.randn(N, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with no_pairs(N):
        st.nn.spatial_regularization(z, edges, method="exact").backward()


def test_exact_spatial_term_on_fewer_spots():
    n = 6000
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with no_pairs(n):
        # rows of 256 x n numbers of four bytes
        st.nn.spatial_regularization(z, torch.tensor([[0, 1], [1, 0]]), method="exact", chunk=256).backward()


def test_graphs():
    places = np.random.default_rng(0).uniform(0, 1, (N, 2))
    with no_pairs(N):
        made = spatial_graph(places, radius=3.0).obsp["spatial_connectivities"]
        graph_report(made)
        normalize_adjacency(made, "symmetric")
        ring_means(rings(made, 3), places)


@pytest.mark.parametrize("preset", ["reference", "paper"])
def test_a_training_step_of_the_authors_presets(graph, preset):
    config = st.models.SEMST_PRESETS[preset].updated(max_epochs=1)
    x, adjacency = counts(), normalize_adjacency(graph, config.normalization)
    network = st.nn.SemSTNetwork(
        n_inputs=8,
        n_genes=8,
        semantic_dim=6,
        hidden_dim=4,
        latent_dim=4,
        modulation_dim=3,
        semantic_head=config.semantic_head,
        fusion=config.fusion,
        decoder_hidden_dim=4,
    )
    edges = csr_tensor(adjacency)
    inputs = st.nn.SemSTInputs(csr_tensor(x), torch.zeros(N, 6), edges, edges)
    with no_pairs(N):
        record = train_network(network, config, inputs, x, graph, make_fabric("cpu"), show_progress_bar=False)
    assert set(record.losses) == {"zinb", "correlation", "spatial", "total"}


def test_the_default_from_fit_to_embedding(graph):
    config = st.models.SEMST_PRESETS["default"].updated(max_epochs=2)
    model, x = st.models.SemST(config, accelerator="cpu"), counts(40)
    semantics = np.random.default_rng(2).normal(size=(N, 20)).astype(np.float32)
    with no_pairs(N):
        model.fit(x, graph, semantics, show_progress_bar=False)
        model.embed(x, graph, semantics)


class TestScLLMDSC:
    """At 20,000 cells a step with all of them, as in the paper, and the default from fit to prediction."""

    def model(self, preset: str, **changes: Any) -> st.models.ScLLMDSC:
        sizes = {"hidden_dim": 8, "latent_dim": 4, "projection_dim": 4, "pretrain_epochs": 1, "max_epochs": 1}
        config = st.models.SCLLM_DSC_PRESETS[preset].updated(**{**sizes, **changes})
        return st.models.ScLLMDSC(config, accelerator="cpu")

    def fit_and_predict(self, model: st.models.ScLLMDSC, x: Any, **given: Any) -> None:
        vectors = np.random.default_rng(2).normal(size=(x.shape[1], 6)).astype(np.float32)
        if sparse.issparse(x):
            given["gene_vectors"] = vectors
        with no_pairs(N):
            model.fit(x, 4, show_progress_bar=False, **given)
            model.predict(x, semantics=given.get("semantics"), batch=given.get("batch"))
        assert len(model.result.labels) == N

    @pytest.mark.slow
    def test_the_paper_takes_all_cells_at_once(self):
        model = self.model("paper")
        assert model.config.batch_size is None
        self.fit_and_predict(model, counts(16))

    @pytest.mark.slow
    def test_default(self):
        batch = np.arange(N) % 2
        semantics = np.random.default_rng(3).normal(size=(N, 5)).astype(np.float32)
        self.fit_and_predict(self.model("default"), counts(40), batch=batch, semantics=semantics)

    @pytest.mark.slow
    def test_representation_and_its_graph_of_neighbors(self):
        z = np.random.default_rng(4).normal(size=(N, 6)).astype(np.float32)
        self.fit_and_predict(self.model("default", expression="given"), z, semantics=z[:, ::-1].copy())
