from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

import semtx as st
from semtx._threads import limit_threads


def counts() -> list[int]:
    return [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]


@pytest.fixture
def before():
    """Threads before, more than one, so that a limit of one is seen on any machine."""
    with limit_threads(3):
        yield counts()


def test_the_setting_limits_all_pools_and_is_undone(before):
    with st.settings.override(n_jobs=1), limit_threads():
        assert set(counts()) == {1}
    assert counts() == before


def test_undone_after_an_error(before):
    def fail():
        message = "in the middle"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="in the middle"), limit_threads(2):
        fail()
    assert counts() == before


def test_minus_one_leaves_things_as_they_are(before):
    with st.settings.override(n_jobs=-1), limit_threads():
        assert counts() == before


def test_an_argument_goes_before_the_setting(before):
    with st.settings.override(n_jobs=1), limit_threads(2):
        assert set(counts()) == {2}


def test_torch_is_not_loaded_for_it():
    program = (
        "import sys; from semtx._threads import limit_threads\n"
        "with limit_threads(1): pass\n"
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_kmeans_adds_up_in_one_order():
    from threadpoolctl import threadpool_info

    from semtx._threads import one_order_of_sums

    with one_order_of_sums():
        counts = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}
    assert counts <= {1}
