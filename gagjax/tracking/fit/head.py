"""The head cut down to the points that the network marks, and how they move with every parameter."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax import so3
from gagjax.flame.model import EXPRESSIONS, FlameModel, vertices
from gagjax.pytree import pytree, static
from gagjax.tracking.correspondence import Embedding
from gagjax.tracking.fit.priors import Priors
from gagjax.typing import AnyArray

UNITS = 5.0  # GAGAvatar's units in a metre
_MOST_TURN = 0.6  # radians; beyond what was measured, slides stay as they are
_PRECISION = jax.lax.Precision.HIGHEST


class Pose(NamedTuple):
    """One frame's parameters, or with a leading axis those of many.

    Attributes:
        rotation: Head to camera, row vectors, (3, 3).
        shift: (3,), GAGAvatar's units.
        jaw: Axis-angle, (3,).
        expression: Fitted coefficients, (E,).
    """

    rotation: Float[AnyArray, "*batch 3 3"]
    shift: Float[AnyArray, "*batch 3"]
    jaw: Float[AnyArray, "*batch 3"]
    expression: Float[AnyArray, "*batch E"]


class Person(NamedTuple):
    """What all frames of a shot share.

    Attributes:
        shape: Shape coefficients, (S,).
        offsets: Each point's own place on this person, (N, 3), metres.
        focal: Focal length in pixels.
    """

    shape: Float[Array, "S"]
    offsets: Float[Array, "N 3"]
    focal: Float[Array, ""]


@pytree
class PointHead:
    """A head model of the marked points alone.

    Args:
        model: Points as vertices, then the five joints as in `gagjax.flame.restrict`; expression columns are those
            that are fitted, then zeros.
        basis: Columns of the points, (N, 3, S + E), metres per coefficient: shape and the person's habits, then
            expression and the network's errors.
        slides: How the marks move over the skin with the head's yaw and pitch, metres a radian, (2, N, 3).
        by_jaw: How they move beside the jaw as it opens, metres a radian, (N, 3).
        shapes: S.
    """

    model: FlameModel
    basis: Float[Array, "N 3 K"]
    slides: Float[Array, "2 N 3"]
    by_jaw: Float[Array, "N 3"]
    shapes: int = static(default=0)

    @property
    def count(self) -> int:
        """The number of points."""
        return self.basis.shape[0]


def point_head(model: FlameModel, embedding: Embedding, priors: Priors) -> PointHead:
    """The head model at an embedding's points.

    Args:
        model: The whole head.
        embedding: The points.
        priors: Which columns are fitted.
    """
    corners = np.asarray(model.faces)[embedding.faces]
    count, shapes = len(corners), priors.shapes
    marking = embedding.marking
    shape_columns, columns = np.arange(shapes), model.shapes + priors.columns
    nuisance = len(columns) + len(marking.errors)
    idle = np.zeros((count + 5, 3, EXPRESSIONS - nuisance), np.float32)

    def averaged(values: AnyArray) -> np.ndarray:
        return np.einsum("nk...,nk->n...", np.asarray(values)[corners], embedding.bary)

    def joined(values: AnyArray) -> np.ndarray:
        return np.concatenate([averaged(values), np.tensordot(np.asarray(model.J_regressor), np.asarray(values), 1)])

    def modes(values: np.ndarray) -> np.ndarray:
        return np.concatenate([np.transpose(values, (1, 2, 0)), np.zeros((5, 3, len(values)))])

    basis = np.asarray(model.shapedirs)
    expression = joined(basis[..., columns])
    if len(marking.controls):
        expression = expression + modes(marking.controls)
    directions = np.concatenate(
        [joined(basis[..., shape_columns]), modes(marking.habits), expression, modes(marking.errors)], -1
    ).astype(np.float32)
    rest = np.concatenate([marking.rest, np.zeros((5, 3))])
    small = FlameModel(
        v_template=joined(model.v_template) + rest,
        shapedirs=np.concatenate([directions, idle], -1),
        posedirs=np.concatenate([averaged(model.posedirs), np.zeros((5, 3, 36))]),
        J_regressor=np.eye(5, count + 5, count),
        weights=np.concatenate([averaged(model.weights), np.eye(5)]),
        faces=np.zeros((0, 3), np.int32),
        landmark_faces=np.zeros(0, np.int32),
        landmark_bary=np.zeros((0, 3)),
        parents=model.parents,
    )
    as_float = functools.partial(jnp.asarray, dtype=jnp.float32)
    return PointHead(
        small,
        as_float(directions[:count]),
        as_float(marking.slides),
        as_float(marking.jaw),
        shapes + len(marking.habits),
    )


def slid(head: PointHead, rotation: Float[AnyArray, "3 3"]) -> Float[Array, "N 3"]:
    """How far the network's marks lie from their places because the head is turned, metres.

    The network half expects a frontal face, and draws the marks of a turned one after it.
    """
    return jnp.einsum("k,knc->nc", head_turns(rotation), head.slides)


def head_turns(rotation: Float[AnyArray, "3 3"]) -> Float[Array, "2"]:
    """Yaw and pitch of a head, radians, as far as the slides were measured."""
    away = -rotation[2]  # where the face looks, in the camera's axes, seen from it
    yaw = jnp.arctan2(away[0], away[2])
    pitch = jnp.arctan2(away[1], jnp.hypot(away[0], away[2]))
    return jnp.clip(jnp.stack([yaw, pitch]), -_MOST_TURN, _MOST_TURN)


def head_points(
    head: PointHead,
    person: Person,
    jaw: Float[AnyArray, "3"],
    expression: Float[AnyArray, "E"],
    rotation: Float[AnyArray, "3 3"] | None = None,
) -> Float[Array, "N 3"]:
    """The points in the head's frame, metres, eyes at rest; as the network marks them where the rotation is given."""
    places = person.offsets + jaw[0] * head.by_jaw
    if rotation is not None:
        places = places + slid(head, rotation)
    template = jnp.asarray(head.model.v_template).at[: head.count].add(places)
    model = dataclasses.replace(head.model, v_template=template)
    pose = jnp.concatenate([jnp.zeros(3), jaw])
    return vertices(model, person.shape, expression, pose, jnp.zeros(6))[: head.count]


def in_camera(points: Float[Array, "*batch 3"], pose: Pose) -> Float[Array, "*batch 3"]:
    """Head points (metres) in the camera's axes (GAGAvatar's units)."""
    return UNITS * jnp.matmul(points, pose.rotation, precision=_PRECISION) + pose.shift


def linear_columns(head: PointHead, jaw: Float[AnyArray, "3"], first: int = 0) -> Float[Array, "N 3 K"]:
    """How the points move with shape and expression coefficients at a jaw rotation, in the head's frame.

    The columns from number `first` on are given.

    The movement of the joints with the coefficients is left out: it changes the Gauss-Newton step, not its fixed point.
    """
    turn = so3.exp(jaw)
    share = head.model.weights[: head.count, 2, None, None]
    blended = jnp.eye(3) + share * (turn - jnp.eye(3))
    return jnp.einsum("nab,nbk->nak", blended, head.basis[..., first:], precision=_PRECISION)
