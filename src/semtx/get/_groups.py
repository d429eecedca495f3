"""Which groups of a table a user asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semtx._validate import listed

if TYPE_CHECKING:
    import pandas as pd


def wanted_groups(table: pd.DataFrame, group: Any, key: str) -> list[str]:
    """Return the groups asked for, one or several, or all of ``adata.uns[key]`` for ``None``; raise for one unknown."""
    known = list(dict.fromkeys(table["group"]))
    if group is None:
        return known
    wanted = [str(group)] if np.isscalar(group) else [str(one) for one in group]
    missing = [one for one in wanted if one not in known]
    if missing:
        msg = f"group {missing[0]!r} is not in adata.uns[{key!r}], which has {listed(known)}"
        raise KeyError(msg)
    return wanted
