"""Gaze correction: turn a track's eyes towards a target, within anatomical limits and keeping natural eye motion.

`GazeCorrector` is a stage for whole clips, `LiveGazeCorrector` the same as a causal filter. Both do, per eye and frame,

    out = interpolate(slow, target, strength) * exp((1 - strength) fast + strength * keep * capped(fast))

where `slow` is the low-pass part of the eye's own motion and `fast = log(slow^-1 * original)`. Strength 0 returns the
original, strength 1 with `keep` 0 the target itself, which makes the correction idempotent. Keeping the small fast
movements (micro-saccades, tremor) keeps the eyes looking alive.

Trackers err by the same few degrees in a whole clip: an eye's line of sight is not its geometric axis, and irises are
measured against lids. Where enough frames of a clip look the same way close to the target, what is missing is taken for
that constant (`offset`), and glances are corrected by it too: they keep their direction relative to the target.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gagjax import so3
from gagjax.conventions import track_units
from gagjax.conventions.head_pose import ROOT, to_head, transform_of
from gagjax.errors import InputError
from gagjax.filters.base import check_lengths, hold_last
from gagjax.flame.eye_aspect_ratio import lid_aperture
from gagjax.flame.model import FlameModel, eye_centres, joints, landmarks, vertices
from gagjax.flame.subset import at_landmarks
from gagjax.gaze.geometry import NOMINAL_EYE_CENTRES, camera_to_world, look_along
from gagjax.numerics import safe_norm
from gagjax.pytree import fact, is_concrete, pytree, static
from gagjax.track import Channels, Track
from gagjax.typing import AnyArray, Scalar, Tree

FRAMES = ("camera", "world", "head")
#: Width of a cluster of lines of sight, in degrees, and the share of a clip's frames in it below which it is taken for
#: chance and above which for the performer's habit.
CLUSTER, RARE, USUAL = 3.5, 0.15, 0.35
#: Constants below the first of these, in degrees, are a performer's habit; above the second they are errors.
HABIT = (2.0, 3.5)


@pytree
class Lids:
    """Estimates eye closure from a track's expression.

    Args:
        landmarks: A model restricted to its landmarks (`flame.subset.at_landmarks`), for the identity of the track.
        shape: The identity's shape coefficients, (S,).
        shut: Below this fraction of the open aperture an eye counts as closed and is not corrected.
        open: Above this fraction it counts as open and is corrected fully.
    """

    landmarks: FlameModel = fact()
    shape: Float[AnyArray, "S"] = fact()
    shut: Scalar = 0.25
    open: Scalar = 0.6

    def openness(self, expression: Float[AnyArray, "*#batch 100"]) -> Float[Array, "*#batch 2"]:
        """Left and right lid aperture as a fraction of the neutral face's, (..., 2)."""
        expression = jnp.asarray(expression)
        frames = jnp.concatenate([expression.reshape(-1, expression.shape[-1]), jnp.zeros((1, expression.shape[-1]))])
        zero = jnp.zeros((len(frames), 6))
        points = landmarks(self.landmarks, vertices(self.landmarks, self.shape, frames, zero, zero))
        aperture = lid_aperture(points)
        return (aperture[:-1] / aperture[-1]).reshape(*expression.shape[:-1], 2)

    def weight(self, expression: Float[AnyArray, "*#batch 100"]) -> Float[Array, "*#batch 2"]:
        """Correction weight of each eye: 0 closed, 1 open, smooth between."""
        return _ramp((self.openness(expression) - self.shut) / (self.open - self.shut))


@pytree
class GazeCorrector:
    """Turns the eyes of a clip towards a target: a stage of `Stack`.

    Args:
        target: The point to look at, in metres, (3,) or per frame (T, 3); or a direction of any length, see
            `direction`. The default, the camera frame's origin, is the camera itself: eye contact.
        strength: 0 leaves the eyes unchanged, 1 puts them on the target.
        keep: Fraction of the original fast motion to keep, 0 to 1.
        keep_limit: Saturation of the kept motion, in degrees: micro-saccades stay, glances away do not.
        fast: Time constant, in seconds, below which motion counts as fast.
        horizontal: Largest sideways rotation, in degrees.
        vertical: Largest rotation up or down, in degrees.
        linear: Fraction of the limits within which targets are met exactly; beyond it the rotation saturates smoothly.
        release: Angle from straight ahead, in degrees, beyond which correction fades out (a head that has turned away
            does not stare from the corner of its eyes).
        released: Angle, in degrees, from which the eyes are left unchanged.
        attract: Eyes that look within this many degrees of the target are corrected fully.
        ignore: Eyes that look further than this from the target, in degrees, are left unchanged: a glance away is not a
            gaze error. The default ignores nothing.
        offset: Share of the clip's constant error that is removed from every frame, times `strength`, 0 to 1. Live
            streams remove none: the constant is not known before the end.
        centres: Left and right eye centre in the head's frame, (2, 3), metres.
        neck_joint: Pivot of the neck rotation, (3,), metres; used for tracks with a neck.
        root: Pivot of the head rotation, (3,), metres; used for tracks with a moving head.
        lids: Estimates lid closure from the expression, so that closing eyes are not corrected; None skips the check.
        frame: Frame of `target`: "camera" (x left, y up, z forward), "world" (the track's) or "head".
        direction: Whether `target` is a direction, so that both eyes stay parallel.

    Raises:
        InputError: If a value lies outside its range.

    Example:
        >>> GazeCorrector(target=(0.0, 0.0, 0.6), frame="head").strength.item()
        1.0
    """

    target: Float[AnyArray, "3"] | Float[AnyArray, "T 3"] | tuple[float, float, float] = (0.0, 0.0, 0.0)
    strength: Scalar = 1.0
    keep: Scalar = 0.0
    keep_limit: Scalar = 2.0
    fast: Scalar = 0.2
    horizontal: Scalar = 50.0
    vertical: Scalar = 45.0
    linear: Scalar = 0.9
    release: Scalar = 70.0
    released: Scalar = 110.0
    attract: Scalar = 360.0
    ignore: Scalar = 361.0
    offset: Scalar = 0.0
    centres: Float[AnyArray, "2 3"] | tuple[Any, ...] = fact(default=NOMINAL_EYE_CENTRES)
    neck_joint: Float[AnyArray, "3"] | tuple[float, float, float] = fact(default=(0.0, -0.07, -0.01))
    root: Float[AnyArray, "3"] | tuple[float, float, float] = fact(default=ROOT)
    lids: Lids | None = None
    frame: str = static(default="camera")
    direction: bool = static(default=False)

    def __post_init__(self) -> None:
        for name, shape in (("target", (3,)), ("centres", (2, 3)), ("neck_joint", (3,)), ("root", (3,))):
            value = jnp.asarray(getattr(self, name), jnp.float32)
            per_frame = name == "target" and value.ndim == 2 and value.shape[-1] == 3
            if value.shape != shape and not per_frame:
                raise InputError(f"has shape {value.shape}, expected {shape}", field=name)
            object.__setattr__(self, name, value)
        if self.frame not in FRAMES:
            raise InputError(f"{self.frame!r} is unknown", field="frame", fix=f"Use one of {', '.join(FRAMES)}")
        for name in ("horizontal", "vertical", "release", "released"):
            track_units.warn_of_radians(name, getattr(self, name))
        for name in ("strength", "keep", "linear", "offset"):
            value = getattr(self, name)
            if is_concrete(value) and not 0 <= float(value) <= 1:
                raise InputError(f"must lie in [0, 1], got {float(value):g}", field=name)

    def for_model(self, model: FlameModel, shape: Float[AnyArray, "S"] | None = None) -> GazeCorrector:
        """The corrector for a known head: its own eye centres and neck joint, and lid closure.

        Args:
            model: The head that the track drives or was tracked with.
            shape: Its shape coefficients; None is the mean head.

        Raises:
            InputError: If the corrector's values, changed since it was made, lie outside their ranges.
        """
        shape = jnp.zeros(model.shapes) if shape is None else jnp.asarray(shape, jnp.float32)
        zero = jnp.zeros(6)
        rest = joints(model, shape, jnp.zeros(100), zero, zero)
        lids = Lids(at_landmarks(model), shape) if len(model.landmark_faces) >= 68 else None
        return dataclasses.replace(self, centres=eye_centres(model, shape), neck_joint=rest[1], root=rest[0], lids=lids)

    def for_track(self, track: Track) -> GazeCorrector:
        """The corrector itself, after checking that the track supports its target.

        Raises:
            InputError: If the target is neither a single one nor one per frame of the track, or is in the camera frame
                and the track's camera is unknown.
        """
        self._check_target(len(track))
        if self.frame == "camera" and not track.camera_known:
            raise InputError(
                f"cannot be aimed: the camera that filmed is not in this track ({track.source})",
                field="gaze",
                fix="Put transforms.json beside the track, or give a target in the frame of the head or the world",
            )
        return self

    def at_frames(self, places: Int[AnyArray, "N"], frames: int) -> GazeCorrector:
        """The corrector for some frames of a track, such as one of its sequences.

        Args:
            places: Their frame numbers, (N,).
            frames: Number of frames of the whole track.

        Raises:
            InputError: If the target is neither a single one nor one per frame of the whole track.
        """
        self._check_target(frames)
        target = jnp.asarray(self.target)
        return self if target.ndim == 1 else dataclasses.replace(self, target=target[np.asarray(places)])

    def apply(self, channels: Channels, *, valid: Bool[AnyArray, "T"] | None = None, dt: Scalar = 0.04) -> Channels:
        """Correct a whole clip; see `gagjax.stack` for stages.

        Args:
            channels: The track's arrays.
            valid: (T,) frames to trust; the others repeat the last valid one. None is all.
            dt: Seconds per frame, a number or (T,).

        Raises:
            InputError: If `valid`, `dt` or a per-frame target has another length.
        """
        frames = np.shape(channels.eyes)[0]
        check_lengths(frames, valid=valid, dt=dt if np.ndim(dt) else None)
        self._check_target(frames)
        return _apply(self, channels, valid, dt)

    def _check_target(self, frames: int) -> None:
        shape = np.shape(self.target)
        if shape not in ((3,), (frames, 3)):
            raise InputError(f"has shape {shape}", field="target", fix=f"Pass (3,), or ({frames}, 3) for each frame")

    def targets(self, channels: Channels) -> tuple[Float[Array, "*#batch 6"], Float[Array, "*#batch 2"]]:
        """Target rotations of the eyes, within their limits, and a per-eye weight from lid closure and target angle."""
        parent = jnp.eye(3) if channels.neck is None else so3.exp(channels.neck)
        pivot = jnp.asarray(self.neck_joint)
        centres = pivot + jnp.einsum("...ab,eb->...ea", parent, jnp.asarray(self.centres) - pivot, precision="highest")
        aim: Any = jnp.asarray(self.target)
        if self.frame == "camera":
            transform = jnp.asarray(transform_of(channels, self.root))
            aim = transform[..., :3] @ aim[..., None] if self.direction else camera_to_world(aim, transform)
            aim = aim[..., 0] if self.direction else aim
        elif self.frame == "world":
            aim = to_head(aim, channels.extra, self.root, direction=self.direction)
        else:
            shift = jnp.zeros(3) if self.direction else pivot
            aim = shift + jnp.einsum("...ab,...b->...a", parent, aim - shift, precision="highest")
        aim = jnp.asarray(aim)[..., None, :]
        each = (
            jnp.broadcast_to(aim, jnp.broadcast_shapes(aim.shape, centres.shape)) if self.direction else aim - centres
        )
        turn = look_along(each, parent)
        limited, weight = self._within_limits(turn.reshape(*turn.shape[:-1], 2, 3))
        if self.lids is not None:
            weight = weight * self.lids.weight(channels.expression)
        return jnp.asarray(limited).reshape(turn.shape), jnp.asarray(weight)

    def _within_limits(self, turn: Float[AnyArray, "*#batch 2 3"]) -> tuple[AnyArray, AnyArray]:
        """The rotation saturated to the ellipse of the two limits, and the release weight for its angle."""
        limits = jnp.deg2rad(jnp.stack([jnp.asarray(self.vertical), jnp.asarray(self.horizontal), jnp.ones(())]))
        share = safe_norm(turn / limits)
        room = jnp.maximum(1.0 - self.linear, 1e-6)
        bent = self.linear + room * jnp.tanh((share - self.linear) / room)
        beyond = share > self.linear
        scale = jnp.where(beyond, bent / jnp.where(beyond, share, 1.0), 1.0)
        angle = jnp.rad2deg(safe_norm(turn))
        weight = 1.0 - _ramp((angle - self.release) / jnp.maximum(self.released - self.release, 1e-6))
        return turn * scale[..., None], weight

    def attention(
        self, slow: Float[AnyArray, "*#batch 6"], goal: Float[AnyArray, "*#batch 6"]
    ) -> Float[Array, "*#batch 2"]:
        """Per-eye attention weight from the angle between slow gaze and target: 1 near, 0 far."""
        looking, aim = (so3.exp(x.reshape(*x.shape[:-1], 2, 3))[..., 2] for x in (slow, goal))
        # Between gaze directions: rotation about the line of sight does not matter.
        apart = jnp.arctan2(safe_norm(jnp.cross(looking, aim)), (looking * aim).sum(-1))
        return 1.0 - _ramp((jnp.rad2deg(apart) - self.attract) / jnp.maximum(self.ignore - self.attract, 1e-6))

    def constant_error(
        self, slow: Float[AnyArray, "T 6"], goal: Float[AnyArray, "T 6"], weight: Float[AnyArray, "T 2"]
    ) -> Float[Array, "2 3"]:
        """What the clip's eyes lack of the target when they look close to it, as a rotation of each eye.

        The densest direction near the target, by mean shift (Comaniciu & Meer, PAMI 2002), times a confidence that
        grows with the share of frames that look that way: a clip that never looks at the target has no constant.

        Args:
            slow: The eyes' slow part, (T, 6), radians.
            goal: Target rotations, (T, 6), radians.
            weight: Trust in each frame and eye, (T, 2), in [0, 1].

        Returns:
            Axis-angle vectors of left and right eye, (2, 3), radians, to be applied in the eyes' own axes.
        """
        calm, aim = (so3.exp(x.reshape(*x.shape[:-1], 2, 3)) for x in (slow, goal))
        missing = jnp.asarray(so3.log(_undo(calm, aim)))
        near = weight * self.attention(slow, goal)

        def mean(share: AnyArray) -> Array:
            total = share.sum(0)[:, None]
            return (share[..., None] * missing).sum(0) / jnp.where(total > 1e-6, total, 1.0)

        def closeness(centre: AnyArray) -> Array:
            far = jnp.square(missing - centre).sum(-1) / jnp.square(jnp.deg2rad(CLUSTER))
            return jnp.asarray(weight) * jnp.exp(-0.5 * far)

        centre = jax.lax.fori_loop(0, 12, lambda _, centre: mean(closeness(centre)), mean(near), unroll=False)
        share = closeness(centre).sum(0) / jnp.maximum(weight.sum(0), 1e-6)
        sure = _ramp((share - RARE) / (USUAL - RARE))
        # Only where the attraction itself reaches: two clusters far from the target are two things looked at.
        reach = 1.0 - _ramp(
            (jnp.rad2deg(safe_norm(centre)) - self.attract) / jnp.maximum(self.ignore - self.attract, 1e-6)
        )
        # A performer's own habit is as large as a small error: it is left.
        size = jnp.rad2deg(safe_norm(centre))
        return (sure * reach * _ramp((size - HABIT[0]) / (HABIT[1] - HABIT[0])))[:, None] * centre

    def blend(
        self,
        eyes: Float[AnyArray, "*#batch 6"],
        slow: Float[AnyArray, "*#batch 6"],
        goal: Float[AnyArray, "*#batch 6"],
        weight: Float[AnyArray, "*#batch 2"],
    ) -> Float[Array, "*#batch 6"]:
        """The formula in the module docstring, on axis-angle vectors.

        Args:
            eyes: Left and right eye as tracked, (..., 6), radians.
            slow: Their slow part, (..., 6), radians.
            goal: Target rotations, (..., 6), radians.
            weight: Correction weight of each eye, (..., 2), in [0, 1].

        Returns:
            The corrected rotations, (..., 6), radians.
        """

        def per_eye(x: AnyArray) -> Array:
            return jnp.asarray(x).reshape(*x.shape[:-1], 2, 3)

        original, calm, aim = so3.exp(per_eye(eyes)), so3.exp(per_eye(slow)), so3.exp(per_eye(goal))
        strength = (self.strength * weight)[..., None]
        fast = so3.log(_undo(calm, original))
        most = jnp.deg2rad(self.keep_limit)
        size = safe_norm(fast)[..., None]
        moving = size > 1e-6
        share = jnp.where(moving, size, 1.0) / most
        capped = fast * jnp.where(moving, jnp.tanh(share) / share, 1.0)
        step = strength * so3.log(_undo(calm, aim))
        quick = (1.0 - strength) * fast + strength * self.keep * capped
        turned = _times(_times(calm, so3.exp(step)), so3.exp(quick))
        out = so3.log(turned)
        # The round trip through matrices changes an uncorrected eye in its last digits. Only the value is replaced: at
        # strength 0 the gradient is still that of the formula.
        same = jax.lax.stop_gradient(per_eye(eyes) - out)
        out = out + jnp.where(strength == 0.0, same, 0.0)
        return out.reshape(*out.shape[:-2], 6)


class LiveGazeState(NamedTuple):
    """The eyes' slow motion so far, and the last output frame."""

    slow: Float[Array, "6"]
    last: Channels


@pytree
class LiveGazeCorrector:
    """`GazeCorrector` as a causal filter over `Channels`: the slow motion is an exponential average of the past.

    Args:
        corrector: The correction to apply; its target must be the same for all frames.
        fps: Frames per second.

    Raises:
        InputError: If the target is per frame.
    """

    corrector: GazeCorrector
    fps: Scalar = fact(default=25.0)

    def __post_init__(self) -> None:
        if np.shape(self.corrector.target) != (3,):
            raise InputError(
                f"has shape {np.shape(self.corrector.target)}", field="target", fix="Pass one point, (3,), for a stream"
            )

    def init(self, first: Channels) -> LiveGazeState:
        """The state before the first frame, see `gagjax.protocols`."""
        return LiveGazeState(jnp.asarray(first.eyes), jax.tree.map(jnp.asarray, first))

    def step(self, state: LiveGazeState, x: Channels) -> tuple[LiveGazeState, Channels]:
        """One observed frame, see `gagjax.protocols.Filter`."""
        pull = 1.0 - jnp.exp(-1.0 / (self.fps * jnp.maximum(self.corrector.fast, 1e-3)))
        slow = state.slow + pull * (x.eyes - state.slow)
        goal, weight = self.corrector.targets(x)
        weight = weight * self.corrector.attention(slow, goal)
        y = x._replace(eyes=self.corrector.blend(x.eyes, slow, goal, weight))
        return LiveGazeState(slow, y), y

    def predict(self, state: LiveGazeState) -> tuple[LiveGazeState, Channels]:
        """One frame without an observation, see `gagjax.protocols.Filter`."""
        return state, state.last

    def for_track(self, track: Track) -> LiveGazeCorrector:
        """The filter itself; see `GazeCorrector.for_track`."""
        self.corrector.for_track(track)
        return self

    def for_model(self, model: FlameModel, shape: Float[AnyArray, "S"] | None = None) -> LiveGazeCorrector:
        """The filter for a known head; see `GazeCorrector.for_model`."""
        return dataclasses.replace(self, corrector=self.corrector.for_model(model, shape))

    def with_dt(self, dt: Scalar) -> LiveGazeCorrector:
        """The filter for frames that last `dt` seconds."""
        return dataclasses.replace(self, fps=1.0 / dt)


@jax.jit
def _apply(corrector: GazeCorrector, channels: Channels, valid: AnyArray | None, dt: Scalar) -> Channels:
    channels = hold_last(channels, valid)
    eyes = jnp.asarray(channels.eyes)
    frames = eyes.shape[0]
    seconds = jnp.broadcast_to(jnp.asarray(dt, jnp.float32), (frames,))
    trusted = jnp.ones(frames, bool) if valid is None else jnp.asarray(valid)
    trusted = trusted & jnp.isfinite(eyes).all(-1)
    goal, weight = corrector.targets(channels)
    goal, weight = jnp.broadcast_to(goal, (frames, 6)), jnp.broadcast_to(weight, (frames, 2))
    slow = _calm(eyes, trusted, seconds, corrector.fast)
    believed = weight * trusted[:, None].astype(weight.dtype)
    constant = corrector.offset * corrector.strength * corrector.constant_error(slow, goal, believed)
    eyes, slow = _turned(eyes, constant), _turned(slow, constant)
    weight = weight * corrector.attention(slow, goal)
    # The weight changes as fast as a lid moves. The correction should fade more slowly and be gone before the lid is
    # shut: take the minimum over two frames on either side, smoothed.
    padded = jnp.pad(weight, ((2, 2), (0, 0)), mode="edge")
    least = jnp.stack([padded[k : k + frames] for k in range(5)]).min(0)
    weight = jnp.minimum(weight, _calm(least, trusted, seconds, 0.06))
    out = corrector.blend(eyes, slow, goal, weight)
    return channels._replace(eyes=jnp.where(jnp.isfinite(out).all(-1, keepdims=True), out, eyes))


def _calm(x: Float[AnyArray, "T C"], trusted: Bool[AnyArray, "T"], seconds: Float[AnyArray, "T"], tau: Scalar) -> Array:
    """A zero-lag two-sided exponential average: trusted frames weigh exp(-|time difference| / tau)."""
    decay = jnp.exp(-seconds / jnp.maximum(tau, 1e-3))
    weight = trusted.astype(x.dtype)[:, None]
    value = jnp.where(trusted[:, None], x, 0.0)
    stacked = jnp.concatenate([value, weight], -1)

    def forward(carry: Tree, frame: Tree) -> tuple[Array, Array]:
        now, fade = frame
        total = fade * carry + now
        return total, total

    start = jnp.zeros_like(stacked[0])
    _, past = jax.lax.scan(forward, start, (stacked, decay))
    later = jnp.concatenate([decay[1:], jnp.ones(1)])
    _, future = jax.lax.scan(forward, start, (stacked, later), reverse=True)
    both = past + future - stacked
    seen = both[:, -1:] > 1e-12
    return jnp.where(seen, both[:, :-1] / jnp.where(seen, both[:, -1:], 1.0), x)


def _turned(x: Float[AnyArray, "T 6"], constant: Float[AnyArray, "2 3"]) -> Array:
    """Both eyes turned by a constant in their own axes; by none, they keep their last digits, and their gradient."""
    turn = _times(so3.exp(x.reshape(-1, 2, 3)), so3.exp(constant))
    out = so3.log(turn).reshape(x.shape)
    return out + jnp.where(jnp.any(constant != 0), 0.0, jax.lax.stop_gradient(x - out))


def _ramp(x: AnyArray) -> Array:
    """0 below 0, 1 above 1, smooth between."""
    x = jnp.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _undo(a: AnyArray, b: AnyArray) -> Array:
    """The rotation from a to b, a^T b."""
    return _times(jnp.swapaxes(a, -1, -2), b)


def _times(a: AnyArray, b: AnyArray) -> Array:
    return jnp.matmul(a, b, precision="highest")


def default_stage(model: FlameModel | None = None, shape: Float[AnyArray, "S"] | None = None) -> GazeCorrector:
    """The stage that `Stack.default(enable=("gaze", ...))` runs: eye contact for eyes that nearly look at the camera.

    The clip's constant error is removed first, where it shows. Then, within 8 degrees of the camera, the eyes are turned
    most of the way to it; beyond 12 degrees the performer is looking elsewhere and the eyes are left unchanged.

    Args:
        model: The target head, if known; closed eyes are then left unchanged.
        shape: Its shape coefficients.
    """
    stage = GazeCorrector(strength=0.8, keep=1.0, attract=8.0, ignore=12.0, offset=1.0)
    return stage if model is None else stage.for_model(model, shape)


def live_stage(model: FlameModel | None = None, shape: Float[AnyArray, "S"] | None = None) -> LiveGazeCorrector:
    """The same as a causal filter, for `Stack.live`."""
    return LiveGazeCorrector(default_stage(model, shape))
