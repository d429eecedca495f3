"""Gene records from NCBI's bulk files: names, aliases, identifiers and summaries as of today."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd

from semtx._logging import logger
from semtx._settings import settings
from semtx._validate import check_choice, listed

if TYPE_CHECKING:
    from pathlib import Path

NCBI_URL = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
_TAXON = {"human": "9606", "mouse": "10090"}
_GENE_INFO = {
    "human": "GENE_INFO/Mammalia/Homo_sapiens.gene_info.gz",
    "mouse": "GENE_INFO/Mammalia/Mus_musculus.gene_info.gz",
}
_GENE_SUMMARY = "gene_summary.gz"

# Some summaries are OMIM's, which is not in the public domain; where the attribution is lost, the style shows it.
_OMIM = re.compile(r"\bOMIM\b|\bMIM \d{6}|\bet al\b")
_ATTRIBUTION = re.compile(r"\s*\[(?:provided|supplied) by [^\]]*\]\.?")


def load_online_table(
    organism: str, *, refresh: bool = False, base_url: str = NCBI_URL, folder: Path | None = None
) -> pd.DataFrame:
    """Load gene records with summaries from NCBI; downloaded once, into the cache.

    Parameters
    ----------
    organism
        ``"human"`` or ``"mouse"``.
    refresh
        Download again; otherwise the newest files in the cache are used, however old.
    base_url
        Address of ``gene/DATA`` or of a mirror.
    folder
        Where downloads are kept; ``None`` is ``knowledge`` in ``settings.cachedir``.

    Returns
    -------
    The columns of :func:`semtx.semantics.load_gene_table` and ``summary``; a mouse gene without a summary of its own has
    its human orthologue's. Texts supplied by OMIM are left out. ``attrs["knowledge"]`` holds the date of each download.

    Raises
    ------
    ValueError
        The organism is unknown or a file has not the columns it should have.
    ConnectionError
        A file cannot be downloaded.

    Examples
    --------
    >>> from semtx.semantics import gene_texts, load_online_table
    >>> table = load_online_table("human")  # doctest: +SKIP
    >>> texts = gene_texts(table, template="summary")  # doctest: +SKIP
    """
    from semtx.semantics._table import load_gene_table

    check_choice("organism", organism, _TAXON)
    folder = settings.cachedir / "knowledge" if folder is None else folder
    info = _download(base_url, _GENE_INFO[organism], folder, refresh=refresh)
    summary = _download(base_url, _GENE_SUMMARY, folder, refresh=refresh)
    table = read_gene_info(info, organism)
    summaries = read_gene_summary(summary, organism)
    table["summary"] = table["ncbi_gene_id"].map(summaries).fillna("")
    if organism == "mouse":
        shipped = load_gene_table("mouse").drop_duplicates("ncbi_gene_id").set_index("ncbi_gene_id")
        table["human_ortholog"] = table["ncbi_gene_id"].map(shipped["human_ortholog"]).fillna("")
        human = load_gene_table("human").drop_duplicates("symbol").set_index("symbol")["ncbi_gene_id"]
        of_ortholog = table["human_ortholog"].map(human).map(read_gene_summary(summary, "human")).fillna("")
        table["summary"] = table["summary"].where(table["summary"] != "", of_ortholog)
    table.attrs["knowledge"] = {path.name.split("_", 1)[1]: path.name.split("_", 1)[0] for path in (info, summary)}
    return table


def read_gene_info(path: Path, organism: str) -> pd.DataFrame:
    """Read NCBI's ``gene_info``.

    Parameters
    ----------
    path
        The tab-separated file, may be gzipped.
    organism
        ``"human"`` or ``"mouse"``.

    Returns
    -------
    ``symbol`` (of the nomenclature authority where there is one), ``aliases`` joined by ``|``, ``name``, ``gene_type``,
    ``ncbi_gene_id``, ``ensembl_id``; all strings, ``""`` for missing; protein-coding genes first.
    """
    columns = [
        "GeneID",
        "Symbol",
        "Synonyms",
        "dbXrefs",
        "description",
        "type_of_gene",
        "Symbol_from_nomenclature_authority",
        "Full_name_from_nomenclature_authority",
    ]
    raw = _read(path, columns, organism)
    raw = raw[(raw["type_of_gene"] != "biological-region") & (raw["Symbol"] != "NEWENTRY")]
    official = raw["Symbol_from_nomenclature_authority"]
    symbol = official.where(official != "", raw["Symbol"])
    full = raw["Full_name_from_nomenclature_authority"]
    old = raw["Symbol"].where(raw["Symbol"] != symbol, "")
    table = pd.DataFrame(
        {
            "symbol": symbol,
            "aliases": (raw["Synonyms"] + "|" + old).str.strip("|"),
            "name": full.where(full != "", raw["description"]),
            "gene_type": raw["type_of_gene"],
            "ncbi_gene_id": raw["GeneID"],
            "ensembl_id": raw["dbXrefs"].str.extract(r"Ensembl:(ENS[A-Z]*G\d+)", expand=False).fillna(""),
        }
    )
    return table.sort_values("gene_type", key=lambda kind: kind != "protein-coding", kind="stable", ignore_index=True)


def read_gene_summary(path: Path, organism: str) -> dict[str, str]:
    """Read NCBI's ``gene_summary``.

    Parameters
    ----------
    path
        The tab-separated file of all organisms, may be gzipped.
    organism
        ``"human"`` or ``"mouse"``.

    Returns
    -------
    Summary by NCBI gene id, RefSeq's before others', without texts supplied by OMIM.
    """
    raw = _read(path, ["GeneID", "Source", "Summary"], organism)
    omim = raw["Source"].str.contains("OMIM", case=False) | raw["Summary"].str.contains(_OMIM)
    raw = raw[~omim].sort_values("Source", key=lambda source: source != "RefSeq", kind="stable")
    raw = raw.drop_duplicates("GeneID")
    texts = raw["Summary"].str.replace(_ATTRIBUTION, "", regex=True).str.strip()
    return {gene: text for gene, text in zip(raw["GeneID"], texts, strict=True) if text}


def _read(path: Path, columns: list[str], organism: str) -> pd.DataFrame:
    """Read columns of one organism as strings; symbols such as NAN are no missing values."""
    options = {"sep": "\t", "dtype": str, "keep_default_na": False, "quoting": csv.QUOTE_NONE}
    header = pd.read_csv(path, nrows=0, **options).columns
    taxon = next((name for name in header if name.lstrip("#") == "tax_id"), None)
    missing = [name for name in columns if name not in header]
    if taxon is None or missing:
        msg = f"{path.name} lacks the columns {listed(missing or ['tax_id'])}; it has {listed(header)}"
        raise ValueError(msg)
    parts = [
        chunk.loc[chunk[taxon] == _TAXON[organism], columns]
        for chunk in pd.read_csv(path, usecols=[taxon, *columns], chunksize=100_000, **options)
    ]
    return pd.concat(parts, ignore_index=True).replace("-", "")


def _download(base_url: str, name: str, folder: Path, *, refresh: bool) -> Path:
    """Return the newest file of this name in the cache, else download it; the date goes before the name."""
    short = name.rsplit("/", maxsplit=1)[-1]
    kept = sorted(folder.glob(f"????-??-??_{short}"))
    if kept and not refresh:
        return kept[-1]
    import pooch

    url = f"{base_url.rstrip('/')}/{name}"
    logger.info("downloading %s", url)
    unfinished = folder / f".{short}.unfinished"
    unfinished.unlink(missing_ok=True)
    try:
        # the files change daily, so there is no hash to check against
        pooch.retrieve(url, known_hash=None, path=folder, fname=unfinished.name)
    except Exception as error:  # pooch passes on whatever its downloader raises
        msg = f"{url} cannot be downloaded ({type(error).__name__}: {error})"
        raise ConnectionError(msg) from error
    return unfinished.replace(folder / f"{datetime.now(UTC).date().isoformat()}_{short}")
