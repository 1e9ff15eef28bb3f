"""Gaze read from tracks, pupils and landmarks; masks and drawings."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import InputError, Track, flame, gaze
from tests.oracles import gaze as oracle
from tests.oracles.flame import rotation
from tests.oracles.heads import toy_head

CENTRES = np.array(gaze.geometry.NOMINAL_EYE_CENTRES)
FRONT = np.concatenate([np.diag([-1.0, 1, -1]), [[0.0], [0], [9]]], 1)


def track(frames: int = 4, seed: int = 0, **changes) -> Track:
    rng = np.random.default_rng(seed)
    fields = {
        "expression": np.zeros((frames, 100)),
        "jaw": np.zeros((frames, 3)),
        "eyes": 0.2 * rng.normal(size=(frames, 6)),
        "transform": np.tile(FRONT, (frames, 1, 1)),
    }
    return Track(**{k: np.asarray(v, np.float32) for k, v in (fields | changes).items()})


def test_gaze_of_a_track_in_every_frame():
    own = track(neck=0.1 * np.ones((4, 3)))
    for t in range(4):
        head = np.stack([oracle.direction(v) for v in np.asarray(own.eyes[t]).reshape(2, 3)])
        np.testing.assert_allclose(gaze.gaze_of(own, "head")[t], head, atol=1e-6)
        world = head @ rotation(np.full(3, 0.1)).T
        np.testing.assert_allclose(gaze.gaze_of(own)[t], world, atol=1e-6)
        np.testing.assert_allclose(gaze.gaze_of(own, "camera")[t], world @ FRONT[:, :3], atol=1e-6)
    with pytest.raises(InputError, match="frame: 'screen' is unknown"):
        gaze.gaze_of(own, "screen")


@given(seed=st.integers(0, 2**31))
def test_pupils_in_the_image_give_the_rotation_back(seed):
    rng = np.random.default_rng(seed)
    transform = oracle.camera(rng)
    eyes = np.clip(0.25 * rng.normal(size=(2, 3)), -0.5, 0.5) * [1, 1, 0]
    pupils = CENTRES + 0.013 * np.stack([oracle.direction(v) for v in eyes])
    seen = 5 * pupils @ transform[:, :3] + transform[:, 3]
    places = 0.5 - 6.0 * seen[:, :2] / seen[:, 2:]
    found = gaze.rotations_from_pupils(*(jnp.asarray(x, jnp.float32) for x in (places, CENTRES, transform)))
    # A thousandth of a degree in the ray is a tenth in the eye: the ball is 1.3 cm, 1.8 m away.
    for k in range(2):
        assert oracle.degrees_between(oracle.direction(found[3 * k : 3 * k + 3]), oracle.direction(eyes[k])) < 0.5


def test_pupils_outside_the_eyeball_have_a_finite_answer_and_gradient():
    far = jnp.array([[0.9, 0.1], [0.1, 0.1]])
    args = (jnp.asarray(CENTRES, jnp.float32), jnp.asarray(FRONT, jnp.float32))
    found = gaze.rotations_from_pupils(far, *args)
    assert jnp.isfinite(found).all() and float(jnp.abs(found).max()) < 1.7
    assert jnp.isfinite(jax.jacobian(gaze.rotations_from_pupils)(far, *args)).all()


def face(left=(0.0, 0.0), right=(0.0, 0.0)) -> np.ndarray:
    """70 landmarks whose pupils lie off the middle by shares of the eye's width, subject's left and up."""
    points = np.zeros((70, 2))
    points[[36, 39, 42, 45]] = [[100, 50], [130, 50], [160, 50], [190, 50]]
    points[68] = [175 + 30 * left[0], 50 - 30 * left[1]]
    points[69] = [115 + 30 * right[0], 50 - 30 * right[1]]
    return points


def test_landmarks_alone_show_the_gaze():
    straight = gaze.rotations_from_landmarks(face())
    np.testing.assert_allclose(straight, 0.0, atol=1e-6)
    side = np.degrees(gaze.rotations_from_landmarks(face((0.1, 0.0), (0.1, 0.0))))
    np.testing.assert_allclose(side[[1, 4]], np.degrees(np.arcsin(0.1 / 0.43)), rtol=1e-3)
    down = np.degrees(gaze.rotations_from_landmarks(face((0.0, -0.1), (0.0, -0.1))))
    assert down[0] > 10 and down[3] > 10
    swapped = face((0.1, 0.05), (0.02, 0.0))
    np.testing.assert_array_equal(
        gaze.rotations_from_landmarks(swapped), gaze.rotations_from_landmarks(swapped[[*range(68), 69, 68]])
    )
    rest = gaze.pupil_offsets(face((0.05, 0.02), (0.05, 0.02)))
    np.testing.assert_allclose(
        gaze.rotations_from_landmarks(face((0.05, 0.02), (0.05, 0.02)), rest=rest), 0.0, atol=1e-6
    )
    assert np.isfinite(gaze.rotations_from_landmarks(face((3.0, 1.0)))).all()
    with pytest.raises(InputError, match="has 68 points"):
        gaze.rotations_from_landmarks(face()[:68])


def turned(degrees: float) -> np.ndarray:
    """A camera at an angle to the head's front."""
    turn = rotation(np.radians([0.0, degrees, 0.0]))
    return np.concatenate([turn @ FRONT[:, :3], FRONT[:, 3:]], 1)


def test_masks_lie_on_the_eyes_and_vanish_when_the_head_turns_away():
    model = toy_head()
    own = track(5, eyes=np.zeros((5, 6)), transform=np.stack([turned(a) for a in (0, 40, -40, 80, 180)]))
    masks = np.asarray(gaze.track_eye_masks(model, own, 128, 128))
    assert masks.shape == (5, 2, 128, 128) and masks.min() >= 0 and masks.max() <= 1
    points = flame.landmarks(model, model.v_template)
    for eye, lids in enumerate((range(42, 48), range(36, 42))):
        middle = np.asarray(gaze.project(points[jnp.array(lids)].mean(0)[None], own.transform[0])[0])[0] * 128
        rows, columns = np.nonzero(masks[0, eye] > 0.5)
        assert abs(columns.mean() + 0.5 - middle[0]) < 1.5 and abs(rows.mean() + 0.5 - middle[1]) < 1.5
        assert 4 < len(rows) < 0.01 * 128**2
    assert masks[0, 0].argmax() % 128 > 64 > masks[0, 1].argmax() % 128  # the subject's left eye is on the right
    assert masks[4].max() < 1e-6 and masks[3].min(0).max() < 0.01
    assert masks[1].max() > 0.3 and masks[2].max() > 0.3
    assert masks[1, 0].sum() == pytest.approx(masks[2, 1].sum(), rel=0.6)  # the mesh is coarse, not quite symmetric
    centres = np.asarray(gaze.eye_centres_in_image(model, own))
    assert np.isfinite(centres[0]).all() and np.isnan(centres[4]).all()
    assert centres[0, 0, 0] > 0.5 > centres[0, 1, 0] and (centres[0, :, 1] < 0.5).all()


def test_masks_of_closed_eyes_are_empty_and_differentiable():
    model = toy_head()
    points = np.array(flame.landmarks(model, model.v_template))
    centres = flame.eye_centres(model, jnp.zeros(10))

    def total(points):
        return gaze.projected_eye_masks(points, centres, jnp.asarray(FRONT, jnp.float32), 64, 64).sum((-1, -2))

    open_area = total(points)
    closed = points.copy()
    for upper, lower in ((43, 47), (44, 46)):
        closed[[upper, lower]] = 0.5 * (points[upper] + points[lower])
    area = total(closed)
    assert area[0] < 0.02 * open_area[0] and area[1] == pytest.approx(float(open_area[1]), rel=1e-5)
    assert jnp.isfinite(jax.grad(lambda p: total(p).sum())(jnp.asarray(closed))).all()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_drawing_marks_where_the_eyes_look(kind):
    frames = np.zeros((2, 64, 64, 3), kind)
    directions = np.stack([np.tile([0.0, 0.0, 1.0], (2, 1)), np.tile([0.8, 0.0, 0.6], (2, 1))])
    drawn = gaze.draw_gaze(frames, CENTRES, directions, np.tile(FRONT, (2, 1, 1)))
    assert drawn.dtype == kind and drawn.shape == frames.shape and not frames.any()
    straight, side = (np.nonzero(frame.any(-1))[1] for frame in drawn)
    assert side.max() > straight.max() + 5  # the subject's left is the image's right
    with pytest.raises(InputError, match="frames: has shape"):
        gaze.draw_gaze(frames[0], CENTRES, directions, FRONT)
