from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from semtx.graphs import graph_report, is_grid, pitch, spatial_graph


def hexagonal(side: int = 17, unit: float = 1.0) -> np.ndarray:
    row, column = np.divmod(np.arange(side * side), side)
    return unit * np.column_stack([column + 0.5 * (row % 2), row * np.sqrt(3) / 2])


def inside(places: np.ndarray, margin: float) -> np.ndarray:
    low, high = places.min(axis=0) + margin, places.max(axis=0) - margin
    return ((places >= low) & (places <= high)).all(axis=1)


def adjacency(places: np.ndarray, **options) -> sparse.csr_matrix:
    return spatial_graph(places, **options).obsp["spatial_connectivities"]


def degrees(graph: sparse.csr_matrix) -> np.ndarray:
    return np.diff(graph.indptr)


@pytest.mark.parametrize(("radius", "neighbors"), [(4.09, 60), (3.78, 54), (2.0, 18), (1.05, 6)])
@pytest.mark.parametrize("unit", [1.0, 137.0, 2.5e-5])
def test_radius_in_pitches_on_a_hexagonal_grid(radius, neighbors, unit):
    # coordinates on disk are rounded, so that pitches differ in the last digits
    places = hexagonal() + np.random.default_rng(0).uniform(-1e-4, 1e-4, (17 * 17, 2))
    radius = radius + 0.001
    graph = adjacency(unit * places, radius=radius)
    assert set(degrees(graph)[inside(places, 4.2)]) == {neighbors}
    assert degrees(graph).max() == neighbors


@pytest.mark.parametrize("radius", [1.05, 2.0, 3.78])
def test_radius_is_the_brute_force_graph(radius):
    places = np.random.default_rng(0).uniform(0, 10, (150, 2))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    wanted = distances <= radius * np.median(distances.min(axis=1))
    np.testing.assert_array_equal(adjacency(places, radius=radius).toarray() > 0, wanted)


def test_nearest_neighbors_are_the_brute_force_graph_made_symmetric():
    places = np.random.default_rng(0).uniform(0, 10, (150, 2))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    wanted = np.zeros((150, 150), dtype=bool)
    np.put_along_axis(wanted, np.argsort(distances, axis=1)[:, :6], True, axis=1)
    wanted |= wanted.T
    made = spatial_graph(places, n_neighbors=6)
    got = made.obsp["spatial_connectivities"]
    np.testing.assert_array_equal(got.toarray() > 0, wanted)
    assert set(got.data) == {1}
    np.testing.assert_allclose(made.obsp["spatial_distances"].toarray()[wanted], distances[wanted], rtol=1e-6)


@pytest.mark.parametrize("options", [{"n_neighbors": 6}, {"radius": 2.1}])
@pytest.mark.parametrize("unit", [1e-6, 1e5])
def test_units_do_not_matter(options, unit):
    places = np.random.default_rng(0).uniform(0, 10, (150, 2))
    wanted = adjacency(places, **options)
    got = adjacency(places * unit + 7 * unit, **options)
    assert (got != wanted).nnz == 0


def test_three_dimensions():
    places = np.random.default_rng(0).uniform(0, 10, (80, 3))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    got = adjacency(places, n_neighbors=4)
    assert all(got[i, distances[i].argmin()] for i in range(80))


@pytest.mark.parametrize("options", [{"n_neighbors": 6}, {"radius": 2.1}])
def test_libraries_are_blocks_each_as_if_alone(options):
    # two sections that lie on top of each other, their spots in mixed order
    one = hexagonal(7) + np.random.default_rng(1).uniform(-0.02, 0.02, (49, 2))
    other = one + np.array([0.01, 0])
    order = np.random.default_rng(0).permutation(98)
    library = pd.Series(np.repeat(["b", "a"], 49)[order], dtype="category").cat.add_categories("unused")
    got = adjacency(np.vstack([one, other])[order], library=library, **options)
    back = np.argsort(order)
    got = got[back][:, back]
    wanted = sparse.block_diag([adjacency(places, **options) for places in (one, other)])
    assert (got != wanted).nnz == 0
    assert graph_report(got)["n_components"] == 2


def test_sections_at_the_same_places_have_the_pitch_of_one():
    places = np.vstack([hexagonal(6, 100.0)] * 2)
    library = pd.Series(np.repeat(["a", "b"], 36))
    assert pitch(places, library) == pytest.approx(100)
    assert is_grid(places, library)
    got = adjacency(places, library=library, radius=1.05)
    assert degrees(got).max() == 6
    assert degrees(got).min() >= 2


def test_duplicates_become_neighbors_with_a_warning(capsys):
    places = hexagonal(8)
    places[1] = places[0]
    graph = adjacency(places, n_neighbors=6)
    assert "duplicate coordinates" in capsys.readouterr().err
    assert graph[0, 1] == 1
    assert graph.diagonal().sum() == 0
    assert degrees(graph).min() >= 6
    assert pitch(places) == pytest.approx(1)


def test_duplicates_within_a_section_are_a_warning_and_between_sections_are_none(capsys):
    places = np.vstack([hexagonal(6)] * 2)
    library = pd.Series(np.repeat(["a", "b"], 36))
    adjacency(places, library=library)
    assert "duplicate" not in capsys.readouterr().err
    places[1] = places[0]
    adjacency(places, library=library)
    assert "duplicate coordinates" in capsys.readouterr().err


def test_all_at_one_place():
    graph = adjacency(np.ones((20, 2)), n_neighbors=3)
    assert degrees(graph).min() >= 3
    assert graph.diagonal().sum() == 0


def test_fewer_spots_than_neighbors():
    graph = adjacency(hexagonal(2), n_neighbors=6)
    assert degrees(graph).tolist() == [3, 3, 3, 3]


def test_a_small_section_leaves_the_others_their_neighbors():
    library = pd.Series(["a"] * 40 + ["b"] * 3 + ["c"])
    graph = spatial_graph(np.random.default_rng(0).normal(size=(44, 2)), library=library, n_neighbors=6)
    degree = degrees(graph.obsp["spatial_connectivities"])
    assert degree[:40].min() >= 6
    assert degree[40:43].tolist() == [2, 2, 2]
    # a section of one spot is no error: the spot is isolated
    assert degree[43] == 0
    assert graph.uns["spatial_neighbors"]["params"]["n_neighbors"] == 6


def test_a_radius_leaves_far_spots_isolated_and_the_report_says_so(capsys):
    places = np.vstack([hexagonal(6), [[100.0, 100.0]], [[200.0, 0.0]]])
    report = graph_report(adjacency(places, radius=1.05))
    assert report["n_isolated"] == 2
    assert report["n_components"] == 3
    assert report["max_degree"] == 6
    assert "2 observations have no neighbour in the graph" in capsys.readouterr().err


def test_report_of_a_graph_known_by_hand(capsys):
    path = sparse.csr_matrix(np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]))
    assert graph_report(path) == {"mean_degree": 1.0, "max_degree": 2, "n_isolated": 1, "n_components": 2}
    capsys.readouterr()
    crowd = sparse.csr_matrix(np.ones((120, 120)) - np.eye(120))
    assert graph_report(crowd)["mean_degree"] == 119
    assert "119 neighbours per observation" in capsys.readouterr().err


def test_grid_or_cells():
    noise = np.random.default_rng(0)
    assert is_grid(hexagonal(12, 137.0))
    assert is_grid(np.round(hexagonal(12, 137.0)))
    assert is_grid(np.column_stack(np.divmod(np.arange(144), 12)).astype(float))
    assert not is_grid(noise.uniform(0, 1, (500, 2)))
    assert not is_grid(hexagonal(12) + noise.normal(0, 0.15, (144, 2)))
    assert not is_grid(np.ones((20, 2)))
