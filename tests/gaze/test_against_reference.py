"""What is wrong with the original's gaze and expression, shown by failing it; the default passes the same checks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import expression, gaze
from gagjax.reference.expression import reference_expression
from gagjax.reference.gaze import ReferenceGaze
from gagjax.track import Channels
from tests.oracles import gaze as oracle

FRONT = np.concatenate([np.diag([-1.0, 1, -1]), [[0.0], [0], [9]]], 1)
CENTRES = np.array(gaze.geometry.NOMINAL_EYE_CENTRES)
FAR = 100.0


def channels(eyes=None, frames: int = 20) -> Channels:
    rng = np.random.default_rng(0)
    return Channels(
        expression=rng.normal(size=(frames, 100)).astype(np.float32),
        jaw=np.zeros((frames, 3), np.float32),
        eyes=np.zeros((frames, 6), np.float32) if eyes is None else np.tile(eyes, (frames, 1)).astype(np.float32),
        transform=np.tile(FRONT, (frames, 1, 1)).astype(np.float32),
    )


def look(direction, strength, stage):
    """Both eyes' directions after a stage has turned resting eyes towards a far target."""
    if stage == "reference":
        made = ReferenceGaze(target=np.asarray(direction, np.float32), strength=strength)
        out = made.step(made.init(channels()), channels_frame())[1].eyes
    else:
        made = gaze.GazeCorrector(target=FAR * np.asarray(direction), frame="head", strength=strength)
        out = made.apply(channels()).eyes[0]
    return [oracle.direction(v) for v in np.asarray(out, np.float64).reshape(2, 3)]


def channels_frame():
    import jax

    return jax.tree.map(lambda x: x[0], channels())


def direction(pitch_up: float, left: float) -> np.ndarray:
    up, side = np.radians([pitch_up, left])
    return np.array([np.cos(up) * np.sin(side), np.sin(up), np.cos(up) * np.cos(side)])


@pytest.mark.parametrize("stage, faulty", [("reference", True), ("default", False)])
def test_a_target_to_the_side_makes_the_original_wall_eyed(stage, faulty):
    left, right = look(direction(0, 15), 1.0, stage)
    between = oracle.degrees_between(left, right)
    assert between == pytest.approx(30, abs=0.1) if faulty else between < 0.1


@pytest.mark.parametrize("stage, faulty", [("reference", True), ("default", False)])
def test_a_target_above_makes_the_original_look_down(stage, faulty):
    left, _ = look(direction(10, 0), 1.0, stage)
    assert (left[1] < -0.1) if faulty else (left[1] > 0.1)
    error = oracle.degrees_between(left, direction(10, 0))
    assert error == pytest.approx(20, abs=0.1) if faulty else error < 0.1


def test_eyes_already_on_target_overshoot_in_the_original_and_stay_in_the_default():
    target = direction(0, 10)
    on_target = np.radians([0, 10, 0, 0, 10, 0])
    made = ReferenceGaze(target=target.astype(np.float32))
    out = made.step(made.init(channels(on_target)), channels_frame()._replace(eyes=on_target.astype(np.float32)))[
        1
    ].eyes
    assert np.degrees(out[1]) == pytest.approx(17, abs=0.1)
    stage = dataclasses.replace(gaze.default_stage(), target=target, frame="head", direction=True)
    np.testing.assert_allclose(stage.apply(channels(on_target)).eyes[0], on_target, atol=1e-6)


def test_the_original_mutes_the_expression_and_the_default_keeps_it():
    own = channels()
    swing = np.std(own.expression, axis=0)
    for variant, most in (("document", 0.96), ("code", 0.77)):
        muted = np.std(np.asarray(reference_expression(variant)(own.expression)), axis=0) / swing
        assert muted.min() < 0.8 and muted[50:].max() < 0.97 and muted.mean() < most
    kept = np.std(np.asarray(expression.default_stage().apply(own).expression), axis=0) / swing
    np.testing.assert_allclose(kept, 1.0, atol=1e-5)


def test_the_originals_mouth_range_moves_the_whole_face_and_the_editors_region_does_not():
    from tests.oracles.heads import toy_head

    model = toy_head()
    editor = expression.RegionEditor.for_model(model)
    basis = np.asarray(model.expression_basis, np.float64)
    outside = np.asarray(editor.weights)[editor.names.index("mouth")] == 0
    areas = expression.vertex_areas(model)[:, None, None]
    as_range = basis[..., 30:50]
    exact = basis - np.asarray(editor.edit(model, {"mouth": 0.0}).expression_basis, np.float64)

    def share(change):
        return (areas * change**2)[outside].sum() / (areas * change**2).sum()

    assert share(as_range) > 0.5 and share(exact) < 1e-30
