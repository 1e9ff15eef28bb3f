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
from gagjax.tracking.fit.head import UNITS, Person, PointHead, Pose, head_points, in_camera, linear_columns

_PRECISION = jax.lax.Precision.HIGHEST
_BATCH = 8  # frames at a time: their columns stay in the cache
POSE, JAW = 6, 3


@pytree
class Settings:
    """Priors as numbers for the step; see `priors.Priors`.

    Args:
        expression: Standard deviations, (E,).
        jaw: Standard deviations, (3,).
        shape: Precision of a shape coefficient over the whole clip.
        focal: Precision of the focal length's logarithm over the whole clip.
        usual_focal: The likely focal length, pixels.
        robust: Residual from which points count less.
        non_negative: Whether negative expression coefficients are unlikely.
    """

    expression: Float[Array, "E"]
    jaw: Float[Array, "3"]
    shape: Float[Array, ""]
    focal: Float[Array, ""]
    usual_focal: Float[Array, ""]
    robust: Float[Array, ""]
    non_negative: bool = static(default=False)


class Observed(NamedTuple):
    """What was seen of frames.

    Attributes:
        points: Pixels from the principal point, (T, N, 2).
        weights: Weight of each point, (T, N); 0 leaves it out.
        scale: Standard deviation of a point, pixels, (T,).
    """

    points: Float[Array, "*T N 2"]
    weights: Float[Array, "*T N"]
    scale: Float[Array, "*T"]


class Normal(NamedTuple):
    """One frame's share of the normal equations: own block, coupling, common block, gradients; offsets by point."""

    own: Array
    coupling: Array
    common: Array
    gradient: Array
    common_gradient: Array
    cost: Array
    offset: Array
    offset_gradient: Array


def _normal(head: PointHead, person: Person, settings: Settings, pose: Pose, seen: Observed) -> Normal:
    count, shapes = head.count, head.shapes

    def in_head(jaw: Array) -> Array:
        return head_points(head, person, jaw, pose.expression)

    points, by_jaw = in_head(pose.jaw), jax.jacfwd(in_head)(pose.jaw)  # (N, 3), (N, 3, 3)
    to_camera = UNITS * pose.rotation.T  # a column in the head's frame -> in the camera's
    columns = jnp.concatenate([by_jaw, linear_columns(head, pose.jaw)], -1)
    columns = jnp.einsum("ab,nbk->nak", to_camera, columns, precision=_PRECISION)
    camera = in_camera(points, pose)
    arm = camera - pose.shift  # the head's points about its origin
    # Rows of y x e_k: how a point moves with a rotation on the right of row vectors.
    zero = jnp.zeros(count)
    x, y, z = arm[:, 0], arm[:, 1], arm[:, 2]
    by_turn = jnp.stack(
        [jnp.stack([zero, z, -y], -1), jnp.stack([-z, zero, x], -1), jnp.stack([y, -x, zero], -1)], -1
    )
    by_shift = jnp.broadcast_to(jnp.eye(3), (count, 3, 3))
    depth = camera[:, 2:]
    plane = -person.focal * camera[:, :2] / depth
    d = -person.focal / depth
    to_plane = jnp.stack(
        [
            jnp.concatenate([d, 0 * d, -d * camera[:, :1] / depth], -1),
            jnp.concatenate([0 * d, d, -d * camera[:, 1:2] / depth], -1),
        ],
        1,
    )
    residual = (plane - seen.points) / seen.scale
    far = (residual**2).sum(-1)
    root = jnp.sqrt(seen.weights / (1 + far / settings.robust**2))
    to_residual = to_plane * (root / seen.scale)[:, None, None]
    all_columns = jnp.concatenate([by_turn, by_shift, columns], -1)
    rows = jnp.einsum("nac,nck->nak", to_residual, all_columns, precision=_PRECISION)
    rows = jnp.concatenate([rows, (plane * (root / seen.scale)[:, None])[..., None]], -1).reshape(2 * count, -1)
    weighted = (residual * root[:, None]).reshape(-1)
    gram, slope = (
        jnp.matmul(rows.T, rows, precision=_PRECISION),
        jnp.matmul(rows.T, weighted, precision=_PRECISION),
    )
    # Order of columns: pose, jaw, shape, expression, focal. A frame's own: pose, jaw, expression; common: shape, focal.
    own = jnp.r_[0 : POSE + JAW, POSE + JAW + shapes : rows.shape[1] - 1]
    common = jnp.r_[POSE + JAW : POSE + JAW + shapes, rows.shape[1] - 1 : rows.shape[1]]
    value, curve, cost = _prior(settings, pose)
    by_offset = jnp.einsum("nac,cb->nab", to_residual, to_camera, precision=_PRECISION)
    return Normal(
        gram[own][:, own] + jnp.diag(curve),
        gram[own][:, common],
        gram[common][:, common],
        slope[own] + value,
        slope[common],
        (seen.weights * settings.robust**2 * jnp.log1p(far / settings.robust**2)).sum() + cost,
        jnp.einsum("nai,naj->nij", by_offset, by_offset),
        jnp.einsum("nai,na->ni", by_offset, residual * root[:, None]),
    )


def _prior(settings: Settings, pose: Pose) -> tuple[Array, Array, Array]:
    """Gradient, curvature and value of the frame's own priors; diagonal."""
    centred = jnp.concatenate([jnp.zeros(POSE), pose.jaw / settings.jaw**2, pose.expression / settings.expression**2])
    curve = jnp.concatenate([jnp.zeros(POSE), 1 / settings.jaw**2, 1 / settings.expression**2])
    low = jnp.concatenate([jnp.full(POSE, jnp.inf), pose.jaw[:1], jnp.full(JAW - 1, jnp.inf), pose.expression])
    width = jnp.concatenate([jnp.ones(POSE), jnp.full(JAW, 0.05), jnp.full(pose.expression.shape, 0.1)])
    bounded = jnp.arange(low.size) < (low.size if settings.non_negative else POSE + JAW)
    negative = (low < 0) & bounded
    centred = centred + jnp.where(negative, low / width**2, 0.0)
    curve = curve + jnp.where(negative, 1 / width**2, 0.0)
    cost = (pose.jaw**2 / settings.jaw**2).sum() + (pose.expression**2 / settings.expression**2).sum()
    return centred, curve, cost + jnp.where(negative, low**2 / width**2, 0.0).sum()


class Moves(NamedTuple):
    """Which parameters a step may change: the frame's own beyond the pose, what is shared, the points' own places."""

    face: Float[Array, ""]
    shape: Float[Array, ""]
    focal: Float[Array, ""]
    offsets: Float[Array, ""]


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
    """One step of all frames together.

    Args:
        head: The points' head model.
        settings: Priors.
        person: Shape, offsets and focal length so far.
        pose: Every frame's parameters so far, (T, ...).
        seen: The landmarks.
        moves: 1 or 0 for each group of parameters.
        damping: Levenberg-Marquardt damping, a part of each diagonal entry's mean.
        offset_precision: Precision of a point's own place, 1 / metres^2, over the whole clip.

    Returns:
        The person and the poses after the step, and the cost before it.
    """
    frames = pose.shift.shape[0]
    n = jax.lax.map(lambda f: _normal(head, person, settings, *f), (pose, seen), batch_size=min(_BATCH, frames))
    size = n.gradient.shape[-1]
    mask = jnp.concatenate([jnp.ones(POSE), jnp.broadcast_to(moves.face, (size - POSE,))])
    diagonal = jnp.einsum("tii->ti", n.own)
    ridge = damping * diagonal + 1e-4 + (1 - mask) * 1e6
    own = n.own * mask[:, None] * mask + jnp.eye(size) * ridge[:, None, :]
    gradient, coupling = n.gradient * mask, n.coupling * mask[:, None]
    factor = jax.scipy.linalg.cho_factor(own)
    by_common = jax.scipy.linalg.cho_solve(factor, coupling)
    alone = jax.scipy.linalg.cho_solve(factor, gradient[..., None])[..., 0]
    shared_mask = jnp.concatenate([jnp.broadcast_to(moves.shape, (head.shapes,)), moves.focal[None]])
    precision = jnp.concatenate([jnp.broadcast_to(settings.shape, (head.shapes,)), settings.focal[None]])
    centred = jnp.concatenate([person.shape, jnp.log(person.focal / settings.usual_focal)[None]])
    total = n.common.sum(0)
    reduced = total - jnp.einsum("tij,tik->jk", coupling, by_common, precision=_PRECISION)
    reduced = reduced + jnp.diag(precision + damping * jnp.diagonal(total) + 1e-6)
    right = n.common_gradient.sum(0) + precision * centred
    right = right - jnp.einsum("tij,ti->j", coupling, alone, precision=_PRECISION)
    reduced = reduced * shared_mask[:, None] * shared_mask + jnp.diag(1 - shared_mask)
    shared = -jnp.linalg.solve(reduced, right * shared_mask)
    moved = -alone - jnp.einsum("tij,j->ti", by_common, shared, precision=_PRECISION)
    # A step that turns a head by more than half a radian has left the region where it means anything.
    turn = moved[:, :3] / jnp.maximum(1.0, jnp.linalg.norm(moved[:, :3], axis=-1, keepdims=True) / 0.5)
    after = Pose(
        jnp.matmul(pose.rotation, so3.exp(turn), precision=_PRECISION),
        pose.shift + moved[:, 3:6],
        pose.jaw + moved[:, 6:9],
        pose.expression + moved[:, 9:],
    )
    # Forwards and backwards a point's place is seen least: it moves half as far.
    limit = offset_precision * jnp.diag(jnp.array([1.0, 1.0, 4.0]))
    wanted = jnp.linalg.solve(n.offset.sum(0) + limit, (n.offset_gradient.sum(0) + person.offsets @ limit)[..., None])
    offsets = person.offsets - 0.7 * moves.offsets * wanted[..., 0]
    log_focal = jnp.log(person.focal) + jnp.clip(shared[-1], -0.3, 0.3)
    return Person(person.shape + shared[:-1], offsets, jnp.exp(log_focal)), after, n.cost.sum()


@jax.jit
def seen_at(head: PointHead, person: Person, pose: Pose) -> Float[Array, "T N 2"]:
    """Where the fitted points lie in the picture, in pixels from the principal point."""

    def one(pose: Pose) -> Array:
        camera = in_camera(head_points(head, person, pose.jaw, pose.expression), pose)
        return -person.focal * camera[:, :2] / camera[:, 2:]

    return jax.lax.map(one, pose, batch_size=min(_BATCH, pose.shift.shape[0]))
