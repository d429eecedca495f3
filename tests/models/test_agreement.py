from __future__ import annotations

import numpy as np
import pytest

from semtx.models import _agreement
from semtx.models._agreement import choose_by_agreement


def groups(n_groups: int, n: int = 400) -> list[np.ndarray]:
    """Return two noisy views of the same groups."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, n_groups, n)
    return [
        6.0 * generator.normal(size=(n_groups, 5))[truth] + generator.normal(size=(n, 5)),
        6.0 * generator.normal(size=(n_groups, 4))[truth] + generator.normal(size=(n, 4)),
    ]


@pytest.mark.parametrize("n_groups", [3, 5, 7])
def test_number_of_groups_that_both_views_have(n_groups):
    chosen, table = choose_by_agreement(groups(n_groups), range(2, 11), 0)
    assert chosen == n_groups
    np.testing.assert_array_equal(table["n_clusters"], np.arange(2, 11))
    assert table["agreement"][n_groups - 2] > 0.95
    assert table["prominence"].argmax() == n_groups - 2


def test_prominence_is_that_of_the_definition(monkeypatch):
    views = groups(3)
    monkeypatch.setattr(_agreement, "_N_INIT", 1)
    _, wide = choose_by_agreement(views, range(3, 8), 0)
    _, table = choose_by_agreement(views, range(4, 7), 0)
    np.testing.assert_array_equal(table["agreement"], wide["agreement"][1:-1])
    before, at, after = wide["agreement"][:-2], wide["agreement"][1:-1], wide["agreement"][2:]
    np.testing.assert_allclose(table["prominence"], np.log([4, 5, 6]) * (at - (before + after) / 2), atol=1e-6)


def test_many_observations_choose_by_some(monkeypatch):
    monkeypatch.setattr(_agreement, "_SAMPLE", 150)
    assert choose_by_agreement(groups(5), range(2, 8), 0)[0] == 5


def test_same_seed_same_choice():
    views = groups(4, 60)
    (one, first), (other, second) = (choose_by_agreement(views, range(2, 6), 3) for _ in range(2))
    assert one == other
    np.testing.assert_array_equal(first["agreement"], second["agreement"])
