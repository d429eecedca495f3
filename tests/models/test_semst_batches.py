"""Graph convolutions encoded in parts, the spatial term in patches, and batches of samples that are centred."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import semtx as st
from semtx.models._semst_batches import InputRows, csr_matrix_of
from semtx.models._semst_preprocessing import SemSTPreprocessing, csr_tensor


@pytest.fixture
def data(tissue) -> tuple[sparse.csr_matrix, sparse.csr_matrix, np.ndarray]:
    graph = st.models.SemST.spatial_graph(tissue.obsm["spatial"])
    semantics = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    return tissue.X[:, :120], graph, semantics


def small(preset: str, **changes) -> st.models.SemSTConfig:
    narrow = {"hidden_dim": 12, "latent_dim": 6, "modulation_dim": 5, "decoder_hidden_dim": 10, "max_epochs": 3}
    return st.models.SEMST_PRESETS[preset].updated(**{**narrow, **changes})


def fitted(data, config, **given) -> st.models.SemST:
    return st.models.SemST(config, accelerator="cpu").fit(*data, show_progress_bar=False, **given)


def test_rows_of_sparse_tensors():
    matrix = sparse.random(20, 7, 0.3, random_state=0, format="csr", dtype=np.float32)
    assert (csr_matrix_of(csr_tensor(matrix)) != matrix).nnz == 0


@pytest.mark.parametrize("preset", ["reference", "paper"])
def test_rows_are_embedded_as_among_all(data, preset):
    torch.manual_seed(0)
    config = small(preset)
    _, _, inputs = SemSTPreprocessing.fit(config, *data, 0)
    network = st.models.SemST(config)._make_network(
        {"n_inputs": 120, "n_genes": 120, "semantic_dim": 12, "latent_dim": 6}
    )
    rows = torch.tensor([1, 50, 51, 299])
    of_rows = InputRows(inputs).of(rows)
    assert of_rows.x.shape[0] < 300
    for got, wanted in zip(network(of_rows), network(inputs), strict=True):
        torch.testing.assert_close(got, wanted[rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("preset", ["reference", "paper"])
@pytest.mark.parametrize("n_decoded_genes", [None, 50])
def test_parts_are_trained_as_all_at_once(data, preset, n_decoded_genes):
    config = small(preset, n_decoded_genes=n_decoded_genes, max_epochs=5)
    full, parts = fitted(data, config), fitted(data, config.updated(batch_size=80))
    assert parts.record.memory["batch_size"] == 80
    for name, losses in full.record.losses.items():
        assert len(losses) == 5
        np.testing.assert_allclose(parts.record.losses[name], losses, rtol=1e-4)
    z = full.embed(*data)
    np.testing.assert_allclose(parts.embed(*data), z, atol=1e-3 * z.std())


def test_parts_are_encoded_apart(data, monkeypatch):
    seen = []
    of = InputRows.of
    monkeypatch.setattr(InputRows, "of", lambda self, rows: seen.append(len(rows)) or of(self, rows))
    fitted(data, small("paper", batch_size=120, max_epochs=1))
    # forward, and again backward
    assert sorted(seen) == [60, 60, 120, 120, 120, 120]


@pytest.mark.data
@pytest.mark.slow
def test_labels_of_a_real_section_are_those_of_all_at_once(test_data):
    adata = anndata.read_h5ad(test_data / "spatial" / "STARmap_MVC.h5ad")
    for name, size in {"full": None, "parts": 400}.items():
        st.tl.semst(adata, 7, preset="reference", max_epochs=30, batch_size=size, accelerator="cpu", key_added=name)
    assert adjusted_rand_score(adata.obs["full"], adata.obs["parts"]) >= 0.9


def test_the_spatial_term_of_propagated_features_in_batches(data):
    config = st.models.SEMST_PRESETS["default"].updated(spatial_weight=0.1, max_epochs=2)
    full, batches = fitted(data, config).record, fitted(data, config.updated(batch_size=100)).record
    assert batches.losses["spatial"] == pytest.approx(full.losses["spatial"], rel=0.1)


class TestBatch:
    def test_a_shift_of_components_is_taken_away(self, data):
        counts, graph, semantics = data
        batch = np.repeat(["a", "b"], 150)
        shifted = counts.copy()
        shifted.data[shifted.indptr[150] :] *= np.where(shifted.indices[shifted.indptr[150] :] % 2, 3, 1)
        config = st.models.SEMST_PRESETS["default"].updated(max_epochs=2)
        distance = {}
        for name, given in {"not": None, "centred": batch}.items():
            z = fitted((shifted, graph, semantics), config, batch=given)
            z = z.embed(shifted, graph, semantics, batch=given)
            distance[name] = np.linalg.norm(z[:150].mean(axis=0) - z[150:].mean(axis=0)) / z.std()
        assert distance["centred"] < 0.2 * distance["not"]

    def test_saved_and_of_a_new_section(self, data, tmp_path):
        counts, graph, semantics = data
        batch = np.repeat(["a", "b"], 150)
        config = st.models.SEMST_PRESETS["default"].updated(max_epochs=2)
        model = fitted(data, config, batch=batch)
        z = model.embed(*data, batch=batch)
        model.save(tmp_path)
        loaded = st.models.SemST.load(tmp_path, accelerator="cpu")
        np.testing.assert_array_equal(loaded.embed(*data, batch=batch), z)
        # a batch that was not seen is centred by itself: all of "a" under another name is "a"
        part = (counts[:150], graph[:150][:, :150], semantics[:150])
        np.testing.assert_allclose(
            model.embed(*part, batch=["new"] * 150), model.embed(*part, batch=["a"] * 150), atol=1e-4
        )

    def test_one_batch_is_none(self, data):
        config = st.models.SEMST_PRESETS["default"].updated(max_epochs=2)
        one = fitted(data, config, batch=np.zeros(300))
        np.testing.assert_array_equal(one.embed(*data), fitted(data, config).embed(*data))

    def test_what_does_not_go_together(self, data):
        with pytest.raises(ValueError, match="expression='scaled' has none"):
            fitted(data, small("reference"), batch=np.arange(300) % 2)
        with pytest.raises(ValueError, match=r"batch must have shape \(300,\), got \(2,\)"):
            fitted(data, st.models.SEMST_PRESETS["default"], batch=[0, 1])
