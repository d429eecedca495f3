from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pytest

import semtx as st

if TYPE_CHECKING:
    from anndata import AnnData


@cache
def _run() -> AnnData:
    adata = st.datasets.tissue(200)
    st.pp.gene_semantics(adata)
    st.tl.semst(adata, 3, max_epochs=2, accelerator="cpu")
    st.tl.describe(adata, "semst")
    return adata


@pytest.fixture
def run() -> AnnData:
    return _run().copy()


def _texts(figure) -> str:
    return "\n".join(text.get_text() for ax in figure.axes for text in ax.texts)


def test_page_tells_about_the_run(run):
    text = _texts(st.pl.domains_report(run, return_fig=True))
    scores = st.metrics.spatial_scores(run, "semst")
    assert f"{scores['PAS']:.2f}" in text
    assert run.uns["semst"]["versions"]["torch"] in text
    assert "of 705" in text
    assert st.get.describe_df(run, n_terms=1)["term"].iloc[0] in text


def test_files(run, tmp_path):
    files = [tmp_path / "report.html", tmp_path / "report.png"]
    before = plt.get_fignums()
    st.pl.domains_report(run, filename=files, show=False)
    assert len(plt.get_fignums()) == len(before) + 1
    page = files[0].read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert plt.imread(files[1]).shape[1] == 1300
    with pytest.raises(ValueError, match=r"must end in \.html or \.png"):
        st.pl.domains_report(run, filename="report.pdf")


def test_names_are_escaped(run, tmp_path):
    run.obs["semst"] = run.obs["semst"].cat.rename_categories({"0": "<script>"})
    st.pl.domains_report(run, filename=tmp_path / "report.html", show=False)
    assert "<script>" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_without_terms_of_these_domains(run):
    run.uns["describe_record"]["params"]["groupby"] = "other"
    assert "top terms" not in _texts(st.pl.domains_report(run, return_fig=True))


def test_not_run(tissue):
    with pytest.raises(KeyError, match=r"run st.tl.semst\(adata\) first"):
        st.pl.domains_report(tissue)


def test_terms_of_other_domains_are_left_out(run: AnnData, caplog) -> None:
    wanted = _texts(st.pl.domains_report(run, return_fig=True))
    run.obs["semst"] = run.obs["semst"].where(run.obs["semst"] != "2", "0").cat.remove_unused_categories()
    got = _texts(st.pl.domains_report(run, return_fig=True))
    assert "describes other domains" in caplog.text
    best = run.uns["describe"].query("rank == 1")["term"].tolist()
    assert any(term in wanted for term in best)
    assert not any(term in got for term in best)
