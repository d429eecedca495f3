"""A fit that was killed goes on from its checkpoint, to the same result bit for bit."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys

import anndata
import numpy as np
import pytest

import semtx as st

# Fits until two checkpoints are written, then says so and waits to be killed; with "during", before the third is in place.
CHILD = """
import sys, anndata, torch
from pathlib import Path
import semtx as st
from semtx.train import Checkpoint

torch.set_num_threads(1)
Checkpoint.due = lambda self: True
function, source, folder, when = sys.argv[1:]
replace, written = Path.replace, []

def wait(self, target):
    if when == "during" and len(written) == 2:
        print("ready", flush=True)
        sys.stdin.read()
    made = replace(self, target)
    written.append(target)
    if when == "after" and len(written) == 2:
        print("ready", flush=True)
        sys.stdin.read()
    return made

Path.replace = wait
sys.path.insert(0, str(Path(source).parent))
from fitting import fitted
fitted(function, anndata.read_h5ad(source), folder)
"""
FITTING = """
import semtx as st

def fitted(function, adata, checkpoint=None, **options):
    if function == "SemST":
        graph = st.models.SemST.spatial_graph(adata.obsm["spatial"])
        config = st.models.SEMST_PRESETS["default"].updated(max_epochs=5, batch_size=64, **options)
        model = st.models.SemST(config, accelerator="cpu")
        model.fit(adata.X, graph, show_progress_bar=False, checkpoint=checkpoint)
        return model, model.embed(adata.X, graph)
    config = st.models.SCLLM_DSC_PRESETS["default"].updated(pretrain_epochs=3, max_epochs=4, batch_size=64, tolerance=0.0, **options)
    model = st.models.ScLLMDSC(config, accelerator="cpu")
    model.fit(adata.X, 3, show_progress_bar=False, checkpoint=checkpoint)
    return model, model.result.fused
"""


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def fitted():
    made: dict = {}
    exec(FITTING, made)
    return made["fitted"]


@pytest.fixture
def source(tmp_path):
    st.datasets.tissue(150).write_h5ad(tmp_path / "input.h5ad")
    (tmp_path / "fitting.py").write_text(FITTING)
    return tmp_path / "input.h5ad"


def killed(function, source, folder, when, how) -> int:
    command = [sys.executable, "-c", CHILD, function, str(source), str(folder), when]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert child.stdout.readline() == "ready\n"
    child.send_signal(how)
    child.communicate()
    return child.returncode


@pytest.mark.parametrize(
    ("function", "when", "how"),
    [
        ("SemST", "after", signal.SIGKILL),
        ("SemST", "during", signal.SIGKILL),
        ("ScLLMDSC", "after", signal.SIGINT),
    ],
)
def test_killed_and_resumed(fitted, source, tmp_path, function, when, how):
    before = hashlib.sha256(source.read_bytes()).digest()
    assert killed(function, source, tmp_path / "state", when, how) != 0
    assert hashlib.sha256(source.read_bytes()).digest() == before
    adata = anndata.read_h5ad(source)
    resumed, z = fitted(function, adata, tmp_path / "state")
    whole, expected = fitted(function, adata)
    np.testing.assert_array_equal(z, expected)
    assert resumed.record.losses == whole.record.losses
    assert resumed.record.stop_reason == whole.record.stop_reason
    # finished, so that a further call trains no more
    again, z = fitted(function, adata, tmp_path / "state")
    np.testing.assert_array_equal(z, expected)
    assert again.record.losses == whole.record.losses


def test_another_run_is_refused(fitted, tmp_path):
    adata = st.datasets.tissue(100)
    fitted("SemST", adata, tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint of another run: .learning_rate. differ"):
        fitted("SemST", adata, tmp_path, learning_rate=0.5)
    adata.X.data[0] += 1
    with pytest.raises(ValueError, match=r"another run: .counts. differ"):
        fitted("SemST", adata, tmp_path)
    (tmp_path / "training.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        fitted("SemST", adata, tmp_path)
