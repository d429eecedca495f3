from __future__ import annotations

import pandas as pd
import pytest

import semtx as st


@pytest.fixture
def adata(tissue):
    tissue.uns["describe"] = pd.DataFrame(
        {
            "group": ["a", "a", "a", "b", "b"],
            "term": ["t1", "t2", "t3", "t2", "t4"],
            "pval_adj": [0.001, 0.04, 0.5, 0.01, 1.0],
            "rank": [1, 2, 3, 1, 0],
        }
    )
    return tissue


def test_all(adata):
    table = st.get.describe_df(adata, all_terms=True)
    pd.testing.assert_frame_equal(table, adata.uns["describe"])
    table["term"] = "changed"
    assert adata.uns["describe"]["term"][0] == "t1"


def test_groups_keep_the_order_asked_for(adata):
    assert st.get.describe_df(adata, ["b", "a"])["group"].tolist() == ["b", "a", "a", "a"]
    table = st.get.describe_df(adata, "b", all_terms=True)
    assert table["term"].tolist() == ["t2", "t4"]
    assert table.index.tolist() == [0, 1]


def test_best_terms(adata):
    assert st.get.describe_df(adata, n_terms=1)["term"].tolist() == ["t1", "t2"]
    assert st.get.describe_df(adata, max_pval_adj=0.05)["term"].tolist() == ["t1", "t2", "t2"]
    assert len(st.get.describe_df(adata, max_pval_adj=0)) == 0


def test_no_result(tissue):
    with pytest.raises(KeyError, match=r"key='describe' is not in adata.uns.*run st.tl.describe\(adata\) first"):
        st.get.describe_df(tissue)
    tissue.uns["other"] = {"a": 1}
    with pytest.raises(KeyError, match=r"uns\['other'\] is no result of st.tl.describe"):
        st.get.describe_df(tissue, key="other")


def test_no_such_group(adata):
    with pytest.raises(KeyError, match=r"group 'c' is not in adata.uns\['describe'\], which has 'a', 'b'"):
        st.get.describe_df(adata, ["a", "c"])


def test_a_group_named_by_a_number(adata):
    adata.uns["describe"]["group"] = ["0", "0", "0", "1", "1"]
    assert st.get.describe_df(adata, 1)["term"].tolist() == ["t2"]
    with pytest.raises(KeyError, match=r"group '7' is not in adata.uns\['describe'\], which has '0', '1'"):
        st.get.describe_df(adata, 7)
