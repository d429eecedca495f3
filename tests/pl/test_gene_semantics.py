from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import semtx as st


@pytest.fixture
def adata(tissue):
    st.pp.gene_semantics(tissue)
    return tissue


@pytest.fixture
def plane(tissue):
    """Vectors that lie in the plane already, those of the last ten genes missing."""
    tissue.varm["plane"] = np.random.default_rng(0).normal(size=(tissue.n_vars, 2)).astype(np.float32)
    tissue.varm["plane"][-10:] = 0
    return tissue


def test_umap_is_kept_until_vectors_or_options_change(adata, monkeypatch):
    import semtx.pl._gene_semantics as module

    made = []

    def layout(vectors, **options):
        made.append(options)
        return vectors[:, :2].astype(np.float32)

    monkeypatch.setattr(module, "umap", layout)
    st.pl.gene_semantics(adata, show=False)
    assert adata.varm["gene_semantics_umap"].shape == (adata.n_vars, 2)
    st.pl.gene_semantics(adata, "program", show=False)
    assert len(made) == 1
    st.pl.gene_semantics(adata, mask_var=np.arange(adata.n_vars) < 50, show=False)
    assert len(made) == 1, "a part of the genes lies where it lay"
    st.pl.gene_semantics(adata, min_dist=0.1, show=False)
    assert made[-1]["min_dist"] == 0.1
    adata.varm["gene_semantics"] = adata.varm["gene_semantics"][:, ::-1].copy()
    st.pl.gene_semantics(adata, min_dist=0.1, show=False)
    assert len(made) == 3


def test_umap_is_scanpys(adata):
    st.pl.gene_semantics(adata[:, :60].copy(), show=False)
    view = adata[:, :60]
    st.pl.gene_semantics(view, show=False)
    assert view.is_view
    assert "gene_semantics_umap" not in adata.varm


def test_pca(adata):
    ax = st.pl.gene_semantics(adata, method="pca", show=False)
    vectors = adata.varm["gene_semantics"]
    vectors = vectors[vectors.any(axis=1)].astype(float)
    drawn = np.asarray(ax.collections[0].get_offsets())
    centred = vectors - vectors.mean(axis=0)
    wanted = np.linalg.eigvalsh(centred.T @ centred)[::-1][:2]
    np.testing.assert_allclose((drawn**2).sum(axis=0), wanted, rtol=1e-6)
    assert ax.get_xlabel() == f"PC1 ({wanted[0] / (centred**2).sum():.0%})"
    assert "gene_semantics_umap" not in adata.varm


def test_expression_is_the_mean_of_log_normalised(plane):
    ax = st.pl.gene_semantics(plane, key="plane", show=False)
    import scanpy as sc

    sc.pp.normalize_total(plane, target_sum=1e4)
    sc.pp.log1p(plane)
    mean = np.asarray(plane.X.mean(axis=0)).ravel()[:-10]
    np.testing.assert_allclose(ax.collections[0].get_array(), np.sort(mean), rtol=1e-4)
    assert ax.get_title() == "expression"


def test_values_that_are_no_counts_are_averaged_as_they_are(plane):
    plane.X = plane.X.toarray() - 1.5
    ax = st.pl.gene_semantics(plane, key="plane", show=False)
    np.testing.assert_allclose(ax.collections[0].get_array(), np.sort(plane.X.mean(axis=0)[:-10]), rtol=1e-5)


def test_term_of_the_vocabulary(plane):
    by_name, by_id = st.pl.gene_semantics(plane, ["myelination", "GO:0042552"], key="plane", show=False)
    members = set(
        st.semantics.load_vocabulary("human").symbols(st.semantics.load_vocabulary("human").find("myelination"))
    )
    wanted = plane.varm["plane"][plane.var_names.isin(members) & plane.varm["plane"].any(axis=1)]
    for ax in (by_name, by_id):
        assert ax.get_title() == "myelination"
        others, marked = ax.collections
        np.testing.assert_allclose(marked.get_offsets(), wanted)
        assert len(others.get_offsets()) + len(wanted) == plane.n_vars - 10


def test_sets_with_a_palette(plane):
    sets = {"myelin": ["MBP", "PLP1", "SNAP25"], "synapse": ["SNAP25", "SYT1"]}
    ax = st.pl.gene_semantics(plane, sets, key="plane", palette={"myelin": "red", "synapse": "blue"}, show=False)
    sizes = {to_hex(dots.get_facecolor()[0]): len(dots.get_offsets()) for dots in ax.collections[1:]}
    assert sizes == {"#ff0000": 3, "#0000ff": 1}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["myelin", "synapse"]


def test_columns_of_var_and_names(plane):
    plane.var["length"] = np.arange(plane.n_vars)
    axes = st.pl.gene_semantics(plane, ["program", "length"], key="plane", names=["MBP"], title=["a", "b"], show=False)
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    assert axes[0].texts[0].get_text() == "MBP"
    np.testing.assert_allclose(axes[0].texts[0].xy, plane.varm["plane"][plane.var_names.get_loc("MBP")])


def test_figure_and_axes(plane):
    assert isinstance(st.pl.gene_semantics(plane, key="plane", return_fig=True), Figure)
    _, ax = plt.subplots()
    assert st.pl.gene_semantics(plane, key="plane", ax=ax) is ax
    with pytest.raises(ValueError, match="one only with ax="):
        st.pl.gene_semantics(plane, ["program", "expression"], key="plane", ax=ax)


def test_no_vectors(tissue):
    with pytest.raises(KeyError, match=r"key='gene_semantics' is not in adata.varm.*run st.pp.gene_semantics"):
        st.pl.gene_semantics(tissue)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "missing"}, "color='missing' is neither 'expression', nor in adata.var.*nor a term"),
        ({"color": {"set": ["missing"]}}, "none of the genes of the sets 'set'"),
        ({"names": ["missing"]}, "names has 'missing'"),
    ],
)
def test_unknown(plane, options, message):
    with pytest.raises(KeyError, match=message):
        st.pl.gene_semantics(plane, key="plane", **options)


def test_colours_of_cells_are_left_alone(plane):
    plane.obs["cluster"] = plane.obs["ground_truth"]
    plane.var["cluster"] = np.where(np.arange(plane.n_vars) % 2, "odd", "even")
    plane.uns["cluster_colors"] = colors = ["#000000"] * plane.obs["cluster"].nunique()
    st.pl.gene_semantics(plane, "cluster", key="plane", palette="tab10", show=False)
    assert plane.uns["cluster_colors"] == colors


def test_genes_go_by_the_names_their_vectors_were_made_of(tissue):
    tissue.var["symbol"] = tissue.var_names.to_numpy()
    tissue.var_names = [f"gene{i}" for i in range(tissue.n_vars)]
    st.pp.gene_semantics(tissue, gene_symbols="symbol")
    axes = st.pl.gene_semantics(tissue, "myelination", method="pca", show=False)
    assert axes is not None
    tissue.var["symbol"] = [f"none{i}" for i in range(tissue.n_vars)]
    with pytest.raises(KeyError, match=r"none of the .* genes is one of 'myelination'"):
        st.pl.gene_semantics(tissue, "myelination", method="pca", show=False)
