from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import semtx as st


@pytest.fixture(scope="module")
def adata():
    return st.datasets.cells()


def log_normalized(adata) -> np.ndarray:
    counts = adata.X.toarray()
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def test_what_it_holds(adata) -> None:
    assert adata.n_obs == 1500
    assert 600 < adata.n_vars < 800
    assert sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32
    assert (adata.X.data == np.rint(adata.X.data)).all()
    assert adata.X.data.min() > 0
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    assert not adata.obsm
    assert adata.uns["dataset"]["params"] == {"n_obs": 1500, "random_state": 0}


def test_types_of_unequal_size(adata) -> None:
    sizes = adata.obs["ground_truth"].value_counts()
    assert sizes.idxmin() == "megakaryocyte"
    assert (len(sizes), sizes.max(), sizes.min()) == (9, 375, 15)


@pytest.mark.parametrize("n_obs", [200, 333, 1001])
def test_sizes_add_up_and_no_type_is_missing(n_obs: int) -> None:
    adata = st.datasets.cells(n_obs)
    assert adata.n_obs == n_obs
    assert adata.obs["ground_truth"].value_counts().min() == round(0.01 * n_obs)


def test_every_symbol_is_known(adata) -> None:
    from semtx.semantics._match import match_genes

    match = match_genes(adata.var_names, organism="human")
    # ribosomal, mitochondrial and others of the tissue's list go by official symbols too
    assert set(match.method) == {"symbol"}


def test_same_seed_same_cells() -> None:
    first, again, other = (st.datasets.cells(200, random_state=seed) for seed in (3, 3, 4))
    assert (first.X != again.X).nnz == 0
    assert first.obs.equals(again.obs)
    assert (first.X != other.X).nnz > 0


def test_no_seed_is_recorded() -> None:
    adata = st.datasets.cells(200, random_state=None)
    again = st.datasets.cells(200, random_state=adata.uns["dataset"]["params"]["random_state"])
    assert (adata.X != again.X).nnz == 0


@pytest.mark.parametrize(
    ("kind", "gene"),
    [("B", "MS4A1"), ("NK", "GNLY"), ("CD14 monocyte", "CD14"), ("CD8 T", "CD8A"), ("megakaryocyte", "PPBP")],
)
def test_markers_mark_their_type(adata, kind: str, gene: str) -> None:
    values = log_normalized(adata)[:, adata.var_names.get_loc(gene)]
    means = adata.obs.assign(value=values).groupby("ground_truth", observed=True)["value"].mean()
    assert means.idxmax() == kind


def test_both_batches_have_all_types_and_one_was_stimulated(adata) -> None:
    table = adata.obs.groupby(["batch", "ground_truth"], observed=False).size().unstack()
    assert (table > 0).all(axis=None)
    values = log_normalized(adata)[:, adata.var["program"] == "interferon"].mean(axis=1)
    means = adata.obs.assign(value=values).groupby("batch", observed=True)["value"].mean()
    assert means["batch2"] > 1.2 * means["batch1"]


@pytest.mark.parametrize("random_state", [0, 1])
def test_neither_easy_nor_hopeless(random_state: int) -> None:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import adjusted_rand_score

    adata = st.datasets.cells(random_state=random_state)
    reduced = PCA(15, random_state=0).fit_transform(log_normalized(adata))
    labels = KMeans(9, n_init=5, random_state=0).fit_predict(reduced)
    assert 0.5 < adjusted_rand_score(adata.obs["ground_truth"], labels) < 0.8


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"n_obs": 199}, ValueError), ({"n_obs": 300.5}, TypeError), ({"random_state": -1}, ValueError)],
)
def test_bad_input(arguments: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        st.datasets.cells(**arguments)


def test_written_and_read_again(tmp_path) -> None:
    from anndata import read_h5ad

    adata = st.datasets.cells(200)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    again = read_h5ad(tmp_path / "cells.h5ad")
    assert again.uns["dataset"]["params"]["n_obs"] == 200
    assert again.obs.equals(adata.obs)
