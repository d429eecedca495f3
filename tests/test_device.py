from __future__ import annotations

import pytest
import torch

import semtx as st
from semtx._device import resolve_accelerator
from semtx._settings import ACCELERATORS

MISSING = None
# with neither, with CUDA, with MPS, with both
EXPECTED = {
    "auto": ("cpu", "cuda", "cpu", "cuda"),
    "cpu": ("cpu", "cpu", "cpu", "cpu"),
    "gpu": (MISSING, "cuda", "mps", "cuda"),
    "cuda": (MISSING, "cuda", MISSING, "cuda"),
    "mps": (MISSING, MISSING, "mps", "mps"),
}


@pytest.mark.parametrize("accelerator", ACCELERATORS)
@pytest.mark.parametrize("machine", range(4))
def test_every_accelerator_on_every_machine(monkeypatch, accelerator, machine):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: machine in {1, 3})
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: machine in {2, 3})
    expected = EXPECTED[accelerator][machine]
    if expected is MISSING:
        message = f"accelerator='{accelerator}' is not available .*; use accelerator='cpu'"
        with pytest.raises(RuntimeError, match=message):
            resolve_accelerator(accelerator)
    else:
        assert resolve_accelerator(accelerator) == expected
    with st.settings.override(accelerator="cpu"):
        assert resolve_accelerator() == "cpu"


def test_an_unknown_one():
    with pytest.raises(ValueError, match="accelerator must be one of 'auto'"):
        resolve_accelerator("abacus")
