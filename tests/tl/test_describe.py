from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

import semtx as st


@pytest.fixture(scope="module")
def described():
    adata = st.datasets.cells(400)
    st.tl.describe(adata, "ground_truth")
    return adata


def words(adata, group, n=10):
    return " | ".join(st.get.describe_df(adata, group, n_terms=n)["term"])


@pytest.mark.parametrize(
    ("group", "word"),
    [
        ("B", "B cell"),
        ("NK", "natural killer"),
        ("CD8 T", "T cell"),
        ("CD14 monocyte", "defense response"),
        ("megakaryocyte", "platelet"),
    ],
)
def test_cells_get_their_own_terms(described, group, word):
    assert word in words(described, group)


def test_white_matter_is_myelin(tissue):
    st.tl.describe(tissue, "ground_truth")
    assert "myelin" in words(tissue, "white matter", 3)
    assert "myelin" not in words(tissue, "layer 1", 3)


def test_table(described):
    table = described.uns["describe"]
    assert list(table) == ["group", "term", "id", "effect", "pval", "pval_adj", "n_genes", "genes", "rank"]
    assert list(table["group"].unique()) == list(described.obs["ground_truth"].cat.categories)
    assert (table["pval"] <= table["pval_adj"]).all()
    assert table["pval_adj"].between(0, 1).all()
    own = table[table["rank"] > 0]
    assert own.groupby("group")["pval"].is_monotonic_increasing.all()
    assert own.groupby("group")["rank"].apply(lambda rank: list(rank) == list(range(1, len(rank) + 1))).all()
    assert (table.groupby("group")["term"].apply(set) == set(own["term"])).all(), "each cluster has each term"
    assert not table.duplicated(["group", "term"]).any()
    assert (table["n_genes"] >= 5).all()
    assert table.notna().all().all()
    assert {gene for genes in table["genes"] for gene in genes.split(", ") if gene} <= set(described.var_names)
    assert table["genes"].str.split(", ").str.len().max() <= 10


def test_record(described):
    record = described.uns["describe_record"]
    assert record["function"] == "semtx.tl.describe"
    assert record["organism"] == "human"
    assert record["params"]["groupby"] == "ground_truth"
    assert "Gene Ontology" in record["vocabulary"]["attribution"]


def test_correction_is_over_all_terms_and_clusters(tissue):
    from scipy.stats import false_discovery_control

    st.tl.describe(tissue, "ground_truth", n_terms=100_000, max_redundancy=None)
    table = tissue.uns["describe"]
    assert len(table) == 5 * tissue.uns["describe_record"]["n_terms_tested"]
    np.testing.assert_allclose(table["pval_adj"], false_discovery_control(table["pval"]))


def test_where_names_mean_nothing_little_is_found(tissue):
    """Genes of other names at random: the p-values of all terms are as good as uniform, few pass the correction."""
    pval, significant = [], []
    for seed in range(8):
        other = tissue.copy()
        other.var_names = np.random.default_rng(seed).permutation(other.var_names)
        st.tl.describe(other, "ground_truth", n_terms=100_000, max_redundancy=None)
        pval.append(other.uns["describe"]["pval"])
        significant.append((other.uns["describe"]["pval_adj"] < 0.05).sum())
    pval = np.concatenate(pval)
    assert abs(pval.mean() - 0.5) < 0.05
    assert (pval < 0.05).mean() == pytest.approx(0.05, abs=0.02)
    st.tl.describe(tissue, "ground_truth", n_terms=100_000, max_redundancy=None)
    assert (tissue.uns["describe"]["pval_adj"] < 0.05).sum() > 20 * np.mean(significant)


@pytest.mark.parametrize("evidence", ["records", "vectors"])
def test_either_evidence_finds_myelin(tissue, evidence):
    st.tl.describe(tissue, "ground_truth", evidence=evidence)
    assert "myelin" in words(tissue, "white matter", 5)


def test_terms_of_the_user(tissue):
    mine = {
        "oligodendrocytes": ["MBP", "PLP1", "MOG", "MAG", "CNP", "no such gene"],
        "neurons": ["SNAP25", "SYT1", "NRGN", "CAMK2A"],
        "vessels": ["CLDN5", "VWF", "PECAM1", "FLT1"],
    }
    st.tl.describe(tissue, "ground_truth", terms=mine, min_genes=3, key_added="types")
    table = st.get.describe_df(tissue, key="types")
    best = table.groupby("group").first()
    assert best.loc["white matter", "term"] == best.loc["white matter", "id"] == "oligodendrocytes"
    assert best.loc["vascular niche", "term"] == "vessels"
    assert tissue.uns["types_record"]["params"]["evidence"] == "records"
    assert table.loc[table["term"] == "oligodendrocytes", "n_genes"].max() <= 5


@pytest.mark.parametrize("terms", [["MBP"], "GO:0042552"])
def test_terms_are_a_dict(tissue, terms):
    with pytest.raises(TypeError, match="terms must be a dict from the name of a term to its genes"):
        st.tl.describe(tissue, "ground_truth", terms=terms)


def test_names_that_no_file_can_hold(tissue, tmp_path):
    names = tissue.obs["ground_truth"].cat.rename_categories({"white matter": "", "layer 1": "L1/2"})
    tissue.obs["names"] = names.astype(object)
    st.tl.describe(tissue, "names")
    tissue.write_h5ad(tmp_path / "a.h5ad")
    read = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert {"(empty)", "L1|2"} <= set(read.uns["describe_record"]["n_cells"])
    assert set(st.get.describe_df(read)["group"]) == set(names)


def test_max_redundancy(tissue):
    st.tl.describe(tissue, "ground_truth", n_terms=10)
    few = words(tissue, "white matter")
    st.tl.describe(tissue, "ground_truth", n_terms=10, max_redundancy=None)
    assert len(set(few.split(" | ")) - set(words(tissue, "white matter").split(" | "))) > 0


def test_cells_without_a_cluster_are_left_out(tissue):
    labels = tissue.obs["ground_truth"].astype(str)
    labels[:100] = None
    part = tissue[100:].copy()
    tissue.obs["some"], part.obs["some"] = labels, labels[100:]
    st.tl.describe(tissue, "some")
    st.tl.describe(part, "some")
    pd.testing.assert_frame_equal(tissue.uns["describe"], part.uns["describe"])


def test_mouse(tissue):
    tissue.var_names = tissue.var_names.str.capitalize()
    st.tl.describe(tissue, "ground_truth", organism="mouse")
    assert "myelin" in words(tissue, "white matter", 5)
    assert "Mbp" in st.get.describe_df(tissue, "white matter", n_terms=1)["genes"][0]


def test_other_vectors_in_varm_do_not_matter(tissue):
    st.tl.describe(tissue, "ground_truth")
    wanted = tissue.uns["describe"]
    tissue.varm["gene_semantics"] = np.ones((tissue.n_vars, 5), dtype=np.float32)
    st.tl.describe(tissue, "ground_truth")
    pd.testing.assert_frame_equal(tissue.uns["describe"], wanted)


class TestBadInput:
    def test_no_clusters(self, tissue):
        with pytest.raises(KeyError, match=r"groupby='semst' is not in adata.obs.*run st.tl.semst\(adata\) first"):
            st.tl.describe(tissue)

    def test_one_cluster(self, tissue):
        tissue.obs["one"] = "a"
        with pytest.raises(ValueError, match=r"obs\['one'\] has 1 cluster"):
            st.tl.describe(tissue, "one")

    def test_the_record_of_the_clusters_stays(self, tissue):
        with pytest.raises(ValueError, match="key_added='ground_truth' is what is read"):
            st.tl.describe(tissue, "ground_truth", key_added="ground_truth")

    def test_a_cluster_for_each_cell(self, tissue):
        tissue.obs["name"] = tissue.obs_names
        with pytest.raises(ValueError, match="300 values for 300 observations"):
            st.tl.describe(tissue, "name")

    def test_no_gene_is_left(self, tissue):
        with pytest.raises(ValueError, match=r"0 of 705 genes are left.*Lower min_cells"):
            st.tl.describe(tissue, "ground_truth", min_cells=301)

    def test_no_term_is_left(self, tissue):
        with pytest.raises(ValueError, match="no term has 700 or more"):
            st.tl.describe(tissue, "ground_truth", min_genes=700)

    def test_own_terms_are_empty(self, tissue):
        with pytest.raises(ValueError, match="terms is empty"):
            st.tl.describe(tissue, "ground_truth", terms={})

    @pytest.mark.parametrize(
        ("option", "error"),
        [
            ({"evidence": "missing"}, ValueError),
            ({"n_terms": 0}, ValueError),
            ({"max_redundancy": 2}, ValueError),
            ({"min_cells": 1.5}, TypeError),
            ({"layer": "missing"}, KeyError),
        ],
    )
    def test_options(self, tissue, option, error):
        with pytest.raises(error, match=next(iter(option))):
            st.tl.describe(tissue, "ground_truth", **option)
        assert "describe" not in tissue.uns


class TestRealData:
    """What must hold on real data."""

    @pytest.mark.data
    def test_white_matter(self, test_data):

        adata = anndata.read_h5ad(test_data / "spatial" / "DLPFC_151673.h5ad")
        st.tl.describe(adata, "ground_truth")
        terms = words(adata, "WM")
        assert "myelination" in terms
        assert "lipid" in terms or "fatty acid" in terms

    @pytest.mark.data
    def test_blood_cells(self, test_data):

        adata = anndata.read_h5ad(test_data / "scrna" / "PBMC3k_10x.h5ad")
        st.tl.describe(adata, "ground_truth")
        wanted = {
            "B": "B cell",
            "NK": "natural killer",
            "Naive CD4 T": "T cell",
            "Memory CD4 T": "T cell",
            "CD8 T": "T cell",
            "CD14+ Mono": "phagocytosis",
            "Platelet": "platelet",
            "DC": "antigen processing and presentation",
        }
        found = {group: words(adata, group, 15) for group in wanted}
        assert not {group: found[group] for group, word in wanted.items() if word not in found[group]}
