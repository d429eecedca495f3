from __future__ import annotations

import pytest
import torch
from torch import nn

import semtx as st

SIZES = {"latent_dim": 4, "hidden_dim": 8, "projection_dim": 6}
KINDS = [(encoder, head) for encoder in ("linear", "perceptron", "residual") for head in ("perceptron", "residual")]


def make(**options) -> st.nn.ScLLMDSCNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return st.nn.ScLLMDSCNetwork(20, **{**SIZES, "text_widths": (5, 3), **options}).double()


def example(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 20, generator=generator).double(), torch.randn(n, 8, generator=generator).double()


@pytest.mark.parametrize(("encoder", "head"), KINDS)
class TestEveryKind:
    def test_shapes_and_unit_rows(self, encoder, head):
        network, (x, text) = make(encoder=encoder, head=head), example()
        views = network(x, text)
        assert [tuple(view.shape) for view in views] == [(12, 4), (12, 6), (12, 6)]
        assert network.decode(views.latent).shape == x.shape
        for view in views[1:]:
            torch.testing.assert_close(view.norm(dim=1), torch.ones(12).double())
        free = make(encoder=encoder, head=head, unit_views=False)(x, text)
        assert (free.structure.norm(dim=1) - 1).abs().max() > 1e-3
        torch.testing.assert_close(nn.functional.normalize(free.text, dim=1), views.text)

    def test_each_cell_is_by_itself(self, encoder, head):
        network, (x, text) = make(encoder=encoder, head=head), example()
        whole, part = network(x, text), network(x[3:5], text[3:5])
        for got, wanted in zip(part, whole, strict=True):
            torch.testing.assert_close(got, wanted[3:5], rtol=0, atol=1e-12)

    def test_without_text(self, encoder, head):
        network, (x, text) = make(encoder=encoder, head=head), example()
        bare = make(encoder=encoder, head=head, text_widths=())
        assert network(x).text is None
        assert bare(x, text).text is None
        torch.testing.assert_close(network(x).structure, network(x, text).structure)

    def test_gradients_reach_both_heads_and_the_autoencoder(self, encoder, head):
        network, (x, text) = make(encoder=encoder, head=head), example()
        views = network(x, text)
        loss = st.nn.info_nce(views.text, views.structure, 0.1) + (network.decode(views.latent) - x).square().mean()
        loss.backward()
        for part in (network.encoder, network.decoder, network.structure_head, network.text_head):
            assert sum(p.grad.abs().sum() for p in part.parameters() if p.grad is not None) > 0


def test_the_authors_equations():
    """Two linear maps each way, without activation; a head is linear, ReLU, linear."""
    network, (x, text) = make(encoder="linear"), example()
    first, second = network.encoder
    latent = (x @ first.weight.T + first.bias) @ second.weight.T + second.bias
    views = network(x, text)
    torch.testing.assert_close(views.latent, latent, rtol=0, atol=1e-12)
    first, _, second = network.structure_head
    u = torch.relu(latent @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(views.structure, u / u.norm(dim=1, keepdim=True), rtol=0, atol=1e-12)
    first, second = network.decoder
    decoded = (latent @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(network.decode(latent), decoded, rtol=0, atol=1e-12)


class TestOmega:
    @pytest.mark.parametrize("learn_omega", [False, True])
    @pytest.mark.parametrize("omega", [0.0, 0.2, 0.5, 1.0])
    def test_inner_products_are_mixed(self, omega, learn_omega):
        network, (_, text) = make(omega=omega, learn_omega=learn_omega), example()
        mixed = network.mixed(text)
        first, second = text[:, :5], text[:, 5:]
        wanted = omega * first @ first.T + (1 - omega) * second @ second.T
        # a learned one starts within the open interval
        torch.testing.assert_close(mixed @ mixed.T, wanted, rtol=0, atol=0.02 if learn_omega else 1e-6)
        assert network.omega == pytest.approx(omega, abs=2e-3 if learn_omega else 1e-6)

    def test_is_learned_where_asked(self):
        for learn_omega in (False, True):
            network, (x, text) = make(learn_omega=learn_omega), example()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
            views = network(x, text)
            (views.text - views.structure).square().sum().backward()
            optimizer.step()
            assert (network.omega != 0.5) == learn_omega
            assert "omega_logit" in network.state_dict()

    @pytest.mark.parametrize("text_widths", [(), (8,)])
    def test_one_path_is_left_as_it_is(self, text_widths):
        network, (_, text) = make(omega=0.3, learn_omega=True, text_widths=text_widths), example()
        assert torch.equal(network.mixed(text), text)
        assert "omega_logit" not in dict(network.named_parameters())


class TestBatches:
    def test_the_decoder_alone_reads_them(self):
        network, (x, text) = make(n_batches=3), example()
        latent = network(x, text).latent
        batch = torch.arange(12) % 3
        decoded = network.decode(latent, batch)
        other = network.decode(latent, (batch + 1) % 3)
        assert (decoded != other).any(dim=1).all()
        torch.testing.assert_close(decoded[batch == 1], network.decode(latent[batch == 1], torch.ones(4).long()))

    def test_an_unknown_batch_is_none_of_them(self):
        network = make(n_batches=2, encoder="linear")
        latent = torch.zeros(1, 4).double()
        first, second = network.decoder
        torch.testing.assert_close(network.decode(latent)[0], second.weight @ first.bias + second.bias)

    def test_without_batches_a_number_changes_nothing(self):
        network, (x, _) = make(), example()
        latent = network(x).latent
        assert torch.equal(network.decode(latent, torch.ones(12).long()), network.decode(latent))
