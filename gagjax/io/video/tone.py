"""Conversion of HDR and wide-gamut images to BT.709: transfer functions, tone curve, primaries.

HDR (PQ or HLG) is display-referred light in cd/m2. Following ITU-R BT.2408, HDR reference white, 203 cd/m2, maps to SDR
white. Above a knee the light rolls off smoothly to preserve detail in highlights: with x the light in units of
reference white,

    y(x) = x                                     for x <= k
    y(x) = k + (1 - k) t / (1 + t),  t = (x - k) / (1 - k)   for x > k,   k = 0.85

which has slope 1 at the knee and tends to 1. Reference white becomes 0.925 (247 of 255), 1000 cd/m2 becomes 0.994 (254).
The curve is applied to the largest of R, G and B and scales all three alike, which preserves hue. Primaries are
converted in linear light; colours outside BT.709 are clipped (ITU-R BT.2407). SDR assumes a display of gamma 2.4 (ITU-R
BT.1886), before and after.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8, UInt16

REFERENCE_WHITE = 203.0  # cd/m2, ITU-R BT.2408
KNEE = 0.85
GAMMA = 2.4  # ITU-R BT.1886
HLG_PEAK = 1000.0  # cd/m2, the display for which BT.2100 specifies a system gamma of 1.2
HLG_GAMMA = 1.2
_LEVELS = 65536
_FINE = 16384  # entries of the table from light to uint8, spaced in square roots of light

#: FFmpeg's constants for transfer functions and primaries.
PQ, HLG = 16, 18
BT709, BT2020, P3_DCI, P3_D65 = 1, 9, 11, 12

_WHITE = (0.3127, 0.3290)  # D65
_XY = {
    BT709: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P3_DCI: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    P3_D65: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}


class Light(NamedTuple):
    """Colour encoding of a video.

    Attributes:
        transfer: FFmpeg's constant of the transfer function.
        primaries: FFmpeg's constant of the primaries.
    """

    transfer: int
    primaries: int

    @property
    def hdr(self) -> str:
        """ "PQ", "HLG", or "" for SDR."""
        return {PQ: "PQ", HLG: "HLG"}.get(self.transfer, "")

    @property
    def wide(self) -> bool:
        """Whether the primaries are wider than BT.709's."""
        return self.primaries in (BT2020, P3_DCI, P3_D65)


def to_bt709(pixels: UInt16[np.ndarray, "H W 3"], light: Light) -> UInt8[np.ndarray, "H W 3"]:
    """Convert RGB of an HDR or wide-gamut video to RGB for a BT.709 display.

    Args:
        pixels: (H, W, 3), non-linear RGB, full range of 16 bits.
        light: Their encoding; HDR with unknown primaries is assumed to be BT.2020.

    Returns:
        (H, W, 3) non-linear BT.709 RGB.

    Source:
        ITU-R BT.2100 (PQ, HLG), BT.2408 (reference white), BT.2407 (clipped gamut), BT.1886.

    Example:
        >>> white = np.full((1, 1, 3), round(0.5806 * 65535), np.uint16)  # 203 cd/m2 in PQ
        >>> to_bt709(white, Light(PQ, BT2020))[0, 0].tolist()
        [247, 247, 247]
    """
    linear = _table(light.transfer)[pixels]
    if light.transfer == HLG:
        # The system gamma applies to luminance; black stays black.
        luminance = np.maximum(linear @ _luminance(light.primaries), 1e-6)
        linear = linear * (luminance ** (HLG_GAMMA - 1.0))[..., None] * np.float32(HLG_PEAK / REFERENCE_WHITE)
    if light.hdr:
        largest = np.maximum(linear.max(-1, keepdims=True), 1e-6)
        linear = linear * (roll_off(largest) / largest)
    primaries = light.primaries if light.primaries in _XY else BT2020 if light.hdr else BT709
    if primaries != BT709:
        linear = linear @ _to_709(primaries).T
    return _bytes()[(np.sqrt(np.clip(linear, 0.0, 1.0)) * (_FINE - 1) + 0.5).astype(np.intp)]


def roll_off(light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The tone curve: light in units of reference white to light in units of SDR white, in [0, 1)."""
    over = np.maximum(light - KNEE, 0.0) / (1.0 - KNEE)
    return np.minimum(light, KNEE) + (1.0 - KNEE) * over / (1.0 + over)


def pq_light(signal: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Light in cd/m2 of a PQ signal in [0, 1].

    Source:
        SMPTE ST 2084, ITU-R BT.2100 table 4.
    """
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.asarray(signal, np.float64) ** (1.0 / m2)
    return 10000.0 * (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (1.0 / m1)


def hlg_scene(signal: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Scene light in [0, 1] of an HLG signal in [0, 1].

    Source:
        ARIB STD-B67, ITU-R BT.2100 table 5.
    """
    signal = np.asarray(signal, np.float64)
    a = 0.17883277
    b, c = 1.0 - 4.0 * a, 0.5 - a * np.log(4.0 * a)
    return np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - c) / a) + b) / 12.0)


@functools.cache
def _table(transfer: int) -> Float[np.ndarray, "65536"]:
    """Linear light of every code: relative to reference white for PQ, to the scene for HLG, to white for SDR."""
    signal = np.arange(_LEVELS) / (_LEVELS - 1)
    if transfer == PQ:
        return (pq_light(signal) / REFERENCE_WHITE).astype(np.float32)
    if transfer == HLG:
        return hlg_scene(signal).astype(np.float32)
    return (signal**GAMMA).astype(np.float32)


@functools.cache
def _bytes() -> UInt8[np.ndarray, "16384"]:
    light = (np.arange(_FINE) / (_FINE - 1)) ** 2
    return (light ** (1.0 / GAMMA) * 255.0 + 0.5).astype(np.uint8)


def _xyz(primaries: int) -> Float[np.ndarray, "3 3"]:
    """RGB to XYZ, from chromaticities."""
    columns = np.array([[x / y, 1.0, (1.0 - x - y) / y] for x, y in _XY[primaries]]).T
    x, y = _WHITE
    return columns * np.linalg.solve(columns, np.array([x / y, 1.0, (1.0 - x - y) / y]))


@functools.cache
def _to_709(primaries: int) -> Float[np.ndarray, "3 3"]:
    return np.linalg.solve(_xyz(BT709), _xyz(primaries)).astype(np.float32)


@functools.cache
def _luminance(primaries: int) -> Float[np.ndarray, "3"]:
    return _xyz(primaries if primaries in _XY else BT2020)[1].astype(np.float32)
