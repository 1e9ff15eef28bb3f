"""From portrait to pictures on the small network: identity, avatar, gradients through the rasterizer."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gagjax import flame
from gagjax.errors import InputError
from gagjax.track import Track

torch = pytest.importorskip("torch")

from bridge.gagavatar import Avatar, GAGAvatar, Identity, handover, lifting, losses  # noqa: E402

FRAMES = 5


def blob(count: int) -> flame.FlameModel:
    """A head model of few vertices, with random bases."""
    rng = np.random.default_rng(2)
    weights = rng.uniform(size=(count, 5))
    regressor = rng.uniform(size=(5, count))
    return flame.FlameModel(
        v_template=0.05 * rng.normal(size=(count, 3)),
        shapedirs=0.003 * rng.normal(size=(count, 3, 400)),
        posedirs=0.001 * rng.normal(size=(count, 3, 36)),
        J_regressor=regressor / regressor.sum(1, keepdims=True),
        weights=weights / weights.sum(1, keepdims=True),
        faces=rng.integers(0, count, (20, 3)),
        landmark_faces=np.arange(5),
        landmark_bary=np.full((5, 3), 1 / 3),
    )


@pytest.fixture(scope="module")
def head(tiny: Any) -> flame.FlameModel:
    return blob(tiny.vertices)


@pytest.fixture(scope="module")
def driver(front: np.ndarray) -> Track:
    """Moves its expression in frame 1, its camera in frame 3; otherwise at rest."""
    expression, transform = np.zeros((FRAMES, 100)), np.tile(front, (FRAMES, 1, 1))
    expression[1, :10] = 2
    transform[3, 0, 3] += 0.05
    return Track(expression, np.zeros((FRAMES, 3)), np.zeros((FRAMES, 6)), transform)


@pytest.fixture(scope="module")
def avatar(small: Any, head: Any, portrait: np.ndarray, front: np.ndarray) -> Avatar:
    return Avatar(small, head, small.encode(portrait, front, shape=np.linspace(-1, 1, 300)))


def test_the_gaussians_cross_to_jax_as_they_are(small: Any, avatar: Avatar, driver: Track) -> None:
    vertices = np.asarray(avatar.vertices(driver))[1]
    gaussians, identity = small.gaussians(avatar.identity, vertices), avatar.identity
    np.testing.assert_allclose(gaussians.means[:60], 5 * vertices, rtol=1e-6)
    np.testing.assert_array_equal(gaussians.means[60:], identity.points)
    np.testing.assert_array_equal(gaussians.covariances, identity.covariances())
    np.testing.assert_array_equal(gaussians.opacities, identity.opacities)
    np.testing.assert_array_equal(gaussians.features, identity.features)
    np.testing.assert_array_equal(avatar.gaussians(vertices).means, gaussians.means)


def test_frames_repeat_to_the_bit_and_differ_only_where_the_driver_moves(avatar: Avatar, driver: Track) -> None:
    pictures = np.stack(list(avatar.frames(driver)))
    assert pictures.shape == (FRAMES, 32, 32, 3)
    assert np.isfinite(pictures).all()
    for still in (2, 4):
        np.testing.assert_array_equal(pictures[still], pictures[0])
    for moved in (1, 3):
        assert np.abs(pictures[moved] - pictures[0]).max() > 1e-4
    np.testing.assert_array_equal(np.stack(list(avatar.frames(driver))), pictures)


def test_render_gives_the_same_pictures_as_the_avatar(small: Any, avatar: Avatar, driver: Track) -> None:
    vertices = np.asarray(avatar.vertices(driver))
    together = small.render(avatar.identity, vertices, driver.transform, batch=FRAMES)
    np.testing.assert_allclose(together, np.stack(list(avatar.frames(driver))), atol=2e-6)
    one = small.render(avatar.identity, vertices[1], driver.transform[1])
    np.testing.assert_allclose(one, together[1], atol=2e-6)


def test_the_identitys_own_shape_is_driven(avatar: Avatar, driver: Track) -> None:
    other = dataclasses.replace(driver, shape=np.ones(300))
    np.testing.assert_array_equal(avatar.vertices(driver), avatar.vertices(other))
    plain = flame.vertices(avatar.model, np.zeros(300), driver.expression, np.zeros((FRAMES, 6)), driver.eyes)
    assert np.abs(np.asarray(avatar.vertices(driver)) - np.asarray(plain)).max() > 1e-3


def test_a_head_with_other_vertices_is_refused(small: Any, avatar: Avatar) -> None:
    with pytest.raises(InputError, match="has 50 vertices; GAGAvatar needs 60"):
        Avatar(small, blob(50), avatar.identity)
    with pytest.raises(InputError, match=r"vertices: has shape \(1, 50, 3\)"):
        small.render(avatar.identity, np.zeros((1, 50, 3)), np.zeros((1, 3, 4)))


def test_a_portrait_painted_on_its_plane_is_seen_again_by_its_camera(front: np.ndarray) -> None:
    """Plane, camera and rasterizer agree on which way is left, up and how large: no network in between."""
    count, size = 64, 64
    points = lifting.plane(torch.from_numpy(front)[None], count)[0][0]
    rows, columns = np.mgrid[0:1:64j, 0:1:64j]
    picture = np.stack([columns, rows, columns * (1 - rows)], -1).astype(np.float32)
    spacing = 2 * 9.3 / 12 / (count - 1)
    identity = Identity(
        points=points,
        scales=torch.full((count**2, 3), 0.5 * spacing),
        quaternions=torch.tensor([[1.0, 0, 0, 0]]).repeat(count**2, 1),
        opacities=torch.full((count**2,), 0.9),
        features=torch.from_numpy(picture).reshape(-1, 3),
        transform=torch.from_numpy(front),
    )
    gaussians = handover.place(handover.resting(identity), np.zeros((0, 3)))
    seen = handover.rasterize(gaussians, front, size).numpy()
    inner = slice(4, -4)
    np.testing.assert_allclose(
        seen[inner, inner], picture[inner, inner], atol=0.04
    )  # of equal depth, the first is in front


def test_an_avatar_opens_from_files(
    small: Any, head: Any, portrait: np.ndarray, front: np.ndarray, record: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(GAGAvatar, "from_checkpoint", lambda *_, **__: small)
    folder = tmp_path / "tracked"
    folder.mkdir()
    entries = {"me.jpg": record(portrait), "you.jpg": record(portrait[::-1])}
    (folder / "optim.pkl").write_bytes(pickle.dumps(entries))
    mine = Avatar.open("GAGAvatar.pt", head, folder, name="me")
    assert torch.equal(mine.identity.features, small.encode(portrait, front).features)
    assert float(mine.shape[0]) == 0.5
    with pytest.raises(InputError, match=r"holds 2 portraits. Name one of: me.jpg, you.jpg"):
        Avatar.open("GAGAvatar.pt", head, folder)
    with pytest.raises(InputError, match=r"no portrait 'us'. It has: me.jpg, you.jpg"):
        Avatar.open("GAGAvatar.pt", head, folder, name="us")
    mine.identity.save(tmp_path / "me.npz")
    again = Avatar.open("GAGAvatar.pt", head, tmp_path / "me.npz")
    assert torch.equal(again.identity.features, mine.identity.features)
    (folder / "optim.pkl").write_bytes(pickle.dumps({"me.jpg": record(None)}))
    with pytest.raises(InputError, match="the tracking but not the picture"):
        Avatar.open("GAGAvatar.pt", head, folder)


def test_one_step_of_adam_lowers_the_objective(tiny: Any, front: np.ndarray) -> None:
    torch.manual_seed(0)
    model = GAGAvatar(tiny)
    image, target = torch.rand(1, 3, 42, 42), torch.rand(1, 32, 32, 3)
    camera, vertices = torch.from_numpy(front)[None], 0.03 * torch.randn(1, 60, 3)
    boxes = torch.tensor([[0.2, 0.2, 0.8, 0.8]])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.0, 0.99))

    def loss() -> Any:
        output = model(image, camera, vertices, camera, noise="fixed")
        return losses.objective(output, target, boxes, 5 * vertices)

    before = loss().total
    before.backward()
    for part in (model.base_model, model.gs_generator_g, model.gs_generator_l0, model.gs_generator_l1, model.upsampler):
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        assert all(bool(torch.isfinite(g).all()) for g in gradients)
        assert max(float(g.abs().max()) for g in gradients) > 0
    optimizer.step()
    with torch.no_grad():
        assert loss().total < before


def test_gradients_cross_the_rasterizer(front: np.ndarray) -> None:
    """The picture is linear in the features, so a finite difference of any size is exact."""
    rng = np.random.default_rng(3)
    means = torch.tensor(0.2 * rng.normal(size=(20, 3)), dtype=torch.float32)
    covariances = (0.02 * torch.eye(3)).repeat(20, 1, 1)
    opacities = torch.tensor(rng.uniform(0.2, 0.6, 20), dtype=torch.float32)
    weights = torch.tensor(rng.normal(size=(32, 32, 4)), dtype=torch.float32)

    def value(features: Any) -> Any:
        args = (means, covariances, opacities, features, torch.from_numpy(front), 32)
        return (handover.rasterize_with_gradients(*args) * weights).sum()

    features, direction = (torch.tensor(rng.normal(size=(20, 4)), dtype=torch.float32) for _ in range(2))
    moving = features.clone().requires_grad_()
    value(moving).backward()
    assert moving.grad is not None
    expected = value(features + direction) - value(features)
    torch.testing.assert_close((moving.grad * direction).sum(), expected, rtol=1e-4, atol=1e-3)
