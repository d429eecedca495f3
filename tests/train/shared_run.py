"""What ``test_processes.py`` fits: in one process by import, and in two as a script, started by ``torchrun``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

import semtx as st


def fitted(devices: int, folder: Path | None = None) -> dict[str, np.ndarray]:
    """Fit both models in a few ways; return losses, embeddings and labels by name."""
    torch.set_num_threads(1)
    tissue, cells = st.datasets.tissue(201), st.datasets.cells(201)
    graph = st.models.SemST.spatial_graph(tissue.obsm["spatial"])
    semantics = np.random.default_rng(0).normal(size=(201, 20)).astype(np.float32)
    narrow = {"hidden_dim": 12, "latent_dim": 6, "modulation_dim": 5, "decoder_hidden_dim": 10}
    made = {}
    for name, preset, changes in (
        ("batches", "default", {"batch_size": 50, "n_decoded_genes": 40, "max_epochs": 3}),
        ("convolutions", "reference", {**narrow, "max_epochs": 3}),
        ("parts", "paper", {**narrow, "batch_size": 40, "spatial_loss": "exact", "max_epochs": 2}),
        ("patches", "default", {"batch_size": 90, "spatial_weight": 0.1, "max_epochs": 2}),
    ):
        config = st.models.SEMST_PRESETS[preset].updated(**changes)
        model = st.models.SemST(config, accelerator="cpu", devices=devices)
        checkpoint = None if folder is None else folder / name
        model.fit(tissue.X[:, :90], graph, semantics, show_progress_bar=False, checkpoint=checkpoint)
        made[f"{name}.z"] = model.embed(tissue.X[:, :90], graph, semantics)
        made |= {f"{name}.{loss}": np.array(values) for loss, values in model.record.losses.items()}
        assert model.record.n_processes == devices
    vectors = np.random.default_rng(1).normal(size=(80, 8)).astype(np.float32)
    for name, preset in (("default", "default"), ("paper", "paper")):
        sizes = {"hidden_dim": 10, "latent_dim": 5, "projection_dim": 6, "pretrain_epochs": 2, "max_epochs": 3}
        config = st.models.SCLLM_DSC_PRESETS[preset].updated(**sizes, batch_size=64 if preset == "default" else None)
        model = st.models.ScLLMDSC(config, accelerator="cpu", devices=devices)
        model.fit(cells.X[:, :80], 4, gene_vectors=vectors, batch=np.arange(201) % 2, show_progress_bar=False)
        made[f"{name}.z"] = model.result.fused
        made |= {f"{name}.{loss}": np.array(values) for loss, values in model.record.losses.items()}
    return made


if __name__ == "__main__":
    out = Path(sys.argv[1])
    found = fitted(int(os.environ["LOCAL_WORLD_SIZE"]), out / "checkpoints")
    np.savez(out / f"rank{os.environ['RANK']}.npz", **found)
