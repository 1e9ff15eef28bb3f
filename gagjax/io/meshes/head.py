"""A FLAME head in motion as one glTF file: morph targets, a skin of five joints, and an animation of both.

The file holds the model itself, not baked frames, and plays the clip to rounding error: expression columns and pose
correctives are morph targets (both enter FLAME linearly, before the skinning), neck, jaw and eyes are joints. FLAME's
joints follow the expression by fractions of a millimetre, which a skin with fixed inverse bind matrices cannot: that is
put into the joints' animated translations.

glTF's axes are FLAME's: y up, the face towards +z, metres. With the camera at rest, the head moves in front of a glTF
camera that looks along -z.

Source: Li et al., FLAME, ACM TOG 36(6), 2017; Khronos Group, glTF 2.0 Specification, sections 3.7.2 and 3.7.3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from gagjax.camera import FOCAL, UNITS_PER_METRE
from gagjax.conventions.head_pose import folded
from gagjax.flame.model import JOINTS, FlameModel
from gagjax.io.meshes.glb import INDICES, VERTICES, Glb
from gagjax.track import Track
from gagjax.typing import AnyArray

#: From the track's camera axes (x left, z forward) to glTF's (x right, looking along -z), and back.
FLIP = np.diag([-1.0, 1.0, -1.0])
_LEAST = 1e-6  # coefficients below this in every frame move nothing that shows


@dataclasses.dataclass(frozen=True)
class Motion:
    """What a head does in a clip, by FLAME's parameters, and how it stands before the camera.

    Args:
        expression: Coefficients, (T, 100).
        rotations: Rotation matrices of neck, jaw, left and right eye, (T, 4, 3, 3).
        placement: Rotation of the head in glTF's camera axes, (T, 3, 3).
        position: Where the head's origin lies there, metres, (T, 3).
        fps: Frames per second.
        field: Vertical field of view, radians.
        aspect: Width over height of the picture.
        extra: Further offsets of the rest mesh, metres, (T, V, 3), or None: edits of single regions.
    """

    expression: Float[np.ndarray, "T 100"]
    rotations: Float[np.ndarray, "T 4 3 3"]
    placement: Float[np.ndarray, "T 3 3"]
    position: Float[np.ndarray, "T 3"]
    fps: float
    field: float
    aspect: float
    extra: Float[np.ndarray, "T V 3"] | None = None

    def __len__(self) -> int:
        return len(self.expression)


def motion_of(track: Track, model: FlameModel, shape: Float[AnyArray, "S"] | None = None) -> Motion:
    """The motion of a track for a head.

    Args:
        track: T frames.
        model: The head that it drives.
        shape: Its shape coefficients; None is the mean head.

    Returns:
        The motion; the head's own pose and the camera's become one placement before the camera.
    """
    track = folded(track, model, shape)
    frames = len(track)
    neck = np.zeros((frames, 3)) if track.neck is None else np.asarray(track.neck, np.float64)
    vectors = np.concatenate([neck, np.asarray(track.jaw), np.asarray(track.eyes)], 1).reshape(-1, 3)
    camera = np.asarray(track.transform, np.float64)
    # Row vectors, X_camera = X R + t: as columns R^T X + t, then to glTF's axes.
    placement = FLIP @ camera[:, :, :3].transpose(0, 2, 1)
    position = camera[:, :, 3] / UNITS_PER_METRE @ FLIP
    field, aspect = 2 * math.atan(1 / FOCAL), 1.0
    if track.intrinsics is not None:
        lens = track.intrinsics
        across, down = (float(np.median(np.asarray(lens.K)[..., k, k])) for k in (0, 1))
        field, aspect = 2 * math.atan(lens.height / (2 * down)), (lens.width / across) / (lens.height / down)
    return Motion(
        np.asarray(track.expression, np.float32),
        Rotation.from_rotvec(vectors).as_matrix().reshape(frames, 4, 3, 3),
        placement,
        position,
        float(track.fps),
        field,
        aspect,
    )


def write_head(
    path: Path,
    model: FlameModel,
    shape: Float[AnyArray, "S"] | None = None,
    motion: Motion | None = None,
    *,
    names: Sequence[str] = (),
    head_still: bool = False,
) -> None:
    """Write a head, and what it does, as binary glTF.

    Args:
        path: The file to write, `.glb`.
        model: The head.
        shape: Shape coefficients, which go into the rest mesh; None is the mean head.
        motion: The clip; None writes the rig at rest with a morph target for every expression column.
        names: Names of the expression columns; others are called "expression 7".
        head_still: Let the camera move around a head at rest, instead of the head before a camera at rest.
    """
    rest = rest_mesh(model, shape)
    glb = Glb("FLAME head")
    columns = np.arange(model.expression_basis.shape[-1])
    if motion is not None:
        columns = columns[np.abs(motion.expression).max(0) > _LEAST]
    targets = [np.asarray(model.expression_basis[:, :, k], np.float32) for k in columns]
    labels = [names[int(k)] if k < len(names) else f"expression {k}" for k in columns]
    weights = [] if motion is None else [motion.expression[:, columns]]
    bends, more, more_labels = _pose_targets(model, motion)
    targets, labels, weights = targets + more, labels + more_labels, weights + bends
    if motion is not None and motion.extra is not None:
        shapes, amounts = compressed(motion.extra)
        targets += list(shapes)
        labels += [f"edit {k}" for k in range(len(shapes))]
        weights.append(amounts)
    joints = np.asarray(model.J_regressor, np.float64) @ rest
    mesh = _mesh(glb, model, rest, targets, labels)
    nodes = _nodes(glb, model, joints, mesh, still=motion is None)
    if motion is not None:
        field = {"yfov": motion.field, "aspectRatio": motion.aspect, "znear": 0.01}
        camera = glb.add("cameras", {"type": "perspective", "perspective": field})
        nodes["camera"] = glb.add("nodes", {"name": "camera", "camera": camera})
        glb.document["scenes"][0]["nodes"].append(nodes["camera"])
        every = np.concatenate(weights, 1) if targets else None
        _animate(glb, model, joints, motion, every, nodes, head_still)
    glb.write(path)


def rest_mesh(model: FlameModel, shape: Float[AnyArray, "S"] | None) -> Float[np.ndarray, "V 3"]:
    """The head's mesh without expression, metres, in float64."""
    rest = np.asarray(model.v_template, np.float64)
    if shape is None or not model.shapes:
        return rest
    own = np.asarray(shape, np.float64)[: model.shapes]
    return rest + np.asarray(model.shapedirs[..., : len(own)], np.float64) @ own


def compressed(
    offsets: Float[np.ndarray, "T V 3"], tolerance: float = 1e-6
) -> tuple[Float[np.ndarray, "K V 3"], Float[np.ndarray, "T K"]]:
    """Few shapes whose weighted sums are the given offsets, by a singular value decomposition.

    Args:
        offsets: Metres.
        tolerance: Largest error of a coordinate, metres.

    Returns:
        The shapes, and the weights of each frame.
    """
    flat = np.asarray(offsets, np.float64).reshape(len(offsets), -1)
    left, sizes, right = np.linalg.svd(flat, full_matrices=False)
    rank = len(sizes)
    error = np.zeros_like(flat)
    while rank and np.abs(error).max() <= tolerance:
        rank -= 1
        error = error + sizes[rank] * left[:, rank : rank + 1] * right[rank]
    rank += int(np.abs(error).max() > tolerance)
    shapes = (sizes[:rank, None] * right[:rank]).reshape(rank, *offsets.shape[1:])
    return shapes.astype(np.float32), left[:, :rank].astype(np.float32)


def _pose_targets(model: FlameModel, motion: Motion | None) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """FLAME's pose correctives as morph targets: one for every entry of R - I that moves both skin and clip."""
    if motion is None:
        return [], [], []
    feature = (motion.rotations - np.eye(3)).reshape(len(motion), 36)
    basis = np.asarray(model.posedirs, np.float32)
    used = np.flatnonzero((np.abs(feature).max(0) > _LEAST) & (np.abs(basis).max((0, 1)) > 1e-9))
    labels = [f"{JOINTS[1 + k // 9]} corrective {k % 9}" for k in used]
    return [feature[:, used].astype(np.float32)], [basis[:, :, k] for k in used], labels


def _mesh(glb: Glb, model: FlameModel, rest: np.ndarray, targets: list[np.ndarray], labels: list[str]) -> int:
    faces = np.asarray(model.faces)
    attributes = {
        "POSITION": glb.array(rest.astype(np.float32), target=VERTICES, bounds=True),
        "NORMAL": glb.array(_normals(rest, faces), target=VERTICES),
    }
    if model.colors is not None:
        colours = np.clip(np.asarray(model.colors, np.float64), 0, 1)
        # glTF's vertex colours are linear; the model's are encoded for display (sRGB).
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        attributes["COLOR_0"] = glb.array(linear.astype(np.float32), target=VERTICES)
    order = np.argsort(-np.asarray(model.weights), axis=1, kind="stable")
    ranked = np.take_along_axis(np.asarray(model.weights, np.float64), order, 1)
    sets = 1 if ranked[:, 4].max() < 1e-6 else 2  # four joints to a set
    ranked = np.pad(ranked[:, : 4 * sets], ((0, 0), (0, max(0, 4 * sets - ranked.shape[1]))))
    order = np.pad(order[:, : 4 * sets], ((0, 0), (0, max(0, 4 * sets - order.shape[1]))))
    ranked = ranked / ranked.sum(1, keepdims=True)
    for k in range(sets):
        share = ranked[:, 4 * k : 4 * k + 4].astype(np.float32)
        place = np.where(share > 0, order[:, 4 * k : 4 * k + 4], 0).astype(np.uint8)
        attributes[f"JOINTS_{k}"] = glb.array(place, target=VERTICES)
        attributes[f"WEIGHTS_{k}"] = glb.array(share, target=VERTICES)
    kind: Any = np.uint16 if len(rest) < 65535 else np.uint32
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": glb.array(faces.reshape(-1).astype(kind), target=INDICES),
        "material": glb.add(
            "materials",
            {
                "name": "skin",
                "pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0, "roughnessFactor": 0.7},
                "doubleSided": True,
            },
        ),
    }
    mesh: dict[str, Any] = {"name": "head", "primitives": [primitive]}
    if targets:
        primitive["targets"] = [{"POSITION": glb.array(each, target=VERTICES, bounds=True)} for each in targets]
        mesh["weights"] = [0.0] * len(targets)
        mesh["extras"] = {"targetNames": labels}
    return glb.add("meshes", mesh)


def _nodes(glb: Glb, model: FlameModel, joints: np.ndarray, mesh: int, *, still: bool) -> dict[str, int]:
    """The node of the head's placement, one for each joint, and the mesh's; returns their indices by name."""
    nodes = {"placement": glb.add("nodes", {"name": "head placement"})}
    for j, name in enumerate(JOINTS):
        parent = model.parents[j]
        bone = joints[j] - (joints[parent] if parent >= 0 else 0.0)
        nodes[name] = glb.add("nodes", {"name": name, "translation": [float(x) for x in bone]})
        above = glb.document["nodes"][nodes["placement"] if parent < 0 else nodes[JOINTS[parent]]]
        above.setdefault("children", []).append(nodes[name])
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(JOINTS), 1, 1))
    inverse[:, :3, 3] = -joints
    skin = glb.add(
        "skins",
        {
            "inverseBindMatrices": glb.array(inverse),
            "joints": [nodes[name] for name in JOINTS],
            "skeleton": nodes["placement"],
        },
    )
    # A skinned mesh goes where its joints are: its own node stands beside them, in the scene.
    nodes["mesh"] = glb.add("nodes", {"name": "head", "mesh": mesh, "skin": skin})
    glb.add("scenes", {"nodes": [nodes["placement"], nodes["mesh"]]})
    glb.document["scene"] = 0
    return nodes


def _animate(
    glb: Glb,
    model: FlameModel,
    joints: np.ndarray,
    motion: Motion,
    weights: np.ndarray | None,
    nodes: dict[str, int],
    head_still: bool,
) -> None:
    times = glb.array((np.arange(len(motion)) / motion.fps).astype(np.float32), bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def channel(node: str, path: str, values: np.ndarray) -> None:
        samplers.append({"input": times, "output": glb.array(values.astype(np.float32)), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": nodes[node], "path": path}})

    if head_still:
        # The inverse of the placement: p = P^T (q - position).
        turned = motion.placement.transpose(0, 2, 1)
        channel("camera", "rotation", quaternions(turned))
        channel("camera", "translation", -np.einsum("tab,tb->ta", turned, motion.position))
    else:
        channel("placement", "rotation", quaternions(motion.placement))
        channel("placement", "translation", motion.position)
    now = joints + np.einsum(
        "jv,vck,tk->tjc",
        np.asarray(model.J_regressor, np.float64),
        np.asarray(model.expression_basis, np.float64),
        motion.expression,
        optimize=True,
    )
    if motion.extra is not None:
        now = now + np.einsum("jv,tvc->tjc", np.asarray(model.J_regressor, np.float64), motion.extra)
    for j, shift in enumerate(joint_shifts(model, joints, now, motion.rotations)):
        channel(JOINTS[j], "translation", shift)
        if j:
            channel(JOINTS[j], "rotation", quaternions(motion.rotations[:, j - 1]))
    if weights is not None and weights.shape[1]:
        channel("mesh", "weights", weights.reshape(-1))
    glb.add("animations", {"name": "clip", "samplers": samplers, "channels": channels})


def joint_shifts(
    model: FlameModel,
    bound: Float[np.ndarray, "5 3"],
    now: Float[np.ndarray, "T 5 3"],
    rotations: Float[np.ndarray, "T 4 3 3"],
) -> list[Float[np.ndarray, "T 3"]]:
    """Each joint's translation in its parent, for a skin whose inverse bind matrices are fixed.

    FLAME turns joint j about its place in the expressive head, x -> R (x - now) + p. With the bind place instead, the
    same map is x -> R (x - bound) + R (bound - now) + p: what is added to p goes into the node's translation.

    Args:
        model: For the chain of parents.
        bound: Where the joints are in the rest mesh.
        now: Where they are in each frame's unposed mesh, expression included.
        rotations: Of neck, jaw and eyes; the root is at rest.

    Returns:
        (T, 3) for each joint, metres.
    """
    frames = len(now)
    turns: list[np.ndarray] = []
    places: list[np.ndarray] = []
    posed: list[np.ndarray] = []
    shifts: list[np.ndarray] = []
    for j, parent in enumerate(model.parents):
        own = np.tile(np.eye(3), (frames, 1, 1)) if j == 0 else rotations[:, j - 1]
        if parent < 0:
            turn, place = own, now[:, j]
        else:
            turn = turns[parent] @ own
            place = places[parent] + np.einsum("tab,tb->ta", turns[parent], now[:, j] - now[:, parent])
        node = place + np.einsum("tab,tb->ta", turn, bound[j] - now[:, j])
        if parent < 0:
            shifts.append(node)
        else:
            shifts.append(np.einsum("tba,tb->ta", turns[parent], node - posed[parent]))
        turns.append(turn)
        places.append(place)
        posed.append(node)
    return shifts


def quaternions(rotations: Float[np.ndarray, "T 3 3"]) -> Float[np.ndarray, "T 4"]:
    """x, y, z, w as glTF has them, each in the half space of the one before, so that players take the short way."""
    found = Rotation.from_matrix(rotations).as_quat()
    flips = np.cumprod(np.where((found[1:] * found[:-1]).sum(1) < 0, -1.0, 1.0))
    found[1:] *= flips[:, None]
    return found


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (points[faces[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)
    total = np.stack([np.bincount(faces.reshape(-1), np.repeat(area[:, k], 3), len(points)) for k in range(3)], 1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    # A vertex that no triangle uses still needs a unit normal.
    return np.where(length > 1e-15, total / np.maximum(length, 1e-15), [0.0, 0.0, 1.0]).astype(np.float32)
