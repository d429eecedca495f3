from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import semtx as st
from semtx.semantics import builtin_vectors, load_gene_table, match_genes

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


def genes(*names: str, **var: list) -> AnnData:
    return ad.AnnData(sparse.csr_matrix((3, len(names)), dtype=np.float32), var=pd.DataFrame(var, index=list(names)))


class Letters:
    """Counts letters; remembers what it was asked."""

    name = "letters"
    dimension = 26

    def __init__(self, backend: str = "letters") -> None:
        self.identity = {"backend": backend}
        self.asked: list[str] = []

    def embed(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        counts = [[text.lower().count(chr(97 + letter)) for letter in range(26)] for text in texts]
        return np.array(counts, dtype=np.float32) * np.array([100] + [1] * 25, dtype=np.float32)


def test_keys_and_contract(tissue: AnnData) -> None:
    before = tissue.copy()
    assert st.pp.gene_semantics(tissue) is None
    vectors, matched = tissue.varm["gene_semantics"], tissue.var["gene_semantics_matched"].to_numpy()
    assert vectors.dtype == np.float32
    assert vectors.shape == (tissue.n_vars, 384)
    assert np.isfinite(vectors).all()
    assert matched.dtype == bool
    np.testing.assert_array_equal(vectors.any(axis=1), matched)
    method = tissue.var["gene_semantics_match"]
    assert list(method.cat.categories) == ["symbol", "alias", "ensembl", "ortholog", "ambiguous", "none"]
    np.testing.assert_array_equal(~method.isin(["ambiguous", "none"]), matched)
    assert abs(tissue.X - before.X).nnz == 0
    assert set(tissue.var) - set(before.var) == {"gene_semantics_matched", "gene_semantics_match"}


def test_record(tissue: AnnData) -> None:
    st.pp.gene_semantics(tissue)
    record = tissue.uns["gene_semantics"]
    assert record["organism"] == "human"
    coverage = record["coverage"]
    assert coverage["n_genes"] == tissue.n_vars
    assert coverage["n_with_vector"] == tissue.var["gene_semantics_matched"].sum()
    assert coverage["fraction"] == pytest.approx(coverage["n_with_vector"] / tissue.n_vars)
    assert record["provenance"]["model_sha256"].startswith("53aa5117")
    assert record["params"]["encoder"] == "builtin"


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_results_survive_writing(tissue: AnnData, tmp_path: Path, suffix: str) -> None:
    st.pp.gene_semantics(tissue, key_added="g")
    path = tmp_path / f"out.{suffix}"
    getattr(tissue, f"write_{suffix}")(path)
    again = getattr(ad, f"read_{suffix}")(path)
    np.testing.assert_array_equal(again.varm["g"], tissue.varm["g"])
    assert again.var["g_match"].dtype == "category"
    assert again.uns["g"]["provenance"]["table_release"] == tissue.uns["g"]["provenance"]["table_release"]


def test_copy_leaves_the_input_untouched(tissue: AnnData) -> None:
    result = st.pp.gene_semantics(tissue, copy=True)
    assert "gene_semantics" in result.varm
    assert not tissue.varm.keys()
    assert "gene_semantics" not in tissue.uns


def test_how_each_gene_matched() -> None:
    adata = genes("GFAP", "P53", "ENSG00000197971.5", "Blank-1", "NOV", "SLC17A7", "AQP4", "SNAP25", "PLP1", "MAG")
    st.pp.gene_semantics(adata)
    assert list(adata.var["gene_semantics_match"][:5]) == ["symbol", "alias", "ensembl", "none", "ambiguous"]
    expected = builtin_vectors(match_genes(["GFAP", "TP53", "MBP", "", ""], organism="human"))
    np.testing.assert_array_equal(adata.varm["gene_semantics"][:5], expected)


@pytest.mark.parametrize("column", ["gene_ids", "ensembl", "some_column"])
def test_ensembl_column_is_found(column: str) -> None:
    ids = ["ENSG00000131095", "ENSG00000197971.16", np.nan]
    adata = genes("GFAP", "clone", "other", **{"kind": ["Gene Expression"] * 3, column: ids})
    st.pp.gene_semantics(adata)
    assert list(adata.var["gene_semantics_match"]) == ["symbol", "ensembl", "none"]
    assert adata.uns["gene_semantics"]["params"]["ensembl_ids"] == column


def test_gene_symbols_column() -> None:
    adata = genes("1", "2", "GFAP", name=pd.Categorical(["MBP", "SNAP25", None]))
    st.pp.gene_semantics(adata, gene_symbols="name")
    assert list(adata.var["gene_semantics_match"]) == ["symbol"] * 3


def test_mouse() -> None:
    adata = genes("Gfap", "Mbp", "Mup1")
    st.pp.gene_semantics(adata)
    assert adata.uns["gene_semantics"]["organism"] == "mouse"
    human = builtin_vectors(match_genes(["GFAP"], organism="human"))
    np.testing.assert_array_equal(adata.varm["gene_semantics"][:1], human)


def test_organism_is_overridable() -> None:
    adata = genes("GFAP", "MBP")
    st.pp.gene_semantics(adata, organism="mouse")
    assert adata.uns["gene_semantics"]["organism"] == "mouse"
    assert adata.var["gene_semantics_matched"].all()


def test_mask(tissue: AnnData) -> None:
    mask = np.arange(tissue.n_vars) < 10
    st.pp.gene_semantics(tissue, mask_var=mask)
    assert not tissue.var["gene_semantics_matched"][~mask].any()
    assert not tissue.varm["gene_semantics"][~mask].any()
    assert tissue.varm["gene_semantics"][mask].any()


def test_an_encoder_embeds_texts_of_matched_genes_once() -> None:
    encoder = Letters()
    adata = genes("GFAP", "MBP", "Blank-1", "P53", "SNAP25")
    st.pp.gene_semantics(adata, encoder)
    assert sorted(encoder.asked) == [
        "GFAP: glial fibrillary acidic protein",
        "MBP: myelin basic protein",
        "SNAP25: synaptosome associated protein 25",
        "TP53: tumor protein p53",
    ]
    st.pp.gene_semantics(adata, encoder)
    assert len(encoder.asked) == 4
    provenance = adata.uns["gene_semantics"]["provenance"]
    assert provenance["name"] == "letters"
    assert provenance["identity"]["backend"] == "letters"


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (
            "GFAP",
            "Gene ID: 2670. Gene Name: GFAP. Full Name: glial fibrillary acidic protein. Type: protein-coding. "
            "Organism: Homo sapiens. Also Known As: ALXDRD",
        ),
        ("Gfap", "Organism: Mus musculus."),
    ],
)
def test_fields_of_the_paper(symbol: str, expected: str) -> None:
    encoder = Letters(symbol)
    st.pp.gene_semantics(genes(symbol, "Mbp" if symbol == "Gfap" else "MBP"), encoder, template="paper")
    assert expected in encoder.asked[0]


def test_a_tables_own_organism_is_kept() -> None:
    table = pd.DataFrame({"symbol": ["GFAP"], "organism": ["Pan troglodytes"]})
    encoder = Letters()
    st.pp.gene_semantics(genes("GFAP"), encoder, knowledge=table, template="paper")
    assert encoder.asked == ["Gene Name: GFAP. Organism: Pan troglodytes."]


def test_vectors_of_an_encoder_are_centred_and_of_unit_length() -> None:
    texts = ["GFAP: glial fibrillary acidic protein", "MBP: myelin basic protein", "TP53: tumor protein p53"]
    raw = Letters().embed(texts)
    centred = raw - raw.mean(axis=0)
    adata = genes("GFAP", "MBP", "TP53", "Blank-1")
    st.pp.gene_semantics(adata, Letters())
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(adata.varm["gene_semantics"][:3], expected, atol=1e-6)
    assert not adata.varm["gene_semantics"][3].any()

    st.pp.gene_semantics(adata, Letters(), center=False)
    np.testing.assert_array_equal(adata.varm["gene_semantics"][:3], raw)


def test_hidden_states_are_standardised() -> None:
    raw = Letters().embed(
        ["GFAP: glial fibrillary acidic protein", "MBP: myelin basic protein", "TP53: tumor protein p53"]
    )
    spread = raw.std(axis=0)
    scores = (raw - raw.mean(axis=0)) / np.where(spread > 0, spread, 1)
    adata = genes("GFAP", "MBP", "TP53")
    st.pp.gene_semantics(adata, Letters("causal-lm"))
    expected = scores / np.linalg.norm(scores, axis=1, keepdims=True)
    np.testing.assert_allclose(adata.varm["gene_semantics"], expected, atol=1e-5)
    assert adata.uns["gene_semantics"]["params"]["standardize"]


def test_knowledge_of_ones_own() -> None:
    table = pd.DataFrame({"symbol": ["GFAP", "XYZ"], "name": ["", "made up"], "summary": ["In astrocytes.", None]})
    encoder = Letters()
    adata = genes("GFAP", "XYZ", "MBP")
    st.pp.gene_semantics(adata, encoder, knowledge=table)
    assert sorted(encoder.asked) == ["GFAP. In astrocytes.", "XYZ: made up"]
    assert list(adata.var["gene_semantics_matched"]) == [True, True, False]


@pytest.mark.parametrize("form", ["dict", "frame", "file"])
def test_vectors_of_ones_own(tmp_path: Path, form: str) -> None:
    vectors = {"GFAP": [1.0, 0.0], "TP53": [0.0, 2.0], "ENSG00000197971": [3.0, 3.0], "mbp2": [1.0, 1.0]}
    source: object = vectors
    if form == "frame":
        source = pd.DataFrame.from_dict(vectors, orient="index")
    if form == "file":
        source = tmp_path / "vectors.csv"
        pd.DataFrame.from_dict(vectors, orient="index").to_csv(source)
    adata = genes("GFAP", "P53", "MBP", "MBP2", "SNAP25")
    st.pp.gene_semantics(adata, source)
    np.testing.assert_array_equal(adata.varm["gene_semantics"], [[1, 0], [0, 2], [3, 3], [1, 1], [0, 0]])
    assert list(adata.var["gene_semantics_match"]) == ["symbol", "alias", "ensembl", "symbol", "none"]
    assert adata.varm["gene_semantics"].dtype == np.float32


def test_low_coverage_warns(caplog: pytest.LogCaptureFixture) -> None:
    adata = genes("GFAP", "1007_s_at", "1053_at", "117_at")
    with caplog.at_level(logging.WARNING, logger="semtx"):
        st.pp.gene_semantics(adata)
    assert "only 25 % of 4 genes match" in caplog.text
    assert "Affymetrix probe ids: '1007_s_at'" in caplog.text


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["1007_s_at", "1053_at"], {}, "they look like Affymetrix probe ids: '1007_s_at', '1053_at'"),
        (["1007_s_at", "1053_at"], {}, "is a known human or mouse gene"),
        (["ENSMUSG99999999999"], {}, "is a known mouse gene"),
        (["1007_s_at", "1053_at"], {"organism": "human"}, "is a known human gene"),
        (["0", "1"], {}, "plain numbers"),
        (["ILMN_1", "ILMN_2"], {}, "Illumina probe ids"),
        (["FBgn0000008", "FBgn0000014"], {}, "fly gene ids"),
        (["ENSDARG00000000001", "ENSDARG00000000002"], {}, "Ensembl gene ids of another organism"),
        (["ENSMUSG00000020932"], {"organism": "human"}, "they are mouse genes, pass organism='mouse'"),
        (["qwertz", "asdf"], {}, "the first are 'qwertz', 'asdf'.*human or mouse"),
    ],
)
def test_nothing_matches(names: list[str], options: dict, message: str) -> None:
    adata = genes(*names)
    with pytest.raises(ValueError, match=message):
        st.pp.gene_semantics(adata, **options)
    assert not adata.varm.keys()
    assert not adata.uns.keys()


def test_nothing_matches_but_a_column_would() -> None:
    adata = genes("a_1", "b_2", feature_name=["GFAP", "MBP"])
    with pytest.raises(ValueError, match="pass gene_symbols='feature_name'"):
        st.pp.gene_semantics(adata)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="var_names are not unique"):
        st.pp.gene_semantics(genes("GFAP", "GFAP"))
    with pytest.raises(ValueError, match="organism must be one of 'human', 'mouse', got 'fly'"):
        st.pp.gene_semantics(genes("GFAP"), organism="fly")
    with pytest.raises(KeyError, match=r"gene_symbols='names' is not in adata\.var"):
        st.pp.gene_semantics(genes("GFAP"), gene_symbols="names")
    with pytest.raises(KeyError, match=r"ensembl_ids='ids' is not in adata\.var"):
        st.pp.gene_semantics(genes("GFAP"), ensembl_ids="ids")
    with pytest.raises(ValueError, match="knowledge must be one of 'builtin', 'ncbi', got 'web'"):
        st.pp.gene_semantics(genes("GFAP"), knowledge="web")
    with pytest.raises(ValueError, match="mask_var must be boolean"):
        st.pp.gene_semantics(genes("GFAP"), mask_var=np.array([1]))
    with pytest.raises(ValueError, match="none of the 1 genes that mask_var selects"):
        st.pp.gene_semantics(genes("GFAP", "Blank-1"), mask_var=np.array([False, True]))
    with pytest.raises(TypeError, match="expected an AnnData or SpatialData"):
        st.pp.gene_semantics(load_gene_table("human"))
    with pytest.raises(ValueError, match="key_added must not be empty nor contain '/'"):
        st.pp.gene_semantics(genes("GFAP"), key_added="a/b")


def test_nan_from_an_encoder_leaves_the_input_untouched() -> None:
    class Broken(Letters):
        def embed(self, texts: list[str]) -> np.ndarray:
            return np.full((len(texts), 26), np.nan, dtype=np.float32)

    adata = genes("GFAP", "MBP")
    with pytest.raises(ValueError, match="NaN"):
        st.pp.gene_semantics(adata, Broken("broken"))
    assert not adata.varm.keys()


@pytest.mark.data
def test_coverage_of_a_real_section(test_data: Path) -> None:
    adata = ad.read_h5ad(test_data / "spatial" / "DLPFC_151673.h5ad")
    st.pp.gene_semantics(adata)
    assert adata.var["gene_semantics_matched"].mean() > 0.928
    assert adata.uns["gene_semantics"]["params"]["ensembl_ids"] == "gene_ids"
