"""Accuracy of regional edits and gaze correction, in millimetres and degrees, with two figures.

Run: python -m benchmarks.expression_gaze [--quick] [--flame FILE] [--pictures DIR]

Measures on the built-in head, or on a FLAME file: the cross-talk of both forms of regional editing, the error of gaze
correction compared with the original's, and the effect of both on the expression. Draws the regions edited one at a
time and the eyes following a target.
"""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common import write_table
from bridge import rasterize
from gagjax import avatars, expression, flame, gaze
from gagjax.camera import from_track
from gagjax.reference.expression import reference_expression
from gagjax.reference.gaze import rotation as reference_rotation
from gagjax.splatting.gaussians import Gaussians
from gagjax.track import Channels

REGIONS = ("brows", "cheeks", "forehead", "jaw", "lids", "mouth", "nose")
FRONT = np.concatenate([np.diag([-1.0, 1, -1]), [[0.0], [0], [9]]], 1).astype(np.float32)


def channels(eyes: np.ndarray, transform: np.ndarray | None = None) -> Channels:
    frames = len(eyes)
    return Channels(
        expression=np.zeros((frames, 100), np.float32),
        jaw=np.zeros((frames, 3), np.float32),
        eyes=eyes.astype(np.float32),
        transform=np.repeat(FRONT[None], frames, 0) if transform is None else transform,
    )


def gaze_rows(model: flame.FlameModel, frames: int) -> list[list[Any]]:
    """Errors in degrees over random targets within 30 degrees and at 0.3 to 3 m."""
    rng = np.random.default_rng(0)
    centres = np.asarray(flame.eye_centres(model, jnp.zeros(model.shapes)))
    side, up = np.radians(rng.uniform(-30, 30, (2, frames)))
    away = rng.uniform(0.3, 3.0, frames)
    targets = away[:, None] * np.stack([np.sin(side) * np.cos(up), np.sin(up), np.cos(side) * np.cos(up)], -1)
    targets = (targets + centres.mean(0)).astype(np.float32)
    eyes = 0.15 * rng.normal(size=(frames, 6))
    true = targets[:, None] - centres

    def errors(found: Any) -> np.ndarray:
        looks = gaze.direction_of(jnp.asarray(found).reshape(-1, 2, 3))
        return np.asarray(gaze.angular_error(looks, jnp.asarray(true)))

    def vergence_error(found: Any) -> np.ndarray:
        wanted = gaze.vergence(gaze.look_at(jnp.asarray(targets), jnp.asarray(centres)))
        return np.abs(np.degrees(np.asarray(gaze.vergence(jnp.asarray(found)) - wanted)))

    rows = []
    methods: dict[str, Any] = {"resting eyes, no correction": np.zeros_like(eyes)}
    toward = reference_rotation(jnp.asarray(targets - centres.mean(0)))
    methods["original's rotation towards the target (strength 1, from rest)"] = toward
    methods["original as published (strength 0.7, added to moving eyes)"] = eyes + 0.7 * np.asarray(toward)
    # The default's strength and micro-saccades, but applied to all targets, since the correct gaze is known here.
    meant = dict(strength=float(gaze.default_stage().strength), keep=float(gaze.default_stage().keep))
    for name, settings in (
        ("gagjax, strength 1", {"strength": 1.0, "keep": 0.0}),
        (f"gagjax, strength {meant['strength']:g}, micro-saccades kept", meant),
    ):
        stage = gaze.GazeCorrector(target=targets, frame="head", **settings).for_model(model)
        methods[name] = stage.apply(channels(eyes)).eyes
    for name, found in methods.items():
        each = errors(found)
        rows.append([name, float(each.mean()), float(each.max()), float(vergence_error(found).mean())])
    return rows


def expression_rows(model: flame.FlameModel, editor: expression.RegionEditor, frames: int) -> list[list[Any]]:
    """Remaining displacement from neutral over a clip, millimetres, and distance of the result from the input."""
    psi = np.random.default_rng(1).normal(size=(frames, 100)).astype(np.float32)
    whole = float(jnp.mean(expression.distance(psi, 0 * psi, "vertex", editor=editor)))
    rows = [["input", whole, 1.0, 0.0]]
    stage = expression.default_stage()
    results = {
        "original, document": reference_expression("document")(jnp.asarray(psi)),
        "original, code": reference_expression("code")(jnp.asarray(psi)),
        "gagjax, default": stage.apply(channels(np.zeros((frames, 6)))._replace(expression=psi)).expression,
    }
    for name, out in results.items():
        amplitude = float(jnp.mean(expression.distance(out, 0 * psi, "vertex", editor=editor)))
        off = float(jnp.mean(expression.distance(out, psi, "vertex", editor=editor)))
        rows.append([name, amplitude, amplitude / whole, off])
    return rows


def law_rows(model: flame.FlameModel) -> list[list[Any]]:
    """The geometry stated in the issue and in papers, in degrees."""
    centres = jnp.array([[0.0315, 0.0, 0.0], [-0.0315, 0.0, 0.0]])
    rows = []
    for distance in (0.3, 0.6, 1.5):
        each = np.degrees(np.abs(np.asarray(gaze.look_at(jnp.array([0.0, 0.0, distance]), centres))[[1, 4]]))
        rows.append(
            [f"turn of each eye for a target {distance} m ahead", each.mean(), np.degrees(np.arctan(0.0315 / distance))]
        )
    stage = gaze.GazeCorrector().for_model(model)
    eyes = 0.2 * np.random.default_rng(2).normal(size=(50, 6))
    once = stage.apply(channels(eyes))
    apart = np.abs(np.asarray(stage.apply(once).eyes - once.eyes)).max()
    rows.append(["strength 1 applied twice moves the eyes by", np.degrees(apart), 0.0])
    off = np.abs(
        np.asarray(gaze.GazeCorrector(strength=0.0).apply(channels(eyes)).eyes) - eyes.astype(np.float32)
    ).max()
    rows.append(["strength 0 moves the eyes by", np.degrees(off), 0.0])
    return rows


RED = np.array([0.85, 0.1, 0.08])


class Painter:
    """Draws the built-in avatar, or a head from a file as one flat Gaussian per triangle."""

    def __init__(self, model: flame.FlameModel, built_in: bool) -> None:
        self.model, self.avatar = model, avatars.builtin() if built_in else None

    def draw(self, points: Any, size: int, focal: float, height: float, heat: np.ndarray | None = None) -> np.ndarray:
        """Render posed vertices (metres); `heat` (V,), 0 to 1, tints their surroundings red."""
        transform = FRONT.copy()
        transform[1, 3] -= 5 * height
        camera = from_track(transform, size=size, focal=focal)
        heat = np.zeros(len(self.model.v_template)) if heat is None else heat
        gaussians = (
            self._plain(points, heat) if self.avatar is None else self._avatar(self.avatar, points, camera, heat)
        )
        features, alpha = rasterize(gaussians, camera, backend="cpu")
        picture = np.asarray(features) + 0.96 * (1 - np.asarray(alpha)[..., None])
        return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)

    def _avatar(self, avatar: avatars.MeshAvatar, points: Any, camera: Any, heat: np.ndarray) -> Gaussians:
        corners = np.asarray(self.model.faces)[np.asarray(avatar.binding.triangles)]
        own = (heat[corners] * np.asarray(avatar.surface.corners)).sum(1)[:, None, None]
        painted = np.asarray(avatar.appearance) * (1 - own) + own * RED
        return dataclasses.replace(avatar, appearance=painted.astype(np.float32)).gaussians(points, camera)

    def _plain(self, points: Any, heat: np.ndarray) -> Gaussians:
        faces = np.asarray(self.model.faces)
        corners = np.asarray(points, np.float64)[faces]
        centre = corners.mean(1)
        spread = corners - centre[:, None]
        covariance = 0.22 * np.einsum("fka,fkb->fab", spread, spread) + 0.0002**2 * np.eye(3)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normal, axis=1)
        normal /= np.maximum(length, 1e-12)[:, None]
        light = np.array([0.35, 0.5, 0.8]) / np.linalg.norm([0.35, 0.5, 0.8])
        # Cull back faces, or the inside of the head would show through gaps in the skin.
        facing = (normal[:, 2] > -0.1) & (length > 1e-9)
        warm = heat[faces].mean(1)[:, None]
        paint = (0.72 * (1 - warm) + warm * RED) * (0.35 + 0.65 * np.clip(normal @ light, 0, 1))[:, None]
        return Gaussians(
            means=jnp.asarray(5 * centre[facing], jnp.float32),
            covariances=jnp.asarray(25 * covariance[facing], jnp.float32),
            opacities=jnp.full(int(facing.sum()), 0.97),
            features=jnp.asarray(paint[facing], jnp.float32),
        )


def sheet(tiles: list[list[np.ndarray]], titles: list[str], sides: list[str], path: Path) -> None:
    """Tiles in rows, with a title above each column and a label beside each row."""
    size = tiles[0][0].shape[0]
    left, top = 78, 24
    picture = Image.new("RGB", (left + size * len(tiles[0]), top + size * len(tiles)), "white")
    pen = ImageDraw.Draw(picture)
    for r, row in enumerate(tiles):
        pen.text((6, top + size * r + size // 2 - 8), sides[r], fill="black", font_size=14)
        for c, tile in enumerate(row):
            picture.paste(Image.fromarray(tile), (left + size * c, top + size * r))
    for c, title in enumerate(titles):
        pen.text((left + size * c + 6, 3), title, fill="black", font_size=14)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


EXPRESSIONS = {
    "joy": {"smile": 1.0, "brow_up": 0.9, "squint": 0.6, "mouth_open": 0.6, "cheek_puff": 0.3},
    "anger": {"brow_down": 1.0, "frown": 0.9, "lips_press": 0.8, "squint": 0.8, "nose_wrinkle": 0.9},
}


def expressions(built_in: bool) -> dict[str, np.ndarray]:
    """Two expressions that move the whole face: by name on the built-in head, random otherwise."""
    if not built_in:
        rng = np.random.default_rng(5)
        return {f"random {k + 1}": (1.5 * rng.normal(size=100)).astype(np.float32) for k in range(2)}
    out = {}
    for title, parts in EXPRESSIONS.items():
        out[title] = np.zeros(100, np.float32)
        for name, amount in parts.items():
            if name in flame.CONTROLS:
                out[title][flame.CONTROLS[name]] = amount
    return out


def region_picture(
    painter: Painter, editor: expression.RegionEditor, named: dict[str, np.ndarray], path: Path, size: int
) -> None:
    """Each expression in full, then with one region at a time switched off; the resulting change is red."""
    model = painter.model
    zero = np.zeros(6, np.float32)
    shape = np.zeros(model.shapes, np.float32)
    middle = float(np.asarray(flame.landmarks(model, model.v_template))[27:36, 1].mean()) - 0.01
    focal = 9.0 / (5 * 0.115)
    names = [name for name in editor.names if name in REGIONS]
    tiles = []
    for psi in named.values():
        whole = np.asarray(flame.vertices(model, shape, psi, zero, zero))
        row = [painter.draw(whole, size, focal, middle)]
        for name in names:
            points = np.asarray(flame.vertices(editor.edit(model, {name: 0.0}), shape, psi, zero, zero))
            moved = 1e3 * np.linalg.norm(points - whole, axis=1)
            row.append(painter.draw(points, size, focal, middle, np.clip(moved / 6.0, 0, 0.6)))
        tiles.append(row)
    sheet(tiles, ["all on", *(f"{name} off" for name in names)], list(named), path)


def gaze_picture(painter: Painter, path: Path, size: int) -> None:
    """The eyes following a target: across, up and down at 0.6 m, and close by."""
    model = painter.model
    shape = np.zeros(model.shapes, np.float32)
    middle = np.asarray(flame.eye_centres(model, shape)).mean(0)
    focal = 9.0 / (5 * 0.06)
    columns = [(-30, 0.6), (-15, 0.6), (0, 0.6), (15, 0.6), (30, 0.6), (0, 0.15)]
    tiles = []
    for up in (18, 0, -18):
        row = []
        for side, distance in columns:
            a, b = np.radians([side, up])
            target = middle + distance * np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])
            stage = gaze.GazeCorrector(target=tuple(target), frame="head").for_model(model)
            eyes = np.asarray(stage.apply(channels(np.zeros((1, 6)))).eyes)[0]
            points = flame.vertices(model, shape, np.zeros(100), np.zeros(6), eyes)
            row.append(painter.draw(points, size, focal, float(middle[1]) - 0.008))
        tiles.append(row)
    # Image directions: the subject's left is on the right.
    titles = [f"{abs(s)}° {'left' if s < 0 else 'right'}, {d} m" if s else f"ahead, {d} m" for s, d in columns]
    sheet(tiles, titles, ["18° up", "level", "18° down"], path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples, small pictures")
    parser.add_argument("--flame", type=Path, help="a FLAME file instead of the built-in head")
    parser.add_argument("--pictures", type=Path, default=Path("docs"), help="folder for the two pictures")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    model = flame.load(arguments.flame) if arguments.flame else flame.builtin()
    editor = expression.RegionEditor.for_model(model)
    frames = 100 if arguments.quick else 1000
    command = "python -m benchmarks.expression_gaze" + (" --quick" if arguments.quick else "")

    exact, fitted = editor.crosstalk(model), editor.crosstalk(model, "coefficients")
    path = write_table(
        "expression_gaze",
        ["gaze correction", "mean error, deg", "largest, deg", "vergence off by, deg"],
        gaze_rows(model, frames),
        command=command,
        notes=[f"{frames} random targets within 30 degrees to the side and up or down, 0.3 to 3 m away."],
    )
    extra = ["", "| law | measured, deg | exact, deg |", "|---|---|---|"]
    extra += [f"| {name} | {value:.4g} | {true:.4g} |" for name, value, true in law_rows(model)]
    extra += ["", "| expression stage | movement, mm | of the input's | off the input, mm |", "|---|---|---|---|"]
    extra += [f"| {n} | {a:.3f} | {b:.3f} | {c:.3f} |" for n, a, b, c in expression_rows(model, editor, frames)]
    extra += [
        "",
        "Cross-talk: root-mean-square displacement in millimetres over expressions of unit variance when the row's",
    ]
    extra += [
        "region is switched off; off the diagonal only vertices outside that region's soft border count.",
        "",
        "Exact form:",
    ]
    extra += ["", exact.table(), "", "Coefficient form:", "", fitted.table(), ""]
    extra += [f"Largest leak of the coefficient form, as a share of the intended movement: {fitted.leak.max():.2f} "]
    extra[-1] += f"(median over regions {np.median(fitted.leak):.2f}); of the exact form: {exact.leak.max():.2g}."
    print("\n".join(extra))
    path.write_text(path.read_text() + "\n".join(extra) + "\n")

    size = 96 if arguments.quick else 200
    named = expressions(built_in=arguments.flame is None)
    painter = Painter(model, built_in=arguments.flame is None)
    region_picture(painter, editor, named, arguments.pictures / "regions.png", size)
    gaze_picture(painter, arguments.pictures / "gaze.png", size)


if __name__ == "__main__":
    main()
