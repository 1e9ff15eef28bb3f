"""The drawings of the page on conventions, made from the library's own functions.

`python docs/drawings/conventions.py` writes head_axes.png, eye_signs.png and camera.png beside itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from gagjax import flame, gaze
from gagjax.io.formats.liveportrait import frontal_camera

HERE = Path(__file__).resolve().parent
COLOURS = {"x": "#c0392b", "y": "#27803b", "z": "#2457a6"}
TURN = np.radians(25)


def looks(about: str) -> np.ndarray:
    """Where an eye looks that is turned by 25 degrees about an axis, (3,) in the head's frame."""
    rotation = np.zeros(3, np.float32)
    rotation["xyz".index(about)] = TURN
    return np.asarray(gaze.direction_of(rotation))


def axes_of_camera() -> np.ndarray:
    """The world directions of the frontal camera's x, y and z axes, as rows."""
    rotation = frontal_camera(np.eye(3, dtype=np.float32)[None])[0, :, :3]
    return rotation.T  # X_camera = X_world @ R, so column k of R is camera axis k in the world


def arrow(axes: Any, start: Any, step: Any, text: str, colour: str) -> None:
    """An arrow with a label beyond its head."""
    start, step = np.asarray(start, float), np.asarray(step, float)
    end = start + step
    style = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style, annotation_clip=False)
    across, up = step / np.hypot(*step)
    side = "center" if abs(across) < 0.5 else "left" if across > 0 else "right"
    level = "center" if abs(up) < 0.5 else "bottom" if up > 0 else "top"
    axes.annotate(
        text,
        end,
        (6 * across, 6 * up),
        textcoords="offset points",
        color=colour,
        ha=side,
        va=level,
        fontsize=9,
        annotation_clip=False,
    )


def head_axes() -> Any:
    """The built-in head from the front and from its left side."""
    points = np.asarray(flame.builtin().v_template)
    figure, panels = plt.subplots(1, 2, figsize=(8, 4))
    views = (
        ("from the front", "x", "y", 1, "x: its left"),
        ("from its left", "z", "y", -1, "z: forward"),
    )
    for axes, (title, across, up, sign, label) in zip(panels, views, strict=True):
        i, j = "xyz".index(across), "xyz".index(up)
        axes.scatter(sign * points[:, i], points[:, j], s=2.5, color="#a8a8a8", linewidths=0)
        arrow(axes, (0, 0), (sign * 0.2, 0), label, COLOURS[across])
        arrow(axes, (0, 0), (0, 0.2), "y: up", COLOURS[up])
        axes.set_title(title)
        axes.set_aspect("equal")
        axes.set_xlim(-0.3, 0.3)
        axes.set_ylim(-0.32, 0.28)
        axes.axis("off")
    return figure


def eye_signs() -> Any:
    """An eye turned by a positive angle about x, seen from its left, and about y, seen from above."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6))
    down, left = looks("x"), looks("y")
    # From the left side forward (z) is drawn to the left; from above, the person's left (x) to the right, z down.
    views = (
        ("from its left: +25° about x", (-1.0, 0.0), (-down[2], down[1]), "looks down"),
        ("from above: +25° about y", (0.0, -1.0), (left[0], -left[2]), "looks to its left"),
    )
    for axes, (title, rest, turned, label) in zip(panels, views, strict=True):
        axes.add_patch(plt.Circle((0, 0), 0.35, fill=False, color="#555555", lw=1.5))
        arrow(axes, (0, 0), rest, "at rest", "#999999")
        arrow(axes, (0, 0), np.asarray(turned) * 1.25, label, COLOURS["z"])
        axes.set_title(title)
        axes.set_xlim(-1.5, 1.5)
        axes.set_ylim(-1.6, 0.7)
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


def camera() -> Any:
    """Head and frontal camera from above, each with its axes."""
    figure, axes = plt.subplots(figsize=(8, 3.4))
    distance = float(frontal_camera(np.eye(3, dtype=np.float32)[None])[0, 2, 3])
    # From above with the person's forward (z) to the right; its left (x) is then up.
    axes.add_patch(plt.Circle((0, 0), 0.5, color="#d8d8d8"))
    axes.plot([0.5, 0.65, 0.5], [0.1, 0, -0.1], color="#888888")  # the nose
    arrow(axes, (0, 0), (1.7, 0), "z", COLOURS["z"])
    arrow(axes, (0, 0), (0, 1.5), "x: the person's left", COLOURS["x"])
    axes.add_patch(plt.Rectangle((distance - 0.1, -0.35), 0.7, 0.7, color="#777777"))
    rows = axes_of_camera()
    for name, length, text in (("x", 1.5, "x: the camera's left"), ("z", 1.7, "z")):
        direction = rows["xyz".index(name)]
        arrow(axes, (distance, 0), (length * direction[2], length * direction[0]), text, COLOURS[name])
    axes.text(0, -0.85, "head, at the origin", ha="center", fontsize=9)
    axes.text(distance + 0.3, 0.6, f"camera, {distance:g} units = {distance / 5:.2f} m away", ha="center", fontsize=9)
    axes.text(distance / 2, 0.25, "seen from above; y is towards you in both", ha="center", fontsize=9, color="#666666")
    axes.set_xlim(-1.5, distance + 2.6)
    axes.set_ylim(-2.1, 2.1)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def main() -> None:
    """Write the pictures."""
    for name, make in (("head_axes", head_axes), ("eye_signs", eye_signs), ("camera", camera)):
        figure = make()
        figure.savefig(HERE / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
