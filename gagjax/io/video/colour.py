"""Convert decoded frames to upright 8-bit BT.709 RGB: matrix, range, HDR, transparency, display matrix."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import Shaped, UInt8

from gagjax.errors import InputError
from gagjax.io.video import tone

_UNKNOWN = 2  # FFmpeg's constant for an unspecified matrix, transfer function or primaries
_RGB, _YCGCO, _BT2020_CONSTANT = 0, 8, 10
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    _BT2020_CONSTANT: Colorspace.BT2020,
}
_TRANSPARENT = ("rgba", "bgra", "argb", "abgr", "yuva", "gbrap", "ya", "ayuv", "vuya", "vyua", "pal8", "xv30a")
_OTHER_MATRIX = "Convert it first: ffmpeg -i IN -vf format=yuv420p -colorspace bt709 OUT.mkv"


class Placement(NamedTuple):
    """The display transform of a stored image: mirrored left to right first, then rotated.

    Attributes:
        turns: Counterclockwise quarter turns.
        mirrored: Whether left and right are swapped first.
    """

    turns: int = 0
    mirrored: bool = False

    @property
    def sideways(self) -> bool:
        """Whether width and height are swapped."""
        return self.turns % 2 == 1

    def of(self, pixels: Shaped[np.ndarray, "H W C"]) -> Shaped[np.ndarray, "H2 W2 C"]:
        """Apply the transform to an image."""
        if self.mirrored:
            pixels = pixels[:, ::-1]
        if self.turns:
            pixels = np.rot90(pixels, self.turns)
        return np.ascontiguousarray(pixels)


def placement(frame: Any) -> Placement:
    """The display matrix of a frame, with angles rounded to the nearest quarter turn."""
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return Placement()
    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    # A point of the image, x to the right and y down, is shown at (a x + c y, b x + d y).
    mirrored = a * d - b * c < 0
    if mirrored:  # first x -> -x
        a, b = -a, -b
    angle = np.degrees(np.arctan2(-b, a)) if (a, b) != (0, 0) else 0.0  # y down: a positive b turns clockwise
    return Placement(round(float(angle) / 90.0) % 4, mirrored)


def light_of(frame: Any) -> tone.Light:
    """The colour encoding of a frame."""
    return tone.Light(int(frame.color_trc), int(frame.color_primaries))


def has_alpha(frame: Any) -> bool:
    """Whether the frame's pixel format has an alpha channel."""
    return frame.format.name.startswith(_TRANSPARENT)


def is_transparent(frame: Any) -> bool:
    """Whether the frame has transparent pixels."""
    return has_alpha(frame) and bool((frame.to_ndarray(format="rgba")[..., 3] < 255).any())


def to_rgb(frame: Any, place: Placement) -> UInt8[np.ndarray, "H W 3"]:
    """A frame as upright RGB for BT.709; transparent pixels are composited over black.

    Args:
        frame: The decoded frame.
        place: Its display transform.

    Raises:
        InputError: If its colour matrix is unknown.
    """
    light = light_of(frame)
    options = _conversion(frame)
    if light.hdr or light.wide:
        pixels = tone.to_bt709(frame.to_ndarray(format="rgb48le", **options), light)
        alpha = frame.to_ndarray(format="rgba")[..., 3] if has_alpha(frame) else None
    elif has_alpha(frame):
        whole = frame.to_ndarray(format="rgba", **options)
        pixels, alpha = whole[..., :3], whole[..., 3]
    else:
        pixels, alpha = frame.to_ndarray(format="rgb24", **options), None
    if alpha is not None and (alpha < 255).any():
        pixels = ((pixels.astype(np.uint16) * alpha[..., None] + 127) // 255).astype(np.uint8)
    return place.of(pixels)


def _conversion(frame: Any) -> dict[str, Any]:
    """Options of FFmpeg's scaler for the colours of a frame."""
    matrix = int(frame.colorspace)
    if frame.format.is_rgb or frame.format.name.startswith(("gray", "pal8", "ya", "mono")) or matrix == _RGB:
        return {}
    if matrix == _UNKNOWN:  # as players assume
        matrix = 1 if frame.width >= 1280 or frame.height > 576 else 6
    if matrix not in _MATRICES:
        kind = "YCgCo" if matrix == _YCGCO else f"matrix {matrix}"
        raise InputError(f"holds colours in {kind}, which is not known", fix=_OTHER_MATRIX)
    full = int(frame.color_range) == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    return {
        "src_colorspace": _MATRICES[matrix],
        "src_color_range": ColorRange.JPEG if full else ColorRange.MPEG,
        "dst_color_range": ColorRange.JPEG,
    }
