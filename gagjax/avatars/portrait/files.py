"""A portrait avatar in a folder: `avatar.json`, `avatar.safetensors`, `background.png`, and a PLY for splat viewers.

As with personal avatars, the head model is not included: the built-in one is regenerated, any other must be passed.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax import flame
from gagjax.avatars import ply
from gagjax.avatars.binding import Binding
from gagjax.avatars.files import _digest as digest
from gagjax.avatars.files import splats
from gagjax.avatars.personal import tensors
from gagjax.avatars.portrait.avatar import Layer, PortraitAvatar
from gagjax.errors import InputError
from gagjax.flame.model import FlameModel

FORMAT, VERSION = "gagjax portrait avatar", 1
JSON, TENSORS, BACKGROUND, PLY = "avatar.json", "avatar.safetensors", "background.png", "avatar.ply"
_AGAIN = "Build the avatar again with `gagjax avatar`"
_LIMIT = 4_000_000  # Gaussians


class Saved(NamedTuple):
    """A portrait avatar with its head model and background.

    Attributes:
        avatar: The avatar to render.
        model: The head with the person's shape as its mean, shape basis kept.
        background: The photo's background with the person inpainted, (H, W, 3) in [0, 1].
        size: Width and height of the photo's crop, at which the avatar reproduces the photo.
    """

    avatar: PortraitAvatar
    model: FlameModel
    background: Float[np.ndarray, "H W 3"]
    size: int


def is_portrait(folder: str | Path) -> bool:
    """Whether a folder holds a portrait avatar (and not one that was fitted to a clip)."""
    file = Path(folder) / JSON
    return file.is_file() and file.stat().st_size < 1 << 20 and _about(file).get("format") == FORMAT


def save(
    folder: str | Path,
    avatar: PortraitAvatar,
    background: Float[np.ndarray, "H W 3"],
    head: FlameModel,
    *,
    builtin: bool,
    force: bool = False,
) -> None:
    """Write an avatar into a folder.

    Args:
        folder: The folder; created if missing.
        avatar: From `build`.
        background: The background with the person inpainted.
        head: The model it was built with.
        builtin: Whether that is the built-in head, which `load` can regenerate.
        force: Replace an existing avatar.

    Raises:
        InputError: If one exists and `force` is False, or it cannot be written.
    """
    from gagjax.io import atomic, images

    folder = Path(folder)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "gaussians": len(avatar.binding),
        "layer": len(avatar) - len(avatar.binding),
        "head": {"builtin": builtin, "digest": digest(head)},
        "size": int(background.shape[0]),
    }
    for name in (JSON, TENSORS, BACKGROUND, PLY):
        atomic.check(folder / name, force)
    with atomic.output(folder / TENSORS, force) as temporary:
        tensors.write(temporary, _tree(avatar))
    with atomic.output(folder / PLY, force) as temporary:
        ply.write(temporary, splats(avatar.gaussians(avatar.model.v_template)))
    images.write(folder / BACKGROUND, np.asarray(np.clip(background, 0, 1) * 255 + 0.5, np.uint8), force=force)
    with atomic.output(folder / JSON, force) as temporary:
        temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load(folder: str | Path, head: FlameModel | None = None) -> Saved:
    """Read an avatar from its folder.

    Args:
        folder: A folder written by `save`.
        head: The FLAME model that it was built with; None for the built-in head.

    Raises:
        InputError: If a file is missing, damaged or of another version, or the head differs.
    """
    from gagjax.io import images

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("is no folder", file=folder, fix="Pass the folder that `gagjax avatar` wrote")
    file, data = folder / JSON, folder / TENSORS
    about = _checked(file)
    if head is None and not about["head"].get("builtin"):
        raise InputError("needs the FLAME model that it was built with", file=file, fix="Pass --flame")
    base = flame.builtin() if head is None else head
    if about["head"].get("digest") != digest(base):
        raise InputError("belongs to another head model", file=file, field="head", fix="Pass the one it was built with")
    filled = tensors.fill(_structure(about, base), tensors.read(data), data)
    triangles = filled["triangles"]
    if len(triangles) and not 0 <= triangles.min() <= triangles.max() < len(base.faces):
        raise InputError("names triangles that the head does not have", file=data, field="triangles", fix=_AGAIN)
    model = dataclasses.replace(base, v_template=jnp.asarray(filled["template"]))
    layer = filled.get("layer")
    avatar = PortraitAvatar(
        model=dataclasses.replace(model, shapedirs=model.expression_basis),
        binding=Binding(triangles, filled["offsets"], filled["factors"], frame="affine"),
        layer=None if layer is None else Layer(**layer),
        **{name: filled[name] for name in _PLAIN},
    )
    background = images.read(folder / BACKGROUND).astype(np.float32) / 255
    return Saved(avatar, model, background, about["size"])


_PLAIN = ("corners", "opacities", "albedo", "lit", "light", "follow", "pivot", "view")


def _tree(avatar: PortraitAvatar) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "template": np.asarray(avatar.model.v_template),
        "triangles": np.asarray(avatar.binding.triangles),
        "offsets": np.asarray(avatar.binding.offsets),
        "factors": np.asarray(avatar.binding.factors),
        **{name: np.asarray(getattr(avatar, name)) for name in _PLAIN},
    }
    if avatar.layer is not None:
        tree["layer"] = {each.name: np.asarray(getattr(avatar.layer, each.name)) for each in dataclasses.fields(Layer)}
    return tree


def _structure(about: dict[str, Any], base: FlameModel) -> dict[str, Any]:
    count, extra, vertices = about["gaussians"], about["layer"], len(base.v_template)

    def one(*shape: int) -> np.ndarray:
        return np.empty(shape, np.float32)

    tree: dict[str, Any] = {
        "template": one(vertices, 3),
        "triangles": np.empty(count, np.int32),
        "offsets": one(count, 3),
        "factors": one(count, 3, 3),
        "corners": one(count, 3),
        "opacities": one(count),
        "albedo": one(count, 3),
        "lit": one(count),
        "light": one(9, 3),
        "follow": one(vertices),
        "pivot": one(3),
        "view": one(4, 4),
    }
    if extra:
        tree["layer"] = {
            "means": one(extra, 3),
            "factors": one(extra, 3, 3),
            "opacities": one(extra),
            "colours": one(extra, 3),
            "follow": one(extra),
        }
    return tree


def _about(file: Path) -> dict[str, Any]:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"is no readable JSON ({error})", file=file, fix=_AGAIN) from error
    if not isinstance(about, dict):
        raise InputError("describes no avatar", file=file, field="format", fix=_AGAIN)
    return about


def _checked(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError("does not exist", file=file, fix="Pass the folder that `gagjax avatar` wrote")
    if file.stat().st_size > 1 << 20:
        raise InputError("is too large", file=file, fix=_AGAIN)
    about = _about(file)
    if about.get("format") != FORMAT:
        raise InputError("describes no portrait avatar", file=file, field="format", fix=_AGAIN)
    if about.get("version") != VERSION:
        raise InputError(f"is {about.get('version')!r}, expected {VERSION}", file=file, field="version", fix=_AGAIN)
    for name, least, most in (("gaussians", 1, _LIMIT), ("layer", 0, _LIMIT), ("size", 1, 8192)):
        if type(about.get(name)) is not int or not least <= about[name] <= most:
            raise InputError(f"is {about.get(name)!r}", file=file, field=name, fix=_AGAIN)
    if not isinstance(about.get("head"), dict):
        raise InputError("is missing", file=file, field="head", fix=_AGAIN)
    return about
