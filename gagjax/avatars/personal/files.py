"""A fitted avatar in a folder: `avatar.json`, `avatar.safetensors`, and the corrected track.

The head model is not included: FLAME's licence does not allow redistribution. The built-in head is regenerated from its
seed; any other must be passed when the avatar is opened, and must be the one used for the fit.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax import flame
from gagjax.avatars.files import _digest as digest
from gagjax.avatars.personal import appearance, deformation, tensors, upscaling
from gagjax.avatars.personal.canonical import attach, person, with_shape
from gagjax.avatars.personal.geometry.shape import ShapeFit
from gagjax.avatars.personal.parts import lasting
from gagjax.avatars.personal.parts.base import Part
from gagjax.avatars.personal.parts.dressed import DressedAvatar
from gagjax.errors import InputError
from gagjax.flame.model import FlameModel
from gagjax.typing import AnyArray

FORMAT, VERSION = "gagjax personal avatar", 1
JSON, TENSORS, TRACK = "avatar.json", "avatar.safetensors", "track.npz"
MODELS: dict[str, Any] = {"appearance": appearance, "field": deformation}
_AGAIN = "Fit the avatar again"


#: Either of the two kinds of personal avatar.
PersonalAvatar: TypeAlias = appearance.AppearanceAvatar | deformation.FieldAvatar


class Saved(NamedTuple):
    """A fitted avatar with its head model and background.

    Attributes:
        avatar: The avatar to render.
        model: The head with the person's shape as its mean, shape basis kept.
        background: Colour behind the head in the clip, (3,).
    """

    avatar: Any
    model: FlameModel
    background: Float[np.ndarray, "3"]


def save(
    folder: str | Path,
    avatar: PersonalAvatar | DressedAvatar,
    *,
    head: FlameModel,
    seed: int | None = None,
    shape: Float[np.ndarray, "S"] | None = None,
    background: Sequence[float] | AnyArray = (1.0, 1.0, 1.0),
    force: bool = False,
) -> None:
    """Write an avatar into a folder.

    Args:
        folder: The folder; created if missing.
        avatar: The fitted avatar, with its parts if it has some.
        head: The head model before the person's shape was applied.
        seed: Seed of the built-in head, if it is that one; the avatar then opens without a head model.
        shape: The person's shape coefficients.
        background: Colour behind the head.
        force: Replace an existing avatar.

    Raises:
        InputError: If one exists and `force` is False, or it cannot be written.
    """
    from gagjax.io import atomic

    folder = Path(folder)
    parts: tuple[Part, ...] = ()
    weights: Any = {}
    base: PersonalAvatar
    if isinstance(avatar, DressedAvatar):
        parts, weights, base = avatar.parts, avatar.weights, avatar.base
    else:
        base = avatar
    canonical = base.canonical
    tree = {
        "triangles": canonical.triangles,
        "corners": canonical.corners,
        "shape": np.zeros(0, np.float32) if shape is None else np.asarray(shape, np.float32),
        "points": base.points,
        "network": base.network,
        "parts": weights,
    }
    about = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind_of(base),
        "gaussians": len(base),
        "shape": len(tree["shape"]),
        "blend": getattr(base, "blend", None),
        "head": {"builtin": seed, "digest": digest(head)},
        "background": [float(x) for x in background],
        "size": base.size,
        "channels": int(base.points["colour"].shape[1]),
        "factor": getattr(base, "factor", 1),
        "parts": {part.name: lasting.options_of(part) for part in parts},
    }
    for name in (JSON, TENSORS):
        atomic.check(folder / name, force)
    with atomic.output(folder / TENSORS, force) as temporary:
        tensors.write(temporary, tree)
    with atomic.output(folder / JSON, force) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load(folder: str | Path, head: FlameModel | None = None) -> Saved:
    """Read an avatar from its folder.

    Args:
        folder: A folder written by `save`.
        head: The FLAME model used for the fit; None for an avatar on the built-in head.

    Raises:
        InputError: If a file is missing, damaged or of another version, or the head differs.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("is no folder", file=folder, fix="Pass the folder that `gagjax fit` wrote")
    file, data = folder / JSON, folder / TENSORS
    about = _about(file)
    base = _head(about, head, file)
    arrays = tensors.read(data)
    count, shapes = about["gaussians"], about["shape"]
    module = MODELS[about["kind"]]
    more = {"channels": about["channels"], "factor": about["factor"]} if about["kind"] == "field" else {}
    parts = lasting.made(about["parts"], base, person(base, _given_shape(arrays, shapes)))
    shapes_of = module.structure(count, **more)
    structure = {
        "triangles": np.empty(count, np.int32),
        "corners": np.empty((count, 3), np.float32),
        "shape": np.empty(shapes, np.float32),
        **shapes_of,
        "parts": lasting.structure(parts, SimpleNamespace(points=shapes_of["points"], size=about["size"])),
    }
    filled = tensors.fill(structure, arrays, data)
    triangles = filled["triangles"]
    if len(triangles) and not 0 <= triangles.min() <= triangles.max() < len(base.faces):
        raise InputError("names triangles that the head does not have", file=data, field="triangles", fix=_AGAIN)
    shape = filled["shape"]
    canonical = attach(person(base, shape), triangles, filled["corners"])
    options = {} if about["blend"] is None else {"blend": about["blend"], "factor": about["factor"]}
    avatar = module.Avatar(
        person(base, shape),
        canonical,
        {name: jnp.asarray(value) for name, value in filled["points"].items()},
        filled["network"],
        jnp.float32(1),
        size=about["size"],
        **options,
    )
    avatar = lasting.dressed(avatar, parts, filled["parts"])
    return Saved(avatar, _with_fitted(with_shape(base, shape), avatar), np.asarray(about["background"], np.float32))


def _given_shape(arrays: Mapping[str, np.ndarray], count: int) -> Float[np.ndarray, "S"]:
    """The shape in a file that is still to be checked."""
    found = arrays.get("shape")
    return found if found is not None and found.shape == (count,) and found.dtype == np.float32 else np.zeros(count)


def _with_fitted(model: FlameModel, avatar: Any) -> FlameModel:
    """The head with the shape that the fit found."""
    for part in getattr(avatar, "parts", ()):
        if isinstance(part, ShapeFit):
            moved = part.moved(avatar.weights[part.name])
            model = dataclasses.replace(model, v_template=model.v_template + moved)
    return model


def kind_of(avatar: PersonalAvatar) -> str:
    """The name of an avatar's model in files and options."""
    return next(name for name, module in MODELS.items() if isinstance(avatar, module.Avatar))


def _about(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError("does not exist", file=file, fix="Pass the folder that `gagjax fit` wrote")
    if file.stat().st_size > 1 << 20:
        raise InputError("is too large", file=file, fix=_AGAIN)
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no readable JSON ({error})", file=file, fix=_AGAIN) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputError("describes no personal avatar", file=file, field="format", fix=_AGAIN)
    if about.get("version") != VERSION:
        raise InputError(f"is {about.get('version')!r}, expected {VERSION}", file=file, field="version", fix=_AGAIN)
    if not isinstance(about.get("kind"), str) or about["kind"] not in MODELS:
        raise InputError(f"is {about.get('kind')!r}", file=file, field="kind", fix=f"Known are {', '.join(MODELS)}")
    for name, least, most in (("gaussians", 1, 10_000_000), ("shape", 0, 1000), ("size", 0, 8192)):
        if type(about.get(name)) is not int or not least <= about[name] <= most:
            raise InputError(f"is {about.get(name)!r}", file=file, field=name, fix=_AGAIN)
    defaults: dict[str, Any] = {"blend": None, "channels": 3, "factor": 1, "parts": {}}
    about = defaults | about
    lasting.check(about["parts"], file)
    for name, known in (("channels", deformation.CHANNELS), ("factor", upscaling.FACTORS)):
        if type(about[name]) is not int or about[name] not in (known if about["kind"] == "field" else known[:1]):
            raise InputError(f"is {about[name]!r}", file=file, field=name, fix=_AGAIN)
    if about["blend"] not in (deformation.BLENDS if about["kind"] == "field" else (None,)):
        raise InputError(f"is {about['blend']!r}", file=file, field="blend", fix=_AGAIN)
    colour = about.get("background")
    if not isinstance(colour, list) or len(colour) != 3 or not all(_is_small(x) for x in colour):
        raise InputError("is no colour", file=file, field="background", fix=_AGAIN)
    return about


def _is_small(value: object) -> bool:
    return isinstance(value, int | float) and -1e6 < value < 1e6


def _head(about: dict[str, Any], given: FlameModel | None, file: Path) -> FlameModel:
    head = about.get("head")
    if not isinstance(head, dict) or "digest" not in head:
        raise InputError("is missing", file=file, field="head", fix=_AGAIN)
    seed = head.get("builtin")
    if given is None and seed is None:
        raise InputError("needs the FLAME model that it was fitted with", file=file, fix="Pass --flame")
    if given is None and (type(seed) is not int or not 0 <= seed < 1 << 32):
        raise InputError(f"is {seed!r}", file=file, field="head.builtin", fix=_AGAIN)
    model = flame.builtin(seed) if given is None else given
    if digest(model) != head["digest"]:
        raise InputError(
            "belongs to another head model", file=file, field="head", fix="Pass the one it was fitted with"
        )
    return model
