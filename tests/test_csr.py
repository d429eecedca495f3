from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from semtx._csr import csr_rows


@pytest.mark.parametrize("rows", [slice(None), slice(0, 4), slice(5, 99), slice(3, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_rows_as_a_tensor(rows, dtype):
    matrix = sparse.random(12, 7, 0.4, format="csr", random_state=0)
    matrix.data = np.ceil(9 * matrix.data).astype(dtype)
    part = csr_rows(matrix, rows)
    np.testing.assert_array_equal(part.to_dense().numpy(), matrix[rows].toarray())
    assert part.dtype == torch.float32


def test_rows_share_the_memory_of_the_matrix():
    matrix = sparse.random(12, 7, 0.4, format="csr", dtype=np.float32, random_state=0)
    part = csr_rows(matrix, slice(5, 9))
    assert part.values().data_ptr() == matrix.data[matrix.indptr[5] :].ctypes.data
