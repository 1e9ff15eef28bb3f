"""Read FLAME model files without torch, SciPy or chumpy and without executing code in them.

Supported are `FLAME_with_eye.pt` (GAGAvatar's file), the FLAME project's `generic_model.pkl`, `flame2023.pkl` and
similar, and the files of `save`. For a `.pkl` model, `FLAME_masks.pkl` and a landmark embedding
(`landmark_embedding.pkl`, or `flame_static_embedding.pkl` for the 51 inner points) are read if they are in the same
folder.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gagjax.errors import InputError
from gagjax.flame.model import FlameModel
from gagjax.io.untrusted.numbers import as_numbers

MODEL_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")
MASKS = "FLAME_masks.pkl"
EMBEDDINGS = ("landmark_embedding.pkl", "landmark_embedding_with_eyes.pkl", "flame_static_embedding.pkl")
_OURS = "gagjax"  # the key under which `save` stores fields that FLAME files lack


def load(path: str | Path, *, masks: str | Path | None = None, landmarks: str | Path | None = None) -> FlameModel:
    """A FLAME model from a file.

    Args:
        path: `.pt` (FLAME_with_eye.pt) or `.pkl` (generic_model.pkl, flame2023.pkl, ...).
        masks: FLAME_masks.pkl; None looks beside the model file; the model has no masks if there is none.
        landmarks: A landmark embedding as a pickle; None uses the model file's own, else looks beside it, else the
            model has no landmarks.

    Returns:
        The model; `masks` holds 0 or 1 per vertex, softened by their users.

    Raises:
        InputError: If a file cannot be read, is refused, or lacks a field.
    """
    from gagjax.io.untrusted.checkpoints import load_pickle, load_torch

    file = Path(path)
    content = load_torch(file) if file.suffix in (".pt", ".pth") else load_pickle(file)
    if not isinstance(content, Mapping):
        raise InputError("holds no dictionary", file=file, fix="Pass FLAME_with_eye.pt or generic_model.pkl")
    arrays = content.get("flame_model", content)
    missing = [key for key in MODEL_KEYS if key not in arrays]
    if missing:
        raise InputError(
            f"is no FLAME model: it lacks {', '.join(missing)}",
            file=file,
            fix="Pass FLAME_with_eye.pt of GAGAvatar, or generic_model.pkl or flame2023.pkl of the FLAME project",
        )
    ours = content.get(_OURS, {})
    fields = _model_fields(arrays, file)
    if fields["v_template"].ndim != 2:
        raise InputError(f"has shape {fields['v_template'].shape}, expected (V, 3)", file=file, field="v_template")
    count = len(fields["v_template"])
    found = landmarks if landmarks is not None else _beside(file, EMBEDDINGS)
    if landmarks is None and "lmk_embeddings" in content:
        fields |= _embedding(content["lmk_embeddings"], file)
    elif found is not None:
        fields |= _embedding(load_pickle(found), Path(found))
    else:
        fields |= {"landmark_faces": np.zeros(0, np.int32), "landmark_bary": np.zeros((0, 3), np.float32)}
    found = masks if masks is not None else _beside(file, (MASKS,))
    if masks is None and "masks" in ours:
        fields["masks"] = dict(ours["masks"])
    elif found is not None:
        fields["masks"] = _masks(load_pickle(found), count, Path(found))
    fields |= _mediapipe(content.get("lmk_embeddings_mediapipe"), file)
    fields["colors"] = ours.get("colors")
    try:
        model = FlameModel(**fields)
    except InputError as error:
        raise InputError(error.problem, file=file, field=error.field, fix=error.fix) from error
    _check_indices(model, file)
    return model


def save(model: FlameModel, path: str | Path, *, force: bool = False) -> None:
    """Write a model as a FLAME-format pickle that `load` and other FLAME readers understand.

    Args:
        model: The model.
        path: The file, `.pkl`.
        force: Replace an existing file.

    Raises:
        InputError: If the path does not end in `.pkl`, exists and `force` is False, or cannot be written.
    """
    from gagjax.io.atomic import output

    if Path(path).suffix != ".pkl":
        raise InputError("does not end in .pkl", file=path, fix="FLAME models are written as pickles")
    parents = np.asarray(model.parents, np.int64)
    content: dict[str, Any] = {
        "v_template": np.asarray(model.v_template),
        "shapedirs": np.asarray(model.shapedirs),
        "posedirs": np.asarray(model.posedirs),
        "J_regressor": np.asarray(model.J_regressor),
        "weights": np.asarray(model.weights),
        "f": np.asarray(model.faces, np.uint32),
        # FLAME files store the root's parent as an unsigned -1.
        "kintree_table": np.stack([parents % 2**32, np.arange(len(parents))]).astype(np.uint32),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
        "lmk_embeddings": {
            "full_lmk_faces_idx_with_eye": np.asarray(model.landmark_faces, np.int64)[None],
            "full_lmk_bary_coords_with_eye": np.asarray(model.landmark_bary)[None],
        },
        _OURS: {"masks": {name: np.asarray(mask) for name, mask in model.masks.items()}},
    }
    if model.contour_faces is not None and model.contour_bary is not None:
        content["lmk_embeddings"]["dynamic_lmk_faces_idx"] = np.asarray(model.contour_faces, np.int64)
        content["lmk_embeddings"]["dynamic_lmk_bary_coords"] = np.asarray(model.contour_bary)
    if model.mediapipe_faces is not None and model.mediapipe_bary is not None:
        content["lmk_embeddings_mediapipe"] = {
            "lmk_face_idx": np.asarray(model.mediapipe_faces, np.int64),
            "lmk_b_coords": np.asarray(model.mediapipe_bary),
        }
    if model.colors is not None:
        content[_OURS]["colors"] = np.asarray(model.colors)
    with output(path, force) as temporary:
        temporary.write_bytes(pickle.dumps(content, protocol=2))


def _model_fields(arrays: Mapping[str, Any], file: Path) -> dict[str, Any]:
    def read(key: str, kind: type) -> np.ndarray:
        try:
            return as_numbers(arrays[key]).astype(kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError("is not an array of numbers", file=file, field=key) from error

    table = read("kintree_table", np.int64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[-1] != 5:
        raise InputError(
            f"has shape {table.shape}, expected (2, 5)", file=file, field="kintree_table", fix="FLAME has five joints"
        )
    parents = (-1, *(int(p) for p in table[0, 1:]))
    if any(not 0 <= parent < joint for joint, parent in enumerate(parents) if joint):
        raise InputError(f"{parents} is no tree", file=file, field="kintree_table")
    fields = {key: read(key, np.float32) for key in MODEL_KEYS[:5]}
    return fields | {"faces": read("f", np.int64), "parents": parents}


def _embedding(content: object, file: Path) -> dict[str, Any]:
    """The landmarks of an embedding: all 68 and the eyes, or the inner 51 with the contour of a frontal head."""
    if not isinstance(content, Mapping):
        raise InputError("holds no landmark embedding", file=file, fix=_EMBEDDING_FIX)
    fields: dict[str, Any] = {}
    if "dynamic_lmk_faces_idx" in content:
        fields["contour_faces"] = _array(content["dynamic_lmk_faces_idx"], file, "dynamic_lmk_faces_idx", np.int64)
        fields["contour_bary"] = _array(content["dynamic_lmk_bary_coords"], file, "dynamic_lmk_bary_coords", np.float32)
    for faces, bary in (
        ("full_lmk_faces_idx_with_eye", "full_lmk_bary_coords_with_eye"),
        ("full_lmk_faces_idx", "full_lmk_bary_coords"),
    ):
        if faces in content and bary in content:
            fields["landmark_faces"] = _array(content[faces], file, faces, np.int64).reshape(-1)
            fields["landmark_bary"] = _array(content[bary], file, bary, np.float32).reshape(-1, 3)
            return fields
    for faces, bary in (("static_lmk_faces_idx", "static_lmk_bary_coords"), ("lmk_face_idx", "lmk_b_coords")):
        if faces in content and bary in content:
            inner = _array(content[faces], file, faces, np.int64).reshape(-1)
            weights = _array(content[bary], file, bary, np.float32).reshape(-1, 3)
            if "contour_faces" in fields:  # the first row is the contour seen from the front
                inner = np.concatenate([fields["contour_faces"][0], inner])
                weights = np.concatenate([fields["contour_bary"][0], weights])
            return fields | {"landmark_faces": inner, "landmark_bary": weights}
    raise InputError("holds no landmark embedding", file=file, fix=_EMBEDDING_FIX)


def _mediapipe(content: object, file: Path) -> dict[str, Any]:
    """The 105 MediaPipe landmarks of `FLAME_with_eye.pt`, if present."""
    if not isinstance(content, Mapping) or not {"lmk_face_idx", "lmk_b_coords"} <= set(content):
        return {}
    try:
        faces = np.asarray(content["lmk_face_idx"], np.int64).reshape(-1)
        bary = np.asarray(content["lmk_b_coords"], np.float32).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("is no landmark embedding", file=file, field="lmk_embeddings_mediapipe") from error
    return {"mediapipe_faces": faces, "mediapipe_bary": bary}


_EMBEDDING_FIX = (
    "Expected keys are full_lmk_faces_idx(_with_eye), static_lmk_faces_idx or lmk_face_idx with their weights; a "
    "landmark_embedding.npy has to be saved anew as a pickle of its dictionary"
)


def _array(value: object, file: Path, field: str, kind: type | None = None) -> np.ndarray:
    try:
        array = as_numbers(value)
        return array if kind is None else array.astype(kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("is not an array of numbers", file=file, field=field) from error


def _masks(content: object, count: int, file: Path) -> dict[str, np.ndarray]:
    if not isinstance(content, Mapping) or not content:
        raise InputError("holds no masks", file=file, fix="Pass FLAME_masks.pkl: region name to vertex numbers")
    masks = {}
    for name, value in content.items():
        numbers = _array(value, file, str(name)[:60])
        if numbers.dtype.kind not in "iu" or (numbers.size and not 0 <= numbers.min() <= numbers.max() < count):
            raise InputError(f"is no list of vertex numbers below {count}", file=file, field=str(name))
        masks[str(name)] = np.zeros(count, np.float32)
        masks[str(name)][numbers.reshape(-1)] = 1.0
    return masks


def _check_indices(model: FlameModel, file: Path) -> None:
    """Refuse out-of-range indices: JAX would clamp them, and a damaged file would give a distorted face."""
    count = len(model.v_template)
    triangles = len(model.faces)
    for name, limit in (
        ("faces", count),
        ("landmark_faces", triangles),
        ("contour_faces", triangles),
        ("mediapipe_faces", triangles),
    ):
        value = getattr(model, name)
        if value is not None and value.size and not 0 <= int(value.min()) <= int(value.max()) < limit:
            raise InputError(f"refers to {int(value.max())}, there are {limit}", file=file, field=name)
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        if not np.isfinite(np.asarray(getattr(model, name))).all():
            raise InputError("holds values that are not finite", file=file, field=name)


def _beside(file: Path, names: tuple[str, ...]) -> Path | None:
    return next((file.with_name(name) for name in names if file.with_name(name).is_file()), None)
