"""Likeness of a portrait avatar: against ground truth, and against video of the same person.

python -m benchmarks.likeness truth
python -m benchmarks.likeness films ../shared
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from scipy.spatial import Delaunay

from benchmarks import common
from gagjax import avatars, flame
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.portrait import PortraitAvatar, Sighting, build, layers, zbuffer
from gagjax.avatars.portrait.parts import parts_of
from gagjax.avatars.portrait.rendering import frames as drawn_frames
from gagjax.avatars.rendering import BACKGROUND, drawn
from gagjax.camera import from_track
from gagjax.flame.builtin_head.identity import shape_coefficients
from gagjax.metrics.image import ssim
from gagjax.tracking import points
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.fit.shot import subject

if TYPE_CHECKING:
    from gagjax.tracking.sources import Source

TURNS = (0, 10, 20, 30, 40)
ORBIT = (-35, -25, -15, 15, 25, 35)


def transform(yaw: float, pitch: float = 0.0, distance: float = 9.5) -> np.ndarray:
    """The track transform of a head turned relative to the camera."""
    y, p = np.deg2rad(yaw), np.deg2rad(pitch)
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    rotation = (about_x @ about_y).T @ np.diag([-1.0, 1, -1])
    return np.asarray(np.concatenate([rotation, [[0.0], [-0.02], [distance]]], 1), np.float32)


def at_rest(seed: int, size: int, yaw: float = 0.0, pitch: float = 0.0) -> Parameters:
    """Parameters of a built-in identity on the mean head, seen by a rotated camera."""
    shape = jnp.asarray(shape_coefficients(seed, flame.builtin().shapes), jnp.float32)
    return Parameters(
        jnp.zeros(100),
        jnp.zeros(6),
        jnp.zeros(6),
        jnp.zeros(3),
        shape,
        from_track(jnp.asarray(transform(yaw, pitch)), size),
    )


def with_(parameters: Parameters, jaw: float = 0.0, gaze: float = 0.0, **controls: float) -> Parameters:
    """Parameters with an expression applied."""
    expression = np.zeros(100, np.float32)
    for name, value in controls.items():
        found = [index for each, index in flame.CONTROLS.items() if name in each]
        expression[found] = value
    return dataclasses.replace(
        parameters,
        expression=jnp.asarray(expression),
        pose=jnp.asarray([0, 0, 0, jaw, 0, 0], jnp.float32),
        eyes=jnp.asarray([0, gaze, 0] * 2, jnp.float32),
    )


def truth_of(seed: int, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """The true image of a built-in identity, and its coverage."""
    own = dataclasses.replace(parameters, shape=jnp.zeros(0))
    picture, alpha = drawn(avatars.builtin(seed), own, jnp.asarray(BACKGROUND))
    return np.asarray(picture), np.asarray(alpha)


def regions(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Pixel masks: the face; and the head above the neck, eroded by three pixels."""
    model = flame.builtin()
    parts, faces = parts_of(model), np.asarray(model.faces)
    assert parameters.camera is not None
    v = flame.vertices(
        model, parameters.shape, parameters.expression, parameters.pose, parameters.eyes, parameters.neck
    )
    seen = zbuffer.seen(np.asarray(v), faces, parameters.camera)
    there = seen.triangles >= 0
    face = there & (parts.face[faces].all(1) | (parts.of > 0))[seen.triangles]
    head = there & (parts.follow[faces].min(1) > 0.999)[seen.triangles]
    return face, ndimage.binary_erosion(head, iterations=3)


def decibels(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """PSNR inside a mask, dB."""
    return float(-10 * np.log10(max(((picture - truth)[mask] ** 2).mean(), 1e-10)))


def truth_rows(seeds: tuple[int, ...], size: int) -> Iterator[list[str]]:
    """Against ground truth: face PSNR by head turn and expression, and minimum coverage over an orbit."""
    for seed in seeds:
        front = at_rest(seed, size)
        photo, matte = truth_of(seed, front)
        avatar = build(Sighting(photo, matte, front))
        cells = [str(seed)]
        for turn in TURNS:
            both = [at_rest(seed, size, sign * turn) for sign in ((1, -1) if turn else (1,))]
            cells.append(f"{min(_against(avatar, seed, each) for each in both):.1f}")
        for each in (
            with_(front, blink=1.0),
            with_(front, jaw=0.3),
            with_(front, smile=0.8),
            with_(front, gaze=0.35),
        ):
            cells.append(f"{_against(avatar, seed, each):.1f}")
        least = []
        for yaw in ORBIT:
            parameters = at_rest(seed, size, yaw)
            _, alpha = drawn(avatar, parameters, jnp.zeros(3))
            least.append(float(np.asarray(alpha)[regions(parameters)[1]].min()))
        yield [*cells, f"{min(least):.3f}"]


def _against(avatar: PortraitAvatar, seed: int, parameters: Parameters) -> float:
    picture, _ = drawn(avatar, parameters, jnp.asarray(BACKGROUND))
    return decibels(np.asarray(picture), truth_of(seed, parameters)[0], regions(parameters)[0])


def warped(photo: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Warp a photo by its landmarks, piecewise affine over their triangles; the border stays fixed."""
    size = photo.shape[0]
    rim = np.array([[x, y] for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]) * size
    source, target = np.concatenate([before, rim]), np.concatenate([after, rim])
    mesh = Delaunay(target)
    grid = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), -1).reshape(-1, 2)
    which = np.maximum(mesh.find_simplex(grid), 0)
    affine = mesh.transform[which]
    first = np.einsum("nij,nj->ni", affine[:, :2], grid - affine[:, 2])
    weights = np.concatenate([first, 1 - first.sum(1, keepdims=True)], 1)
    places = (source[mesh.simplices[which]] * weights[..., None]).sum(1) - 0.5
    at = [places[:, 1], places[:, 0]]
    channels = [ndimage.map_coordinates(photo[..., c], at, order=1, mode="nearest") for c in range(3)]
    return np.stack(channels, -1).reshape(photo.shape)


def pictures_of(path: Path) -> tuple[list[np.ndarray], Source]:
    """All frames of a video."""
    from gagjax.tracking.sources import open_source

    source = open_source(path)
    return list(source.frames()), source


def film(path: Path, size: int, every: int, sheet: Path | None) -> dict[str, list[float]]:
    """Self-reenactment of one video: means over later frames, for the avatar and the two baselines."""
    from gagjax.avatars.portrait.observing.observe import sighted
    from gagjax.tracking.clip import track_clip

    frames, source = pictures_of(path)
    follow = Follower()
    marks = np.stack([follow(picture).points for picture in frames])
    head = subject(flame.builtin())
    clip = track_clip(head, marks, np.zeros(len(frames), bool), source)
    crop = clip.shots[0].crop
    assert crop is not None
    plane = (marks[..., :2] - [crop.x, crop.y]) * size / crop.side
    start = time.perf_counter()
    first = sighted(frames[0], marks[0], clip.track, 0, crop, head, size=size)
    avatar = build(first)
    behind = layers.behind(np.asarray(first.photo, np.float64), np.asarray(first.matte))
    seconds = time.perf_counter() - start
    later = np.arange(min(every, len(frames) - 1), len(frames), min(every, max(1, len(frames) // 6)))
    track = clip.track
    chosen = dataclasses.replace(
        track,
        expression=track.expression[later],
        jaw=track.jaw[later],
        eyes=track.eyes[later],
        transform=track.transform[later],
        valid=None,
        names=None,
        extra={},
    )
    sums: dict[str, list[list[float]]] = {"avatar": [], "still photo": [], "2D warp": []}
    rows = []
    photo = np.asarray(first.photo)
    for i, made in zip(later, drawn_frames(avatar, chosen, behind, size=size), strict=True):
        seen = sighted(frames[i], marks[i], track, int(i), crop, head, size=size)
        goal, inside = np.asarray(seen.photo), np.asarray(seen.matte) > 0.5
        flat = warped(photo, plane[0, : points.MESH], plane[i, : points.MESH])
        both = {"avatar": made, "still photo": photo, "2D warp": flat}
        for name, picture in both.items():
            sums[name].append(measures(picture, goal, inside, plane[i]))
        rows.append(np.concatenate([goal, made, flat], 1))
    if sheet is not None:
        from gagjax.io import images

        some = np.concatenate([rows[k] for k in np.linspace(0, len(rows) - 1, 5).astype(int)], 0)
        images.write(sheet, np.asarray(np.clip(some, 0, 1) * 255, np.uint8), force=True)
    out = {name: list(np.mean(values, 0)) for name, values in sums.items()}
    out["seconds"] = [seconds]
    return out


def measures(picture: np.ndarray, goal: np.ndarray, inside: np.ndarray, marks: np.ndarray) -> list[float]:
    """PSNR in the matte, SSIM of the matted image, PSNR of the eyes, PSNR of the mouth."""
    boxes = []
    for numbers, room in ((points.LIDS.ravel(), 0.25), (np.r_[points.UPPER_LIP, points.LOWER_LIP], 0.2)):
        low, high = marks[numbers].min(0), marks[numbers].max(0)
        grow = room * (high - low).max() * np.array([0.3, 1.0])
        mask = np.zeros(inside.shape, bool)
        x0, y0 = np.maximum(np.floor(low - grow), 0).astype(int)
        x1, y1 = np.ceil(high + grow).astype(int)
        mask[y0:y1, x0:x1] = True
        boxes.append(mask)
    shown, wanted = picture * inside[..., None], goal * inside[..., None]
    alike = float(ssim(jnp.asarray(shown[None], jnp.float32), jnp.asarray(wanted[None], jnp.float32))[0])
    return [decibels(picture, goal, inside), alike, *(decibels(picture, goal, box) for box in boxes)]


def speed(size: int) -> list[str]:
    """Seconds to build an avatar from a detected face, and frames per second after that, with programs compiled."""
    front = at_rest(1, size)
    photo, matte = truth_of(1, front)
    sighting = Sighting(photo, matte, front)
    avatar = build(sighting)
    building = common.timed(lambda: build(sighting).albedo, repeats=3, warmup=0)
    drawing = common.timed(lambda: drawn(avatar, front, jnp.zeros(3)), repeats=7)
    return [f"{len(avatar)}", f"{building:.1f} s", f"{1 / drawing:.1f}"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("truth", "films", "speed"))
    parser.add_argument("shared", type=Path, nargs="?", default=Path("../shared"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 5])
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--films", nargs="*", default=["obama", "footage a"])
    options = parser.parse_args()
    if options.what == "truth":
        head = ["identity", *(f"{t} deg" for t in TURNS), "blink", "open mouth", "smile", "gaze 20", "least alpha"]
        _print(head, truth_rows(tuple(options.seeds), options.size))
    elif options.what == "speed":
        _print(["Gaussians", "build", "frames/s"], [speed(options.size)])
    else:
        films: dict[str, Any] = {
            "obama": options.shared / "video" / "obama.mp4",
            "footage a": options.shared / "footage" / "a" / "clip.mp4",
        }
        print("| film | what | PSNR in matte | SSIM | PSNR eyes | PSNR mouth |\n|---|---|---|---|---|---|")
        for name, path in ((n, films[n]) for n in options.films):
            sheet = None if options.sheets is None else options.sheets / f"{name.split()[0]}.png"
            found = film(path, options.size, options.every, sheet)
            for what in ("avatar", "still photo", "2D warp"):
                a, b, c, d = found[what]
                print(f"| {name} | {what} | {a:.2f} | {b:.3f} | {c:.2f} | {d:.2f} |", flush=True)


def _print(head: list[str], rows: Any) -> None:
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
