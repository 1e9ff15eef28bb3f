"""The picture at the top of the README: `python docs/drawings/first_screen.py` writes docs/images/first_screen.png.

A photo of one built-in identity and a film of another are rendered; the film is tracked from its pixels, the photo becomes
an avatar, and the enhanced track drives it. Nothing but the commands of the README is used.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gagjax import avatars, flame, simulate
from gagjax.app.cli import main
from gagjax.io import images, video

OUT = Path(__file__).resolve().parents[1] / "images" / "first_screen.png"
PHOTO, ACTOR = 3, 8  # seeds of the two identities
SIZE, FRAMES, SHOWN = 512, 40, (4, 14, 26, 36)
PAPER, INK, TILE, GAP = "#ffffff", "#303030", 232, 6


def rendered(seed: int, frames: int, away: float = 1.0) -> list[np.ndarray]:
    """A performance of an identity, so many times the usual distance away, (512, 512, 3) uint8 frames."""
    track = simulate.driver(frames, seed=seed, controls=flame.CONTROLS)
    transform = np.array(track.transform)
    transform[:, 2, 3] *= away
    track = dataclasses.replace(track, transform=transform)
    return [
        (np.clip(np.asarray(each), 0, 1) * 255 + 0.5).astype(np.uint8)
        for each in avatars.frames(avatars.builtin(seed), track, size=SIZE)
    ]


def gagjax(*words: object) -> None:
    status = main([str(word) for word in words])
    if status:
        raise SystemExit(status)


def sheet(photo: np.ndarray, film: list[np.ndarray], result: list[np.ndarray]) -> Image.Image:
    """The photo on the left; frames of the film above, and what they make of the photo below."""
    side, top = 2 * TILE + GAP, 30
    width = side + GAP + len(SHOWN) * (TILE + GAP) - GAP + 2 * GAP
    picture = Image.new("RGB", (width, side + top + GAP), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((GAP + 2, 6), "photo.jpg", fill=INK, font_size=17)
    pen.text((2 * GAP + side + 2, 6), "film.mp4, and the photo driven by it", fill=INK, font_size=17)
    picture.paste(Image.fromarray(photo).resize((side, side), Image.Resampling.LANCZOS), (GAP, top))
    for column, frame in enumerate(SHOWN):
        x = 2 * GAP + side + column * (TILE + GAP)
        for row, frames in enumerate((film, result)):
            tile = Image.fromarray(frames[frame]).resize((TILE, TILE), Image.Resampling.LANCZOS)
            picture.paste(tile, (x, top + row * (TILE + GAP)))
    return picture


def draw() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # With room about the head: an avatar has no more background than its photo.
        photo, film = rendered(PHOTO, 1, away=1.4)[0], rendered(ACTOR, FRAMES)
        images.write(folder / "photo.png", photo)
        video.write(folder / "film.mp4", film, 25, crf=14)
        gagjax("track", folder / "film.mp4", "-o", folder / "driver")
        gagjax("avatar", folder / "photo.png", "-o", folder / "avatar")
        words = ("--avatar", folder / "avatar", "-d", folder / "driver", "-o", folder / "result.mp4", "--alone")
        gagjax("reenact", *words, "--preset", "default")
        result = list(video.read(folder / "result.mp4")[0])
        OUT.parent.mkdir(exist_ok=True)
        sheet(photo, film, result).quantize(256, dither=Image.Dither.NONE).save(OUT, optimize=True)


if __name__ == "__main__":
    draw()
