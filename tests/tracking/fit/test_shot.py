"""The fit recovers what exact landmarks were made from, and its step's derivatives are right."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import flame, so3
from gagjax.tracking import points as numbering
from gagjax.tracking.camera import PictureCamera, project
from gagjax.tracking.fit import head as heads
from gagjax.tracking.fit import shot, solver
from gagjax.tracking.fit.head import Person, Pose


@pytest.fixture(scope="module")
def subject():
    return shot.subject(flame.builtin())


def exact(subject, frames: int, camera: PictureCamera, seed: int = 0):
    """Landmarks without noise of a head that turns and speaks, with what they were made from."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    angles = np.stack([0.1 * np.sin(t), 0.25 * np.sin(2 * t), 0.05 * np.cos(t)], 1).astype(np.float32)
    rotation = np.swapaxes(np.asarray(so3.exp(angles)), 1, 2) @ np.diag([-1.0, 1.0, -1.0]).astype(np.float32)
    shift = np.stack([0.2 * np.sin(t), 0.1 * np.cos(t), 5 + 0.2 * np.sin(t)], 1)
    jaw = np.stack([0.08 + 0.08 * np.sin(3 * t), 0 * t, 0 * t], 1)
    expression = np.zeros((frames, subject.head.basis.shape[-1] - subject.head.shapes))
    expression[:, list(subject.priors.columns).index(flame.CONTROLS["smile"])] = 0.4 + 0.4 * np.sin(t)
    person = Person(
        jnp.asarray(rng.normal(0, 0.4, subject.head.shapes), jnp.float32),
        jnp.zeros((subject.head.count, 3)),
        jnp.asarray(camera.focal, jnp.float32),
    )
    pose = Pose(*(jnp.asarray(v, jnp.float32) for v in (rotation, shift, jaw, expression)))
    plane = np.asarray(solver.seen_at(subject.head, person, pose)) + [camera.cx, camera.cy]
    marks = np.zeros((frames, numbering.COUNT, 3), np.float32)
    marks[:, subject.embedding.numbers, :2] = plane
    # Depth and the points that the fit does not use: what a first pose needs.
    points = jax.vmap(lambda p: heads.in_camera(heads.head_points(subject.head, person, p.jaw, p.expression), p))(pose)
    scale = camera.focal / np.asarray(shift)[:, 2]
    marks[:, subject.embedding.numbers, 2] = (np.asarray(points)[..., 2] - shift[:, 2:]) * scale[:, None]
    marks[:, numbering.RIGHT_PUPIL] = marks[:, [33, 133]].mean(1)
    marks[:, numbering.LEFT_PUPIL] = marks[:, [263, 362]].mean(1)
    return marks, person, pose


def test_exact_landmarks_are_fitted_exactly_enough(subject):
    camera = PictureCamera.of_picture(640, 480, 1.5)
    marks, _, pose = exact(subject, 40, camera)
    found = shot.fit_shot(subject, marks, camera, fixed_focal=True)
    turn = np.einsum("tba,tbc->tac", np.asarray(pose.rotation), found.pose.rotation)
    error = np.degrees(np.asarray(so3.log(turn.astype(np.float32))))
    assert np.linalg.norm(error - error.mean(0), axis=1).mean() < 0.5
    assert np.linalg.norm(error.mean(0)) < 1.5
    assert found.residual.mean() < 0.006
    jaw = np.asarray(pose.jaw)[:, 0]
    assert np.corrcoef(jaw, found.pose.jaw[:, 0])[0, 1] > 0.98
    smile = list(subject.priors.columns).index(flame.CONTROLS["smile"])
    assert np.corrcoef(np.asarray(pose.expression)[:, smile], found.pose.expression[:, smile])[0, 1] > 0.97
    assert shot.valid_frames(found.residual).all()
    assert found.cost[-1] < found.cost[0]


def test_the_same_frame_alone_and_among_others(subject):
    camera = PictureCamera.of_picture(640, 480, 1.5)
    marks, person, _ = exact(subject, 9, camera)
    together = shot.fit_shot(subject, marks, camera, person=person)
    alone = shot.fit_shot(subject, marks[4:5], camera, person=person)
    np.testing.assert_allclose(together.pose.rotation[4], alone.pose.rotation[0], atol=1e-3)
    np.testing.assert_allclose(together.pose.jaw[4], alone.pose.jaw[0], atol=1e-3)


def test_a_wrong_mesh_is_not_valid(subject):
    camera = PictureCamera.of_picture(640, 480, 1.5)
    marks, _, _ = exact(subject, 30, camera)
    rng = np.random.default_rng(1)
    bad = marks.copy()
    size = numbering.interocular(marks[10])
    bad[10:13, :468, :2] += rng.normal(0, 0.12 * size, (3, 468, 2))
    found = shot.fit_shot(subject, bad, camera)
    valid = shot.valid_frames(found.residual)
    assert not valid[10:13].any()
    assert valid[:10].all()
    assert valid[13:].all()


def test_columns_equal_automatic_derivatives(subject):
    camera = PictureCamera.of_picture(640, 480, 1.5)
    _, person, pose = exact(subject, 4, camera)
    one = Pose(*(v[2] for v in pose))
    count = subject.head.count
    still = dataclasses.replace(subject.head, slides=0 * subject.head.slides)
    seen = solver.Observed(jnp.zeros((count, 2)), jnp.ones(count), jnp.ones(()))
    settings = shot.settings_for(subject, camera, 1)
    flat = settings.__class__(
        *(getattr(settings, k) for k in ("expression", "jaw", "shape", "focal", "usual_focal")),
        jnp.asarray(1e9),
        settings.bounded,
    )
    linear = solver._linear(still, person, flat, one, seen, shared=True)

    def plane(turn, shift, expression):
        moved = Pose(one.rotation @ so3.exp(turn), one.shift + shift, one.jaw, one.expression + expression)
        camera_points = heads.in_camera(heads.head_points(still, person, moved.jaw, moved.expression), moved)
        return (-person.focal * camera_points[:, :2] / camera_points[:, 2:]).reshape(-1)

    zeros = (jnp.zeros(3), jnp.zeros(3), jnp.zeros(len(settings.expression)))
    by_turn, by_shift, by_expression = jax.jacfwd(plane, (0, 1, 2))(*zeros)
    scale = float(jnp.abs(by_turn).max())
    np.testing.assert_allclose(linear.own[:, :3], by_turn, atol=1e-3 * scale)
    np.testing.assert_allclose(linear.own[:, 3:6], by_shift, atol=1e-3 * scale)
    # Expression moves the joints, too; that share is left out and is small.
    error = np.abs(np.asarray(linear.own[:, 9:] - by_expression)).max()
    assert error < 0.08 * float(jnp.abs(by_expression).max())


def test_projection_is_the_solvers(subject):
    camera = PictureCamera(700.0, 300.0, 200.0, 600, 400)
    points = np.array([[0.1, -0.2, 4.0], [1.0, 0.5, 8.0]])
    np.testing.assert_allclose(project(camera, points)[0], [300 - 700 * 0.1 / 4, 200 + 700 * 0.2 / 4])
