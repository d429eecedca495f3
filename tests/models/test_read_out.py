from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

import semtx as st
from semtx.models._read_out import ReadOut, joined

GENERATOR = np.random.default_rng(0)


def read_out(*widths: int) -> ReadOut:
    return ReadOut(tuple((GENERATOR.normal(size=(a, b)), GENERATOR.normal(size=b)) for a, b in pairwise(widths)))


@pytest.mark.parametrize("widths", [(5, 6), (5, 7, 6), (5, 9, 8, 6)])
class TestMultipliers:
    def test_they_sum_to_the_change(self, widths):
        f = read_out(*widths)
        x, baseline, direction = GENERATOR.normal(size=(40, 5)), GENERATOR.normal(size=5), GENERATOR.normal(size=6)
        found = f.multipliers(x, baseline, direction)
        change = (f(x) - f(baseline[None])) @ direction
        np.testing.assert_allclose(((x - baseline) * found).sum(axis=1), change, rtol=1e-9, atol=1e-9)

    def test_of_the_baseline_itself_they_are_the_gradient(self, widths):
        f = read_out(*widths)
        baseline, direction = GENERATOR.normal(size=5), GENERATOR.normal(size=6)
        found = f.multipliers(baseline[None], baseline, direction)[0]
        step = 1e-6
        gradient = [
            ((f((baseline + step * e)[None]) - f((baseline - step * e)[None])) @ direction)[0] / (2 * step)
            for e in np.eye(5)
        ]
        np.testing.assert_allclose(found, gradient, rtol=1e-5, atol=1e-7)

    def test_arrays(self, widths):
        f = read_out(*widths)
        again = ReadOut.from_arrays({"n_rings": 2, **f.arrays()})
        x = GENERATOR.normal(size=(3, 5))
        np.testing.assert_allclose(again(x), f(x), rtol=1e-5, atol=1e-5)
        assert again.is_linear == f.is_linear == (len(widths) == 2)


def test_a_linear_read_out_has_its_weights_for_multipliers():
    f = read_out(4, 6)
    direction = GENERATOR.normal(size=6)
    found = f.multipliers(GENERATOR.normal(size=(3, 4)), np.zeros(4), direction)
    np.testing.assert_allclose(found, np.tile(f.layers[0][0] @ direction, (3, 1)))


def test_joined():
    first, then = read_out(4, 5).layers[0], read_out(5, 6).layers[0]
    x = GENERATOR.normal(size=(3, 4))
    weight, bias = joined(first, then)
    np.testing.assert_allclose(x @ weight + bias, (x @ first[0] + first[1]) @ then[0] + then[1])


@pytest.mark.parametrize(("preset", "n_layers"), [("default", 1), ("paper", 2), ("reference", 3)])
def test_it_is_what_the_model_computes(preset, n_layers):
    n = 60
    counts = sparse.csr_matrix(GENERATOR.poisson(1.0, size=(n, 30)).astype(np.float32))
    graph = st.models.SemST.spatial_graph(GENERATOR.uniform(size=(n, 2)))
    semantics = GENERATOR.normal(size=(n, 20)).astype(np.float32)
    config = st.models.SEMST_PRESETS[preset].updated(max_epochs=2, min_cells=0)
    model = st.models.SemST(config, accelerator="cpu").fit(counts, graph, semantics, show_progress_bar=False)
    found, n_rings = model._read_out()
    assert len(found.layers) == n_layers
    x = st.graphs.ring_operator(st.graphs.rings(graph, n_rings)) @ semantics if n_rings else semantics
    np.testing.assert_allclose(found(x), np.hstack(model.modulation(graph, semantics)), rtol=1e-3, atol=1e-5)
