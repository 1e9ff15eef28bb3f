"""Render the built-in avatar in several poses on one sheet, and measure the rendering speed.

python -m benchmarks.avatar_sheet        writes docs/avatar_sheet.png and benchmarks/results/avatar.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import timed, write_table
from gagjax import avatars, flame
from gagjax.app.reports import panels

SHEET = Path(__file__).resolve().parents[1] / "docs" / "avatar_sheet.png"
ROWS: tuple[tuple[tuple[str, dict], ...], ...] = (
    (
        ("neutral", {}),
        ("smile", {"smile": 1.0, "mouth_open": 0.7, "squint": 0.4}),
        ("open mouth", {"jaw": 0.28}),
        ("blink", {"blink_left": 1.0, "blink_right": 1.0}),
    ),
    (
        ("eyes to the left", {"gaze": 0.5}),
        ("eyes to the right", {"gaze": -0.5}),
        ("turned 30°", {"yaw": 30.0}),
        ("turned 60°", {"yaw": 60.0}),
    ),
    (
        ("seed 1", {"seed": 1, "yaw": -15.0}),
        ("seed 2", {"seed": 2, "brow_up": 0.8}),
        ("seed 3", {"seed": 3, "yaw": -30.0, "smile": 0.6}),
        ("seed 4", {"seed": 4, "yaw": 15.0, "pucker": 0.8}),
    ),
)


def camera(yaw: float) -> np.ndarray:
    """A track camera ten units in front of a head turned about the vertical axis by `yaw` degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) @ np.diag([-1.0, 1.0, -1.0])
    return np.float32(np.c_[turn, [0, -0.02, 9.8]])


def portrait(
    size: int, *, seed: int = 0, yaw: float = 0.0, jaw: float = 0.0, gaze: float = 0.0, **strength: float
) -> np.ndarray:
    """Render the avatar in one pose."""
    expression = np.zeros(100, np.float32)
    for name, value in strength.items():
        expression[flame.CONTROLS[name]] = value
    picture = avatars.picture(
        avatars.builtin(seed),
        np.zeros(300, np.float32),
        camera(yaw),
        expression,
        np.float32([jaw, 0, 0]),
        np.float32([0, gaze, 0] * 2),
        np.zeros(3, np.float32),
        np.float32(avatars.BACKGROUND),
        size,
    )
    return panels.as_bytes(np.asarray(picture))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="time fewer frames and write nothing")
    quick = parser.parse_args().quick
    if not quick:
        rows = [panels.beside([portrait(320, **how) for _, how in row], [label for label, _ in row]) for row in ROWS]
        Image.fromarray(np.concatenate(rows)).save(SHEET, optimize=True)
    table = []
    for size in (256, 512):
        seconds = timed(lambda size=size: portrait(size, gaze=0.1), repeats=5 if quick else 25)
        table.append([f"{size} x {size}", f"{seconds * 1e3:.0f}", f"{1 / seconds:.1f}"])
    header = ["picture", "ms per frame", "frames/s"]
    if quick:
        print(header, table)
        return
    count = len(avatars.builtin())
    write_table(
        "avatar",
        header,
        table,
        command="python -m benchmarks.avatar_sheet",
        notes=[f"FLAME, {count} Gaussians placed, lit and drawn in three channels, to bytes; median of 25 frames."],
    )


if __name__ == "__main__":
    main()
