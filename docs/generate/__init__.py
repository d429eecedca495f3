"""Parts of the pages that are made from the code or from finished runs, so that they cannot differ from it."""

from __future__ import annotations
