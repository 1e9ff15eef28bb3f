"""Frame rates as exact ratios."""

from __future__ import annotations

import numbers
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np

from gagjax.errors import InputError
from gagjax.text.printable import quoted

#: Allowed range of rates in frames per second, from time lapse to high-speed cameras.
LOWEST, HIGHEST = Fraction(1, 10**6), Fraction(10**6)
#: Nominal rates of NTSC video and its film, high-rate and half-rate variants; the true rates are 1000/1001 of these.
NTSC = tuple(Fraction(1000 * n, 1001) for n in (15, 24, 30, 48, 60, 72, 90, 96, 120, 144, 180, 192, 240))
_RATIO = re.compile(r"([0-9]{1,100})\s*/\s*([0-9]{1,100})")
_DECIMAL = re.compile(r"([0-9]{0,20})\.?([0-9]{0,40})")
_TEXT_LIMIT = 240


def as_rate(fps: object) -> Fraction:
    """A frame rate as an exact ratio.

    Integers and ratios are exact, and a decimal that abbreviates an NTSC rate (29.97, 23.976, 59.94, 119.88, ...) is
    that rate, such as 30000/1001. Any other decimal is taken literally.

    Args:
        fps: Frames per second: an int, a float, a Fraction or Decimal, or a text such as "25", "29.97", "30000/1001".

    Returns:
        The rate.

    Raises:
        InputError: If it is not a number, or not between a millionth and a million.

    Example:
        >>> as_rate("29.97"), as_rate(5.0), as_rate(12.5)
        (Fraction(30000, 1001), Fraction(5, 1), Fraction(25, 2))
    """
    try:
        rate = _exact(fps)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{quoted(fps)} is no frame rate", field="fps", fix='Use 25, 29.97 or "30000/1001"') from error
    if rate <= 0:
        raise InputError(f"must be positive, got {quoted(fps)}", field="fps", fix='Use 25, 29.97 or "30000/1001"')
    if not LOWEST <= rate <= HIGHEST:
        raise InputError(
            f"{quoted(fps)} is out of range", field="fps", fix=f"Use {float(LOWEST):g} to {float(HIGHEST):g}"
        )
    return rate


def _exact(fps: object) -> Fraction:
    if isinstance(fps, str):
        return _of_text(fps.strip())
    if isinstance(fps, numbers.Rational):
        return Fraction(fps)
    if isinstance(fps, Decimal):
        return _of_text(format(fps, "f") if fps.is_finite() and abs(fps.adjusted()) < 30 else str(fps))
    if isinstance(fps, float | np.floating):
        # The shortest decimals that round-trip: what a user wrote.
        return _of_float(float(fps), str(fps))
    raise TypeError("not a number")


def _of_text(text: str) -> Fraction:
    if len(text) > _TEXT_LIMIT or not text.isascii():
        raise ValueError("too long, or digits of another script")
    ratio = _RATIO.fullmatch(text)
    if ratio:
        return Fraction(int(ratio[1]), int(ratio[2]))
    if _DECIMAL.fullmatch(text) and text.strip("."):
        return _of_decimal(text)
    return _of_float(float(text), text)  # an exponent or a sign: float bounds the range


def _of_float(value: float, text: str) -> Fraction:
    if value.is_integer():
        return Fraction(int(value))
    for rate in NTSC:
        if float(rate) == value:
            return rate
    simple = Fraction(value).limit_denominator(10_000)  # fails for infinity and NaN, as intended
    if value > 0 and float(simple) == value and len(text) > 12:
        return simple  # a ratio that was evaluated, such as 100 / 3
    return _of_decimal(text) if _DECIMAL.fullmatch(text) else Fraction(value)


def _of_decimal(text: str) -> Fraction:
    value = Fraction(text if not text.startswith(".") else f"0{text}")
    digits = len(text.partition(".")[2].rstrip("0"))
    if digits < 2:
        return value
    unit = Fraction(1, 10**digits)
    for rate in NTSC:
        truncated = digits > 2 and value <= rate < value + unit
        if abs(value - rate) <= unit / 2 or truncated:
            return rate
    return value
