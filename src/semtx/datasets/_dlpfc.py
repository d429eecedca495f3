"""The twelve labelled Visium sections of the human dorsolateral prefrontal cortex."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from semtx import _keys
from semtx._validate import check_choice
from semtx.datasets._download import fetch, sha256

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

_SAMPLES: Final = (
    *("151507", "151508", "151509", "151510"),
    *("151669", "151670", "151671", "151672"),
    *("151673", "151674", "151675", "151676"),
)
_LAYERS: Final = ("L1", "L2", "L3", "L4", "L5", "L6", "WM")
# Counts and images lie in the authors' bucket; positions, scale factors and labels in their repository.
_BUCKET: Final = "https://spatial-dlpfc.s3.us-east-2.amazonaws.com"
_REPOSITORY: Final = "https://raw.githubusercontent.com/LieberInstitute/HumanPilot/master"
_CITATION: Final = (
    "Maynard KR, Collado-Torres L, et al. Transcriptome-scale spatial gene expression in the human dorsolateral "
    "prefrontal cortex. Nat Neurosci 24, 425-436 (2021), doi:10.1038/s41593-020-00787-0"
)


def dlpfc(
    sample_id: str | int | Sequence[str | int] = "151673",
    *,
    image: Literal["hires", "lowres"] | None = "hires",
    base_url: str | Path | None = None,
) -> AnnData:
    """Human dorsolateral prefrontal cortex, 10x Visium, with the layers that experts drew; downloads on first use.

    Twelve sections of three donors [1]_ of 3,460 to 4,789 spots and 33,538 genes. Sections 151507 to 151510, 151669 to
    151672 and 151673 to 151676 are of one donor each. Files are kept in ``settings.datasetdir / "dlpfc"``.

    Parameters
    ----------
    sample_id
        A section, or several, which are then joined into one AnnData.
    image
        Image of the section that is downloaded with it, or ``None``.
    base_url
        A mirror, or a folder, that holds ``h5/{sample}_filtered_feature_bc_matrix.h5``,
        ``images/{sample}_tissue_{image}_image.png``, ``10X/{sample}/tissue_positions_list.txt``,
        ``10X/{sample}/scalefactors_json.json`` and ``10X/barcode_level_layer_map.tsv``. The authors' own places by
        default. Files of a folder are read where they lie.

    Returns
    -------
    An `AnnData` with

    `X` : `scipy.sparse.csr_matrix` (dtype `float32`)
        Raw counts.
    `obs["ground_truth"]` : categorical
        ``"L1"`` to ``"L6"`` and ``"WM"`` (white matter), joined by barcode; NaN for spots without a label.
    `obs["library_id"]` : categorical
        The section.
    `obs["array_row"]`, `obs["array_col"]` : `int`
        Place on the array.
    `var["gene_ids"]` : `str`
        Ensembl ids.
    `obsm["spatial"]` : array (dtype `float64`)
        Centre of each spot in pixels of the full image, shape (n_obs, 2); y points down.
    `uns["spatial"]` : `dict`
        Image and scale factors of each section, as squidpy lays them out.
    `uns["dataset"]` : `dict`
        Name, source, files with their SHA-256, citation.

    Raises
    ------
    ValueError
        There is no such section, or a file is not what it should be.
    ConnectionError
        A file cannot be downloaded.

    References
    ----------
    .. [1] Maynard KR, Collado-Torres L, et al. Transcriptome-scale spatial gene expression in the human dorsolateral
       prefrontal cortex. Nature Neuroscience 24, 425-436 (2021).

    Examples
    --------
    >>> import semtx as st
    >>> adata = st.datasets.dlpfc("151673")  # doctest: +SKIP
    >>> pair = st.datasets.dlpfc(["151673", "151674"], image=None)  # doctest: +SKIP
    """
    samples = [str(sample) for sample in ([sample_id] if isinstance(sample_id, (str, int)) else sample_id)]
    for sample in samples:
        check_choice("sample_id", sample, _SAMPLES)
    check_choice("image", image, ("hires", "lowres", None))
    if len(set(samples)) != len(samples) or not samples:
        msg = f"sample_id must name at least one section, and each once, got {samples}"
        raise ValueError(msg)
    sections = [_read_section(sample, image, base_url) for sample in samples]
    if len(sections) == 1:
        return sections[0]

    import anndata

    joined = anndata.concat(sections, keys=samples, index_unique="-", merge="same", uns_merge=None)
    joined.obs["library_id"] = pd.Categorical(joined.obs["library_id"], categories=samples)
    joined.uns["spatial"] = {name: value for section in sections for name, value in section.uns["spatial"].items()}
    files = {name: value for section in sections for name, value in section.uns["dataset"]["files"].items()}
    joined.uns["dataset"] = {**sections[0].uns["dataset"], "name": f"DLPFC {', '.join(samples)}", "files": files}
    return joined


def _read_section(sample: str, image: str | None, base_url: str | Path | None) -> AnnData:
    bucket, repository = (_BUCKET, _REPOSITORY) if base_url is None else (str(base_url).rstrip("/"),) * 2
    files: dict[str, Path] = {}

    def get(root: str, path: str, folder: str = "dlpfc") -> Path:
        files[path] = fetch(f"{root}/{path}", folder=folder)
        return files[path]

    adata = _read_counts(get(bucket, f"h5/{sample}_filtered_feature_bc_matrix.h5"))
    positions = _read_positions(get(repository, f"10X/{sample}/tissue_positions_list.txt", f"dlpfc/{sample}"))
    labels = _read_labels(get(repository, "10X/barcode_level_layer_map.tsv"), sample)
    factors = json.loads(get(repository, f"10X/{sample}/scalefactors_json.json", f"dlpfc/{sample}").read_text())

    missing = adata.obs_names.difference(positions.index)
    if len(missing):
        msg = f"{len(missing)} barcodes of section {sample} have no position (first: {missing[0]!r})"
        raise ValueError(msg)
    placed = positions.loc[adata.obs_names]
    adata.obs[["array_row", "array_col"]] = placed[["array_row", "array_col"]]
    # every section has the same barcodes, so rows are joined by barcode within the section
    adata.obs["ground_truth"] = pd.Categorical(labels.reindex(adata.obs_names), categories=_LAYERS)
    adata.obs["library_id"] = pd.Categorical([sample] * adata.n_obs)
    adata.obsm[_keys.SPATIAL] = placed[["x", "y"]].to_numpy(dtype=float)
    images = {}
    if image is not None:
        images[image] = _read_image(get(bucket, f"images/{sample}_tissue_{image}_image.png"))
    adata.uns["spatial"] = {sample: {"images": images, "scalefactors": factors}}
    adata.uns["dataset"] = {
        "name": f"DLPFC {sample}",
        "organism": "human",
        "source": bucket if base_url else f"{_BUCKET}, {_REPOSITORY}",
        "citation": _CITATION,
        "files": {path.replace("/", "|"): sha256(file) for path, file in files.items()},
    }
    return adata


def _read_counts(path: Path) -> AnnData:
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Variable names are not unique")
        try:
            adata = sc.read_10x_h5(path)
        except Exception as error:
            msg = f"{path} is not a 10x HDF5 count matrix ({error}); delete it and call again"
            raise ValueError(msg) from error
    adata.var_names_make_unique()
    adata.X = adata.X.tocsr().astype("float32")
    return adata


def _read_positions(path: Path) -> pd.DataFrame:
    columns = ["barcode", "in_tissue", "array_row", "array_col", "y", "x"]
    return pd.read_csv(path, header=None, names=columns, index_col="barcode")


def _read_labels(path: Path, sample: str) -> pd.Series:
    table = pd.read_csv(path, sep="\t", header=None, names=["barcode", "sample", "layer"], dtype=str)
    table = table[table["sample"] == sample].set_index("barcode")
    unknown = set(table["layer"].dropna()) - set(_LAYERS)
    if table.empty or unknown:
        found = f"the labels {', '.join(sorted(unknown))}" if unknown else f"no rows of section {sample}"
        msg = f"{path} has {found}; delete it and call again"
        raise ValueError(msg)
    return table["layer"]


def _read_image(path: Path) -> NDArray[Any]:
    from matplotlib.image import imread

    pixels = imread(path)
    return (pixels[..., :3] * 255).round().astype("uint8")
