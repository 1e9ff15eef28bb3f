"""Face detection: MediaPipe's two detectors, tiles for small faces, and rotated images for rolled ones.

Source: Bazarevsky, Kartynnik, Vakunov, Raveendran, Grundmann, "BlazeFace: Sub-millisecond Neural Face Detection on
Mobile GPUs", 2019; overlapping detections are averaged by score as it describes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from gagjax.tracking import models
from gagjax.tracking.faces.regions import Region, of_box

LEAST = 0.5  # minimum score of a face
TILE_LEAST = 0.6  # stricter, because enlarged textures in tiles look like faces more often
_OVERLAP = 0.3
_TILE_BATCH = 4
SMALLEST = 0.25  # minimum side of a tile over the image's shorter side


class Face(NamedTuple):
    """One detection.

    Attributes:
        score: Confidence, 0 to 1.
        points: Pixels, (8, 2): the box's low and high corner, right eye, left eye, nose, mouth, right ear, left ear
            (subject's right and left).
    """

    score: float
    points: Float[np.ndarray, "8 2"]

    @property
    def region(self) -> Region:
        """The upright square for the mesh network."""
        return of_box(*self.points[:4])

    @property
    def size(self) -> float:
        """The longer side of its box in pixels."""
        return float((self.points[1] - self.points[0]).max())


class _Network(NamedTuple):
    run: Callable[[Any], Any]
    size: int
    anchors: Float[np.ndarray, "N 2"]


@functools.cache
def _network(name: str) -> _Network:
    from gagjax.tracking.networks import function, graph

    run = function(graph.load(models.path_of(name)))
    if name == "detector_near":
        return _Network(run, 128, np.concatenate([_anchors(128, 8, 2), _anchors(128, 16, 6)]))
    return _Network(run, 192, _anchors(192, 4, 1))


def _anchors(size: int, stride: int, count: int) -> Float[np.ndarray, "N 2"]:
    """Centres of the detector's cells in [0, 1], each `count` times."""
    line = (np.arange(size // stride) + 0.5) * stride / size
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.repeat(np.stack([x.ravel(), y.ravel()], -1), count, 0)


def detect(picture: UInt8[np.ndarray, "H W 3"], *, tiles: bool = True, turns: bool = True) -> list[Face]:
    """Detect the faces in an image, best first.

    The short-range detector runs first, then the full-range one, then the full-range one on overlapping tiles of a
    large image, then both on the image in quarter turns; each only if the previous ones found nothing.

    Args:
        picture: RGB, (H, W, 3).
        tiles: Whether to search tiles for small faces.
        turns: Whether to search for sideways and upside-down faces.

    Returns:
        The faces; empty if there are none.

    Raises:
        InputError: If the models are not installed.
    """
    return next(stages(picture, tiles=tiles, turns=turns), [])


def stages(picture: UInt8[np.ndarray, "H W 3"], *, tiles: bool = True, turns: bool = True) -> Iterator[list[Face]]:
    """What each way of looking finds, in the order of `detect`, and only as far as it is asked for.

    Args:
        picture: RGB, (H, W, 3).
        tiles: Whether to look for small faces in tiles.
        turns: Whether to look for lying and upside-down faces.

    Yields:
        Faces, best first, never none.

    Raises:
        InputError: If the models are not installed.
    """
    for name in ("detector_near", "detector_far"):
        if faces := _in_pictures(name, [picture], LEAST)[0]:
            yield faces
    if tiles and (faces := _in_tiles(picture)):
        yield faces
    if turns and (faces := _turned(picture)):
        yield faces


def upright(picture: UInt8[np.ndarray, "H W 3"], region: Region) -> Region:
    """The region rotated by the multiple of 90 degrees with the highest face score.

    The mesh network mistakes an upside-down face for an upright one; the detector at all four rotations does not.

    Args:
        picture: RGB, (H, W, 3).
        region: A region around a face.

    Returns:
        The region at the best rotation.
    """
    from gagjax.tracking.faces.regions import cut

    size = 128
    wide = region._replace(side=region.side * 1.3)
    options = [wide._replace(angle=wide.angle + k * np.pi / 2) for k in range(4)]
    found = _in_pictures("detector_near", [cut(picture, each, size) for each in options], 0.1)
    scores = []
    for k, faces in enumerate(found):
        # A face that is sideways in the crop belongs to another rotation.
        straight = [f.score for f in faces if abs(np.degrees(f.region.angle)) < 50]
        scores.append(max(straight, default=0.0) + (0.05 if k == 0 else 0.0))
    best = int(np.argmax(scores))
    return region._replace(angle=region.angle + best * np.pi / 2)


def choose(faces: Sequence[Face], which: str | int = "largest", near: Region | None = None) -> Face | None:
    """Select one face of several.

    Args:
        faces: The detections.
        which: "largest", or an index from the left, starting at 0.
        near: Last region of the tracked face; takes precedence over `which`.

    Returns:
        The face, or None if there is no such face.
    """
    if not faces:
        return None
    if near is not None:
        distance = [np.hypot(f.region.x - near.x, f.region.y - near.y) / near.side for f in faces]
        best = int(np.argmin(distance))
        return faces[best] if distance[best] < 0.6 else None
    if which == "largest":
        return max(faces, key=lambda face: face.size)
    ordered = sorted(faces, key=lambda face: face.region.x)
    return ordered[int(which)] if int(which) < len(ordered) else None


def _in_pictures(name: str, pictures: Sequence[np.ndarray], least: float) -> list[list[Face]]:
    network = _network(name)
    size = network.size
    canvas = np.zeros((len(pictures), size, size, 3), np.float32)
    places = []
    for i, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        scale = size / max(height, width)
        shrunk = (max(1, round(width * scale)), max(1, round(height * scale)))
        kind = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR
        small = np.asarray(Image.fromarray(picture).resize(shrunk, kind), np.float32) / 127.5 - 1
        x, y = (size - shrunk[0]) // 2, (size - shrunk[1]) // 2
        canvas[i, y : y + shrunk[1], x : x + shrunk[0]] = small
        places.append((np.array([x, y]), scale))
    boxes, scores = (np.asarray(v, np.float64) for v in network.run(canvas))
    return [_decoded(boxes[i], scores[i, :, 0], network, least, *places[i]) for i in range(len(pictures))]


def _decoded(
    boxes: np.ndarray, logits: np.ndarray, network: _Network, least: float, offset: np.ndarray, scale: float
) -> list[Face]:
    scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    keep = scores > least
    scores, anchors = scores[keep], network.anchors[keep] * network.size
    values = boxes[keep].reshape(-1, 8, 2)  # centre, size, six points
    centre, half = values[:, 0] + anchors, values[:, 1] / 2
    corners = [(centre - half)[:, None], (centre + half)[:, None], values[:, 2:] + anchors[:, None]]
    return _merged(scores, (np.concatenate(corners, 1) - offset) / scale)


def _merged(scores: np.ndarray, points: np.ndarray) -> list[Face]:
    """Merge overlapping detections, averaged by score."""
    faces = []
    rest = np.argsort(-scores)
    while rest.size:
        low = np.maximum(points[rest, 0], points[rest[0], 0])
        high = np.minimum(points[rest, 1], points[rest[0], 1])
        common = np.prod(np.maximum(high - low, 0), -1)
        area = np.prod(points[rest, 1] - points[rest, 0], -1)
        same = common / np.maximum(area + area[0] - common, 1e-9) > _OVERLAP
        same[0] = True
        weights = scores[rest[same]][:, None, None]
        faces.append(Face(float(scores[rest[0]]), (points[rest[same]] * weights).sum(0) / weights.sum()))
        rest = rest[~same]
    return faces


def _in_tiles(picture: UInt8[np.ndarray, "H W 3"]) -> list[Face]:
    """Faces in overlapping square tiles, first of half the shorter side, then of a quarter."""
    height, width = picture.shape[:2]
    short = min(height, width)
    for part in (0.5, SMALLEST):
        side = int(short * part)
        if side < 192:
            break
        corners = list(itertools.product(_steps(height, side), _steps(width, side)))
        found: list[Face] = []
        for start in range(0, len(corners), _TILE_BATCH):
            chosen = corners[start : start + _TILE_BATCH]
            batch = [picture[y : y + side, x : x + side] for y, x in chosen]
            batch += [batch[-1]] * (_TILE_BATCH - len(batch))
            for (y, x), faces in zip(chosen, _in_pictures("detector_far", batch, TILE_LEAST), strict=False):
                found += [Face(f.score, f.points + [x, y]) for f in faces]
        if found:
            return _merged(np.array([f.score for f in found]), np.array([f.points for f in found]))
    return []


def _steps(length: int, side: int) -> list[int]:
    """Start positions of tiles that cover a length with at least a quarter overlap."""
    count = max(1, int(np.ceil((length - side) / (0.75 * side))) + 1)
    return [round(i) for i in np.linspace(0, length - side, count)]


def _turned(picture: UInt8[np.ndarray, "H W 3"]) -> list[Face]:
    height, width = picture.shape[:2]
    best: list[Face] = []
    for quarter in (1, 3, 2):
        pixels = np.ascontiguousarray(np.rot90(picture, quarter))
        for name in ("detector_near", "detector_far"):
            faces = _in_pictures(name, [pixels], LEAST)[0]
            faces = [f for f in faces if abs(np.degrees(f.region.angle)) < 50]
            if faces and (not best or faces[0].score > best[0].score):
                best = [Face(f.score, _back(f.points, quarter, height, width)) for f in faces]
    return best


def _back(points: np.ndarray, quarter: int, height: int, width: int) -> np.ndarray:
    """Map points from `np.rot90(picture, quarter)` back to the original image, with an axis-aligned box."""
    x, y = points[:, 0], points[:, 1]
    back = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarter]
    turned = np.stack(back, -1)
    box = np.sort(turned[:2], 0)
    return np.concatenate([box, turned[2:]])
