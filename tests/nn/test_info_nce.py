from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

import semtx as st


def views(n: int = 23, h: int = 5, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(n, h, generator=generator, dtype=torch.float64)
    b = a + torch.randn(n, h, generator=generator, dtype=torch.float64)
    return [view.to(dtype).requires_grad_() for view in (a, b)]


LABELS = torch.arange(23) % 4 - 1
GROUPS = torch.arange(23) // 12
MASKS = {"none": {}, "labels": {"labels": LABELS}, "groups": {"groups": GROUPS}}
MASKS["both"] = {"labels": LABELS, "groups": GROUPS}


def full(a, b, temperature, labels=None, groups=None):
    """As the method states it, with all pairs and the cross-entropies of torch."""
    logits = normalize(a, dim=1) @ normalize(b, dim=1).T / temperature
    for i in range(len(a)):
        for j in range(len(a)):
            same = labels is not None and labels[i] == labels[j] >= 0
            apart = groups is not None and groups[i] != groups[j]
            if i != j and (same or apart):
                logits = logits.index_put((torch.tensor(i), torch.tensor(j)), torch.tensor(-torch.inf).double())
    own = torch.arange(len(a))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.parametrize("chunk", [1, 7, 23, 100, None])
def test_chunked_is_the_full_loss_with_its_gradients(mask, chunk):
    a, b = views()
    temperature = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    got = st.nn.info_nce(a, b, temperature, chunk=chunk, **MASKS[mask])
    wanted = full(a, b, temperature, **MASKS[mask])
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=0)
    slopes, expected = (torch.autograd.grad(loss, [a, b, temperature]) for loss in (got, wanted))
    for slope, other in zip(slopes, expected, strict=True):
        torch.testing.assert_close(slope, other, rtol=1e-9, atol=1e-12)


def test_masks_change_the_loss():
    a, b = views()
    assert len({round(st.nn.info_nce(a, b, **mask).item(), 9) for mask in MASKS.values()}) == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_finite_in_half_precision_at_a_low_temperature(dtype, autocast):
    a, b = views(dtype=dtype)
    b = b.detach().clone()
    b[:8] = a[:8].detach()  # right answers of cosine 1, and
    b[8:12] = a[0].detach()  # many cells that are the same
    b[12] = 0
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = st.nn.info_nce(a, b.requires_grad_(), 0.01, chunk=5)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    for view in (a, b):
        assert view.grad.dtype == dtype
        assert torch.isfinite(view.grad).all()
    wanted = full(a.double(), b.double(), 0.01)
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-5, atol=1e-5)


def test_symmetric_in_its_views_and_blind_to_scale():
    a, b = views()
    one, other, scaled = st.nn.info_nce(a, b), st.nn.info_nce(b, a), st.nn.info_nce(7 * a, 0.1 * b)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one, scaled)


def test_one_cell_has_nothing_to_tell_apart():
    a, b = views(n=1)
    loss = st.nn.info_nce(a, b)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert a.grad.abs().max() < 1e-12


def test_training_aligns_the_views():
    a, b = (view.detach() for view in views())
    head = torch.nn.Linear(5, 5, dtype=torch.float64)
    torch.nn.init.eye_(head.weight)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        loss = st.nn.info_nce(head(a), b, chunk=6)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_no_matrix_of_all_pairs():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        entries = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for value in made if isinstance(made, (tuple, list)) else (made,):
                if isinstance(value, torch.Tensor):
                    self.entries = max(self.entries, value.numel())
            return made

    a, b = views(n=2000, h=2, dtype=torch.float32)
    with Largest() as largest:
        st.nn.info_nce(a, b, chunk=50, labels=torch.arange(2000) % 9, groups=torch.arange(2000) % 2).backward()
    assert largest.entries == 50 * 2000


def test_bad_input():
    a, b = views()
    with pytest.raises(ValueError, match=r"same shape, they have \(22, 5\) and \(23, 5\)"):
        st.nn.info_nce(a[1:], b)
    with pytest.raises(ValueError, match="chunk"):
        st.nn.info_nce(a, b, chunk=0)
    with pytest.raises(ValueError, match=r"labels must have shape \(23,\)"):
        st.nn.info_nce(a, b, labels=LABELS[1:])
