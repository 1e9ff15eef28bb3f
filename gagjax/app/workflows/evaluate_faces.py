"""What `gagjax eval` measures with optical flow, the face networks, and the caller's embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from tqdm import tqdm

from gagjax.app.workflows.evaluate import Row
from gagjax.errors import InputError
from gagjax.io import video
from gagjax.metrics import flow as motion
from gagjax.metrics import image, quality

SIDE = 256  # longest side at which the flow is found


def of_videos(result: Path, truth: Path, *, flow: bool, landmarks: bool, identity: Path | None) -> list[Row]:
    """Compare a video with its reference, a frame at a time.

    Args:
        result: The video.
        truth: The reference, of the same size and length.
        flow: Measure the warping error.
        landmarks: Measure AKD and the eyes' sharpness.
        identity: An `.npz` of embeddings for CSIM, or None.

    Raises:
        InputError: If the networks are not installed, or the embeddings do not fit.
    """
    rows: list[Row] = []
    if identity is not None:
        rows.append(_identity(identity))
    if not flow and not landmarks:
        return rows
    faces = _Faces() if landmarks else None
    errors: list[tuple[float, float]] = []
    before: list[np.ndarray] | None = None
    frames, info = video.read(result)
    true, _ = video.read(truth)
    with frames, true:
        pairs: Iterator[tuple[np.ndarray, np.ndarray]] = zip(frames, true, strict=False)
        for pair in tqdm(pairs, "measuring", info.frames or None, unit="frame", dynamic_ncols=True):
            if faces is not None:
                faces.look(*pair)
            if flow:
                small = [_small(each) for each in pair]
                if before is not None:
                    errors.append(_warped(small, before))
                before = small
    if errors:
        mine, theirs = np.sqrt(np.nanmean(np.asarray(errors), 0))
        rows += [Row("warping error", 255 * mine, "/255"), Row("warping error of the truth", 255 * theirs, "/255")]
    return rows if faces is None else [*rows, *faces.rows()]


class _Faces:
    """Landmarks of both videos, and how sharp their eyes are."""

    def __init__(self) -> None:
        from gagjax.tracking import models
        from gagjax.tracking.faces.following import Follower

        models.path_of("face_mesh")
        self._follow = Follower(), Follower()
        self._points: tuple[list[np.ndarray], list[np.ndarray]] = [], []
        self._sharp: list[float] = []

    def look(self, frame: UInt8[np.ndarray, "H W 3"], true: UInt8[np.ndarray, "H W 3"]) -> None:
        """Take the next frame of both videos."""
        from gagjax.tracking.points import IBUG

        for follow, points, picture in zip(self._follow, self._points, (frame, true), strict=True):
            points.append(np.asarray(follow(picture).points[IBUG, :2], np.float64))
        lids = self._points[1][-1][36:48]
        if np.isfinite(lids).all():
            mask = _polygons(lids.reshape(2, 6, 2), true.shape[0], true.shape[1])
            if mask.any():
                mine, theirs = (float(quality.eye_sharpness(each[None], mask)[0]) for each in (frame, true))
                self._sharp.append(mine / max(theirs, 1e-6))

    def rows(self) -> list[Row]:
        mine, theirs = (np.stack(points) for points in self._points)
        both = np.isfinite(mine).all((1, 2)) & np.isfinite(theirs).all((1, 2))
        found = [
            Row("AKD", quality.average_keypoint_distance(mine, theirs), "pixels"),
            Row("frames with a face in both", 100 * float(both.mean()), "%"),
        ]
        if self._sharp:
            found.append(Row("eye sharpness over the truth's", float(np.mean(self._sharp)), ""))
        return found


def _polygons(lids: np.ndarray, height: int, width: int) -> Float[np.ndarray, "H W"]:
    picture = Image.new("L", (width, height))
    for eye in lids:
        ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in eye], fill=255)
    return np.asarray(picture, np.float32) / 255


def _small(picture: np.ndarray) -> Float[np.ndarray, "h w 3"]:
    height, width = picture.shape[:2]
    share = min(1.0, SIDE / max(height, width))
    size = max(8, round(width * share)), max(8, round(height * share))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), np.float32) / 255


def _warped(now: list[np.ndarray], before: list[np.ndarray]) -> tuple[float, float]:
    """Mean squared change of result and truth along the truth's motion, where that can be trusted."""
    grey = [each[1].mean(-1) for each in (now, before)]
    there, back = motion.optical_flow(*grey), motion.optical_flow(grey[1], grey[0])
    mask = motion.trusted(there, back).astype(np.float32)[None]
    if not mask.any():
        return float("nan"), float("nan")
    found = [
        float(image.warping_error(np.stack([b, a]), there[None].astype(np.float32), mask)[0])
        for a, b in zip(now, before, strict=True)
    ]
    return found[0], found[1]


def _identity(file: Path) -> Row:
    from gagjax.io.untrusted.checkpoints import load_npz

    fix = (
        "gagjax has no face recognition network: write your network's embeddings, np.savez(FILE, result=..., truth=...)"
    )
    if file.suffix.lower() != ".npz":
        raise InputError("is no .npz of embeddings", file=file, field="--identity", fix=fix)
    content = load_npz(file)
    for name in ("result", "truth"):
        if name not in content or content[name].ndim != 2 or content[name].dtype.kind != "f":
            raise InputError("is missing or no array (T, D) of floats", file=file, field=name, fix=fix)
    return Row("CSIM", float(quality.identity_similarity(content["result"], content["truth"]).mean()), "")
