"""Text of a gene, from its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from semtx._validate import check_choice, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

Template = Literal["symbol", "name", "symbol_name", "summary", "full", "paper"]
TEMPLATES: tuple[str, ...] = get_args(Template)

# Part of every cache key: raise it when the wording of any template changes.
TEMPLATE_VERSION = "1"

_PAPER_FIELDS = {
    "Gene ID": "ncbi_gene_id",
    "Gene Name": "symbol",
    "Full Name": "name",
    "Type": "gene_type",
    "Organism": "organism",
    "Also Known As": "aliases",
    "Lineage": "lineage",
    "Summary": "summary",
    "Expression": "expression",
}


def template_key(template: str) -> str:
    """Return what stands for a template in a cache key."""
    return f"{template}/{TEMPLATE_VERSION}"


def gene_texts(records: pd.DataFrame, template: Template = "full") -> list[str]:
    """Write one text per gene; fields that are missing are skipped.

    Parameters
    ----------
    records
        One row per gene, with the column ``symbol`` and any of ``name``, ``summary``, ``go``, ``aliases``,
        ``gene_type``, ``ncbi_gene_id``, ``organism``, ``lineage``, ``expression``.
    template
        - ``"symbol"``: ``SYMBOL``
        - ``"name"``: ``full name``, or the symbol where there is none
        - ``"symbol_name"``: ``SYMBOL: full name``
        - ``"summary"``: ``SYMBOL: full name. Summary``
        - ``"full"``: ``SYMBOL: full name. Summary GO sentence``
        - ``"paper"``: labelled fields in the order of scLLM-DSC (gene id, name, full name, type, organism, aliases,
          lineage, summary, expression), of those that the table has

    Returns
    -------
    One text per row; empty where not even a symbol is known.

    Examples
    --------
    >>> import pandas as pd
    >>> from semtx.semantics import gene_texts
    >>> record = pd.DataFrame({"symbol": ["MBP"], "name": ["myelin basic protein"], "go": ["Located in cytosol."]})
    >>> gene_texts(record)
    ['MBP: myelin basic protein. Located in cytosol.']
    """
    check_choice("template", template, TEMPLATES)
    if "symbol" not in records.columns:
        msg = f"gene records need a column 'symbol'; the columns are {listed(records.columns)}"
        raise KeyError(msg)
    columns = {
        column: records[column].fillna("").astype(str).str.strip().tolist()
        for column in records.columns
        if column in _USED
    }
    write = _WRITERS[template]
    return [
        write({column: values[row] for column, values in columns.items()}) if columns["symbol"][row] else ""
        for row in range(len(records))
    ]


def _symbol_name(record: Mapping[str, str]) -> str:
    symbol, name = record["symbol"], record.get("name", "")
    return f"{symbol}: {name}" if name and name != symbol else symbol


def _with(*fields: str) -> Callable[[Mapping[str, str]], str]:
    def write(record: Mapping[str, str]) -> str:
        more = [record[field] for field in fields if record.get(field)]
        head = _symbol_name(record)
        return " ".join([head if head.endswith(".") else f"{head}.", *more]) if more else head

    return write


def _paper(record: Mapping[str, str]) -> str:
    values = {label: record.get(field, "") for label, field in _PAPER_FIELDS.items()}
    values["Also Known As"] = values["Also Known As"].replace("|", ", ")
    return " ".join(f"{label}: {value.rstrip('.')}." for label, value in values.items() if value)


_WRITERS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "symbol": lambda record: record["symbol"],
    "name": lambda record: record.get("name") or record["symbol"],
    "symbol_name": _symbol_name,
    "summary": _with("summary"),
    "full": _with("summary", "go"),
    "paper": _paper,
}
_USED = {"go", *_PAPER_FIELDS.values()}
