"""A track drawn over frames: wires of the mesh, landmarks, rays of the eyes, masks of the eyes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw

from gagjax import flame
from gagjax.app.workflows.motion.heads import Head
from gagjax.conventions.head_pose import folded
from gagjax.gaze import gaze_of, project, track_eye_masks
from gagjax.gaze.overlay import COLOURS
from gagjax.track import Track

MESH, MARK, SEEN, LOST = (70, 150, 255), (60, 255, 120), (255, 255, 255), (255, 70, 60)
RAY = 0.07  # metres
_WIRE, _MASK = 0.38, 0.6  # how much of the picture wires and masks cover
_CELLS, _BEHIND = 64, 0.08  # grid that tells what lies behind the skin, and by how much it must, GAGAvatar units
CHUNK = 8


def drawn(
    frames: Iterator[UInt8[np.ndarray, "H W 3"]],
    track: Track,
    head: Head,
    show: Sequence[str],
    seen: Float[np.ndarray, "T N 2"] | None = None,
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Each frame with the drawing over it.

    Args:
        frames: One for each frame of the track, all of one size.
        track: The track; its camera and lens are those of the frames.
        head: The head that it was made on.
        show: Some of "mesh", "landmarks", "gaze", "masks".
        seen: The tracker's own landmarks as fractions of the picture, NaN where it found none; or None.

    Yields:
        New frames.
    """
    track = dataclasses.replace(folded(track, head.model, head.shape), shape=_whole(head.shape))
    triangles = skin(head)
    valid = np.asarray(track.valid)
    for start in range(0, len(track), CHUNK):
        part = track[start : start + CHUNK]
        posed = _posed(part, head)
        masks: np.ndarray | None = None
        for i in range(len(part)):
            picture = next(frames)
            height, width = picture.shape[:2]
            size = np.array([width, height])
            if "masks" in show:
                if masks is None:
                    masks = np.asarray(track_eye_masks(head.model, part, height, width))
                picture = tinted(picture, masks[i])
            image = Image.fromarray(np.ascontiguousarray(picture))
            thick = max(1, round(max(image.size) / 600))
            if "mesh" in show:
                image = _wires(image, posed["mesh"][i] * size, posed["depth"][i], triangles, thick)
            pen = ImageDraw.Draw(image)
            if "landmarks" in show:
                _dots(pen, posed["landmarks"][i] * size, MARK, thick)
                if seen is not None:
                    _dots(pen, seen[start + i] * size, SEEN, 0.6 * thick)
            if "gaze" in show:
                _rays(pen, posed["gaze"][i] * size, thick)
            if not valid[start + i]:
                pen.rectangle([0, 0, width - 1, height - 1], outline=LOST, width=4 * thick)
            yield np.asarray(image)


def skin(head: Head) -> Int[np.ndarray, "F 3"]:
    """The triangles whose wires are drawn: the skin's, and not the lining of mouth and eyes where masks tell it."""
    from gagjax.tracking.correspondence import outer_skin

    return np.asarray(head.model.faces)[outer_skin(head.model)]


def tinted(picture: UInt8[np.ndarray, "H W 3"], masks: Float[np.ndarray, "2 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture with each eye's mask in that eye's colour."""
    out = picture.astype(np.float32)
    for mask, colour in zip(masks, COLOURS, strict=True):
        share = _MASK * mask[..., None]
        out = out + share * (np.asarray(colour, np.float32) - out)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def _posed(part: Track, head: Head) -> dict[str, np.ndarray]:
    """Places of everything in the pictures, as fractions: mesh (T, V, 2), landmarks (T, L, 2), gaze (T, 4, 2)."""
    pose = jnp.concatenate([jnp.zeros_like(jnp.asarray(part.jaw)), jnp.asarray(part.jaw)], -1)
    values = (head.model, head.shape, part.expression, pose, part.eyes, part.neck)
    vertices = flame.vertices(*values)
    marks = flame.landmarks(head.model, vertices)[:, :68]
    centres = flame.joints(*values)[:, 3:5]
    directions = jnp.asarray(gaze_of(part))
    rays = jnp.concatenate([centres + 0.013 * directions, centres + RAY * directions], 1)
    places = {}
    for name, points in (("mesh", vertices), ("landmarks", marks), ("gaze", rays)):
        plane, depth = project(points, jnp.asarray(part.transform), part.intrinsics)
        places[name] = np.asarray(plane, np.float64)
        if name == "mesh":
            places["depth"] = np.asarray(depth, np.float64)
    return places


def _wires(image: Image.Image, points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, thick: int) -> Image.Image:
    """Edges of the triangles that face the camera with nothing before them, half see-through."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    across = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    # Pictures run downwards: a triangle whose corners go round to the left in space goes round to the right here.
    front = triangles[across < 0]
    edges = np.unique(np.sort(np.concatenate([front[:, [0, 1]], front[:, [1, 2]], front[:, [2, 0]]]), 1), axis=0)
    edges = edges[_uncovered(points, depth, edges, image.size)]
    cover = Image.new("L", image.size)
    pen = ImageDraw.Draw(cover)
    shade = round(255 * _WIRE)
    for p, q in points[edges].round(1).tolist():
        pen.line([*p, *q], fill=shade, width=max(1, thick // 2))
    return Image.composite(Image.new("RGB", image.size, MESH), image, cover)


def _uncovered(points: np.ndarray, depth: np.ndarray, edges: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which edges are not well behind the mesh's nearest part in their cell of a coarse grid."""
    # Far outside the picture, and where a point lies behind the camera, nothing is drawn.
    cells = np.nan_to_num(points / max(size) * _CELLS, nan=-1.0, posinf=-1.0, neginf=-1.0)
    rows, columns = (np.clip(cells, -1, _CELLS).astype(np.int64) + 1).T[::-1]
    nearest = np.full((_CELLS + 2, _CELLS + 2), np.inf)
    np.minimum.at(nearest.reshape(-1), rows * (_CELLS + 2) + columns, depth)
    behind = depth - nearest[rows, columns] > _BEHIND
    return ~behind[edges].any(1) & (depth[edges] > 0).all(1)


def _dots(pen: ImageDraw.ImageDraw, points: np.ndarray, colour: tuple[int, int, int], radius: float) -> None:
    for x, y in points[np.isfinite(points).all(1)]:
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _rays(pen: ImageDraw.ImageDraw, ends: np.ndarray, thick: int) -> None:
    for eye in range(2):
        a, b = ends[eye], ends[2 + eye]
        if np.isfinite([a, b]).all():
            pen.line([*a, *b], fill=COLOURS[eye], width=2 * thick)
            pen.ellipse([*(b - 2.5 * thick), *(b + 2.5 * thick)], fill=COLOURS[eye])


def _whole(shape: Float[np.ndarray, "S"]) -> Float[np.ndarray, "300"]:
    return np.pad(shape, (0, 300 - len(shape))).astype(np.float32)
