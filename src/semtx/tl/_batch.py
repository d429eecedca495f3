"""The batches of observations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semtx._validate import check_key

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def find_batch(adata: AnnData, batch_key: str | None) -> NDArray[Any] | None:
    """Return the batch of each cell."""
    if batch_key is None:
        return None
    batch = check_key(adata, "obs", batch_key, parameter="batch_key")
    if batch.isna().any():
        msg = f"adata.obs[{batch_key!r}] has {int(batch.isna().sum())} missing values; every observation needs a batch"
        raise ValueError(msg)
    sizes = batch.astype(str).value_counts()
    if sizes.min() < 2:
        alone = sizes.index[sizes < 2].tolist()
        msg = (
            f"batch {alone[0]!r} of adata.obs[{batch_key!r}] has one observation, of which no batch effect can be told; join it with "
            "another batch or leave it out"
        )
        raise ValueError(msg)
    return batch.astype(str).to_numpy()
