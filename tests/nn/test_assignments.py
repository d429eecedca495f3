"""Soft assignments, their divergence from a target, and cluster numbers that stay."""

from __future__ import annotations

import pytest
import torch

import semtx as st


def points(n: int = 12, h: int = 3) -> torch.Tensor:
    return torch.randn(n, h, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class TestStudentT:
    @pytest.mark.parametrize("dof", [0.5, 1.0, 4.0])
    def test_is_its_definition(self, dof):
        z, centers = points(), points(4) + 0.1
        kernel = torch.empty(12, 4, dtype=torch.float64)
        for i in range(12):
            for j in range(4):
                kernel[i, j] = (1 + ((z[i] - centers[j]) ** 2).sum() / dof) ** (-(dof + 1) / 2)
        wanted = kernel / kernel.sum(dim=1, keepdim=True)
        torch.testing.assert_close(st.nn.student_t(z, centers, dof=dof), wanted)
        torch.testing.assert_close(st.nn.student_t(z, centers, dof=dof, log=True), wanted.log())

    def test_gradients(self):
        z, centers = points(5).requires_grad_(), (points(3) + 0.1).requires_grad_()
        assert torch.autograd.gradcheck(lambda *x: st.nn.student_t(*x, log=True), (z, centers))

    def test_a_cell_on_a_centre_has_a_finite_gradient(self):
        z = points(4).requires_grad_()
        st.nn.student_t(z, z.detach()[:2], log=True).sum().backward()
        assert torch.isfinite(z.grad).all()

    def test_small_distances_of_large_vectors(self):
        z = torch.tensor([[1e4, 1e4], [1e4, 1e4 + 1]])
        q = st.nn.student_t(z, z)
        torch.testing.assert_close(q, torch.tensor([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]))

    def test_far_cells_and_half_precision_are_finite(self):
        q = st.nn.student_t(torch.tensor([[6e4, 0.0]]).half(), torch.tensor([[-6e4, 0.0], [0.0, 0.0]]).half(), log=True)
        assert q.dtype == torch.float32
        torch.testing.assert_close(q.exp(), torch.tensor([[0.2, 0.8]]))

    def test_bad_dof(self):
        with pytest.raises(ValueError, match="dof"):
            st.nn.student_t(points(), points(2), dof=0)


class TestDivergence:
    def test_is_the_mean_over_cells_of_its_definition(self):
        q = points(6, 4).softmax(dim=1)
        target = (2 * points(6, 4)).flip(0).softmax(dim=1)
        wanted = sum(target[i, j] * (target[i, j].log() - q[i, j].log()) for i in range(6) for j in range(4)) / len(q)
        torch.testing.assert_close(st.nn.assignment_divergence(target, q.log()), wanted)
        assert wanted > 0.1

    def test_zero_for_equal_ones_and_finite_for_certain_ones(self):
        q = points(6, 4).softmax(dim=1)
        assert st.nn.assignment_divergence(q, q.log()).item() == pytest.approx(0, abs=1e-12)
        certain = torch.eye(4, dtype=torch.float64)[torch.arange(6) % 4]
        assert torch.isfinite(st.nn.assignment_divergence(certain, q.log()))

    def test_gradient_is_minus_target_over_assignments(self):
        q = points(6, 4).softmax(dim=1).requires_grad_()
        target = points(6, 4).flip(0).softmax(dim=1)
        st.nn.assignment_divergence(target, q.log()).backward()
        torch.testing.assert_close(q.grad, -target / q.detach() / 6)

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match=r"target has shape \(1, 4\)"):
            st.nn.assignment_divergence(torch.ones(1, 4), torch.ones(6, 4))


class TestMatch:
    def test_undoes_a_permutation(self):
        old = points(7)
        permutation = torch.randperm(7, generator=torch.Generator().manual_seed(3))
        new = old[permutation] + 0.01
        order = st.nn.match_centers(new, old)
        torch.testing.assert_close(new[order], old + 0.01)
        labels = torch.arange(7)  # labels of the cells next to the new centres
        torch.testing.assert_close(order.argsort()[labels], permutation)

    def test_one_to_one_with_the_least_sum_of_squares(self):
        from itertools import permutations

        old, new = points(5), points(5).flip(1) * 0.5
        best = min(((new[list(p)] - old) ** 2).sum().item() for p in permutations(range(5)))
        order = st.nn.match_centers(new, old)
        assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
        assert ((new[order] - old) ** 2).sum().item() == pytest.approx(best)

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="reference"):
            st.nn.match_centers(points(3), points(4))


class TestVarianceHinge:
    def test_is_its_definition(self):
        x = points(20, 4)
        deviation = ((x - x.mean(dim=0)) ** 2).mean(dim=0).add(1e-4).sqrt()
        wanted = torch.clamp(1.1 - deviation, min=0).mean()
        assert (deviation > 1.1).any()
        assert (deviation < 1.1).any()
        torch.testing.assert_close(st.nn.variance_hinge(x, target=1.1), wanted)

    def test_the_default_target_is_reached_and_the_authors_is_not(self):
        x = points(64, 6).requires_grad_()
        optimizer = torch.optim.Adam([x], lr=0.02)
        start = st.nn.variance_hinge(x.detach() + 2).item()
        for _ in range(300):
            loss = st.nn.variance_hinge(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 1e-3 < 0.1 < start
        assert st.nn.variance_hinge(torch.nn.functional.normalize(x, dim=1), target=1.0).item() > 0.5

    def test_collapsed_and_single_cells_have_finite_gradients(self):
        for n in (1, 5):
            x = torch.ones(n, 3, requires_grad=True)
            loss = st.nn.variance_hinge(x)
            loss.backward()
            assert loss.item() == pytest.approx(3**-0.5 - 0.01, abs=1e-4)
            assert torch.isfinite(x.grad).all()

    def test_a_row_of_zeros_gets_no_gradient(self):
        x = points(6, 3)
        x[2] = 0
        st.nn.variance_hinge(x.requires_grad_()).backward()
        assert x.grad[2].abs().max() == 0
        assert 0 < x.grad.abs().max() < 10
