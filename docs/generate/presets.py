"""Presets as tables, from the one place that holds their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def presets_table(presets: Mapping[str, Any]) -> str:
    """Return a row for each setting and a column for each preset."""
    lines = [f"| setting | {' | '.join(presets)} |", "|---" * (len(presets) + 1) + "|"]
    fields = next(iter(presets.values())).__dataclass_fields__
    lines += [f"| `{name}` | {' | '.join(str(getattr(p, name)) for p in presets.values())} |" for name in fields]
    return "\n".join(lines) + "\n"
