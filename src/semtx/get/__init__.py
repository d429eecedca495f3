"""Tables out of what the tools stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.get._describe_df import describe_df
    from semtx.get._gene_attribution_df import gene_attribution_df
    from semtx.get._history_df import history_df

__all__ = ["describe_df", "gene_attribution_df", "history_df"]

__getattr__, __dir__ = attach(__name__, __all__)
