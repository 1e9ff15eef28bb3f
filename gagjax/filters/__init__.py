"""Filters over time: small pytrees with explicit state, run by one `lax.scan`."""

from gagjax.filters.adaptive import AdaptiveSmoother
from gagjax.filters.base import Chain, Filter, chain, scan, stream
from gagjax.filters.ema import Ema
from gagjax.filters.kalman import ConstantAcceleration, ConstantVelocity, Kalman
from gagjax.filters.live import LiveRotation, LiveVelocity
from gagjax.filters.one_euro import OneEuro
from gagjax.filters.rigid import RigidTransform
from gagjax.filters.rotation import OneEuroRotation, RotationConstantVelocity, RotationEma
from gagjax.filters.smoother import rts

__all__ = [
    "AdaptiveSmoother",
    "Chain",
    "ConstantAcceleration",
    "ConstantVelocity",
    "Ema",
    "Filter",
    "Kalman",
    "LiveRotation",
    "LiveVelocity",
    "OneEuro",
    "OneEuroRotation",
    "RigidTransform",
    "RotationConstantVelocity",
    "RotationEma",
    "chain",
    "rts",
    "scan",
    "stream",
]
