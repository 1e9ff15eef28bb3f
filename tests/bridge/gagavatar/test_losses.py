"""The objective: each term against its definition, and one optimiser step that lowers the whole."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bridge.gagavatar import losses  # noqa: E402
from bridge.gagavatar.model import Output  # noqa: E402


def test_lifting_is_ten_times_the_mean_squared_distance_to_the_nearest_point() -> None:
    rng = np.random.default_rng(0)
    points, vertices = rng.normal(size=(2, 70, 3)), rng.normal(size=(2, 30, 3))
    squared = ((points[:, None] - vertices[:, :, None]) ** 2).sum(-1).min(-1)
    found = losses.lifting(torch.tensor(points), torch.tensor(vertices), chunk=7)
    np.testing.assert_allclose(float(found), 10 * squared.mean(), rtol=1e-12)


def test_lifting_moves_only_the_nearest_points() -> None:
    points = torch.tensor([[[0.0, 0, 0], [5.0, 0, 0]]], requires_grad=True)
    losses.lifting(points, torch.tensor([[[1.0, 0, 0]]])).backward()
    assert points.grad is not None
    torch.testing.assert_close(points.grad, torch.tensor([[[-20.0, 0, 0], [0, 0, 0]]]))


def test_a_crop_is_square_about_the_box_and_inside_the_picture() -> None:
    ramp = torch.arange(100.0).expand(1, 100, 100)[..., None].repeat(1, 1, 1, 3)
    middle = losses.crop(ramp, torch.tensor([[0.3, 0.4, 0.5, 0.5]]), 22)  # 20 wide, so 22 after enlarging, about x = 40
    torch.testing.assert_close(middle[0, 0, :, 0], torch.arange(29.0, 51.0))
    corner = losses.crop(ramp, torch.tensor([[0.9, 0.0, 1.0, 0.1]]), 11)
    torch.testing.assert_close(corner[0, 0, :, 0], torch.arange(89.0, 100.0))
    assert losses.crop(ramp, torch.tensor([[-0.5, -0.5, 2.0, 2.0]]), 100).equal(ramp)


def test_the_objective_is_the_sum_of_its_terms_and_zero_at_the_truth() -> None:
    target, points = torch.rand(2, 16, 16, 3), torch.randn(2, 40, 3)
    boxes = torch.tensor([[0.1, 0.1, 0.9, 0.9]] * 2)
    features = lambda x: [x.permute(0, 3, 1, 2), 2 * x.permute(0, 3, 1, 2)]  # noqa: E731
    perfect = losses.objective(Output(target, target, points), target, boxes, points[:, :20], features)
    assert all(float(term) == 0 for term in perfect)
    off = losses.objective(Output(target + 0.1, target - 0.3, points), target, boxes, points[:, :20] + 1, features)
    np.testing.assert_allclose(float(off.image), 0.2, rtol=1e-5)
    np.testing.assert_allclose(float(off.box), 0.2, rtol=1e-5)
    assert float(off.perceptual) > 0
    np.testing.assert_allclose(float(off.total), sum(float(term) for term in off[1:]), rtol=1e-6)
