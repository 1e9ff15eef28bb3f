"""The laws of gaze correction."""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import InputError, flame, gaze, scan
from gagjax.track import Channels
from tests.oracles import gaze as oracle
from tests.oracles.flame import rotation
from tests.oracles.heads import with_lids

seeds = st.integers(0, 2**31)
FRAMES = 12
CENTRES = np.array(gaze.geometry.NOMINAL_EYE_CENTRES)


def clip(seed: int, frames: int = FRAMES, neck: bool = False) -> Channels:
    rng = np.random.default_rng(seed)
    return Channels(
        expression=rng.normal(size=(frames, 100)).astype(np.float32),
        jaw=np.zeros((frames, 3), np.float32),
        eyes=(0.2 * rng.normal(size=(frames, 6))).astype(np.float32),
        transform=np.stack([oracle.camera(rng) for _ in range(frames)]).astype(np.float32),
        neck=(0.1 * rng.normal(size=(frames, 3))).astype(np.float32) if neck else None,
    )


def errors(eyes, target_world, centres=CENTRES, parents=None):
    """Degrees between where each eye looks and the target, per frame and eye."""
    out = np.zeros((len(eyes), 2))
    for t, frame in enumerate(np.asarray(eyes, np.float64).reshape(-1, 2, 3)):
        turn = np.eye(3) if parents is None else parents[t]
        for e in range(2):
            at = target_world[t] - (centres[e] if parents is None else centres[t][e])
            out[t, e] = oracle.degrees_between(turn @ oracle.direction(frame[e]), at)
    return out


def camera_positions(transform):
    transform = np.asarray(transform, np.float64)
    return np.stack([-m[:, :3] @ m[:, 3] / 5 for m in transform])


@given(seed=seeds, keep=st.sampled_from([0.0, 1.0]))
def test_strength_zero_changes_nothing(seed, keep):
    channels = clip(seed)
    out = gaze.GazeCorrector(strength=0.0, keep=keep).apply(channels)
    np.testing.assert_array_equal(out.eyes, channels.eyes)


@given(seed=seeds)
def test_strength_one_meets_the_camera_and_is_idempotent(seed):
    channels = clip(seed)
    corrector = gaze.GazeCorrector(strength=1.0)
    out = corrector.apply(channels)
    assert errors(out.eyes, camera_positions(channels.transform)).max() < 0.01
    np.testing.assert_allclose(corrector.apply(out).eyes, out.eyes, atol=1e-6)


@given(seed=seeds)
def test_a_rotated_neck_is_undone(seed):
    channels = clip(seed, neck=True)
    corrector = gaze.GazeCorrector()
    out = corrector.apply(channels)
    parents = np.stack([rotation(v) for v in channels.neck.astype(np.float64)])
    pivot = np.asarray(corrector.neck_joint, np.float64)
    centres = pivot + np.einsum("tab,eb->tea", parents, CENTRES - pivot)
    assert errors(out.eyes, camera_positions(channels.transform), centres, parents).max() < 0.01


@given(seed=seeds)
def test_turning_the_world_changes_nothing(seed):
    """A head turned together with its camera (a neck rotation, the camera carried along) keeps its eyes."""
    channels = clip(seed)
    turn = rotation(np.random.default_rng(seed + 1).normal(size=3) * 0.3)
    corrector = gaze.GazeCorrector(strength=0.7, keep=0.5)
    pivot = np.asarray(corrector.neck_joint, np.float64) * 5
    moved = []
    for matrix in channels.transform.astype(np.float64):
        # X_camera = X R + t must be the same for X' = turn (X - p) + p.
        new = turn @ matrix[:, :3]
        moved.append(np.concatenate([new, (matrix[:, 3] + pivot @ matrix[:, :3] - pivot @ new)[:, None]], 1))
    vector = np.asarray(jax.device_get(gaze.correct.so3.log(jnp.asarray(turn, jnp.float32))))
    turned = channels._replace(
        transform=np.stack(moved).astype(np.float32), neck=np.tile(vector, (FRAMES, 1)).astype(np.float32)
    )
    straight = channels._replace(neck=np.zeros((FRAMES, 3), np.float32))
    np.testing.assert_allclose(corrector.apply(turned).eyes, corrector.apply(straight).eyes, atol=1e-5)


@given(seed=seeds)
def test_a_mirrored_clip_gives_mirrored_eyes(seed):
    channels = clip(seed)
    corrector = gaze.GazeCorrector(target=(0.1, 0.05, 0.8), frame="head", strength=0.6, keep=1.0)
    flip = np.array([1, -1, -1], np.float32)

    def mirror(eyes):
        return np.concatenate([np.asarray(eyes)[:, 3:] * flip, np.asarray(eyes)[:, :3] * flip], 1)

    mirrored = dataclasses.replace(corrector, target=(-0.1, 0.05, 0.8))
    out = mirrored.apply(channels._replace(eyes=mirror(channels.eyes))).eyes
    np.testing.assert_allclose(out, mirror(corrector.apply(channels).eyes), atol=2e-6)


@given(seed=seeds, strength=st.floats(0, 1))
def test_eyes_on_the_target_stay_there(seed, strength):
    channels = clip(seed)
    on_target = gaze.GazeCorrector(target=(0.0, 0.0, 0.5), frame="head").apply(channels)
    again = gaze.GazeCorrector(target=(0.0, 0.0, 0.5), frame="head", strength=strength, keep=0.7).apply(on_target)
    np.testing.assert_allclose(again.eyes, on_target.eyes, atol=2e-6)


@pytest.mark.parametrize("target, most", [((1.0, 0.0, 0.4), 50), ((0.0, 1.0, 0.5), 45), ((-1.0, 1.0, 0.9), 50)])
def test_limits_are_never_passed(target, most):
    channels = clip(0)
    out = gaze.GazeCorrector(target=target, frame="head", direction=True, release=179, released=180).apply(channels)
    angles = errors(out.eyes, np.tile([0, 0, 1e6], (FRAMES, 1)))
    assert angles.min() > 30 and angles.max() <= most


def test_a_target_behind_the_head_is_let_go():
    channels = clip(0)
    out = gaze.GazeCorrector(target=(0.3, 0.0, -1.0), frame="head").apply(channels)
    np.testing.assert_array_equal(out.eyes, channels.eyes)


def test_small_fast_movements_survive_and_glances_do_not():
    frames, fps = 100, 25
    still = clip(0)._replace(**{
        name: np.repeat(getattr(clip(0), name)[:1], frames, 0) for name in ("expression", "jaw", "eyes", "transform")
    })  # fmt: skip
    eyes = np.zeros((frames, 6), np.float32)
    eyes[40:42] += np.tile(np.radians([0.3, 0.5, 0.0]), 2).astype(np.float32)  # a micro-saccade
    eyes[70:72] += np.tile(np.radians([0.0, 30.0, 0.0]), 2).astype(np.float32)  # a glance
    target = camera_positions(still.transform)
    args = {"dt": 1 / fps}
    dead = errors(gaze.GazeCorrector().apply(still._replace(eyes=eyes), **args).eyes, target)
    alive = errors(gaze.GazeCorrector(keep=1.0).apply(still._replace(eyes=eyes), **args).eyes, target)
    assert dead.max() < 0.01
    assert 0.25 < alive[40].min() < 0.65 and alive[70].max() < 2.01
    assert alive[20].max() < 0.05


def test_directions_keep_the_eyes_parallel_and_frames_agree():
    channels = clip(3)
    parallel = gaze.GazeCorrector(target=(0.1, 0.2, 1.0), frame="head", direction=True).apply(channels).eyes
    np.testing.assert_allclose(parallel[:, :3], parallel[:, 3:], atol=1e-7)
    # The camera's own viewing direction, reversed, is a direction in the camera's frame.
    into_lens = gaze.GazeCorrector(target=(0.0, 0.0, -1.0), direction=True).apply(channels).eyes
    far = -channels.transform[:, :, 2].astype(np.float64) * 1e7
    assert errors(into_lens, far).max() < 0.01
    world = gaze.GazeCorrector(target=(0.1, 0.2, 1.0), frame="world").apply(channels).eyes
    head = gaze.GazeCorrector(target=(0.1, 0.2, 1.0), frame="head").apply(channels).eyes
    np.testing.assert_allclose(world, head, atol=1e-7)


def test_missing_frames_do_not_spoil_the_others():
    channels = clip(1)
    eyes = channels.eyes.copy()
    eyes[5] = np.nan
    valid = np.arange(FRAMES) != 5
    out = gaze.GazeCorrector(strength=0.5, keep=1.0).apply(channels._replace(eyes=eyes), valid=valid).eyes
    assert np.isfinite(out).all()
    some = gaze.GazeCorrector(strength=1.0)
    mended = some.apply(channels._replace(eyes=eyes), valid=valid).eyes
    np.testing.assert_allclose(mended[6:], some.apply(channels).eyes[6:], atol=1e-6)


def test_a_known_head_brings_its_eyes_and_its_lids():
    model = with_lids()
    corrector = gaze.GazeCorrector(strength=1.0).for_model(model)
    np.testing.assert_allclose(corrector.centres, flame.eye_centres(model, np.zeros(10)))
    frames = 30
    channels = Channels(
        expression=np.zeros((frames, 100), np.float32),
        jaw=np.zeros((frames, 3), np.float32),
        eyes=np.full((frames, 6), 0.15, np.float32),
        transform=np.repeat(clip(0).transform[:1], frames, 0),
    )
    channels.expression[10:13, 1] = 0.9  # the right eye winks
    # The toy's lids share vertices and stay a third open; the thresholds move with them.
    corrector = dataclasses.replace(corrector, lids=dataclasses.replace(corrector.lids, shut=0.5, open=0.8))
    assert float(corrector.lids.openness(channels.expression)[11, 1]) < 0.5
    out = np.asarray(corrector.apply(channels, dt=0.04).eyes)
    np.testing.assert_allclose(out[10:13, 3:], channels.eyes[10:13, 3:], atol=1e-6)
    target = camera_positions(channels.transform)
    found = errors(out, target, np.asarray(corrector.centres, np.float64))
    assert found[:, 0].max() < 0.01 and found[28:, 1].max() < 0.01
    # The correction comes and goes over several frames, not in one.
    assert np.abs(np.diff(out[:, 4])).max() < 0.7 * np.abs(out[0, 4] - out[11, 4])


def test_gradients_are_finite_everywhere():
    channels = clip(2)
    channels.eyes[3] = 0.0

    def loss(corrector, channels):
        return (corrector.apply(channels).eyes ** 2).sum()

    for strength in (0.0, 0.5, 1.0):
        corrector = gaze.GazeCorrector(strength=strength, keep=0.5)
        grads = jax.grad(loss, argnums=(0, 1))(corrector, channels)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
        assert abs(float(grads[0].strength)) > 1e-3


def test_live_is_causal_and_meets_the_target():
    channels = clip(4)
    live = gaze.LiveGazeCorrector(gaze.GazeCorrector(strength=1.0))
    out, _ = scan(live, channels)
    assert errors(out.eyes, camera_positions(channels.transform)).max() < 0.01
    some = gaze.live_stage()
    whole, _ = scan(some, channels)
    half, _ = scan(some, jax.tree.map(lambda x: x[:6], channels))
    np.testing.assert_array_equal(whole.eyes[:6], half.eyes)


def test_a_changed_strength_compiles_nothing_new():
    channels = clip(0)
    traced = chex.assert_max_traces(gaze.correct._apply.__wrapped__, n=1)
    run = jax.jit(traced)
    for strength in (0.1, 0.9):
        run(gaze.GazeCorrector(strength=strength), channels, None, np.float32(0.04))


def test_wrong_settings_are_named():
    with pytest.raises(InputError, match="frame: 'screen' is unknown"):
        gaze.GazeCorrector(frame="screen")
    with pytest.raises(InputError, match=r"strength: must lie in \[0, 1\], got 2"):
        gaze.GazeCorrector(strength=2.0)


def test_glances_away_are_left_alone():
    """Within `attract` of the target the correction is whole, beyond `ignore` there is none, and between it falls."""
    corrector = gaze.GazeCorrector(target=(0.0, 0.0, 1.0), frame="head", direction=True, attract=10.0, ignore=20.0)
    angles = np.deg2rad(np.array([5.0, 9.9, 14.0, 17.0, 20.1, 40.0]))
    left = []
    for angle in angles:
        looking = clip(0)._replace(eyes=np.tile(np.float32([0, angle, 0]), (FRAMES, 2)))
        left.append(float(np.rad2deg(np.asarray(corrector.apply(looking).eyes)[FRAMES // 2, 1])))
    np.testing.assert_allclose(left[:2], 0, atol=0.05)
    assert 0 < left[2] < 14 and left[2] / 14 < left[3] / 17 < 1
    np.testing.assert_allclose(left[4:], np.rad2deg(angles[4:]), atol=1e-3)


def performance(seed: int, share: float, off: tuple[float, float], frames: int = 120):
    """Looks at a distant target straight ahead in `share` of the frames, elsewhere in the others, with a tracker's
    constant error of `off` degrees, up and across, in both eyes."""
    rng = np.random.default_rng(seed)
    true = np.zeros((frames, 2))
    away = np.arange(frames) >= share * frames
    angle = rng.uniform(0, 2 * np.pi, 6)[np.arange(frames) * 6 // frames]
    true[away] = (20 + rng.uniform(0, 10)) * np.stack([np.sin(angle), np.cos(angle)], 1)[away]
    eyes = np.zeros((frames, 2, 3), np.float32)
    eyes[..., :2] = np.deg2rad(true + np.asarray(off) + rng.normal(0, 0.4, true.shape))[:, None]
    looking = clip(0, frames)._replace(eyes=eyes.reshape(frames, 6), expression=np.zeros((frames, 100), np.float32))
    return looking, true, away


def glances(channels, true, away):
    """Median error of the eyes where they look away, degrees."""
    found = np.rad2deg(np.asarray(channels.eyes).reshape(-1, 2, 3)[..., :2])
    return np.median(np.linalg.norm(found - true[:, None], axis=-1)[away])


AHEAD = dataclasses.replace(gaze.default_stage(), target=(0.0, 0.0, 1.0), frame="head", direction=True)


@given(seed=seeds, up=st.floats(-5, 5), side=st.sampled_from([-5.0, 5.0]))
def test_a_constant_error_is_taken_from_glances_too(seed, up, side):
    channels, true, away = performance(seed, 0.6, (up, side))
    before, after = glances(channels, true, away), glances(AHEAD.apply(channels), true, away)
    assert after < 0.4 * before


@given(seed=seeds)
def test_a_clip_that_never_looks_at_the_target_has_no_constant(seed):
    channels, _, _ = performance(seed, 0.0, (4.0, 0.0))
    moved = np.abs(np.asarray(AHEAD.apply(channels).eyes) - channels.eyes)
    assert np.median(moved) == 0  # but where its slow part passes the target between two glances


@given(seed=seeds, size=st.floats(0, 1.5))
def test_habits_are_no_errors(seed, size):
    """Glances of a clip that is nearly on target move less than a tenth of a degree."""
    channels, _, away = performance(seed, 0.6, (0.0, size))
    moved = np.rad2deg(np.abs(np.asarray(AHEAD.apply(channels).eyes) - channels.eyes))
    assert np.median(moved[away].max(-1)) < 0.1


def test_the_constant_has_gradients():
    channels, _, _ = performance(3, 0.6, (1.0, 4.0))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: np.asarray(x, np.float64), channels)

        def total(offset):
            return (dataclasses.replace(AHEAD, offset=offset).apply(wide).eyes[::7] ** 2).sum()

        slope = float(jax.grad(total)(0.6))
        step = 1e-3  # hyperparameters are float32
        found = float(total(0.6 + step) - total(0.6 - step)) / (2 * step)
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(slope, found, rtol=1e-4)
