"""One progress bar for everything that takes a while."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def progress_bar(total: int, description: str, show: bool | None = None) -> Any:  # noqa: FBT001
    """Return a bar of tqdm, to update and to close.

    Parameters
    ----------
    total
        Number of steps.
    description
        What is going on.
    show
        ``None`` shows it in a terminal and in a notebook.
    """
    # tqdm.auto warns in a notebook without ipywidgets
    if find_spec("ipywidgets") is None:
        from tqdm import tqdm
    else:
        from tqdm.auto import tqdm
    show = sys.stderr.isatty() or _in_notebook() if show is None else show
    return tqdm(total=total, desc=description, disable=not show, leave=False)


def _in_notebook() -> bool:
    """Tell whether this is an IPython kernel, whose standard error is no terminal but is read by somebody."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
