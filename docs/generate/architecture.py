"""Drawings of the two architectures, as SVG that reads on a light and on a dark page."""

from __future__ import annotations

from typing import NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _GAP = 116, 46, 22
_INK, _LINE = "#1f2328", "#808080"
_FILLS = {"data": "#cfe3f3", "net": "#fbdcae", "text": "#c3e8d6", "loss": "#f4d3e3", "out": "#e4dcf6"}
_LEGEND = {"data": "expression", "net": "network", "text": "text", "loss": "loss", "out": "result"}


class Box(NamedTuple):
    """A box: column, height of its top, kind, lines of text."""

    column: int
    top: int
    kind: str
    text: str

    @property
    def left(self) -> int:
        return 2 + self.column * (_WIDTH + _GAP)

    @property
    def middle(self) -> int:
        return self.top + _HEIGHT // 2


_SEMST = {
    "places": Box(0, 2, "data", "coordinates"),
    "counts": Box(0, 82, "data", "raw counts"),
    "names": Box(0, 242, "text", "names of genes"),
    "spatial": Box(1, 2, "data", "spatial graph"),
    "feature": Box(1, 162, "data", "feature graph"),
    "records": Box(1, 242, "text", "what is written\nabout each gene"),
    "first": Box(2, 2, "net", "graph encoder:\nfirst view"),
    "agree": Box(2, 82, "loss", "views agree\n(correlations)"),
    "second": Box(2, 162, "net", "graph encoder:\nsecond view"),
    "vectors": Box(2, 242, "text", "text encoder:\ngene vectors"),
    "fsm": Box(3, 82, "net", "FSM: scale and\nshift both views"),
    "cells": Box(3, 242, "text", "mean over what\na spot expresses"),
    "z": Box(4, 82, "out", "embedding\nX_semst"),
    "decoder": Box(5, 2, "loss", "decoder: counts\n(ZINB)"),
    "domains": Box(5, 82, "out", "clustering:\ndomains"),
    "smooth": Box(5, 162, "loss", "neighbours\nattract"),
}
_SEMST_ARROWS = (
    ("places", "spatial"),
    ("counts", "feature"),
    ("counts", "first"),
    ("spatial", "first"),
    ("feature", "second"),
    ("names", "records"),
    ("records", "vectors"),
    ("vectors", "cells"),
    ("cells", "fsm"),
    ("first", "agree"),
    ("second", "agree"),
    ("first", "fsm"),
    ("second", "fsm"),
    ("counts", "second"),
    ("fsm", "z"),
    ("z", "decoder"),
    ("z", "domains"),
    ("z", "smooth"),
)

_SCLLM_DSC = {
    "counts": Box(0, 2, "data", "raw counts"),
    "names": Box(0, 202, "text", "names of genes"),
    "encoder": Box(1, 2, "net", "autoencoder"),
    "abundance": Box(1, 162, "text", "gene vectors,\nby expression"),
    "sentence": Box(1, 242, "text", "top genes, read\nas a sentence"),
    "structure": Box(2, 2, "data", "structure view"),
    "cut": Box(2, 82, "loss", "reconstruction,\ngraph cut"),
    "text": Box(2, 202, "text", "text view"),
    "head": Box(3, 2, "net", "head"),
    "align": Box(3, 102, "loss", "alignment of\nboth views"),
    "other": Box(3, 202, "net", "head"),
    "z": Box(4, 102, "out", "embedding\nX_scllm_dsc"),
    "clusters": Box(5, 2, "out", "clusters"),
    "soft": Box(5, 102, "out", "soft assignment\nto centres"),
    "target": Box(5, 202, "loss", "optimal-transport\ntarget"),
}
_SCLLM_DSC_ARROWS = (
    ("counts", "encoder"),
    ("counts", "abundance"),
    ("names", "abundance"),
    ("names", "sentence"),
    ("encoder", "structure"),
    ("structure", "cut"),
    ("abundance", "text"),
    ("sentence", "text"),
    ("structure", "head"),
    ("text", "other"),
    ("head", "align"),
    ("other", "align"),
    ("head", "z"),
    ("other", "z"),
    ("z", "soft"),
    ("soft", "clusters"),
    ("target", "soft"),
)


def semst() -> str:
    return _drawing(_SEMST, _SEMST_ARROWS, "Architecture of SemST")


def scllm_dsc() -> str:
    return _drawing(_SCLLM_DSC, _SCLLM_DSC_ARROWS, "Architecture of scLLM-DSC")


def _path(start: Box, end: Box) -> str:
    """Go up or down within a column, else right, turning in the gap before the end."""
    if start.column == end.column:
        x = start.left + _WIDTH // 2
        tops = (start.top + _HEIGHT, end.top - 3) if end.top > start.top else (start.top, end.top + _HEIGHT + 3)
        return f"M{x} {tops[0]}V{tops[1]}"
    turn = end.left - _GAP // 2 - 3
    bend = "" if start.middle == end.middle else f"H{turn}V{end.middle}"
    return f"M{start.left + _WIDTH} {start.middle}{bend}H{end.left - 3}"


def _drawing(boxes: dict[str, Box], arrows: tuple[tuple[str, str], ...], title: str) -> str:
    width = 2 * 2 + 6 * _WIDTH + 5 * _GAP
    bottom = max(box.top for box in boxes.values()) + _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 34}" width="{width}" role="img" '
        'font-family="system-ui, Helvetica, Arial, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{_LINE}"/></marker></defs>',
    ]
    for start, end in arrows:
        line = _path(boxes[start], boxes[end])
        parts.append(f'<path d="{line}" fill="none" stroke="{_LINE}" stroke-width="1.6" marker-end="url(#tip)"/>')
    for box in boxes.values():
        dashes = ' stroke-dasharray="4 3"' if box.kind == "loss" else ""
        parts.append(
            f'<rect x="{box.left}" y="{box.top}" width="{_WIDTH}" height="{_HEIGHT}" rx="7" fill="{_FILLS[box.kind]}" '
            f'stroke="{_LINE}"{dashes}/>'
        )
        lines = box.text.split("\n")
        for at, line in enumerate(lines):
            y = box.middle + 4.5 + 16 * (at - (len(lines) - 1) / 2)
            parts.append(
                f'<text x="{box.left + _WIDTH // 2}" y="{y}" text-anchor="middle" fill="{_INK}">{escape(line)}</text>'
            )
    for place, (kind, name) in enumerate(_LEGEND.items()):
        x, y = 2 + 110 * place, bottom + 16
        parts.append(f'<rect x="{x}" y="{y}" width="14" height="14" rx="3" fill="{_FILLS[kind]}" stroke="{_LINE}"/>')
        parts.append(f'<text x="{x + 20}" y="{y + 12}" fill="{_LINE}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])
