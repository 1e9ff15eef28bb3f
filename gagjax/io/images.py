"""Image input and output with pillow."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageOps

from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.io.pixels import to_uint8

_DAMAGED = "Copy the file again, or save it as PNG or JPEG with an image editor"


def read(path: str | Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read an image as 8-bit RGB, with EXIF orientation applied and transparency composited over black.

    Raises:
        InputError: If it is not an image, damaged, or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("is a folder" if path.is_dir() else "does not exist", file=path)
    if path.stat().st_size == 0:
        raise InputError("is empty (0 bytes)", file=path, fix=_DAMAGED)
    return decode(path.read_bytes(), path)


def decode(data: bytes, path: str | Path, field: str | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Like `read`, from an image file's bytes; `path` and `field` are for messages."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith("I"):  # 16-bit grey; pillow's "I" stores it in 32 bits
                    grey = np.clip(np.asarray(upright).astype(np.int64), 0, 65535) >> 8
                    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
                if upright.has_transparency_data:
                    upright = upright.convert("RGBA")
                    black = Image.new("RGBA", upright.size, (0, 0, 0, 255))
                    upright = Image.alpha_composite(black, upright)
                return np.array(upright.convert("RGB"))
    except Exception as error:  # pillow's readers fail in many ways on damaged files
        reason = str(error).split("<")[0].strip() or type(error).__name__
        raise InputError(f"is no readable image ({reason})", file=path, field=field, fix=_DAMAGED) from error


def is_transparent(path: str | Path) -> bool:
    """Whether an image file has transparent pixels."""
    with Image.open(path) as image:
        return seen_through(image)


def seen_through(image: Image.Image) -> bool:
    """Whether an open image has transparent pixels."""
    if not image.has_transparency_data:
        return False
    lowest = image.convert("RGBA").getchannel("A").getextrema()[0]
    return isinstance(lowest, (int, float)) and lowest < 255


def write(path: str | Path, image: Shaped[np.ndarray, "H W 3"], *, force: bool = False) -> None:
    """Write an image; the suffix chooses the format.

    Args:
        path: `.png`, `.jpg` or another format that pillow writes.
        image: (H, W, 3), uint8 or floats in [0, 1].
        force: Replace an existing file.

    Raises:
        InputError: If it exists, or the suffix is not an image format's.
    """
    path = Path(path)
    if path.suffix.lower() not in Image.registered_extensions():
        raise InputError(f"is no image file name ({path.suffix or 'no suffix'})", file=path, fix="Use .png or .jpg")
    with atomic.output(path, force) as temporary:
        pixels = np.asarray(image)
        options: dict[str, Any] = {"quality": 95} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
        Image.fromarray(pixels if pixels.dtype == np.uint8 else to_uint8(pixels)).save(temporary, **options)
