from __future__ import annotations

import torch

from semtx._csr import sparse_csr
from semtx.nn._sparse import stored_entries


def test_entries_of_a_matrix_that_32_bits_cannot_count():
    pointers = torch.zeros(100_001, dtype=torch.int32)
    pointers[-1] = 1
    matrix = sparse_csr(pointers, torch.tensor([5], dtype=torch.int32), torch.ones(1), (100_000, 30_000))
    stored, _ = stored_entries(matrix)
    assert stored.tolist() == [99_999 * 30_000 + 5]
