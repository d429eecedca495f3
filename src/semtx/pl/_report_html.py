"""A report as one HTML file that needs no other."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin: 1.2rem 0 .3rem }
img { max-width: 100%; height: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .15rem .8rem .15rem 0; border-bottom: 1px solid #e5e5e5; vertical-align: top }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 2rem }
"""


def report_html(
    title: str, pictures: Mapping[str, Figure], table: pd.DataFrame, facts: Mapping[str, Mapping[str, str]]
) -> str:
    """Return the page, with its pictures inside."""
    shown = "".join(f'<img alt="{escape(alt)}" src="{_data_uri(figure)}">' for alt, figure in pictures.items())
    sections = "".join(f"<section><h2>{escape(name)}</h2>{_rows(held)}</section>" for name, held in facts.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{shown}"
        f'<h2>Domains</h2>{table.to_html(index=False, border=0)}<div class="facts">{sections}</div></body></html>'
    )


def _rows(held: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in held.items())
    return f"<table>{rows}</table>"


def _data_uri(figure: Figure) -> str:
    memory = BytesIO()
    figure.savefig(memory, format="png", dpi=130)
    return f"data:image/png;base64,{b64encode(memory.getvalue()).decode()}"
