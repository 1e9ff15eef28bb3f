"""The start from a distance field: distances against analytic ones, and a fit to a head with long hair."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import avatars, flame
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.personal.canonical import person as person_of
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.avatars.personal.sdf import field, fitting, tetrahedra
from gagjax.avatars.personal.starts import Given, Start, begin
from gagjax.io.video import to_uint8
from gagjax.simulate import driver
from gagjax.splatting.gaussians import Gaussians

#: A curtain of long hair behind and beside the head down to the shoulders, metres.
HAIR = np.array(
    [
        [r * np.sin(a), y, -0.03 + r * np.cos(a)]
        for r in (0.115, 0.125)
        for a in np.linspace(np.deg2rad(75), np.deg2rad(285), 40)
        for y in np.linspace(-0.12, 0.10, 24)
    ]
)


class LongHair:
    """The built-in avatar with hair added."""

    def __init__(self) -> None:
        self.head = avatars.builtin(0)
        self.model = self.head.model

    def gaussians(self, parameters):
        head = self.head.gaussians(parameters)
        n = len(HAIR)
        added = (
            jnp.asarray(HAIR * UNITS, jnp.float32),
            jnp.broadcast_to((0.008 * UNITS) ** 2 * jnp.eye(3), (n, 3, 3)),
            jnp.full(n, 0.95),
            jnp.broadcast_to(jnp.asarray([0.25, 0.13, 0.06]), (n, 3)),
        )
        return Gaussians(
            *(
                jnp.concatenate([a, b.astype(a.dtype)])
                for a, b in zip((head.means, head.covariances, head.opacities, head.features), added, strict=True)
            )
        )


@pytest.fixture(scope="module")
def given() -> Given:
    truth = driver(8, controls=flame.CONTROLS, seed=2)
    turns = np.linspace(-0.6, 0.6, 8)
    cameras = np.asarray(truth.transform).copy()
    for i, t in enumerate(turns):
        around = np.array([[np.cos(t), 0, np.sin(t)], [0, 1, 0], [-np.sin(t), 0, np.cos(t)]])
        cameras[i, :, :3] = around @ np.diag([-1.0, 1, -1])
        cameras[i, :, 3] = [0, 0, 11.0]
    truth = dataclasses.replace(truth, transform=cameras)
    hair, frames = LongHair(), []
    from gagjax.avatars.personal.motion import COLUMNS, Motion
    from gagjax.splatting import rasterize

    seen = Motion.of(truth, 48)
    for i in range(8):
        parameters, _ = seen.frame(i, jnp.zeros(COLUMNS), 48)
        drawn = rasterize(hair.gaussians(parameters), parameters.camera, background=jnp.asarray(avatars.BACKGROUND))[0]
        frames.append(to_uint8(np.asarray(drawn)))
    clip = FilmedClip(np.stack(frames), truth, np.float32(avatars.BACKGROUND))
    return Given(person_of(flame.builtin(0)), clip, np.arange(8), 1200)


def test_distances_to_a_mesh_are_those_to_a_sphere() -> None:
    grid = tetrahedra.box(np.full(3, -1.0), np.full(3, 1.0), 0.25)
    ball = tetrahedra.surface(grid, np.float32(np.linalg.norm(grid.vertices, axis=1) - 0.7), capacity=3000)
    vertices = np.asarray(ball.vertices)
    vertices = 0.7 * vertices / np.maximum(np.linalg.norm(vertices, axis=1, keepdims=True), 1e-9)
    points = np.random.default_rng(0).uniform(-1, 1, (300, 3))
    found = field.mesh_distance(points, vertices, np.asarray(ball.faces)[np.asarray(ball.used_faces)])
    np.testing.assert_allclose(found, np.linalg.norm(points, axis=1) - 0.7, atol=0.03)


def test_the_loss_falls_on_a_head_with_long_hair_and_a_start_comes_of_it(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = fitting.Settings(steps=60, size=48, step=0.02, capacity=5000, width=32, hidden=2, rate=8e-3)
    fitted = fitting.fit(given, small)
    assert np.mean(fitted.losses[-8:]) < 0.85 * np.mean(fitted.losses[:8])
    monkeypatch.setattr(fitting, "fit", lambda *_: fitted)
    start = begin("sdf", given)
    assert isinstance(start, Start)
    assert len(start.canonical) <= given.count
