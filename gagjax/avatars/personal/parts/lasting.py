"""Parts that belong to the avatar, in its folder: options in `avatar.json`, weights in `avatar.safetensors`.

Constants (a basis, a map) are not stored: they are made again from the head and the options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from gagjax.avatars.personal.features.pose import PoseFeatures
from gagjax.avatars.personal.geometry.shape import ShapeFit
from gagjax.avatars.personal.light.harmonics import HarmonicLight
from gagjax.avatars.personal.parts.base import Part, Scene
from gagjax.avatars.personal.parts.dressed import DressedAvatar
from gagjax.avatars.personal.wrinkles.part import Wrinkles
from gagjax.errors import InputError
from gagjax.flame.model import FlameModel
from gagjax.typing import Tree

_AGAIN = "Fit the avatar again"


def _shape(head: FlameModel, person: FlameModel, options: Mapping[str, int]) -> Part:
    return ShapeFit.of(head, options["count"], vertices=bool(options["vertices"]))


def _uv(head: FlameModel, person: FlameModel, options: Mapping[str, int]) -> Part:
    return PoseFeatures.of(person, options["size"], encode=bool(options["encode"]))


def _light(head: FlameModel, person: FlameModel, options: Mapping[str, int]) -> Part:
    return HarmonicLight()


def _wrinkles(head: FlameModel, person: FlameModel, options: Mapping[str, int]) -> Part:
    return Wrinkles.of(person, options["size"], options["count"])


#: How each part is made again, and its options with their limits.
KINDS: dict[str, tuple[Callable[[FlameModel, FlameModel, Mapping[str, int]], Part], dict[str, tuple[int, int]]]] = {
    ShapeFit.name: (_shape, {"count": (0, 400), "vertices": (0, 1)}),
    PoseFeatures.name: (_uv, {"size": (4, 1024), "encode": (0, 1)}),
    HarmonicLight.name: (_light, {}),
    Wrinkles.name: (_wrinkles, {"size": (4, 1024), "count": (1, 100)}),
}


def options_of(part: Part) -> dict[str, int]:
    """The options from which a part is made again.

    Raises:
        InputError: If its kind cannot be stored.
    """
    if isinstance(part, ShapeFit):
        return {"count": part.basis.shape[-1], "vertices": int(part.vertices)}
    if isinstance(part, PoseFeatures):
        return {"size": part.layout.size, "encode": int(part.encode)}
    if isinstance(part, Wrinkles):
        return {"size": part.layout.size, "count": part.count}
    if part.name not in KINDS:
        raise InputError(f"{part.name!r} cannot be stored with an avatar", field="parts", fix="Fit without it")
    return {}


def check(about: object, file: Path) -> dict[str, dict[str, int]]:
    """The parts that a file describes, by name.

    Raises:
        InputError: If one is not known or an option is out of range.
    """
    if not isinstance(about, dict):
        raise InputError("is no description of parts", file=file, field="parts", fix=_AGAIN)
    for name, options in about.items():
        limits = KINDS[name][1] if name in KINDS else None
        if limits is None or not isinstance(options, dict) or set(options) != set(limits):
            raise InputError("is not known", file=file, field=f"parts.{name}"[:60], fix=_AGAIN)
        for option, (least, most) in limits.items():
            if type(options[option]) is not int or not least <= options[option] <= most:
                raise InputError(f"is {options[option]!r}"[:60], file=file, field=f"parts.{name}.{option}", fix=_AGAIN)
        if name == PoseFeatures.name and options["size"] % 4:
            raise InputError("is no multiple of 4", file=file, field=f"parts.{name}.size", fix=_AGAIN)
    return about


def made(about: Mapping[str, Mapping[str, int]], head: FlameModel, person: FlameModel) -> tuple[Part, ...]:
    """The parts of a description, in its order."""
    return tuple(KINDS[name][0](head, person, options) for name, options in about.items())


def structure(parts: tuple[Part, ...], avatar: Tree) -> dict[str, Any]:
    """The shapes of the parts' weights for an avatar."""
    scene = Scene(avatar, 1, 1, max(avatar.size, 4))
    return {
        part.name: jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), part.start(scene)) for part in parts
    }


def dressed(avatar: Tree, parts: tuple[Part, ...], weights: Tree) -> Any:
    """The avatar in its parts; the bare one if there are none."""
    return DressedAvatar(avatar, parts, jax.tree.map(jnp.asarray, weights)) if parts else avatar
