"""The loader against a local mirror: small synthetic files in the formats of the authors."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imsave
from scipy import sparse

import semtx as st

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BARCODES = [f"{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16]}ACGT-1" for i in range(40)]
SAMPLES = {"151673": 0, "151674": 1}
LAYERS = ["L1", "L2", "L3", "L4", "L5", "L6", "WM"]
SYMBOLS = ["MBP", "PCP4", "TBCE", "TBCE", "SNAP25"]


def _layer(barcode: str, sample: str) -> str | None:
    """What a barcode is labelled with; the same barcode lies in another layer of the other section."""
    number = BARCODES.index(barcode)
    return None if number % 9 == 0 else LAYERS[(number + 3 * SAMPLES[sample]) % 7]


def _counts(sample: str) -> sparse.csr_matrix:
    rng = np.random.default_rng(SAMPLES[sample])
    return sparse.csr_matrix(rng.poisson(1.0, (30, len(SYMBOLS))))


def _write_h5(path: Path, sample: str) -> None:
    counts = _counts(sample)
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array(BARCODES[:30], dtype="S")
        # genes x spots, column by column: the rows of spots x genes
        matrix["data"] = counts.data.astype(np.int32)
        matrix["indices"], matrix["indptr"] = counts.indices.astype(np.int64), counts.indptr.astype(np.int64)
        matrix["shape"] = np.array(counts.shape[::-1], dtype=np.int32)
        features = matrix.create_group("features")
        features["_all_tag_keys"] = np.array(["genome"], dtype="S")
        features["id"] = np.array([f"ENSG{number:011d}" for number in range(len(SYMBOLS))], dtype="S")
        features["name"] = np.array(SYMBOLS, dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * len(SYMBOLS), dtype="S")
        features["genome"] = np.array(["GRCh38"] * len(SYMBOLS), dtype="S")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Files as the authors lay them out. No two list the barcodes in the same order."""
    rng = np.random.default_rng(0)
    (tmp_path / "h5").mkdir()
    (tmp_path / "images").mkdir()
    labels = []
    for sample in SAMPLES:
        folder = tmp_path / "10X" / sample
        folder.mkdir(parents=True)
        _write_h5(tmp_path / "h5" / f"{sample}_filtered_feature_bc_matrix.h5", sample)
        for size, name in ((20, "lowres"), (60, "hires")):
            imsave(tmp_path / "images" / f"{sample}_tissue_{name}_image.png", rng.random((size, size + 4, 3)))
        factors = {"spot_diameter_fullres": 96.4, "tissue_hires_scalef": 0.15, "tissue_lowres_scalef": 0.045}
        (folder / "scalefactors_json.json").write_text(json.dumps(factors))
        lines = [
            f"{barcode},{int(number < 30)},{number // 8},{number % 8},{2500 + 120 * (number // 8)},{2100 + 69 * (number % 8)}"
            for number, barcode in enumerate(BARCODES)
        ]
        (folder / "tissue_positions_list.txt").write_text("\n".join(rng.permutation(lines)) + "\n")
        labelled = [barcode for barcode in BARCODES[:30] if _layer(barcode, sample)]
        labels += [f"{barcode}\t{sample}\t{_layer(barcode, sample)}" for barcode in rng.permutation(labelled)]
    (tmp_path / "10X" / "barcode_level_layer_map.tsv").write_text("\n".join(rng.permutation(labels)) + "\n")
    return tmp_path


class _Handler(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def log_message(self, *arguments: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def server(mirror: Path) -> Iterator[str]:
    _Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(mirror))) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def test_everything_is_joined_by_barcode(mirror: Path) -> None:
    for sample in SAMPLES:
        adata = st.datasets.dlpfc(sample, base_url=mirror)
        assert adata.shape == (30, 5)
        np.testing.assert_array_equal(adata.X.toarray(), _counts(sample).toarray())
        assert adata.X.dtype == np.float32
        for barcode, label in adata.obs["ground_truth"].items():
            expected = _layer(barcode, sample)
            assert pd.isna(label) if expected is None else label == expected
        numbers = np.array([BARCODES.index(barcode) for barcode in adata.obs_names])
        np.testing.assert_array_equal(adata.obs["array_row"], numbers // 8)
        expected_places = np.column_stack([2100 + 69 * (numbers % 8), 2500 + 120 * (numbers // 8)])
        np.testing.assert_array_equal(adata.obsm["spatial"], expected_places)


def test_genes(mirror: Path) -> None:
    adata = st.datasets.dlpfc(base_url=mirror)
    assert adata.var_names.is_unique
    assert adata.var["gene_ids"].iloc[3] == "ENSG00000000003"
    assert adata.obs["ground_truth"].cat.categories.tolist() == LAYERS


def test_image_and_its_scale(mirror: Path) -> None:
    adata = st.datasets.dlpfc(base_url=mirror)
    section = adata.uns["spatial"]["151673"]
    assert section["images"]["hires"].shape == (60, 64, 3)
    assert section["images"]["hires"].dtype == np.uint8
    assert section["scalefactors"]["tissue_hires_scalef"] == 0.15
    assert list(st.datasets.dlpfc(image="lowres", base_url=mirror).uns["spatial"]["151673"]["images"]) == ["lowres"]
    assert st.datasets.dlpfc(image=None, base_url=mirror).uns["spatial"]["151673"]["images"] == {}


def test_downloaded_once(server: str) -> None:
    first = st.datasets.dlpfc(base_url=server)
    assert len(_Handler.asked) == 5
    again = st.datasets.dlpfc(base_url=server + "/")
    assert len(_Handler.asked) == 5
    assert first.obs.equals(again.obs)
    assert (st.settings.datasetdir / "dlpfc" / "151673" / "tissue_positions_list.txt").is_file()


def test_positions_of_one_section_do_not_stand_for_another(server: str, mirror: Path) -> None:
    moved = (mirror / "10X" / "151674" / "tissue_positions_list.txt").read_text().replace(",2500,", ",9999,")
    (mirror / "10X" / "151674" / "tissue_positions_list.txt").write_text(moved)
    first, second = (st.datasets.dlpfc(sample, base_url=server) for sample in SAMPLES)
    assert first.obsm["spatial"][:, 1].max() < 9000 < second.obsm["spatial"][:, 1].max()


def test_several_sections(mirror: Path, tmp_path: Path) -> None:
    adata = st.datasets.dlpfc(["151674", "151673"], base_url=mirror)
    assert adata.shape == (60, 5)
    assert adata.obs_names.is_unique
    assert adata.obs["library_id"].cat.categories.tolist() == ["151674", "151673"]
    assert adata.obs["ground_truth"].cat.categories.tolist() == LAYERS
    assert "gene_ids" in adata.var
    assert list(adata.uns["spatial"]) == ["151674", "151673"]
    assert len(adata.uns["dataset"]["files"]) == 9
    adata.write_h5ad(tmp_path / "pair.h5ad")
    axes = st.pl.spatial(adata, "ground_truth", library_key="library_id", show=False)
    assert [len(ax.images) for ax in axes] == [1, 1]


def test_where_it_came_from(mirror: Path) -> None:
    record = st.datasets.dlpfc(base_url=mirror).uns["dataset"]
    assert record["name"] == "DLPFC 151673"
    assert "10.1038/s41593-020-00787-0" in record["citation"]
    assert all(len(digest) == 64 for digest in record["files"].values())


def test_broken_files(server: str, mirror: Path) -> None:
    (mirror / "h5" / "151673_filtered_feature_bc_matrix.h5").write_bytes(b"<html>maintenance</html>")
    with pytest.raises(ValueError, match=r"not a 10x HDF5 count matrix.*delete it"):
        st.datasets.dlpfc("151673", base_url=server)
    (mirror / "10X" / "151674" / "scalefactors_json.json").unlink()
    with pytest.raises(ConnectionError, match=r"could not download .*scalefactors_json.json.*base_url="):
        st.datasets.dlpfc("151674", base_url=server)
    assert not (st.settings.datasetdir / "dlpfc" / "151674" / "scalefactors_json.json").exists()
    with pytest.raises(FileNotFoundError, match="scalefactors_json"):
        st.datasets.dlpfc("151674", base_url=mirror)


def test_a_barcode_without_place(mirror: Path) -> None:
    path = mirror / "10X" / "151673" / "tissue_positions_list.txt"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith(BARCODES[3])))
    with pytest.raises(ValueError, match="1 barcodes of section 151673 have no position"):
        st.datasets.dlpfc(base_url=mirror)


def test_unknown_labels(mirror: Path) -> None:
    path = mirror / "10X" / "barcode_level_layer_map.tsv"
    path.write_text(path.read_text().replace("\tL4", "\tL44"))
    with pytest.raises(ValueError, match="the labels L44"):
        st.datasets.dlpfc(base_url=mirror)
    path.write_text("A-1\t151507\tL1\n")
    with pytest.raises(ValueError, match="no rows of section 151673"):
        st.datasets.dlpfc(base_url=mirror)


def test_number_for_a_section(mirror: Path) -> None:
    assert st.datasets.dlpfc(151674, base_url=mirror).obs["library_id"].iloc[0] == "151674"


@pytest.mark.parametrize("wrong", ["151677", 1, "", [], ["151673", "151673"]])
def test_unknown_section(wrong: object) -> None:
    with pytest.raises(ValueError, match="sample_id must"):
        st.datasets.dlpfc(wrong)
