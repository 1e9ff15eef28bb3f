"""The FLAME layer: a head mesh from shape, expression, jaw and eye parameters by linear blend skinning.

Conventions, the same as in the FLAME files: metres, y up, the face towards +z, the subject's left eye at +x. Joints are
root, neck, jaw, left eye, right eye. `pose` is the global rotation then the jaw, `eyes` the left eye then the right
eye, all axis-angle in radians; the two eye joints share the model's axes, so a positive rotation about x looks down in
both and a positive one about y looks to the subject's left in both.

Source: Li, Bolkart, Black, Li, Romero, "Learning a model of facial shape and expression from 4D scans", ACM TOG 36(6),
2017.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from gagjax import so3
from gagjax.errors import InputError
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray

EXPRESSIONS = 100
JOINTS = ("root", "neck", "jaw", "left_eye", "right_eye")
PARENTS = (-1, 0, 1, 1, 1)
_PRECISION = jax.lax.Precision.HIGHEST  # TF32 on a GPU would cause errors of tenths of a millimetre


@pytree
class FlameModel:
    """The arrays of a FLAME-format head model.

    Args:
        v_template: Mean head, (V, 3), metres.
        shapedirs: Shape columns then 100 expression columns, (V, 3, S + 100), metres per unit coefficient.
        posedirs: Pose correctives for the 36 entries of R - I of the joints neck to right eye, (V, 3, 36).
        J_regressor: Joint positions as weights on vertices, (5, V).
        weights: Skinning weights, (V, 5), each row sums to one.
        faces: Triangles, (F, 3).
        landmark_faces: Triangle of each static landmark, (L,).
        landmark_bary: Barycentric weights in it, (L, 3).
        masks: Soft region weights by region name, each (V,); may be empty.
        colors: Albedo, (V, 3) in [0, 1], or None.
        contour_faces: Triangle of each jaw-line landmark by head yaw, (79, 17), or None.
        contour_bary: Barycentric weights in them, (79, 17, 3), or None.
        mediapipe_faces: Triangles of the 105 MediaPipe landmarks that FLAME's authors embed, (105,), or None.
        mediapipe_bary: Barycentric weights in them, (105, 3), or None.
        parents: Parent joint of each joint, -1 for the root.

    Raises:
        InputError: If an array does not have the shape that the others imply.
    """

    v_template: Float[AnyArray, "V 3"]
    shapedirs: Float[AnyArray, "V 3 K"]
    posedirs: Float[AnyArray, "V 3 36"]
    J_regressor: Float[AnyArray, "5 V"]
    weights: Float[AnyArray, "V 5"]
    faces: Integer[AnyArray, "F 3"]
    landmark_faces: Integer[AnyArray, "L"]
    landmark_bary: Float[AnyArray, "L 3"]
    masks: Mapping[str, Float[AnyArray, "V"]] = dataclasses.field(default_factory=dict)
    colors: Float[AnyArray, "V 3"] | None = None
    contour_faces: Integer[AnyArray, "79 17"] | None = None
    contour_bary: Float[AnyArray, "79 17 3"] | None = None
    mediapipe_faces: Int[AnyArray, "105"] | None = None
    mediapipe_bary: Float[AnyArray, "105 3"] | None = None
    parents: tuple[int, ...] = static(default=PARENTS)

    def __post_init__(self) -> None:
        count = jnp.shape(self.v_template)[0] if jnp.ndim(self.v_template) else 0
        columns = jnp.shape(self.shapedirs)[-1] if jnp.ndim(self.shapedirs) else 0
        if columns < EXPRESSIONS:
            raise InputError(f"has {columns} columns, expected at least {EXPRESSIONS}", field="shapedirs")
        points = jnp.shape(self.landmark_faces)
        wanted: dict[str, tuple[int | None, ...]] = {
            "v_template": (count, 3),
            "shapedirs": (count, 3, columns),
            "posedirs": (count, 3, 36),
            "J_regressor": (5, count),
            "weights": (count, 5),
            "faces": (None, 3),
            "landmark_faces": (None,),
            "landmark_bary": (*points, 3),
            "colors": (count, 3),
            "contour_faces": (None, None),
            "contour_bary": (*jnp.shape(self.contour_faces if self.contour_faces is not None else 0), 3),
            "mediapipe_faces": (105,),
            "mediapipe_bary": (105, 3),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None:
                kind = jnp.int32 if name.endswith("faces") else jnp.float32
                object.__setattr__(self, name, _array(value, name, shape, kind))
        masks = {k: _array(v, f"masks[{k}]", (count,), jnp.float32) for k, v in sorted(dict(self.masks).items())}
        object.__setattr__(self, "masks", masks)
        object.__setattr__(self, "parents", tuple(int(p) for p in self.parents))

    @property
    def shapes(self) -> int:
        """The number of shape coefficients."""
        return self.shapedirs.shape[-1] - EXPRESSIONS

    @property
    def expression_basis(self) -> Float[AnyArray, "V 3 100"]:
        """The expression columns."""
        return self.shapedirs[..., self.shapes :]


def _array(value: AnyArray, name: str, shape: tuple[int | None, ...], kind: type) -> Array:
    found = jnp.shape(value)
    if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
        expected = "(" + ", ".join("any" if want is None else str(want) for want in shape) + ")"
        raise InputError(f"has shape {found}, expected {expected}", field=name)
    return jnp.asarray(value, kind)


@jax.jit
def vertices(
    model: FlameModel,
    shape: Float[AnyArray, "*#batch S"],
    expression: Float[AnyArray, "*#batch E"],
    pose: Float[AnyArray, "*#batch 6"],
    eyes: Float[AnyArray, "*#batch 6"],
    neck: Float[AnyArray, "*#batch 3"] | None = None,
) -> Float[Array, "*#batch V 3"]:
    """Posed head mesh, for one frame or a whole clip at once.

    Args:
        model: The head.
        shape: Shape coefficients; leading axes broadcast, so one identity serves a clip. May be shorter than the
            model's; the rest is zero.
        expression: Expression coefficients, broadcast likewise.
        pose: Global rotation and jaw rotation, axis-angle, radians.
        eyes: Left and right eye rotation, axis-angle, radians.
        neck: Neck rotation, axis-angle, radians; None is zero.

    Returns:
        Vertices in metres. Every input has a finite gradient everywhere.
    """
    rotations = _rotations(pose, eyes, neck)
    shaped = _shaped(model, shape, expression)
    chain_rotation, chain_shift = _chain(rotations, _rest_joints(model, shaped), model.parents)
    feature = rotations[..., 1:, :, :] - jnp.eye(3, dtype=rotations.dtype)
    feature = feature.reshape(*feature.shape[:-3], 36)
    bent = shaped + jnp.einsum("...k,vck->...vc", feature, model.posedirs, precision=_PRECISION)
    return _skin(model.weights, bent, chain_rotation, chain_shift)


@jax.jit
def joints(
    model: FlameModel,
    shape: Float[AnyArray, "*#batch S"],
    expression: Float[AnyArray, "*#batch E"],
    pose: Float[AnyArray, "*#batch 6"],
    eyes: Float[AnyArray, "*#batch 6"],
    neck: Float[AnyArray, "*#batch 3"] | None = None,
) -> Float[Array, "*#batch 5 3"]:
    """The posed joints (root, neck, jaw, left eye, right eye) in metres; arguments as in `vertices`."""
    rest = _rest_joints(model, _shaped(model, shape, expression))
    rotation, shift = _chain(_rotations(pose, eyes, neck), rest, model.parents)
    return jnp.einsum("...jab,...jb->...ja", rotation, rest, precision=_PRECISION) + shift


@jax.jit
def eye_centres(model: FlameModel, shape: Float[AnyArray, "*#batch S"]) -> Float[Array, "*#batch 2 3"]:
    """Rotation centres of the eyes: left and right eye joint of an identity at rest, metres, in the head frame."""
    return _rest_joints(model, _shaped(model, shape, None))[..., 3:5, :]


@jax.jit
def landmarks(model: FlameModel, vertices: Float[AnyArray, "*#batch V 3"]) -> Float[Array, "*#batch L 3"]:
    """The static landmarks of posed vertices, in the order of the model's embedding (68 iBUG points, then eyes)."""
    return on_surface(vertices, model.faces, model.landmark_faces, model.landmark_bary)


def on_surface(
    vertices: Float[AnyArray, "*#batch V 3"],
    faces: Integer[AnyArray, "F 3"],
    triangles: Int[AnyArray, "*points"],
    bary: Float[AnyArray, "*points 3"],
) -> Float[Array, "*#batch *points 3"]:
    """Points given by a triangle number and barycentric weights, on posed vertices.

    Args:
        vertices: Posed vertices, (..., V, 3), in any unit.
        faces: Triangles of the mesh, (F, 3).
        triangles: Triangle of each point, (...).
        bary: Barycentric weights in it, (..., 3).

    Returns:
        The points, in the unit of the vertices.
    """
    corners = jnp.take(vertices, faces[triangles].reshape(-1), axis=-2)
    corners = corners.reshape(*vertices.shape[:-2], *triangles.shape, 3, 3)
    return (corners * bary[..., None]).sum(-2)


@jax.jit
def normals(model: FlameModel, vertices: Float[AnyArray, "*#batch V 3"]) -> Float[Array, "*#batch V 3"]:
    """Unit vertex normals, outwards, triangles weighted by area; a vertex that no triangle uses gets zero."""
    a, b, c = (jnp.take(vertices, model.faces[:, k], axis=-2) for k in range(3))
    area = jnp.cross(b - a, c - a)
    total = jnp.zeros_like(vertices)
    for k in range(3):
        total = total.at[..., model.faces[:, k], :].add(area)
    square = (total**2).sum(-1, keepdims=True)
    # Triangle areas are near 1e-6 square metres, their squares near 1e-12: the floor is far below both.
    safe = jnp.where(square > 1e-30, square, 1.0)
    return jnp.where(square > 1e-30, total * jax.lax.rsqrt(safe), 0.0)


def _rotations(pose: AnyArray, eyes: AnyArray, neck: AnyArray | None) -> Float[Array, "*#batch 5 3 3"]:
    pose, eyes = jnp.asarray(pose, jnp.float32), jnp.asarray(eyes, jnp.float32)
    neck = jnp.zeros(3) if neck is None else jnp.asarray(neck, jnp.float32)
    batch = jnp.broadcast_shapes(pose.shape[:-1], eyes.shape[:-1], neck.shape[:-1])
    pose, eyes, neck = (jnp.broadcast_to(x, (*batch, x.shape[-1])) for x in (pose, eyes, neck))
    vectors = jnp.concatenate([pose[..., :3], neck, pose[..., 3:], eyes], -1)
    return so3.exp(vectors.reshape(*batch, 5, 3))


def _shaped(model: FlameModel, shape: AnyArray, expression: AnyArray | None) -> Float[AnyArray, "*#batch V 3"]:
    """The head at rest; the identity is blended once where one shape serves a whole clip."""
    shape = jnp.asarray(shape, jnp.float32)
    if shape.shape[-1] > model.shapes:
        raise InputError(f"has {shape.shape[-1]} coefficients, the model has {model.shapes}", field="shape")
    if expression is None:
        expression = jnp.zeros(0)
    expression = jnp.asarray(expression, jnp.float32)
    if expression.shape[-1] > EXPRESSIONS:
        raise InputError(f"has {expression.shape[-1]} coefficients, the model has {EXPRESSIONS}", field="expression")
    if shape.ndim == 1 and expression.ndim > 1:
        rest = model.v_template + _offsets(shape, model.shapedirs[..., : shape.shape[-1]])
        used = model.shapedirs[..., model.shapes : model.shapes + expression.shape[-1]]
        return rest + _offsets(expression, used)
    # One product with the whole basis: selecting some of its columns would copy them first.
    batch = jnp.broadcast_shapes(shape.shape[:-1], expression.shape[:-1])
    short = jnp.zeros((*batch, model.shapes - shape.shape[-1]))
    tail = jnp.zeros((*batch, EXPRESSIONS - expression.shape[-1]))
    wide = [jnp.broadcast_to(x, (*batch, x.shape[-1])) for x in (shape, expression)]
    return model.v_template + _offsets(jnp.concatenate([wide[0], short, wide[1], tail], -1), model.shapedirs)


def _offsets(
    coefficients: Float[AnyArray, "*#batch K"], basis: Float[AnyArray, "V 3 K"]
) -> Float[Array, "*#batch V 3"]:
    return jnp.einsum("...k,vck->...vc", coefficients, basis, precision=_PRECISION)


def _rest_joints(model: FlameModel, shaped: Float[AnyArray, "*#batch V 3"]) -> Float[Array, "*#batch 5 3"]:
    return jnp.einsum("jv,...vc->...jc", model.J_regressor, shaped, precision=_PRECISION)


def _chain(
    rotations: Float[AnyArray, "*#batch 5 3 3"], rest: Float[AnyArray, "*#batch 5 3"], parents: tuple[int, ...]
) -> tuple[Float[Array, "*#batch 5 3 3"], Float[Array, "*#batch 5 3"]]:
    """Each joint's map from rest to posed space, as a rotation and a shift: p -> R p + t."""
    turned: list[AnyArray] = []
    placed: list[AnyArray] = []
    for j, parent in enumerate(parents):
        if parent < 0:
            turned.append(rotations[..., j, :, :])
            placed.append(
                jnp.broadcast_to(rest[..., j, :], jnp.broadcast_shapes(rest.shape, rotations.shape[:-1])[:-2] + (3,))
            )
        else:
            bone = rest[..., j, :] - rest[..., parent, :]
            turned.append(jnp.matmul(turned[parent], rotations[..., j, :, :], precision=_PRECISION))
            placed.append(placed[parent] + (turned[parent] * bone[..., None, :]).sum(-1))
    rotation = jnp.stack(turned, -3)
    position = jnp.stack(placed, -2)
    return rotation, position - (rotation * rest[..., None, :]).sum(-1)


def _skin(
    weights: Float[AnyArray, "V 5"],
    points: Float[AnyArray, "*#batch V 3"],
    rotation: Float[AnyArray, "*#batch 5 3 3"],
    shift: Float[AnyArray, "*#batch 5 3"],
) -> Float[Array, "*#batch V 3"]:
    """Linear blend skinning, written out per coordinate.

    Blending one 3x4 transform per vertex would be shorter, but for a clip these take four times the memory of the mesh;
    sums of products over whole coordinate rows are five times as fast on a CPU.
    """
    x, y, z = (points[..., c] for c in range(3))
    out = []
    for a in range(3):
        total = jnp.zeros((), points.dtype)
        for j in range(len(JOINTS)):
            r = rotation[..., j, a, :, None]
            total = total + weights[:, j] * (
                r[..., 0, :] * x + r[..., 1, :] * y + r[..., 2, :] * z + shift[..., j, a, None]
            )
        out.append(total)
    return jnp.stack(out, -1)
