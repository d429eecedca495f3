from __future__ import annotations

import copy
import pickle
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import semtx as st

N, GENES, WIDTH = 12, 6, 3


class Parts(NamedTuple):
    z: torch.Tensor
    name: str


class Encoder(nn.Module):
    """Gives its output in many forms."""

    def __init__(self, form: str = "tensor") -> None:
        super().__init__()
        self.mean = nn.Linear(GENES, WIDTH)
        self.form = form

    def forward(self, x):
        z = self.mean(x)
        return {
            "tensor": z,
            "tuple": (x, z),
            "list": [x, z],
            "named": Parts(z, "z"),
            "dict": {"x": x, "z": z},
            "nothing": "text",
        }[self.form]


class Host(nn.Module):
    """An autoencoder with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = nn.Linear(WIDTH, GENES)

    def forward(self, x, index=None):
        del index
        z = self.encoder(x)
        return self.decoder(nn.functional.dropout(z, 0.1, self.training))


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def x():
    return torch.randn(N, GENES)


@pytest.fixture
def semantics():
    return np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)


def train(host, x, n_steps=5):
    """A host's own loop: it knows nothing of semantics."""
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(host.parameters(), lr=0.05)
    host.train()
    for _ in range(n_steps):
        loss = (host(x) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    host.eval()
    return host(x)


def hooks(host):
    names = [name for name in vars(host) if "hooks" in name]
    return {(path, name): len(getattr(module, name)) for path, module in host.named_modules() for name in names}


def state(host):
    return {name: value.clone() for name, value in host.state_dict().items()}


def test_identity_at_start_and_the_host_trains_it(x, semantics):
    host = Host().eval()
    before = host(x)
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    assert torch.equal(host(x), before)
    assert host.fsm.fsm is attached.fsm
    assert {id(p) for p in attached.fsm.parameters()} < {id(p) for p in host.parameters()}
    after = train(host, x)
    alpha, beta = attached.fsm.coefficients(attached.semantics)
    assert alpha.abs().max() > 0.01
    assert beta.abs().max() > 0.01
    # what the host gives is the equation
    z = (1 + alpha) * nn.functional.linear(x, host.encoder.mean.weight, host.encoder.mean.bias) + beta
    torch.testing.assert_close(after, host.decoder(z))
    assert attached.n_passes == 7


@pytest.mark.parametrize("fusion", ["fsm", "concatenate", "add", "cross_attention"])
@pytest.mark.parametrize("at", ["encoder.mean", "encoder"])
def test_detach_restores_exactly(x, semantics, fusion, at):
    host, twin = Host().eval(), Host().eval()
    twin.load_state_dict(host.state_dict())
    names, had, modules = list(host.state_dict()), hooks(host), [name for name, _ in host.named_modules()]
    attached = st.nn.attach_fsm(
        host, at=at, semantics=semantics, fusion=fusion, latent_dim=WIDTH, rows=lambda x: np.arange(len(x))
    )
    assert list(host.state_dict()) != names
    attached.fsm.requires_grad_(False)
    host(x)
    attached.detach()
    assert list(host.state_dict()) == names
    assert hooks(host) == had
    assert [name for name, _ in host.named_modules()] == modules
    assert torch.equal(host(x), twin(x))
    assert vars(host).keys() == vars(twin).keys()
    assert not attached.attached
    attached.detach()
    # and it may come back
    with st.nn.attach_fsm(host, at=at, semantics=semantics, latent_dim=WIDTH) as again:
        assert again.attached
        host(x)
    assert not again.attached
    assert hooks(host) == had


def test_attaching_takes_no_random_number_of_the_host(x, semantics):
    """With FSM held at its start, the host trains to the same weights, dropout and all."""
    alone = Host()
    modulated = copy.deepcopy(alone)
    train(alone, x)
    attached = st.nn.attach_fsm(modulated, at="encoder", semantics=semantics, latent_dim=WIDTH, hidden_dims=(5,))
    attached.fsm.requires_grad_(False)
    other = Host()
    before = torch.get_rng_state()
    st.nn.attach_fsm(other, at="decoder", semantics=semantics, hidden_dims=(5,)).detach()
    assert torch.equal(torch.get_rng_state(), before)
    train(modulated, x)
    attached.detach()
    assert all(torch.equal(value, modulated.state_dict()[name]) for name, value in alone.state_dict().items())


def test_mini_batches(x, semantics):
    host = Host().eval()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    nn.init.normal_(attached.fsm.modulation[-1].weight)
    whole = host(x)
    batch = torch.tensor([7, 2, 2, 11])
    for index in (batch, batch.numpy(), batch.float()):
        with attached.rows(index):
            torch.testing.assert_close(host(x[batch]), whole[batch])
    mask = np.zeros(N, dtype=bool)
    mask[[3, 5]] = True
    with attached.rows(mask):
        torch.testing.assert_close(host(x[mask]), whole[mask])
    # without a block it stays, until all are meant again
    attached.rows(batch)
    torch.testing.assert_close(host(x[batch]), whole[batch])
    with attached.rows(mask):
        host(x[mask])
    torch.testing.assert_close(host(x[batch]), whole[batch])
    attached.rows(None)
    torch.testing.assert_close(host(x), whole)


def test_rows_that_the_host_itself_names(x, semantics):
    host = Host().eval()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics, rows=lambda _x, index=None: index)
    nn.init.normal_(attached.fsm.modulation[-1].weight)
    whole = host(x)
    batch = torch.tensor([7, 2, 11])
    torch.testing.assert_close(host(x[batch], index=batch), whole[batch])
    torch.testing.assert_close(host(x[batch], batch), whole[batch])
    # a pass that says nothing means all; the rows of the last batch are forgotten, after an error too
    with pytest.raises(ValueError, match="3 rows, and the semantics of all observations have 12"):
        host.encoder(x[batch])
    with pytest.raises(ValueError, match="2 rows, and the semantics of the rows that were given have 3"):
        host(x[:2], batch)
    torch.testing.assert_close(host(x), whole)


def test_wrong_rows(x, semantics):
    host = Host()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    with pytest.raises(ValueError, match=r"gives 5 rows.*have 12; say which rows .*attached.rows\(index\)"):
        host(x[:5])
    for wrong in ([12], [-1], [0.5]):
        with pytest.raises(ValueError, match="rows must be whole numbers from 0 to 11"):
            attached.rows(torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"one value for each of the 12 rows.*got 3"):
        attached.rows(np.array([True, False, True]))


@pytest.mark.parametrize(("form", "output"), [("tuple", 1), ("tuple", -1), ("list", 1), ("named", 0), ("dict", "z")])
def test_outputs_of_several_parts(x, semantics, form, output):
    encoder = Encoder(form)
    before = encoder(x)
    attached = st.nn.attach_fsm(encoder, at="", semantics=semantics, output=output, latent_dim=WIDTH)
    nn.init.normal_(attached.fsm.modulation[-1].weight)
    after = encoder(x)
    assert type(after) is type(before)
    torch.testing.assert_close(after[output], attached.fsm(before[output], attached.semantics))
    rest = [i for i in (before if form == "dict" else range(2)) if before[i] is not before[output]]
    assert all(after[i] is before[i] or torch.equal(after[i], before[i]) for i in rest)


@pytest.mark.parametrize(
    ("form", "output"), [("tuple", None), ("tuple", 5), ("dict", "w"), ("named", 1), ("nothing", 0)]
)
def test_unclear_outputs(x, semantics, form, output):
    host = Encoder(form)
    st.nn.attach_fsm(host, at="", semantics=semantics, output=output, latent_dim=WIDTH)
    with pytest.raises(TypeError, match=r"the output of the host is a \w+ \(.*\); say which tensor .* output="):
        host(x)


def test_class_made_inside_a_function(x, semantics):
    original = vars(Host)["__init__"]

    def closed():
        """Builds, trains and gives back the result alone."""
        return train(Host(), x, 20)

    torch.manual_seed(2)
    alone = closed()
    torch.manual_seed(2)
    with st.nn.attach_fsm(Host, at="encoder.mean", semantics=semantics) as attaching:
        assert vars(Host)["__init__"] is not original
        modulated = closed()
    assert vars(Host)["__init__"] is original
    (attached,) = attaching.attached
    assert attached.n_passes == 21
    assert not torch.allclose(alone, modulated)
    assert torch.equal(attached.host(x), modulated), "it stays attached"
    attaching.detach()
    assert not attached.attached
    assert list(Host().state_dict()) == list(attached.host.state_dict())


def test_class_without_init_of_its_own_and_errors_inside(semantics):
    class Heir(Host):
        pass

    class Own(Heir):
        def __init__(self):
            super().__init__()
            self.late = nn.Linear(WIDTH, WIDTH)

    def fail():
        with st.nn.attach_fsm(Heir, at="encoder.mean", semantics=semantics) as attaching:
            Heir()
            Own()
            Host()
            assert [type(attached.host) for attached in attaching.attached] == [Heir]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "__init__" not in vars(Heir)
    Heir()


def test_a_block_in_which_nothing_is_made(semantics, caplog):
    with st.nn.attach_fsm(Host, at="encoder.mean", semantics=semantics):
        pass
    assert "no Host was made in the block" in caplog.text


def test_never_reached(x, semantics, caplog):
    class Functional(Host):
        def forward(self, x):
            return nn.functional.linear(x, self.encoder.mean.weight)

    host = Functional()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    host(x)
    attached.detach()
    assert "FSM at 'encoder.mean' has never been reached: Functional may not call" in caplog.text


def test_containers_do_not_call_it(x, semantics):
    host = nn.Sequential(nn.Sequential(nn.Linear(GENES, WIDTH), nn.ReLU()), nn.Linear(WIDTH, GENES))
    names, before = list(host.state_dict()), host(x)
    attached = st.nn.attach_fsm(host, at="0", semantics=semantics)
    assert torch.equal(host(x), before)
    assert len(host) == 2
    assert {id(p) for p in attached.fsm.parameters()} < {id(p) for p in host.parameters()}
    attached.detach()
    assert list(host.state_dict()) == names


def test_copies_and_pickles_are_hosts_of_their_own(x, semantics):
    host = Host().eval()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    for other in (copy.deepcopy(host), pickle.loads(pickle.dumps(host))):
        nn.init.normal_(other.fsm.fsm.modulation[-1].weight)
        assert not torch.allclose(other(x), host(x))
    assert not attached.fsm.modulation[-1].weight.any()


def test_precision_and_semantics_follow_the_host(x, semantics):
    host = Host().double()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    assert attached.semantics.dtype == torch.float64
    assert host(x.double()).dtype == torch.float64
    host.to(torch.bfloat16)
    assert host(x.bfloat16()).dtype == torch.bfloat16
    assert not [name for name in host.state_dict() if "semantics" in name]
    semantics[:] = np.nan
    assert attached.semantics.isfinite().all()


def test_two_at_once(x, semantics):
    host = Host().eval()
    names, before = list(host.state_dict()), host(x)
    first = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    with pytest.raises(ValueError, match=r"Host has 'fsm' already; detach .* or give another name="):
        st.nn.attach_fsm(host, at="decoder", semantics=semantics)
    second = st.nn.attach_fsm(host, at="decoder", semantics=semantics, name="second")
    assert torch.equal(host(x), before)
    first.detach()
    second.detach()
    assert list(host.state_dict()) == names


class TestErrors:
    @pytest.mark.parametrize("at", ["encoder.missing", "missing", "encoder.mean.weight"])
    def test_unknown_path(self, semantics, at):
        with pytest.raises(
            KeyError, match=f"at='{at}' is no submodule of Host, which has 'encoder', 'decoder', 'encoder.mean'"
        ):
            st.nn.attach_fsm(Host(), at=at, semantics=semantics)

    def test_unknown_width(self, semantics):
        with pytest.raises(ValueError, match=r"at='encoder', a Encoder, does not tell the width .* latent_dim="):
            st.nn.attach_fsm(Host(), at="encoder", semantics=semantics)

    def test_other_width(self, x, semantics):
        host = Host()
        st.nn.attach_fsm(host, at="encoder", semantics=semantics, latent_dim=WIDTH + 1)
        with pytest.raises(ValueError, match=r"at='encoder' gives a tensor of shape \(12, 3\), and latent_dim is 4"):
            host(x)

    def test_semantics_that_are_none(self, semantics):
        broken = semantics.copy()
        broken[4, 0] = np.nan
        with pytest.raises(ValueError, match="must be finite; 1 rows have NaN"):
            st.nn.attach_fsm(Host(), at="encoder.mean", semantics=broken)
        with pytest.raises(ValueError, match=r"must have shape \(n, d\).*got \(8,\)"):
            st.nn.attach_fsm(Host(), at="encoder.mean", semantics=semantics[0])

    @pytest.mark.parametrize("host", ["text", dict])
    def test_no_module(self, semantics, host):
        with pytest.raises(TypeError, match=r"host must be a torch.nn.Module or a class of them"):
            st.nn.attach_fsm(host, at="", semantics=semantics)

    def test_unknown_fusion_leaves_the_host_alone(self, semantics):
        host = Host()
        with pytest.raises(ValueError, match="fusion must be one of"):
            st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics, fusion="missing")
        with pytest.raises(TypeError, match="missing"):
            st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics, missing=3)
        assert list(host.state_dict()) == list(Host().state_dict())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int64, torch.float32])
def test_rows_of_any_kind_of_number(x, semantics, dtype):
    host = Host().eval()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    nn.init.normal_(attached.fsm.modulation[-1].weight)
    order = torch.randperm(N)
    with attached.rows(order.to(dtype)):
        torch.testing.assert_close(host(x[order]), whole(attached, host, x)[order])
    with attached.rows(np.arange(N)[::-1]):
        torch.testing.assert_close(host(x.flip(0)), whole(attached, host, x).flip(0))


def whole(attached, host, x):
    """All cells in order."""
    with attached.rows(None):
        return host(x)


def test_rows_may_be_entered_again(x, semantics):
    host = Host().eval()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    nn.init.normal_(attached.fsm.modulation[-1].weight)
    everything, order = host(x), torch.randperm(N)
    chosen = attached.rows(order)
    for _ in range(2):
        with chosen:
            torch.testing.assert_close(host(x[order]), everything[order])
        torch.testing.assert_close(host(x), everything)


def test_rows_of_a_block_outlast_a_pass_that_names_its_own(x, semantics):
    host = Host().eval()
    attached = st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics, rows=lambda x, index: index)
    batch = torch.tensor([7, 2, 5])
    with attached.rows(batch):
        host(x[:2], torch.tensor([0, 1]))
        host.encoder(x[batch])


def test_which_axis_has_the_rows(x, semantics):
    host = Host().eval()
    st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics)
    assert host(x.expand(2, N, GENES)).shape == (2, N, GENES)
    with pytest.raises(ValueError, match=r"gives 4 rows \(cells are the last axis but one of \(12, 4, 3\)\)"):
        host(x[:, None].expand(N, 4, GENES))


def test_part_of_a_single_tensor(x, semantics):
    host = Host()
    st.nn.attach_fsm(host, at="encoder.mean", semantics=semantics, output=1)
    with pytest.raises(
        TypeError, match=r"output=1 asks for a part of the output of 'encoder.mean', which is one tensor"
    ):
        host(x)


def test_dictionaries_that_take_numbers(x, semantics):
    from transformers.utils import ModelOutput

    class Output(Encoder):
        def forward(self, x):
            return ModelOutput(x=x, z=self.mean(x))

    host = Output()
    before = host(x)
    attached = st.nn.attach_fsm(host, at="", semantics=semantics, output=1, latent_dim=WIDTH)
    nn.init.normal_(attached.fsm.modulation[-1].weight)
    after = host(x)
    assert type(after) is ModelOutput
    torch.testing.assert_close(after["z"], attached.fsm(before["z"], attached.semantics))
    assert after["x"] is x


def test_two_blocks_on_one_class(semantics):
    at = {"first": "encoder.mean", "second": "decoder"}
    with (
        st.nn.attach_fsm(Host, at=at["first"], semantics=semantics, name="first") as first,
        st.nn.attach_fsm(Host, at=at["second"], semantics=semantics, name="second") as second,
    ):
        host = Host()
    assert [one.host for one in (*first.attached, *second.attached)] == [host, host]
    assert {"first", "second"} <= dict(host.named_children()).keys()
    with (
        st.nn.attach_fsm(nn.Linear, at="", semantics=semantics, name="first") as first,
        st.nn.attach_fsm(nn.Linear, at="", semantics=semantics, name="second") as second,
    ):
        nn.Linear(3, 3)
    assert len(first.attached) == len(second.attached) == 1, "not what a fusion is made of"


def test_a_block_is_entered_once_at_a_time(semantics):
    original = vars(Host)["__init__"]
    attaching = st.nn.attach_fsm(Host, at="decoder", semantics=semantics)
    with attaching:
        Host()
        with pytest.raises(RuntimeError, match="the block that attaches to Host is entered already"):
            attaching.__enter__()
    assert vars(Host)["__init__"] is original
    with attaching:
        Host()
    assert len(attaching.attached) == 2
    assert vars(Host)["__init__"] is original


def test_detach_where_the_user_took_it_out_already(semantics):
    host = Host()
    attached = st.nn.attach_fsm(host, at="decoder", semantics=semantics)
    del host.fsm
    attached.detach()
    assert list(host.state_dict()) == list(Host().state_dict())


def test_semantics_of_any_kind(x, semantics):
    from scipy import sparse

    for given in (sparse.csr_matrix(semantics), semantics.tolist(), semantics.astype(np.float16)):
        attached = st.nn.attach_fsm(Host(), at="decoder", semantics=given)
        assert attached.semantics.dtype == torch.float32
        np.testing.assert_allclose(attached.semantics, semantics, atol=2e-3)
    backwards = semantics.astype(np.float64)[::-1]
    np.testing.assert_allclose(
        st.nn.attach_fsm(Host(), at="decoder", semantics=backwards).semantics, backwards, atol=1e-6
    )
    for wrong in (st.datasets.tissue(200), [["x"]]):
        with pytest.raises(TypeError, match="semantics must be a matrix of numbers"):
            st.nn.attach_fsm(Host(), at="decoder", semantics=wrong)
