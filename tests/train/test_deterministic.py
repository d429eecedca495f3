from __future__ import annotations

import pytest
import torch

import semtx as st
from semtx.train import deterministic


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)


def test_only_where_the_settings_ask_for_it():
    with deterministic():
        assert not torch.are_deterministic_algorithms_enabled()
    with st.settings.override(deterministic=True), deterministic():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_the_user_has_set_comes_back():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with pytest.raises(KeyError), st.settings.override(deterministic=True), deterministic():
            raise KeyError
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("preset", ["default", "reference"])
def test_training_has_deterministic_algorithms_throughout(tissue, preset, monkeypatch):
    from semtx.models._semst_training import SemSTObjective

    forward, seen = SemSTObjective.forward, []

    def watched(self, step):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return forward(self, step)

    monkeypatch.setattr(SemSTObjective, "forward", watched)
    with st.settings.override(deterministic=True):
        st.tl.semst(tissue, 3, preset=preset, max_epochs=2, accelerator="cpu")
    assert seen == [True, True]
