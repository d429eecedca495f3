from __future__ import annotations

from itertools import chain

import pytest
import torch
from torch import nn

import semtx as st


def count(*modules: nn.Module | None) -> int:
    return sum(p.numel() for p in chain.from_iterable(m.parameters() for m in modules if m is not None))


# genes, h1, h, m -> two graph encoders, decoder, semantic head, modulation, fusion, total; semantics of 2,560 numbers
TABLE = {
    "DLPFC": ((3000, 256, 128, 153), (1_602_304, 2_346_536, 3_442_048, 98_585, 98_688, 7_588_161)),
    "HBC": ((2000, 256, 128, 64), (1_090_304, 1_575_536, 3_442_048, 41_536, 98_688, 6_248_112)),
    "MBA": ((3000, 128, 64, 32), (784_768, 1_169_576, 3_360_064, 10_528, 24_768, 5_349_704)),
    "ME": ((3000, 256, 128, 64), (1_602_304, 2_346_536, 3_442_048, 41_536, 98_688, 7_531_112)),
    "MVC": ((128, 128, 64, 32), (49_536, 58_112, 3_360_064, 10_528, 24_768, 3_503_008)),
}


@pytest.mark.parametrize("dataset", TABLE)
def test_parameter_counts_of_the_authors_code(dataset):
    (genes, h1, h, m), wanted = TABLE[dataset]
    with torch.device("meta"):
        network = st.nn.SemSTNetwork(
            n_inputs=genes,
            n_genes=genes,
            semantic_dim=2560,
            hidden_dim=h1,
            latent_dim=h,
            modulation_dim=m,
            decoder_hidden_dim=h1,
        )
    got = (
        count(network.spatial_encoder, network.feature_encoder),
        count(network.decoder),
        count(network.semantic_head),
        count(network.fsm),
        count(network.fusion),
        count(network),
    )
    assert got == wanted


def dense_graph(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    graph = (torch.rand(n, n, generator=generator) < 0.3).double()
    graph = torch.maximum(graph, graph.T) + torch.eye(n).double()
    return graph / graph.sum(dim=1, keepdim=True)


def example(n: int = 12, genes: int = 6, semantic_dim: int = 8) -> st.nn.SemSTInputs:
    generator = torch.Generator().manual_seed(0)
    return st.nn.SemSTInputs(
        torch.rand(n, genes, generator=generator).double(),
        torch.randn(n, semantic_dim, generator=generator).double(),
        dense_graph(n, 1).to_sparse_csr(),
        dense_graph(n, 2).to_sparse_csr(),
    )


def make(**options) -> st.nn.SemSTNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"n_inputs": 6, "n_genes": 6, "semantic_dim": 8, "hidden_dim": 5, "latent_dim": 3}
        return st.nn.SemSTNetwork(**{**sizes, **options}).double()


VARIANTS = [
    {"semantic_head": "stacked", "fusion": "mlp", "decoder_hidden_dim": 5},
    {"semantic_head": "mlp", "fusion": "linear", "dispersion": "gene"},
    {"encoder": "propagated", "semantic_head": "linear", "dispersion": "gene"},
    {"semantic_dim": 0},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_permuting_spots_permutes_all_outputs(options):
    network, inputs = make(**options).eval(), example()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    x, semantics, *graphs = inputs[:4]
    graphs = [graph.to_dense()[order][:, order].to_sparse_csr() for graph in graphs]
    permuted = network(st.nn.SemSTInputs(x[order], semantics[order], *graphs))
    for got, wanted in zip(permuted, network(inputs), strict=True):
        if wanted is not None:
            torch.testing.assert_close(got, wanted[order], rtol=0, atol=1e-12)
    decoded = network.decoder(permuted.z).log_mu
    torch.testing.assert_close(decoded, network.decoder(network(inputs).z).log_mu[order], rtol=1e-12, atol=1e-12)


def test_the_authors_equations():
    network, inputs = make().eval(), example()
    x, semantics, spatial_graph, feature_graph = inputs[:4]

    def encode(encoder: nn.Module, graph: torch.Tensor) -> torch.Tensor:
        a, first, second = graph.to_dense(), encoder.first, encoder.second
        hidden = torch.relu(a @ (x @ first.lin.weight.T) + first.bias)
        return a @ (hidden @ second.lin.weight.T) + second.bias

    spatial, feature = encode(network.spatial_encoder, spatial_graph), encode(network.feature_encoder, feature_graph)
    alpha, beta = network.fsm.modulation(network.semantic_head(semantics)).chunk(2, dim=1)
    z = network.fusion((1 + alpha) * torch.cat([spatial, feature], dim=1) + beta)
    got = network(inputs)
    for part, wanted in zip(got, (z, spatial, feature), strict=True):
        torch.testing.assert_close(part, wanted, rtol=0, atol=1e-12)


def test_a_linear_head_starts_where_no_semantics_would():
    with_semantics, without = make(semantic_head="linear"), make(semantic_dim=0)
    shared = without.state_dict()
    with_semantics.load_state_dict({**with_semantics.state_dict(), **shared})
    x, semantics, *graphs = example()
    got = with_semantics(st.nn.SemSTInputs(x, semantics, *graphs)).z
    assert torch.equal(got, without(st.nn.SemSTInputs(x, None, *graphs)).z)


def test_first_weights_are_uniform_within_one_over_root_width():
    network = make(n_inputs=400, hidden_dim=16)
    weight = network.spatial_encoder.first.lin.weight
    assert 0.24 < weight.abs().max() <= 0.25
    assert abs(weight.mean().item()) < 0.01
