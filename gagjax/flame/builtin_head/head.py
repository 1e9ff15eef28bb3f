"""`builtin`: the built-in head put together as a FlameModel."""

from __future__ import annotations

import functools

import jax
import numpy as np

from gagjax.flame.builtin_head import expressions, identity, rig, shapes
from gagjax.flame.builtin_head.mesh import Mesh, build
from gagjax.flame.model import FlameModel

MILLIMETRES = 1000.0


@functools.cache
def neutral_mesh() -> Mesh:
    """The neutral mean head in millimetres, with what each vertex is part of."""
    return build()


@functools.lru_cache(maxsize=8)
def builtin(seed: int = 0) -> FlameModel:
    """The built-in head, a FlameModel like one from a FLAME file.

    Args:
        seed: Identity: 0 is the symmetric mean head; others have shapes and colours of their own.

    Returns:
        5,023 vertices in metres; expression columns as named in `gagjax.flame.CONTROLS`, at unit coefficient fully
        expressed; region masks that sum to one; albedo per vertex.

    Example:
        >>> from gagjax import flame
        >>> flame.builtin().v_template.shape
        (5023, 3)
    """
    # Kept for later calls, so it must hold values even where a traced function is the first to ask.
    with jax.ensure_compile_time_eval():
        return _made(seed)


def is_builtin(model: FlameModel) -> bool:
    """Whether a model is the built-in head, whose expression columns have the names of `CONTROLS`.

    Its size says nothing: FLAME's files have as many vertices. Its triangles are its own.

    Example:
        >>> is_builtin(builtin(3))
        True
    """
    own = neutral_mesh().faces
    return model.faces.shape == own.shape and bool(np.array_equal(np.asarray(model.faces), own))


def _made(seed: int) -> FlameModel:
    mesh = neutral_mesh()
    shape = shapes.columns(mesh)
    dirs = np.concatenate([shape, expressions.columns(mesh)], -1) / MILLIMETRES
    template = mesh.vertices / MILLIMETRES + dirs[:, :, : shapes.COUNT] @ identity.shape_coefficients(
        seed, shapes.COUNT
    )
    chosen = rig.landmarks(mesh)
    # A landmark on a vertex: any triangle that has it, all weight on that corner.
    face = np.array([int(np.argmax((mesh.faces == v).any(1))) for v in chosen])
    return FlameModel(
        v_template=np.asarray(template, np.float32),
        shapedirs=np.asarray(dirs, np.float32),
        posedirs=np.asarray(rig.pose_correctives(mesh) / MILLIMETRES, np.float32),
        J_regressor=np.asarray(rig.joint_regressor(mesh), np.float32),
        weights=np.asarray(rig.weights(mesh), np.float32),
        faces=np.asarray(mesh.faces, np.int32),
        landmark_faces=np.asarray(face, np.int32),
        landmark_bary=np.asarray(mesh.faces[face] == chosen[:, None], np.float32),
        masks=rig.masks(mesh),
        colors=np.asarray(identity.colours(mesh, seed), np.float32),
    )
