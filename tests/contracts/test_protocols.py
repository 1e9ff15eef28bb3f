"""Every stage keeps the promises of its protocol: the reference's, the default's, the live ones, and a user's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import avatars, protocols
from gagjax.avatars.parameters import Parameters
from gagjax.filters import Ema, Kalman, scan
from gagjax.pytree import pytree
from gagjax.simulate import driver
from gagjax.splatting import Gaussians
from gagjax.stack import STAGES, Stack, enhance_frames, enhance_track
from gagjax.track import Channels

FRAMES = np.random.default_rng(0).uniform(size=(3, 32, 48, 3)).astype(np.float32)
EYES = np.broadcast_to(np.float32([[0.6, 0.45], [0.4, 0.45]]), (3, 2, 2))


class Count(NamedTuple):
    """Frames seen, and the last of them."""

    frames: Any
    last: Channels


@pytree
class OwnFilter:
    """A user's filter: the eyes at half their size."""

    def init(self, first: Channels) -> Count:
        return Count(jnp.int32(0), first)

    def step(self, state: Count, x: Channels) -> tuple[Count, Channels]:
        halved = x._replace(eyes=0.5 * x.eyes)
        return Count(state.frames + 1, halved), halved

    def predict(self, state: Count) -> tuple[Count, Channels]:
        return state, state.last


@pytree
class OwnTrackStage:
    """A user's stage over whole clips: the mean expression."""

    def apply(self, channels: Channels, *, valid: Any, dt: Any) -> Channels:
        seen = jnp.ones(len(channels.expression)) if valid is None else jnp.asarray(valid, jnp.float32)
        mean = jnp.broadcast_to(seen @ channels.expression / seen.sum(), channels.expression.shape)
        return channels._replace(expression=mean)


@pytree
class OwnFrameStage:
    """A user's frame stage: darker, by how many chunks there were."""

    def init(self, first: Any) -> Any:
        return jnp.float32(0)

    def apply(self, state: Any, frames: Any, eye_centres: Any = None) -> tuple[Any, Any]:
        return state + 1, frames * 0.5


@pytest.fixture(scope="module")
def stacks() -> dict[str, Stack]:
    with pytest.warns(UserWarning) if _unwarned() else _nothing():
        reference = {f"reference-{v}": Stack.reference(v) for v in ("document", "code")}
    own = Stack(OwnFilter(), OwnTrackStage(), None, OwnFrameStage(), None)
    return {**reference, "default": Stack.default(), "live": Stack.live(), "own": own}


def _unwarned() -> bool:
    from gagjax import stack

    return not stack._warned


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


NAMES = ("reference-document", "reference-code", "default", "live", "own")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", STAGES)
def test_stages_are_of_their_protocol(stacks, name, field):
    stage = getattr(stacks[name], field)
    if stage is None:
        return
    if field in ("detail", "eyes"):
        assert isinstance(stage, protocols.FrameStage)
    else:
        # One or the other: what runs frame by frame has no `apply`, and `Stack` decides by that.
        assert isinstance(stage, protocols.Filter) != isinstance(stage, protocols.TrackStage)
    assert jax.tree.structure(stage) == jax.tree.structure(jax.tree.map(lambda x: x, stage))


@pytest.mark.parametrize("name", ("default", "live", "own"))
def test_track_stages_return_what_they_were_given(stacks, name):
    track = driver(24)
    after = enhance_track(stacks[name], track)
    assert jax.tree.structure(after.channels) == jax.tree.structure(track.channels)
    for a, b in zip(jax.tree.leaves(after.channels), jax.tree.leaves(track.channels), strict=True):
        assert a.shape == b.shape and np.isfinite(a).all()


@pytest.mark.parametrize("name", ("reference-document", "default", "own"))
def test_frame_stages_carry_a_state_of_one_structure(stacks, name):
    first, state = enhance_frames(stacks[name], FRAMES, EYES)
    again, after = enhance_frames(stacks[name], FRAMES, EYES, state)
    assert first.shape == again.shape == FRAMES.shape
    assert jax.tree.structure(state) == jax.tree.structure(after)


def test_own_stages_do_what_they_say():
    track = driver(8)
    own = Stack(OwnFilter(), OwnTrackStage(), None, OwnFrameStage(), None)
    after = enhance_track(own, track)
    np.testing.assert_allclose(after.eyes, 0.5 * np.asarray(track.eyes), atol=1e-6)
    np.testing.assert_allclose(after.expression[0], np.asarray(track.expression).mean(0), atol=1e-5)
    frames, state = enhance_frames(own, FRAMES)
    np.testing.assert_allclose(frames, 0.5 * FRAMES, atol=1e-6)
    assert float(enhance_frames(own, FRAMES, state=state)[1].detail) == 2


def test_capabilities_tell_filters_apart():
    assert isinstance(Kalman(1e-3, 1e-2), protocols.HasAdjoint)
    assert isinstance(Kalman(1e-3, 1e-2), protocols.TimeStepped)
    assert not isinstance(Ema(0.5), protocols.HasAdjoint)
    with pytest.raises(ValueError, match="with_dt"):
        scan(Ema(0.5), np.zeros((3, 2), np.float32), dt=np.ones(3, np.float32))


def test_the_built_in_avatar_is_one():
    avatar = avatars.builtin()
    assert isinstance(avatar, protocols.Avatar)
    assert not isinstance(avatar, protocols.FinishesPictures)
    assert isinstance(avatar.gaussians(Parameters.neutral()), Gaussians)
