"""The parts of a fit that the user chose, and what they need of the clip."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

from gagjax.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from gagjax.avatars.personal.clip import FilmedClip
    from gagjax.avatars.personal.parts.base import Part
    from gagjax.flame.model import FlameModel


@dataclasses.dataclass(frozen=True)
class PartOptions:
    """Which parts; the fields are options of `gagjax fit`, documented there."""

    hold_out_camera: tuple[str, ...] = ()
    colour: Literal["auto", "off", "first", "mean"] = "auto"
    calibrate: bool = False
    fit_shape: bool = False
    light: bool = False
    wrinkles: bool = False
    background: Literal["colour", "matte", "learned"] = "colour"
    uv: bool = False
    warm_up: bool = False
    perceptual: Literal["off", "filters"] = "off"
    lpips: tuple[Path, ...] = ()
    lpips_size: int = 0


def chosen(
    options: PartOptions, clip: FilmedClip, head: FlameModel, model: FlameModel
) -> tuple[FilmedClip, tuple[Part, ...]]:
    """The clip as it is fitted to, and the parts.

    Args:
        options: What the user chose.
        clip: The clip.
        head: The head model with its identity columns.
        model: The person's head.

    Raises:
        InputError: If a part needs something that the clip or the head does not have.
    """
    from gagjax.avatars.personal.cameras.calibration import Calibration
    from gagjax.avatars.personal.cameras.colour import ColourCorrection
    from gagjax.avatars.personal.features.pose import PoseFeatures
    from gagjax.avatars.personal.geometry.shape import ShapeFit
    from gagjax.avatars.personal.geometry.warm_up import ScaleWarmUp
    from gagjax.avatars.personal.light.backdrop import Backdrop, matted
    from gagjax.avatars.personal.light.harmonics import HarmonicLight
    from gagjax.avatars.personal.perceptual.filters import FilterLoss
    from gagjax.avatars.personal.perceptual.lpips import LpipsLoss
    from gagjax.avatars.personal.wrinkles.part import Wrinkles

    parts: list[Part] = []
    if options.background == "matte":
        clip = matted(clip)
    if options.calibrate:
        parts.append(Calibration(pose=clip.cameras > 1))
    if options.fit_shape:
        parts.append(ShapeFit.of(head))
    if options.uv:
        parts.append(PoseFeatures.of(model))
    if options.light:
        parts.append(HarmonicLight())
    if options.wrinkles:
        parts.append(Wrinkles.of(model))
    if options.warm_up:
        parts.append(ScaleWarmUp())
    anchor = options.colour if options.colour in ("first", "mean") else "first"
    if options.colour in ("first", "mean") or (options.colour == "auto" and clip.cameras > 1):
        parts.append(ColourCorrection(anchor=anchor))  # type: ignore[arg-type]
    if options.background == "learned":
        parts.append(Backdrop.of(clip))
    if options.perceptual == "filters":
        parts.append(FilterLoss())
    if options.lpips:
        parts.append(dataclasses.replace(LpipsLoss.load(*options.lpips), size=options.lpips_size))
    return clip, tuple(parts)


def held_cameras(options: PartOptions, clip: FilmedClip) -> np.ndarray:
    """The indices of the held-out cameras.

    Raises:
        InputError: If a name is not one of the clip's cameras, or none is left.
    """
    names = () if clip.rig is None else clip.rig.names
    for name in options.hold_out_camera:
        if name not in names:
            known = ", ".join(names) or "the clip has one camera"
            raise InputError(f"is {name!r}", field="--hold-out-camera", fix=f"Known are {known}")
    held = [names.index(name) for name in dict.fromkeys(options.hold_out_camera)]
    if names and len(held) == len(names):
        raise InputError("leaves no camera to learn from", field="--hold-out-camera", fix="Hold out fewer")
    return np.asarray(held, int)
