from __future__ import annotations

import numpy as np
import pytest

from semtx.semantics import excluded_genes


@pytest.mark.parametrize(
    ("group", "inside", "outside"),
    [
        ("mitochondrial", ["MT-CO1", "mt-Nd1", "MT.ATP6"], ["MTOR", "MT1X", "Mtap"]),
        ("ribosomal", ["RPL3", "Rps6", "RPLP0", "RPSA", "RPS4X", "Rpl36al"], ["RPS6KA1", "RPS6KL1", "RPA1", "MRPL3", "RPS19BP1"]),
        (
            "control",
            ["ERCC-00002", "BLANK_0001", "Blank-12", "NegControlProbe_00003", "NegPrb1", "Negative5", "antisense_PROKR2",
             "UnassignedCodeword_0001", "SystemControl3"],
            ["ERCC1", "ERCC6L2", "NEGR1", "NEGFA", "BLNK"],
        ),
        ("haemoglobin", ["HBB", "HBA1", "Hba-a1", "Hbb-bs", "HBG2"], ["HBEGF", "HBP1", "HBS1L"]),
    ],
)  # fmt: skip
def test_groups(group, inside, outside):
    assert excluded_genes(inside, [group]).all()
    assert not excluded_genes(outside, [group]).any()


def test_no_group_excludes_nothing():
    np.testing.assert_array_equal(excluded_genes(["MT-CO1"], []), [False])


def test_unknown_group():
    with pytest.raises(ValueError, match="exclude must be one of 'mitochondrial'"):
        excluded_genes(["A"], ["mito"])
