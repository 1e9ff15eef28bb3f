"""A film of what the tracker saw: landmarks, and where the fitted head puts them, over the frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from gagjax import flame
from gagjax.track import Track
from gagjax.tracking import points as numbering
from gagjax.tracking.camera import PictureCamera, project
from gagjax.tracking.clip import TrackedClip
from gagjax.tracking.fit.head import UNITS
from gagjax.tracking.fit.shot import Subject
from gagjax.tracking.sources import Source

MARK, MESH, EYE, LOST = (60, 255, 120), (90, 160, 255), (255, 210, 40), (255, 70, 60)


def look(
    subject: Subject, clip: TrackedClip, landmarks: Float[np.ndarray, "T 478 3"], source: Source
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames with the fitted mesh's wires, the landmarks and the gaze drawn over them; a red frame is not valid.

    Args:
        subject: The head model.
        clip: The track.
        landmarks: Pixels.
        source: The frames.
    """
    wires = _wires(subject)
    track, valid = clip.track, np.asarray(clip.track.valid)
    shots = [shot for shot in clip.shots for _ in range(shot.stop - shot.start)]
    for i, picture in enumerate(source.frames()):
        if i >= len(shots):
            return
        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        thick = max(1, round(max(image.size) / 700))
        shot = shots[i]
        if shot.camera is not None and shot.found[i - shot.start]:
            shape = np.asarray(track.shape)
            shape = shape if shape.ndim == 1 else shape[i]
            pose = jnp.concatenate([jnp.zeros(3), jnp.asarray(track.jaw[i])])
            v = np.asarray(
                flame.vertices(
                    subject.model, shape[: subject.priors.shapes], track.expression[i], pose, jnp.asarray(track.eyes[i])
                )
            )
            transform = shot.transform[i - shot.start]
            camera = UNITS * v @ transform[:, :3] + transform[:, 3]
            plane, depth = project(shot.camera, camera), camera[:, 2]
            front = depth[wires].mean(1) < np.median(depth[wires])
            for a, b in wires[front]:
                draw.line([*plane[a], *plane[b]], fill=MESH, width=thick)
            marks = landmarks[i]
            for x, y in marks[numbering.EMBEDDED, :2]:
                draw.ellipse([x - thick, y - thick, x + thick, y + thick], fill=MARK)
            for pupil in (numbering.RIGHT_PUPIL, numbering.LEFT_PUPIL):
                x, y = marks[pupil, :2]
                draw.ellipse([x - 2 * thick, y - 2 * thick, x + 2 * thick, y + 2 * thick], outline=EYE, width=thick)
            _gaze_lines(draw, subject, track, i, shot.camera, transform, thick)
        if not valid[i]:
            draw.rectangle([0, 0, image.width - 1, image.height - 1], outline=LOST, width=4 * thick)
        yield np.asarray(image)


def _gaze_lines(
    draw: Any, subject: Subject, track: Track, i: int, camera: PictureCamera, transform: np.ndarray, thick: int
) -> None:
    from scipy.spatial.transform import Rotation

    shape = np.asarray(track.shape)
    shape = shape if shape.ndim == 1 else shape[i]
    centres = np.asarray(flame.eye_centres(subject.model, shape[: subject.priors.shapes]))
    for centre, turn in zip(centres, np.asarray(track.eyes[i]).reshape(2, 3), strict=True):
        direction = Rotation.from_rotvec(turn).apply([0, 0, 1.0])
        ends = np.stack([centre + 0.012 * direction, centre + 0.05 * direction])
        a, b = project(camera, UNITS * ends @ transform[:, :3] + transform[:, 3])
        draw.line([*a, *b], fill=EYE, width=thick + 1)


def _wires(subject: Subject) -> np.ndarray:
    """Edges of the face's front, every third one: enough to see how the mesh lies."""
    from gagjax.tracking.correspondence import outer_skin

    model = subject.model
    faces = np.asarray(model.faces)[outer_skin(model)]
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]), 1), axis=0)
    place = np.asarray(model.v_template)[edges].mean(1)
    front = place[:, 2] > np.quantile(np.asarray(model.v_template)[:, 2], 0.55)
    return edges[front][::3]
