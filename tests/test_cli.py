from __future__ import annotations

import subprocess
import sys

import anndata
import numpy as np
import pytest
from typer.testing import CliRunner

import semtx as st
from semtx import _cli_files, cli


@pytest.fixture
def run():
    """Run the command as a shell would; gives exit code, standard output and standard error."""

    def invoke(*arguments):
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def section(tmp_path):
    path = tmp_path / "section.h5ad"
    st.datasets.tissue(100).write_h5ad(path)
    return path


def left_over(folder):
    return {path.name for path in folder.iterdir()} - {"section.h5ad", "out.h5ad", "map.png"}


def test_version_and_help(run):
    assert run("--version").stdout.strip() == f"semtx {st.__version__}"
    shown = run("--help").stdout
    assert all(command in shown for command in ("demo", "semst", "scllm-dsc", "gene-semantics", "query"))
    assert run().exit_code == 2


def test_as_a_program():
    shown = subprocess.run([sys.executable, "-m", "semtx.cli", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == f"semtx {st.__version__}"


class TestSemst:
    def test_writes_domains_and_map(self, run, section, tmp_path):
        before = section.read_bytes()
        out, plot = tmp_path / "out.h5ad", tmp_path / "map.png"
        done = run("semst", section, "--n-clusters", 3, "--out", out, "--plot", plot, "--random-state", 1)
        assert done.exit_code == 0, done.output
        assert "3 domains of 100 spots in obs['semst']" in done.stdout
        written = anndata.read_h5ad(out)
        assert written.obs["semst"].nunique() == 3
        assert int(written.uns["semst"]["params"]["random_state"]) == 1
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert section.read_bytes() == before
        assert left_over(tmp_path) == set()

    def test_input_is_replaced_by_force_only(self, run, section, tmp_path):
        before = section.read_bytes()
        refused = run("semst", section, "--n-clusters", 3, "--out", section)
        assert refused.exit_code == 2
        assert "--force" in refused.stderr
        assert section.read_bytes() == before
        assert run("semst", section, "--n-clusters", 3, "--out", section, "--force").exit_code == 0
        assert "semst" in anndata.read_h5ad(section).obs
        assert left_over(tmp_path) == set()

    def test_the_same_place_by_another_name_is_the_input_too(self, run, section, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path)
        assert run("semst", section, "--out", tmp_path / "link" / "section.h5ad").exit_code == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--preset", "missing"), "preset must be one of"),
            (("--layer", "missing"), "layer='missing' is not in adata.layers, which has none"),
            (("--semantics", "missing"), "missing"),
            (("--n-clusters", 1), "n_clusters must be at least 2, got 1"),
            (("--n-clusters", 101), "more than the 100 observations"),
            (("--spatial-key", "missing"), "'missing' is not in adata.obsm"),
        ],
    )
    def test_errors_are_one_line(self, run, section, tmp_path, arguments, message):
        failed = run("semst", section, "--out", tmp_path / "out.h5ad", *arguments)
        assert failed.exit_code == 1
        lines = [line for line in failed.stderr.splitlines() if not line.startswith(("WARNING", "INFO"))]
        assert len(lines) == 1
        assert lines[0].startswith("semtx: error: ")
        assert message in lines[0]
        assert not (tmp_path / "out.h5ad").exists()
        assert left_over(tmp_path) == set()

    def test_verbose_shows_the_traceback(self, run, section, tmp_path):
        failed = run("semst", section, "--out", tmp_path / "out.h5ad", "--preset", "missing", "--verbose")
        assert failed.exit_code == 1
        assert isinstance(failed.exception, ValueError)
        assert st.settings.verbosity == "warning"

    def test_a_picture_that_fails_does_not_cost_the_results(self, run, section, tmp_path, monkeypatch):
        def fail(*_, **__):
            message = "no colours left"
            raise RuntimeError(message)

        monkeypatch.setattr(cli, "_plot", fail)
        out = tmp_path / "out.h5ad"
        failed = run("semst", section, "--n-clusters", 3, "--out", out, "--plot", tmp_path / "map.png")
        assert failed.exit_code == 1
        assert "no colours left" in failed.stderr
        assert "3 domains of 100 spots" in failed.stdout
        assert "semst" in anndata.read_h5ad(out).obs

    @pytest.mark.parametrize("name", ["map.xyz", "map", "map.h5ad"])
    def test_kind_of_picture_is_checked_up_front(self, run, section, tmp_path, name):
        refused = run("semst", section, "--out", tmp_path / "out.h5ad", "--plot", tmp_path / name)
        assert refused.exit_code == 2
        message = " ".join(refused.stderr.replace("│", " ").split())
        assert "--plot" in message
        assert ".png" in message
        assert left_over(tmp_path) == set()
        assert not (tmp_path / "out.h5ad").exists()

    def test_no_semantics(self, run, section, tmp_path):
        done = run("semst", section, "--n-clusters", 3, "--semantics", "none", "--out", tmp_path / "out.h5ad")
        assert done.exit_code == 0, done.output
        assert "X_semantics" not in anndata.read_h5ad(tmp_path / "out.h5ad").obsm


@pytest.fixture(scope="module")
def blood(tmp_path_factory):
    """A file of cells; no test writes it."""
    path = tmp_path_factory.mktemp("blood") / "cells.h5ad"
    adata = st.datasets.cells(200)
    adata.obsm["X_reduced"] = np.asarray(adata.X[:, :20].toarray() - 1, dtype=np.float32)
    adata.var["symbol"] = adata.var_names
    adata.var_names = [f"probe_{number}" for number in range(adata.n_vars)]
    adata.write_h5ad(path)
    return path


class TestScllmDsc:
    def test_writes_clusters_and_map(self, run, blood, tmp_path):
        before = blood.read_bytes()
        out, plot = tmp_path / "out.h5ad", tmp_path / "map.png"
        given = ("--n-clusters", 9, "--batch-key", "batch", "--gene-symbols", "symbol", "--random-state", 1)
        done = run("scllm-dsc", blood, *given, "--key-added", "mine", "--out", out, "--plot", plot)
        assert done.exit_code == 0, done.output
        assert "9 clusters of 200 cells in obs['mine']" in done.stdout
        assert f"picture in {plot}" in done.stdout
        written = anndata.read_h5ad(out)
        assert written.obs["mine"].nunique() == 9
        assert written.obsm["mine_proba"].shape == (200, 9)
        params = written.uns["mine"]["params"]
        assert int(params["random_state"]) == 1
        assert (params["batch_key"], params["gene_symbols"]) == ("batch", "symbol")
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert blood.read_bytes() == before
        assert left_over(tmp_path) == set()

    def test_a_representation_without_semantics(self, run, blood, tmp_path):
        out = tmp_path / "out.h5ad"
        given = ("--use-rep", "X_reduced", "--semantics", "none", "--cluster-method", "kmeans", "--n-clusters", 4)
        done = run("scllm-dsc", blood, *given, "--out", out)
        assert done.exit_code == 0, done.output
        record = anndata.read_h5ad(out).uns["scllm_dsc"]
        assert record["expression"] == "obsm['X_reduced']"
        assert record["text_source"] == "none"
        assert record["clustering"]["method"] == "kmeans"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--preset", "missing"), "preset must be one of"),
            (("--semantics", "missing", "--gene-symbols", "symbol"), "missing"),
            (("--n-clusters", 201), "more than the 200 observations"),
            (("--use-rep", "missing"), "'missing' is not in adata.obsm"),
            (("--batch-key", "missing"), "'missing' is not in adata.obs"),
            (("--n-clusters", 9), "semantics=None"),
        ],
    )
    def test_errors_are_one_line(self, run, blood, tmp_path, arguments, message):
        failed = run("scllm-dsc", blood, "--out", tmp_path / "out.h5ad", *arguments)
        assert failed.exit_code == 1
        lines = [line for line in failed.stderr.splitlines() if not line.startswith(("WARNING", "INFO"))]
        assert len(lines) == 1
        assert lines[0].startswith("semtx: error: ")
        assert message in lines[0]
        assert left_over(tmp_path) == set()
        assert not (tmp_path / "out.h5ad").exists()

    @pytest.mark.parametrize("option", ["--spatial-key", "--library-key"])
    def test_cells_have_no_place(self, run, blood, tmp_path, option):
        assert run("scllm-dsc", blood, "--out", tmp_path / "out.h5ad", option, "spatial").exit_code == 2


def test_gene_semantics(run, section, tmp_path):
    done = run("gene-semantics", section, "--out", tmp_path / "out.h5ad", "--key-added", "text")
    assert done.exit_code == 0, done.output
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert f"for {written.var['text_matched'].sum()} of {written.n_vars} genes" in done.stdout
    assert written.varm["text"].shape[0] == written.n_vars


def test_zarr_is_written_and_replaced(run, section, tmp_path):
    out = tmp_path / "out.zarr"
    for key in ("first", "second"):
        done = run("gene-semantics", section, "--out", out, "--key-added", key)
        assert done.exit_code == 0, done.output
        assert [name for name in anndata.read_zarr(out).varm if name in {"first", "second"}] == [key]
        assert left_over(tmp_path) == {"out.zarr"}


def test_query(run, section, tmp_path):
    out, plot = tmp_path / "out.h5ad", tmp_path / "map.png"
    words = ("--encoder", "vocabulary", "--out", out)
    done = run("query", section, "myelin sheath", "PLP1", *words, "--negative", "synaptic transmission", "--plot", plot)
    assert done.exit_code == 0, done.output
    assert "text 'myelin sheath', read by terms of the vocabulary, in obs['query_0']" in done.stdout
    assert "gene 'PLP1', read by gene vectors, in obs['query_1']" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert list(anndata.read_h5ad(out).uns["query"]["queries"]["query_0"]["negative"]) == ["synaptic transmission"]
    assert run("query", section, "GO:0042552", "--out", out).exit_code == 0
    assert "query" in anndata.read_h5ad(out).obs
    bare = anndata.read_h5ad(section)
    del bare.obsm["spatial"]
    bare.write_h5ad(tmp_path / "bare.h5ad")
    refused = run("query", tmp_path / "bare.h5ad", "PLP1", "--out", tmp_path / "no.h5ad", "--plot", plot)
    assert "spatial_key='spatial' is not in adata.obsm" in refused.stderr
    assert not (tmp_path / "no.h5ad").exists()
    refused = run("query", section, "zxcvb", *words)
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1].startswith("semtx: error: no word of 'zxcvb' is in the vocabulary")


@pytest.mark.parametrize("command", ["semst", "scllm-dsc", "gene-semantics"])
class TestPaths:
    @pytest.mark.parametrize("name", ["out", "out.h5", "out.csv", "out.zarr.zip"])
    def test_output_of_another_kind(self, run, section, tmp_path, command, name):
        refused = run(command, section, "--out", tmp_path / name)
        assert refused.exit_code == 2
        assert ".h5ad or .zarr" in " ".join(refused.stderr.replace("│", " ").split())
        assert left_over(tmp_path) == set()

    @pytest.mark.parametrize("name", ["mine.h5ad", "mine.zarr"])
    def test_a_folder_of_the_user_is_not_replaced(self, run, section, tmp_path, command, name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").write_text("kept")
        assert run(command, section, "--out", tmp_path / name).exit_code == 2
        assert (tmp_path / name / "kept").read_text() == "kept"

    def test_input_must_exist(self, run, tmp_path, command):
        failed = run(command, tmp_path / "nothing.h5ad", "--out", tmp_path / "out.h5ad")
        assert failed.exit_code == 2
        assert "does not exist" in " ".join(failed.stderr.split())

    def test_output_folder_must_exist(self, run, section, tmp_path, command):
        failed = run(command, section, "--out", tmp_path / "nowhere" / "out.h5ad")
        assert failed.exit_code == 2
        assert "folder" in failed.stderr

    def test_output_is_needed(self, run, section, command):
        assert run(command, section).exit_code == 2

    def test_input_of_another_kind(self, run, tmp_path, command):
        (tmp_path / "section.h5ad").write_text("no hdf5")
        failed = run(command, tmp_path / "section.h5ad", "--out", tmp_path / "out.h5ad")
        assert failed.exit_code == 1
        assert failed.stderr.startswith("semtx: error: ")
        assert len(failed.stderr.splitlines()) == 1


class TestReplace:
    def test_a_failed_write_leaves_the_old_file(self, tmp_path):
        target = tmp_path / "out.h5ad"
        target.write_text("old")

        def fail(path):
            path.write_text("half")
            message = "disk full"
            raise OSError(message)

        with pytest.raises(OSError, match="disk full"):
            _cli_files.replace(target, fail)
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_failed_write_leaves_the_old_folder(self, tmp_path):
        target = tmp_path / "out.zarr"
        target.mkdir()
        (target / "old").write_text("old")

        def fail(path):
            path.mkdir()
            message = "disk full"
            raise OSError(message)

        with pytest.raises(OSError, match="disk full"):
            _cli_files.replace(target, fail)
        with pytest.raises(FileNotFoundError):  # nothing was written, so nothing can be moved
            _cli_files.replace(target, lambda path: None)
        assert (target / "old").read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_permissions_are_those_of_a_new_file(self, tmp_path):
        _cli_files.replace(tmp_path / "written", lambda path: path.write_text("new"))
        (tmp_path / "plain").write_text("new")
        assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_demo(run, tmp_path, monkeypatch):
    small = st.datasets.tissue(150)
    monkeypatch.setattr(st.datasets, "tissue", lambda: small, raising=False)
    done = run("demo", "--out", tmp_path / "new" / "folder")
    assert done.exit_code == 0, done.output
    for shown in ("150 spots", "ARI", "NMI", "CHAOS", "PAS", "run record", "random_state", "semtx.tl.semst", "losses"):
        assert shown in done.stdout
    assert "Creating graph" not in done.output
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {"demo.png", "demo.h5ad"}
    assert anndata.read_h5ad(tmp_path / "new" / "folder" / "demo.h5ad").obs["semst"].nunique() == 5
