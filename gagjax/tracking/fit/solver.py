"""One Gauss-Newton step of the fit, for all frames and what they share.

Each frame has its own pose, jaw and expression; shape and focal length are common. Frames are coupled only through the
common ones, so each frame's block is eliminated by itself (Schur complement) and the system that remains is as small
as the common part.

Source: Triggs, McLauchlan, Hartley, Fitzgibbon, "Bundle Adjustment - A Modern Synthesis", 2000, section 6; Cauchy
weights as in Hartley and Zisserman, "Multiple View Geometry", appendix 6.8.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax import so3
from gagjax.pytree import pytree, static
from gagjax.tracking.fit.head import UNITS, Person, PointHead, Pose, head_points, head_turns, in_camera, linear_columns
from gagjax.typing import AnyArray

_PRECISION = jax.lax.Precision.HIGHEST
_BATCH = 8  # frames at a time: their columns stay in the cache
POSE, JAW = 6, 3


@pytree
class Settings:
    """Priors as numbers for the step; see `priors.Priors`.

    Args:
        expression: Standard deviations of the expression coefficients and the network's errors, (E,).
        jaw: Standard deviations, (3,).
        shape: Precision of a shape coefficient over the whole clip.
        focal: Precision of the focal length's logarithm over the whole clip.
        usual_focal: The likely focal length, pixels.
        robust: Residual from which points count less.
        bounded: The number of coefficients, from the first on, for which negative values are unlikely.
    """

    expression: Float[Array, "E"]
    jaw: Float[Array, "3"]
    shape: Float[Array, ""]
    focal: Float[Array, ""]
    usual_focal: Float[Array, ""]
    robust: Float[Array, ""]
    bounded: int = static(default=0)


class Observed(NamedTuple):
    """What was seen of frames.

    Attributes:
        points: Pixels from the principal point, (T, N, 2).
        weights: Weight of each point, (T, N); 0 leaves it out.
        scale: Standard deviation of a point, pixels, (T,).
    """

    points: Float[AnyArray, "*T N 2"]
    weights: Float[AnyArray, "*T N"]
    scale: Float[AnyArray, "*T"]


class _Linear(NamedTuple):
    """A frame linearised: weighted residuals and their derivatives, by the frame's own parameters and the common ones."""

    residual: Array  # (2N,)
    own: Array  # (2N, P): pose, jaw, expression
    common: Array  # (2N, S + 1): shape, log focal (the distance grows with it)
    offsets: Array  # (N, 2, 3): by each point's own place
    cost: Array


def _linear(
    head: PointHead, person: Person, settings: Settings, pose: Pose, seen: Observed, *, shared: bool
) -> _Linear:
    count = head.count

    def in_head(jaw: AnyArray) -> Array:
        return head_points(head, person, jaw, pose.expression, pose.rotation)

    points, by_jaw = in_head(pose.jaw), jax.jacfwd(in_head)(pose.jaw)  # (N, 3), (N, 3, 3)
    to_camera = UNITS * pose.rotation.T  # a column in the head's frame -> in the camera's
    camera = in_camera(points, pose)
    arm = camera - pose.shift  # the head's points about its origin
    # Columns y x e_k: how a point moves with a rotation on the right of row vectors.
    zero = jnp.zeros(count)
    x, y, z = arm[:, 0], arm[:, 1], arm[:, 2]
    by_turn = jnp.stack([jnp.stack([zero, z, -y], -1), jnp.stack([-z, zero, x], -1), jnp.stack([y, -x, zero], -1)], -1)
    depth = camera[:, 2:]
    plane = -person.focal * camera[:, :2] / depth
    residual = (plane - seen.points) / seen.scale
    far = (residual**2).sum(-1)
    root = jnp.sqrt(seen.weights / (1 + far / settings.robust**2))
    d = -person.focal / depth[:, 0] * root / seen.scale
    slant = camera[:, :2] / depth
    to_plane = jnp.stack([jnp.stack([d, 0 * d, -d * slant[:, 0]], -1), jnp.stack([0 * d, d, -d * slant[:, 1]], -1)], 1)
    from_head = jnp.einsum("nac,cb->nab", to_plane, to_camera, precision=_PRECISION)
    linear = linear_columns(head, pose.jaw) if shared else linear_columns(head, pose.jaw, head.shapes)
    shapes = head.shapes if shared else 0
    columns = jnp.einsum("nab,nbk->nak", from_head, jnp.concatenate([by_jaw, linear], -1), precision=_PRECISION)
    by_turn = jnp.einsum("nac,nck->nak", to_plane, by_turn, precision=_PRECISION)
    sliding = jax.jacfwd(lambda turn: head_turns(_times(pose.rotation, so3.exp(turn))))(jnp.zeros(3))
    by_slide = jnp.einsum("kt,knc->nct", sliding, head.slides, precision=_PRECISION)
    by_turn = by_turn + jnp.einsum("nac,nct->nat", from_head, by_slide, precision=_PRECISION)
    own = jnp.concatenate([by_turn, to_plane, columns[..., :JAW], columns[..., JAW + shapes :]], -1)
    # A longer lens goes with a greater distance, so that the head keeps its size: what remains is perspective alone.
    by_focal = (plane * (root / seen.scale)[:, None] + to_plane[..., 2] * pose.shift[2])[..., None]
    common = jnp.concatenate([columns[..., JAW : JAW + shapes], by_focal], -1)
    cost = (seen.weights * settings.robust**2 * jnp.log1p(far / settings.robust**2)).sum()
    return _Linear(
        (residual * root[:, None]).reshape(-1),
        own.reshape(2 * count, -1),
        common.reshape(2 * count, -1),
        from_head,
        cost,
    )


def _times(a: AnyArray, b: AnyArray) -> Array:
    return jnp.matmul(a, b, precision=_PRECISION)


def _prior(settings: Settings, pose: Pose) -> tuple[Array, Array, Array]:
    """Gradient, curvature and value of the frame's own priors; diagonal."""
    centred = jnp.concatenate([jnp.zeros(POSE), pose.jaw / settings.jaw**2, pose.expression / settings.expression**2])
    curve = jnp.concatenate([jnp.zeros(POSE), 1 / settings.jaw**2, 1 / settings.expression**2])
    low = jnp.concatenate([jnp.full(POSE, jnp.inf), pose.jaw[:1], jnp.full(JAW - 1, jnp.inf), pose.expression])
    width = jnp.concatenate([jnp.ones(POSE), jnp.full(JAW, 0.05), jnp.full(pose.expression.shape, 0.1)])
    bounded = jnp.arange(low.size) < POSE + JAW + settings.bounded
    negative = (low < 0) & bounded
    centred = centred + jnp.where(negative, low / width**2, 0.0)
    curve = curve + jnp.where(negative, 1 / width**2, 0.0)
    cost = (pose.jaw**2 / settings.jaw**2).sum() + (pose.expression**2 / settings.expression**2).sum()
    return centred, curve, cost + jnp.where(negative, low**2 / width**2, 0.0).sum()


class Moves(NamedTuple):
    """Which parameters a step may change, 1 or 0: the face beyond its pose, the shape, the focal length, offsets."""

    face: Float[Array, ""]
    shape: Float[Array, ""]
    focal: Float[Array, ""]
    offsets: Float[Array, ""]


def _damped(own: Array, damping: Array, mask: Array) -> Array:
    diagonal = jnp.einsum("...ii->...i", own)
    ridge = damping * diagonal + 1e-4 + (1 - mask) * 1e6
    return own * mask[:, None] * mask + jnp.eye(mask.size) * ridge[..., None, :]


def _mask(face: Array, size: int) -> Array:
    return jnp.concatenate([jnp.ones(POSE), jnp.broadcast_to(face, (size - POSE,))])


def _moved(pose: Pose, change: Array) -> Pose:
    # A step that turns a head by more than half a radian has left the region where it means anything.
    turn = change[..., :3]
    turn = turn / jnp.maximum(1.0, jnp.linalg.norm(turn, axis=-1, keepdims=True) / 0.5)
    rotation = _times(pose.rotation, so3.exp(turn))
    rest = (change[..., 3:POSE], change[..., POSE : POSE + JAW], change[..., POSE + JAW :])
    return Pose(rotation, pose.shift + rest[0], pose.jaw + rest[1], pose.expression + rest[2])


@jax.jit
def frame_step(
    head: PointHead,
    settings: Settings,
    person: Person,
    pose: Pose,
    seen: Observed,
    face: Float[Array, ""],
    damping: Float[Array, ""],
) -> Pose:
    """One step of frames that have nothing in common but a known person.

    Args:
        head: The points' head model.
        settings: Priors.
        person: Shape, offsets and focal length.
        pose: Every frame's parameters so far, (T, ...).
        seen: The landmarks.
        face: 1, or 0 to move the pose alone.
        damping: Levenberg-Marquardt damping, a part of each diagonal entry.

    Returns:
        The poses after the step.
    """

    def one(frame: tuple[Pose, Observed]) -> Pose:
        now, observed = frame
        n = _linear(head, person, settings, now, observed, shared=False)
        value, curve, _ = _prior(settings, now)
        gradient = _times(n.own.T, n.residual) + value
        mask = _mask(face, gradient.size)
        own = _damped(_times(n.own.T, n.own) + jnp.diag(curve), damping, mask)
        return _moved(now, -jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(own), gradient * mask))

    return jax.lax.map(one, (pose, seen), batch_size=min(_BATCH, pose.shift.shape[0]))


@jax.jit
def step(
    head: PointHead,
    settings: Settings,
    person: Person,
    pose: Pose,
    seen: Observed,
    moves: Moves,
    damping: Float[Array, ""],
    offset_precision: Float[Array, ""],
) -> tuple[Person, Pose, Float[Array, ""]]:
    """One step of all frames together with the person that they share.

    Args:
        head: The points' head model.
        settings: Priors.
        person: Shape, offsets and focal length so far.
        pose: Every frame's parameters so far, (T, ...).
        seen: The landmarks.
        moves: Which parameters may change.
        damping: Levenberg-Marquardt damping, a part of each diagonal entry.
        offset_precision: Precision of a point's own place, 1 / metres^2, over the whole clip.

    Returns:
        The person and the poses after the step, and the cost before it.
    """
    shared_mask = jnp.concatenate([jnp.broadcast_to(moves.shape, (head.shapes,)), moves.focal[None]])

    def one(frame: tuple[Pose, Observed]) -> tuple[Array, ...]:
        now, observed = frame
        n = _linear(head, person, settings, now, observed, shared=True)
        value, curve, cost = _prior(settings, now)
        gradient = _times(n.own.T, n.residual) + value
        mask = _mask(moves.face, gradient.size)
        own = _damped(_times(n.own.T, n.own) + jnp.diag(curve), damping, mask)
        coupling = _times(n.own.T, n.common) * mask[:, None] * shared_mask
        points = n.residual.reshape(-1, 2)
        common = _times(n.common.T, n.common), _times(n.common.T, n.residual)
        by_point = jnp.einsum("nai,naj->nij", n.offsets, n.offsets), jnp.einsum("nai,na->ni", n.offsets, points)
        return own, coupling, gradient * mask, *common, *by_point, n.cost + cost

    out = jax.lax.map(one, (pose, seen), batch_size=min(_BATCH, pose.shift.shape[0]))
    # All frames' blocks in one call: the solver is many times slower on a few at a time.
    own, coupling, gradient = out[:3]
    total, right, blocks, pull, cost = (value.sum(0) for value in out[3:])
    factor = jax.scipy.linalg.cho_factor(own)
    by_common = jax.scipy.linalg.cho_solve(factor, coupling)
    alone = jax.scipy.linalg.cho_solve(factor, gradient[..., None])[..., 0]
    reduced = total - jnp.einsum("tij,tik->jk", coupling, by_common, precision=_PRECISION)
    right = right - jnp.einsum("tij,ti->j", coupling, alone, precision=_PRECISION)
    diagonal = jnp.diagonal(total)
    precision = jnp.concatenate([jnp.broadcast_to(settings.shape, (head.shapes,)), settings.focal[None]])
    centred = jnp.concatenate([person.shape, jnp.log(person.focal / settings.usual_focal)[None]])
    reduced = reduced + jnp.diag(precision + damping * diagonal + 1e-6)
    reduced = reduced * shared_mask[:, None] * shared_mask + jnp.diag(1 - shared_mask)
    shared = -jnp.linalg.solve(reduced, (right + precision * centred) * shared_mask)
    after = _moved(pose, -alone - jnp.einsum("tij,j->ti", by_common, shared, precision=_PRECISION))
    # Forwards and backwards a point's place is seen least: it moves half as far.
    limit = offset_precision * jnp.diag(jnp.array([1.0, 1.0, 4.0]))
    wanted = jnp.linalg.solve(blocks + limit, (pull + person.offsets @ limit)[..., None])[..., 0]
    offsets = person.offsets - 0.7 * moves.offsets * wanted
    longer = jnp.exp(jnp.clip(shared[-1], -0.3, 0.3))
    after = after._replace(shift=jnp.asarray(after.shift).at[:, 2].add(pose.shift[:, 2] * (longer - 1)))
    return Person(person.shape + shared[:-1], offsets, person.focal * longer), after, cost


@jax.jit
def seen_at(head: PointHead, person: Person, pose: Pose) -> Float[Array, "T N 2"]:
    """Where the fitted points lie in the picture, in pixels from the principal point."""

    def one(pose: Pose) -> Array:
        camera = in_camera(head_points(head, person, pose.jaw, pose.expression, pose.rotation), pose)
        return -person.focal * camera[:, :2] / camera[:, 2:]

    return jax.lax.map(one, pose, batch_size=min(_BATCH, pose.shift.shape[0]))
