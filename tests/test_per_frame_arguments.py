"""What holds a value for each frame has one for each frame, and a sequence has a frame that was seen."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, gaze, shape_bucketing, simulate
from gagjax.filters import AdaptiveSmoother, Ema, SavitzkyGolay, rts, scan, stream
from gagjax.filters.base import hold_last
from gagjax.filters.kalman import ConstantVelocity
from gagjax.filters.scene_cuts import scene_cuts
from gagjax.multi_clip import enhance_tracks
from gagjax.pytree import pytree
from gagjax.stack import Stack, enhance_frames, enhance_track
from gagjax.track_smoother import TrackSmoother

pytestmark = pytest.mark.misuse  # what is wrong on purpose is for our own checks to find

FRAMES = 9
XS = np.zeros((FRAMES, 3), np.float32)
TURNS = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1))
CHANNELS = simulate.driver(FRAMES, seed=0).channels
KALMAN = ConstantVelocity(1.0, 1.0)

CALLS = {
    "scan, valid": lambda per_frame: scan(Ema(0.5), XS, valid=per_frame(bool)),
    "scan, dt": lambda per_frame: scan(KALMAN, XS, dt=per_frame(float)),
    "stream": lambda per_frame: list(stream(Ema(0.5), [(XS, per_frame(bool))])),
    "rts, valid": lambda per_frame: rts(KALMAN, XS, per_frame(bool)),
    "rts, valid per channel": lambda per_frame: rts(KALMAN, XS, np.tile(per_frame(bool)[:, None], (1, 3))),
    "rts, dt": lambda per_frame: rts(KALMAN, XS, dt=per_frame(float)),
    "rts, cuts": lambda per_frame: rts(KALMAN, XS, cuts=per_frame(bool)),
    "adaptive, valid": lambda per_frame: AdaptiveSmoother()(XS, per_frame(bool)),
    "adaptive, dt": lambda per_frame: AdaptiveSmoother()(XS, dt=per_frame(float)),
    "adaptive, cuts": lambda per_frame: AdaptiveSmoother()(XS, cuts=per_frame(bool)),
    "adaptive, rotations": lambda per_frame: AdaptiveSmoother().rotations(TURNS, per_frame(bool)),
    "adaptive, surprise": lambda per_frame: AdaptiveSmoother().surprise(XS, per_frame(bool)),
    "polynomial": lambda per_frame: SavitzkyGolay(5, 2)(XS, per_frame(bool)),
    "scene cuts": lambda per_frame: scene_cuts(TURNS, per_frame(bool)),
    "hold_last": lambda per_frame: hold_last(XS, per_frame(bool)),
    "track smoother, valid": lambda per_frame: TrackSmoother.default().apply(CHANNELS, valid=per_frame(bool)),
    "track smoother, dt": lambda per_frame: TrackSmoother.default().apply(CHANNELS, dt=per_frame(float)),
    "gaze, valid": lambda per_frame: gaze.GazeCorrector().apply(CHANNELS, valid=per_frame(bool)),
    "gaze, dt": lambda per_frame: gaze.GazeCorrector().apply(CHANNELS, dt=per_frame(float)),
    "gaze, target": lambda per_frame: gaze.GazeCorrector(target=np.tile(per_frame(float)[:, None], 3)).apply(CHANNELS),
    "eye centres": lambda per_frame: enhance_frames(
        Stack(), np.zeros((FRAMES, 8, 8, 3), np.float32), np.zeros((len(per_frame(float)), 2, 2))
    ),
}


@pytest.mark.parametrize("frames", [1, FRAMES - 1, FRAMES + 1, shape_bucketing.bucket(FRAMES)])
@pytest.mark.parametrize("name", CALLS)
def test_another_length_is_refused(name, frames):
    with pytest.raises(InputError, match=r"shape|target|eye_centres"):
        CALLS[name](lambda kind: np.ones(frames, kind))


@pytest.mark.parametrize("frames", [1, 2, 19, 21, 64])
@pytest.mark.parametrize("run", [enhance_track, lambda stack, track: enhance_tracks(stack, [track])[0]])
def test_a_target_for_each_frame_is_one_for_each_frame_of_the_clip(frames, run):
    track = simulate.driver(20, seed=0)
    with pytest.raises(InputError, match="target"):
        run(Stack(gaze=gaze.GazeCorrector(target=np.ones((frames, 3)))), track)


def test_a_stream_has_one_target():
    with pytest.raises(InputError, match="target"):
        gaze.LiveGazeCorrector(gaze.GazeCorrector(target=np.zeros((5, 3))))


class Plain:
    """A stage that is no pytree."""

    def apply(self, channels, *, valid, dt):
        return channels._replace(jaw=2 * channels.jaw)


@pytree
class Named:
    """A stage with something in it that JAX does not take."""

    name: str = "double"

    def apply(self, channels, *, valid, dt):
        return channels._replace(jaw=(2 if self.name == "double" else 1) * channels.jaw)


def test_many_clips_take_what_one_takes():
    tracks = [simulate.driver(frames, seed=frames) for frames in (20, 64, 20)]
    rng = np.random.default_rng(0)
    for stage in (gaze.GazeCorrector(target=rng.normal(size=(20, 3)), frame="head"), Plain(), Named()):
        stack, mine = Stack(gaze=stage), tracks if not isinstance(stage, gaze.GazeCorrector) else tracks[::2]
        for one, many in zip([enhance_track(stack, t) for t in mine], enhance_tracks(stack, mine), strict=True):
            np.testing.assert_allclose(one.eyes, many.eyes, atol=1e-5)
            np.testing.assert_allclose(one.jaw, many.jaw, atol=1e-6)
    stack = Stack(gaze=gaze.GazeCorrector(target=np.zeros((20, 3))))
    for run in (lambda: enhance_tracks(stack, tracks), lambda: [enhance_track(stack, track) for track in tracks]):
        with pytest.raises(InputError, match="target"):
            run()


NONE_SEEN = [name for name in CALLS if "valid" in name or name in ("stream", "polynomial", "adaptive, rotations")]


@pytest.mark.parametrize("name", [n for n in NONE_SEEN if "gaze" not in n])
def test_a_sequence_without_a_valid_frame_is_refused(name):
    with pytest.raises(ValueError, match="valid frame"):
        CALLS[name](lambda kind: np.zeros(FRAMES, kind))


@pytest.mark.parametrize("preset", [Stack.default, Stack.live])
def test_a_track_without_a_valid_frame_is_refused(preset):
    track = simulate.driver(FRAMES, seed=0)
    lost = type(track)(*track.channels[:4], valid=np.zeros(FRAMES, bool))
    for run in (enhance_track, lambda stack, t: enhance_tracks(stack, [t])):
        with pytest.raises(InputError, match="valid"):
            run(preset(enable=("temporal",)), lost)


def test_a_stream_goes_on_without_valid_frames():
    _, state = scan(Ema(0.5), XS + 3)
    ys, _ = scan(Ema(0.5), XS, state, valid=np.zeros(FRAMES, bool))
    np.testing.assert_array_equal(ys, jnp.full(XS.shape, 3.0))
