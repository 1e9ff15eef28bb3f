"""Edits by hand: where and when they act, and what stays as it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gagjax import InputError, flame, gaze, simulate
from gagjax.expression import RegionEditor
from gagjax.expression.blinks import repair_blinks
from gagjax.expression.closure import apertures
from gagjax.expression.edits import Setting, direction, edit, envelope
from gagjax.flame.subset import at_landmarks

LEFT, RIGHT = flame.CONTROLS["blink_left"], flame.CONTROLS["blink_right"]


@pytest.fixture(scope="module")
def head():
    return flame.builtin()


@pytest.fixture(scope="module")
def editor(head):
    return RegionEditor.for_model(head)


@pytest.fixture(scope="module")
def clip():
    return simulate.driver(60, seed=3)


def mesh(head, track, t, offsets=None):
    model = head if offsets is None else dataclasses.replace(head, v_template=head.v_template + offsets[t])
    pose = np.concatenate([np.zeros(3, np.float32), np.asarray(track.jaw)[t]])
    return np.asarray(flame.vertices(model, np.zeros(300), track.expression[t], pose, track.eyes[t]), float)


@given(
    st.integers(1, 80),
    st.floats(1, 100),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 3),
    st.booleans(),
    st.booleans(),
)
def test_envelopes_stay_inside_their_span(frames, fps, a, b, ease, with_start, with_stop):
    last = (frames - 1) / fps
    start, stop = sorted((a * last, b * last))
    level = envelope(frames, fps, start if with_start else None, stop if with_stop else None, ease)
    times = np.arange(frames) / fps
    assert level.shape == (frames,) and level.min() >= 0 and level.max() <= 1
    outside = (with_start & (times < start - 1e-6)) | (with_stop & (times > stop + 1e-6))
    assert (level[outside] == 0).all()
    if not with_start and not with_stop:
        assert (level == 1).all()


def test_an_envelope_rises_and_falls_smoothly():
    level = envelope(101, 100.0, 0.2, 0.8, 0.2)
    np.testing.assert_allclose(level[[20, 30, 40, 60, 70, 80]], [0, 0.5, 1, 1, 0.5, 0], atol=1e-9)
    assert (np.diff(level[20:41]) >= 0).all() and np.abs(np.diff(level, 2)).max() < 0.02
    for span in ((0.5, 0.4, 0.0), (2.0, None, 0.0), (0.0, None, -1.0)):
        with pytest.raises(InputError):
            envelope(101, 100.0, *span)


def test_a_region_moves_alone_and_by_its_gain(head, editor, clip):
    made = edit(clip, head, [Setting("mouth", 0.4, 0.5, 1.5)], editor=editor)
    outside = np.asarray(editor.weights)[editor.names.index("mouth")] == 0
    from gagjax.expression import neutral

    rest = dataclasses.replace(clip, expression=np.tile(neutral(clip.expression, clip.valid), (60, 1)))
    for t in (20, 30):
        before, after = mesh(head, clip, t), mesh(head, made.exact, t, made.offsets)
        np.testing.assert_allclose(after[outside], before[outside], atol=2e-7)
        calm = mesh(editor.edit(head, {"mouth": 0.4}), clip, t) - mesh(editor.edit(head, {"mouth": 0.4}), rest, t)
        np.testing.assert_allclose(after - mesh(head, rest, t), calm, atol=2e-6)
    assert (made.offsets[:12] == 0).all() and (made.offsets[39:] == 0).all()
    np.testing.assert_array_equal(made.track.expression[:12], clip.expression[:12])
    assert not np.array_equal(made.track.expression[20], clip.expression[20])
    # The coefficients come near, and what they miss is what is said.
    apart = np.linalg.norm(mesh(head, made.track, 20) - mesh(head, made.exact, 20, made.offsets), axis=1)
    assert 1e3 * apart.max() <= made.leak[1] * 1.2 and made.leak[0] < 0.3


def test_the_whole_face_and_all_regions_alike_are_one_gain(head, editor, clip):
    whole = edit(clip, head, [Setting("expression", 0.5)], editor=editor)
    each = edit(clip, head, [Setting(name, 0.5) for name in editor.names], editor=editor)
    np.testing.assert_allclose(whole.track.expression, each.track.expression, atol=1e-6)
    assert whole.leak[1] < 1e-2  # a gain of everything is exact in coefficients too
    one = edit(clip, head, [Setting("mouth", 1.0), Setting("expression", 1.0)], editor=editor)
    assert one.offsets is None and one.leak == (0.0, 0.0)
    np.testing.assert_array_equal(one.track.expression, clip.expression)


def test_gains_of_one_region_multiply_and_sliders_add(head, editor, clip):
    twice = edit(clip, head, [Setting("mouth", 0.5), Setting("mouth", 2.0)], editor=editor)
    np.testing.assert_array_equal(twice.track.expression, clip.expression)
    made = edit(
        clip, head, [Setting("smile", 0.2), Setting("smile", 0.3), Setting("expression_40", -1.0)], editor=editor
    )
    change = np.asarray(made.track.expression) - np.asarray(clip.expression)
    np.testing.assert_allclose(change[:, flame.CONTROLS["smile"]], 0.5, atol=1e-6)
    np.testing.assert_allclose(change[:, 40], -1, atol=1e-6)
    assert np.count_nonzero(np.abs(change).max(0)) == 2


@pytest.mark.parametrize(("name", "eye", "way"), [
    ("left_eye_yaw", 0, (1, 0)), ("right_eye_yaw", 1, (1, 0)), ("left_eye_pitch", 0, (0, 1)), ("right_eye_pitch", 1, (0, 1)),
])  # fmt: skip
def test_an_eye_turns_by_the_angle_it_is_told(head, editor, clip, name, eye, way):
    """Left and up are positive; the other eye does not move."""
    still = dataclasses.replace(clip, eyes=np.zeros((60, 6), np.float32))
    made = edit(still, head, [Setting(name, np.radians(4.0), 1.0, 2.0, 0.2)], editor=editor)
    looking = np.asarray(gaze.gaze_of(made.track, "head"), float)
    want = np.array([np.sin(np.radians(4)) * way[0], np.sin(np.radians(4)) * way[1], np.cos(np.radians(4))])
    np.testing.assert_allclose(looking[35, eye], want, atol=1e-6)
    np.testing.assert_allclose(looking[35, 1 - eye], [0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(made.track.eyes[:25], 0)


def test_turns_act_after_the_tracked_rotation(head, editor, clip):
    made = edit(clip, head, [Setting("eyes_yaw", 0.1), Setting("jaw_open", 0.2)], editor=editor)
    for k in (slice(0, 3), slice(3, 6)):
        want = Rotation.from_rotvec([0, 0.1, 0]) * Rotation.from_rotvec(np.asarray(clip.eyes)[:, k])
        np.testing.assert_allclose(made.track.eyes[:, k], want.as_rotvec(), atol=1e-5)
    want = Rotation.from_rotvec([0.2, 0, 0]) * Rotation.from_rotvec(np.asarray(clip.jaw))
    np.testing.assert_allclose(made.track.jaw, want.as_rotvec(), atol=1e-5)


def test_a_blink_slider_closes_the_eyes_of_a_head_without_names(head):
    from tests.oracles.heads import toy_head

    toy = toy_head()
    for model in (head, toy):
        small = at_landmarks(model)
        rest = np.asarray(apertures(small, np.zeros(0), np.zeros(100), np.zeros(3)))
        shut = np.asarray(apertures(small, np.zeros(0), direction(model, "blink_left"), np.zeros(3)))
        assert shut[0] < 0.75 * rest[0] and abs(shut[1] - rest[1]) < 0.5 * (rest[0] - shut[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [("grin", 1.0), ("expression_100", 1.0), ("mouth", 6.0), ("mouth", -1.0), ("smile", float("nan"))],
)
def test_what_cannot_be_set_is_refused(head, editor, clip, name, value):
    with pytest.raises(InputError, match=name):
        edit(clip, head, [Setting(name, value)], editor=editor)


def test_half_blinks_are_closed_and_the_rest_stays(head):
    true = simulate.driver(150, seed=4)
    expression = np.array(true.expression)
    rest = np.median(expression[:, [LEFT, RIGHT]], 0)
    expression[:, [LEFT, RIGHT]] = rest + 0.5 * (expression[:, [LEFT, RIGHT]] - rest)
    half = dataclasses.replace(true, expression=expression)
    made, found = repair_blinks(half, head)
    assert len(found) >= 1 and all(blink.eyes == (True, True) for blink in found)
    small = at_landmarks(head)
    before, after = (np.asarray(apertures(small, np.zeros(0), t.expression, t.jaw))[:, :2] for t in (half, made))
    closed = np.asarray(apertures(small, np.zeros(0), np.eye(100)[LEFT], np.zeros(3)))[0]
    inside = np.zeros(150, bool)
    for blink in found:
        part = slice(blink.start, blink.stop)
        inside[part] = True
        assert (before[part].min(0) > 3 * closed).all() and (after[part].min(0) < 1.3 * closed).all()
        assert (after[part] <= before[part] + 1e-3).all()
    np.testing.assert_array_equal(np.asarray(made.expression)[~inside], expression[~inside])
    again, _ = repair_blinks(made, head)
    np.testing.assert_allclose(again.expression, made.expression, atol=0.06)


def test_a_wink_stays_a_wink_and_open_eyes_stay_open(head):
    still = simulate.driver(100, seed=1)
    expression = np.zeros((100, 100), np.float32)
    still = dataclasses.replace(still, expression=expression, jaw=np.zeros((100, 3), np.float32))
    same, found = repair_blinks(still, head)
    assert same is still and not found
    wink = np.array(expression)
    wink[50:56, LEFT] = [0.2, 0.5, 0.6, 0.6, 0.4, 0.2]
    made, found = repair_blinks(dataclasses.replace(still, expression=wink), head)
    assert [blink.eyes for blink in found] == [(True, False)]
    np.testing.assert_array_equal(np.asarray(made.expression)[:, RIGHT], 0)
    assert np.asarray(made.expression)[:, LEFT].max() > 0.85
    long = np.array(expression)
    long[30:60, [LEFT, RIGHT]] = 0.6  # eyes half closed for more than a second: tired, not blinking
    made, found = repair_blinks(dataclasses.replace(still, expression=long), head)
    assert not found and np.array_equal(made.expression, long)
