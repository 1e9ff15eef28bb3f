"""What regional edits and gaze correction do, in millimetres and degrees, and two pictures of them.

Run: python -m benchmarks.expression_gaze [--quick] [--flame FILE] [--pictures DIR]

Measures on the built-in head, or on a FLAME file: the cross-talk of both forms of regional editing, the error of gaze
correction against that of the original, what either does to the expression. Draws the regions edited one at a time and
the eyes following a target.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common import write_table
from gagjax import expression, flame, gaze
from gagjax.reference.expression import reference_expression
from gagjax.reference.gaze import rotation as reference_rotation
from gagjax.track import Channels

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
    """Errors in degrees over random targets within 30 degrees and 0.3 to 3 m."""
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
    for name, strength, keep in (
        ("gagjax, strength 1", 1.0, 0.0),
        ("gagjax, default (0.6, micro-saccades kept)", 0.6, 1.0),
    ):
        stage = gaze.GazeCorrector(target=targets, frame="head", strength=strength, keep=keep).for_model(model)
        methods[name] = stage.apply(channels(eyes)).eyes
    for name, found in methods.items():
        each = errors(found)
        rows.append([name, float(each.mean()), float(each.max()), float(vergence_error(found).mean())])
    return rows


def expression_rows(model: flame.FlameModel, editor: expression.RegionEditor, frames: int) -> list[list[Any]]:
    """Displacement from neutral that is left of a clip, millimetres, and how far the result is from the input."""
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
    """The geometry that issue and papers name, in degrees."""
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


def render(
    model: flame.FlameModel, points: Any, colours: np.ndarray, size: int, focal: float, height: float
) -> np.ndarray:
    """A shaded picture of a mesh: one flat Gaussian per triangle, through the bridge's rasterizer."""
    import bridge
    from bridge.camera import from_track
    from bridge.gaussians import Gaussians

    corners = np.asarray(points, np.float64)[np.asarray(model.faces)]
    centre = corners.mean(1)
    spread = corners - centre[:, None]
    covariance = 0.22 * np.einsum("fka,fkb->fab", spread, spread) + 0.0002**2 * np.eye(3)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(length, 1e-12)[:, None]
    light = np.array([0.35, 0.5, 0.8]) / np.linalg.norm([0.35, 0.5, 0.8])
    # Away from the camera a head's inner side would shine through the gaps of its skin.
    shade = 0.35 + 0.65 * np.clip(normal @ light, 0, 1)
    facing = (normal[:, 2] > -0.1) & (length > 1e-9)
    paint = colours[np.asarray(model.faces)].mean(1) * shade[:, None]
    gaussians = Gaussians(
        means=jnp.asarray(5 * centre[facing], jnp.float32),
        covariances=jnp.asarray(25 * covariance[facing], jnp.float32),
        opacities=jnp.full(int(facing.sum()), 0.97),
        features=jnp.asarray(paint[facing], jnp.float32),
    )
    transform = FRONT.copy()
    transform[1, 3] -= 5 * height
    features, alpha = bridge.rasterize(gaussians, from_track(transform, size=size, focal=focal), backend="cpu")
    picture = np.asarray(features) + 0.96 * (1 - np.asarray(alpha)[..., None])
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def sheet(tiles: list[list[np.ndarray]], titles: list[str], sides: list[str], path: Path) -> None:
    """Tiles in rows with a title over each column and a word beside each row."""
    size = tiles[0][0].shape[0]
    left, top = 74, 18
    picture = Image.new("RGB", (left + size * len(tiles[0]), top + size * len(tiles)), "white")
    pen = ImageDraw.Draw(picture)
    for r, row in enumerate(tiles):
        pen.text((4, top + size * r + size // 2 - 6), sides[r], fill="black")
        for c, tile in enumerate(row):
            picture.paste(Image.fromarray(tile), (left + size * c, top + size * r))
    for c, title in enumerate(titles):
        pen.text((left + size * c + 4, 3), title, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def albedo(model: flame.FlameModel) -> np.ndarray:
    return np.full((len(model.v_template), 3), 0.72) if model.colors is None else np.asarray(model.colors)


EXPRESSIONS = {
    "joy": {"smile": 1.0, "brow_up": 0.9, "squint": 0.6, "mouth_open": 0.6, "cheek_puff": 0.3},
    "anger": {"brow_down": 1.0, "frown": 0.9, "lips_press": 0.8, "squint": 0.8, "nose_wrinkle": 0.9},
}


def expressions(built_in: bool) -> dict[str, np.ndarray]:
    """Two expressions that move all of the face: by name on the built-in head, else random ones."""
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
    model: flame.FlameModel, editor: expression.RegionEditor, named: dict[str, np.ndarray], path: Path, size: int
) -> None:
    """Each expression whole, then with one region at a time switched off; what moved by that is red."""
    zero = np.zeros(6, np.float32)
    shape = np.zeros(model.shapes, np.float32)
    base = albedo(model)
    middle = float(np.asarray(flame.landmarks(model, model.v_template))[27:36, 1].mean())
    focal = 0.5 * 9.0 / (5 * 0.145)
    names = [name for name in editor.names if name not in ("rest", "neck")]
    tiles = []
    for psi in named.values():
        whole = np.asarray(flame.vertices(model, shape, psi, zero, zero))
        row = [render(model, whole, base, size, 2 * focal, middle)]
        for name in names:
            points = np.asarray(flame.vertices(editor.edit(model, {name: 0.0}), shape, psi, zero, zero))
            moved = 1e3 * np.linalg.norm(points - whole, axis=1)
            heat = np.clip(moved / 4.0, 0, 0.8)[:, None]
            row.append(render(model, points, base * (1 - heat) + heat * [0.85, 0.1, 0.08], size, 2 * focal, middle))
        tiles.append(row)
    sheet(tiles, ["all on", *(f"{name} off" for name in names)], list(named), path)


def gaze_picture(model: flame.FlameModel, path: Path, size: int) -> None:
    """The eyes following a target: across, up and down at 0.6 m, and close by."""
    shape = np.zeros(model.shapes, np.float32)
    centres = np.asarray(flame.eye_centres(model, shape))
    middle = centres.mean(0)
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
            row.append(render(model, points, albedo(model), size, focal, float(middle[1])))
        tiles.append(row)
    titles = [f"{abs(s)} deg {'right' if s < 0 else 'left'}, {d} m" if s else f"ahead, {d} m" for s, d in columns]
    sheet(tiles, titles, ["18 deg up", "level", "18 deg down"], path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples, small pictures")
    parser.add_argument("--flame", type=Path, help="a FLAME file instead of the built-in head")
    parser.add_argument("--pictures", type=Path, default=Path("docs"), help="folder for the two pictures")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    model = flame.load(arguments.flame) if arguments.flame else flame.synthetic()
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

    size = 96 if arguments.quick else 150
    named = expressions(built_in=arguments.flame is None)
    region_picture(model, editor, named, arguments.pictures / "regions.png", size)
    gaze_picture(model, arguments.pictures / "gaze.png", size)


if __name__ == "__main__":
    main()
