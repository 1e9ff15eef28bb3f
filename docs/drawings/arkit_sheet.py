"""Draw ARKit's 52 shapes on the built-in head, each at weight 1.

python -m docs.drawings.arkit_sheet        writes docs/drawings/arkit.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gagjax import avatars
from gagjax.app.reports import panels
from gagjax.expression import arkit

SHEET = Path(__file__).resolve().with_name("arkit.png")
SIZE, COLUMNS = 384, 9
CROP = (96, 70, 288, 298)  # the face in the picture
CELL = (132, 157)


def face(weights: np.ndarray) -> Image.Image:
    """The head with some weights, (52,), cut to the face."""
    shapes = arkit.builtin_shapes()
    expression, jaw, eyes = (np.float32(weights @ each) for each in (shapes.expression, shapes.jaw, shapes.eyes))
    turn = np.diag([-1.0, 1.0, -1.0])
    camera = np.float32(np.c_[turn, [0, -0.02, 9.8]])
    picture = avatars.picture(
        avatars.builtin(0),
        np.zeros(300, np.float32),
        camera,
        expression,
        jaw,
        eyes,
        np.zeros(3, np.float32),
        np.float32(avatars.BACKGROUND),
        SIZE,
    )
    return Image.fromarray(panels.as_bytes(np.asarray(picture))).crop(CROP).resize(CELL, Image.Resampling.LANCZOS)


def main() -> None:
    cells = [("at rest", np.zeros(len(arkit.NAMES)))]
    cells += [(name, np.eye(len(arkit.NAMES))[i]) for i, name in enumerate(arkit.NAMES)]
    cells.append(("jawOpen + mouthClose", sum(np.eye(52)[arkit.NAMES.index(n)] for n in ("jawOpen", "mouthClose"))))
    height = CELL[1] + 14
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], rows * height), (18, 20, 24))
    draw = ImageDraw.Draw(sheet)
    for i, (name, weights) in enumerate(cells):
        x, y = i % COLUMNS * CELL[0], i // COLUMNS * height
        sheet.paste(face(weights), (x, y + 14))
        draw.text((x + 3, y + 1), name, fill=(236, 238, 242))
    sheet.quantize(128, dither=Image.Dither.NONE).save(SHEET, optimize=True)


if __name__ == "__main__":
    main()
