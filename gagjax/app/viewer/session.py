"""State of the viewer, independent of a browser: enhanced track, curves, head vertices, preset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax import so3
from gagjax.app import presets
from gagjax.camera import UNITS_PER_METRE as UNITS
from gagjax.camera import Camera, from_track
from gagjax.conventions.head_pose import folded
from gagjax.errors import InputError
from gagjax.expression import driven
from gagjax.expression.arkit import on_head
from gagjax.flame.model import FlameModel, vertices
from gagjax.io import atomic
from gagjax.pytree import at_path, with_path
from gagjax.stack import Stack, enhance_track
from gagjax.track import SHAPES, Track
from gagjax.typing import AnyArray


class Knob(NamedTuple):
    """A hyperparameter with a slider.

    Attributes:
        path: Its path in the stack, as in preset files.
        label: Slider label.
        low, high: Slider range.
    """

    path: str
    label: str
    low: float
    high: float


#: All possible knobs; those that a stack has are shown. Frequencies are smoothing cutoffs.
KNOBS = (
    Knob("temporal.expression.lowest", "expression, lowest Hz", 0.1, 12.0),
    Knob("temporal.jaw.lowest", "jaw, lowest Hz", 0.1, 12.0),
    Knob("temporal.eyes.lowest", "eyes, lowest Hz", 0.1, 12.0),
    Knob("temporal.rotation.lowest", "camera rotation, lowest Hz", 0.1, 12.0),
    Knob("temporal.translation.lowest", "camera translation, lowest Hz", 0.1, 12.0),
    Knob("temporal.expression.cutoff", "expression, Hz", 0.1, 12.0),
    Knob("temporal.jaw.cutoff", "jaw, Hz", 0.1, 12.0),
    Knob("temporal.eyes.cutoff", "eyes, Hz", 0.1, 12.0),
    Knob("expression.gain", "expression, gain", 0.0, 2.0),
    Knob("gaze.strength", "gaze, strength", 0.0, 1.0),
    Knob("gaze.corrector.strength", "gaze, strength", 0.0, 1.0),
)


def channels_of(track: Track) -> dict[str, str]:
    """The curves available for a track: name to unit."""
    found = {
        "jaw opening": "deg",
        "left eye, up and down": "deg",
        "left eye, sideways": "deg",
        "camera, nodding": "deg",
        "camera, turning": "deg",
        "camera, tilting": "deg",
        "camera, x": "units",
        "camera, y": "units",
        "camera, distance": "units",
    }
    return found | {f"expression {k}": "coefficient" for k in range(10)}


def curve(track: Track, name: str) -> Float[np.ndarray, "T"]:
    """One value per frame, in the unit that `channels_of` gives.

    Raises:
        InputError: If there is no such curve.
    """
    turned = np.asarray(so3.log(jnp.asarray(track.transform)[:, :, :3]))
    turned = turned - np.median(turned, axis=0) if name.startswith("camera,") else turned
    found: dict[str, Any] = {
        "jaw opening": np.rad2deg(track.jaw)[:, 0],
        "left eye, up and down": np.rad2deg(track.eyes)[:, 0],
        "left eye, sideways": np.rad2deg(track.eyes)[:, 1],
        "camera, nodding": np.rad2deg(turned[:, 0]),
        "camera, turning": np.rad2deg(turned[:, 1]),
        "camera, tilting": np.rad2deg(turned[:, 2]),
        "camera, x": np.asarray(track.transform)[:, 0, 3],
        "camera, y": np.asarray(track.transform)[:, 1, 3],
        "camera, distance": np.asarray(track.transform)[:, 2, 3],
    }
    if name.startswith("expression "):
        return np.asarray(track.expression)[:, int(name.removeprefix("expression "))]
    if name not in found:
        raise InputError(f"{name!r} is no curve", field="curve")
    return np.asarray(found[name])


class ViewerSession:
    """A track, a stack with adjustable knobs, and the resulting track.

    Args:
        track: The track as loaded.
        stack: The stages.
        model: The head model to display it on.
        preset: The stack's preset name, on which a saved preset builds.
        after: A track to show instead of the stack's output, such as a saved result.
    """

    def __init__(
        self, track: Track, stack: Stack, model: FlameModel, *, preset: str = "default", after: Track | None = None
    ) -> None:
        if after is not None and len(after) != len(track):
            raise InputError(f"has {len(after)} frames, the track {len(track)}", field="after")
        self.model, self.preset = model, preset
        self._stack, self._fixed = stack.for_model(model), after
        self.knobs = (
            {} if after is not None else {k.path: k for k in KNOBS if value_at(self._stack, k.path) is not None}
        )
        self.values = {path: float(value_at(self._stack, path)) for path in self.knobs}
        self.changed: dict[str, float] = {}
        shape = track.shape
        self._shape = np.zeros(SHAPES, np.float32) if shape is None else np.atleast_2d(np.asarray(shape))[0]
        # The display shows the head at rest with its pose in the camera; the enhancement runs on the track as loaded.
        self._given, self.track = track, self._shown(track)
        self._middle = np.median(np.asarray(self.track.transform)[:, :, 3], axis=0)
        self.after = self._enhanced()

    def turn(self, path: str, value: float) -> None:
        """Set a knob and enhance again, without recompiling: hyperparameters are data."""
        if value != self.values[path]:
            self.values[path] = self.changed[path] = value
            self._stack = with_path(self._stack, path, np.float32(value))
            self.after = self._enhanced()

    def head(self, after: bool, frame: int) -> Float[np.ndarray, "V 3"]:
        """The head's vertices in the camera view, metres: x left, y up, z away, origin at the head's usual position."""
        expression, jaw, eyes, neck = self._at(after, frame)
        mesh = np.asarray(_posed(self.model, self._shape, expression, jaw, eyes, neck))
        rotation, shift = self.place(after, frame)
        return mesh @ rotation + shift

    def place(self, after: bool, frame: int) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
        """Transform from the head's frame to the camera view: rotation (for row vectors) and translation in metres."""
        transform = np.asarray((self.after if after else self.track).transform)[frame]
        return transform[:, :3], (transform[:, 3] - self._middle) / UNITS

    def in_picture(self, after: bool, frame: int) -> Float[np.ndarray, "V 2"]:
        """Where the track's camera sees the head's vertices: x and y as fractions of its picture."""
        seen = UNITS * self.head(after, frame) + self._middle
        camera = self._camera(np.asarray((self.after if after else self.track).transform)[frame], frame)
        k = np.asarray(camera.K, np.float64)
        plane = -seen[:, :2] / np.maximum(seen[:, 2:], 1e-6) * [k[0, 0], k[1, 1]] + k[:2, 2]
        return plane / [camera.width, camera.height]

    def lens(self) -> tuple[float, float, tuple[float, float, float]]:
        """The track's camera in the view of `head`: vertical field of view in radians, aspect ratio, place in metres."""
        camera = self._camera(np.asarray(self.track.transform)[0], 0)
        fov = 2 * float(np.arctan2(0.5 * camera.height, float(np.asarray(camera.K)[1, 1])))
        x, y, z = (-self._middle / UNITS).tolist()
        return fov, camera.width / camera.height, (x, y, z)

    def parameters(self, after: bool, frame: int) -> Any:
        """The frame as `gagjax.avatars.Parameters`, with the viewing camera."""
        from gagjax.avatars import Parameters

        expression, jaw, eyes, neck = self._at(after, frame)
        transform = np.asarray((self.after if after else self.track).transform)[frame]
        return Parameters.of(expression, jaw, eyes, neck, camera=self._camera(transform, frame))

    def _camera(self, transform: np.ndarray, frame: int) -> Camera:
        lens = self.track.intrinsics
        if lens is not None and lens.K.ndim == 3:
            lens = dataclasses.replace(lens, K=lens.K[frame])
        return from_track(jnp.asarray(transform), intrinsics=lens)

    def _at(self, after: bool, frame: int) -> list[np.ndarray]:
        track = self.after if after else self.track
        neck = np.zeros((1, 3), np.float32) if track.neck is None else track.neck
        return [np.asarray(x)[min(frame, len(x) - 1)] for x in (track.expression, track.jaw, track.eyes, neck)]

    def save(self, path: Path, *, force: bool = False) -> None:
        """Save the knobs as a preset for `--preset`.

        Raises:
            InputError: If the name does not end in .yaml, or it exists and `force` is False.
        """
        import yaml

        if path.suffix.lower() not in (".yaml", ".yml"):
            raise InputError("is no preset file name", file=path, fix="Use NAME.yaml")
        base = self.preset if self.preset in presets.STACKS else "default"
        enabled = {
            stage for stage in ("temporal", "expression", "gaze", "detail", "eyes") if getattr(self._stack, stage)
        }
        enable = [name for name, stages in presets.ENHANCEMENTS.items() if enabled & set(stages)]
        # For a preset file every knob is written, since what that file changed is not known here.
        values = self.changed if self.preset in presets.STACKS else self.values
        content = {"preset": base, "enable": enable, "set": {name: round(v, 6) for name, v in values.items()}}
        with atomic.output(path, force) as temporary:
            temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def _enhanced(self) -> Track:
        return self._shown(enhance_track(self._stack, self._given) if self._fixed is None else self._fixed)

    def _shown(self, track: Track) -> Track:
        own = self._shape[: self.model.shapes]
        track, _ = on_head(track, self.model, own)
        return folded(driven(track, self.model, own)[0], self.model, self._shape)


@jax.jit
def _posed(
    model: FlameModel, shape: AnyArray, expression: AnyArray, jaw: AnyArray, eyes: AnyArray, neck: AnyArray
) -> Array:
    pose = jnp.concatenate([jnp.zeros(3), jaw])
    return vertices(model, shape[: model.shapes], expression, pose, eyes, neck)


def value_at(value: object, path: str) -> Any:
    """The single number at a path of a stack; None if its preset does not run that stage, or it is no number."""
    try:
        found = at_path(value, path)
    except KeyError:  # the preset does not run this stage
        return None
    return found if found is not None and np.ndim(found) == 0 else None
