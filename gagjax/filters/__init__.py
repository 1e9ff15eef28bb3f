"""Filters over time: small pytrees with explicit state, run by one `lax.scan`."""

from gagjax.filters.adaptive import AdaptiveSmoother
from gagjax.filters.base import Chain, Filter, chain, scan, stream
from gagjax.filters.ema import Ema
from gagjax.filters.kalman import ConstantAcceleration, ConstantVelocity, Kalman
from gagjax.filters.live import LiveRotation, LiveVelocity
from gagjax.filters.lookahead import FixedLag, fixed_lag
from gagjax.filters.one_euro import OneEuro
from gagjax.filters.rigid import RigidTransform
from gagjax.filters.rotation import OneEuroRotation, RotationConstantVelocity, RotationEma
from gagjax.filters.savgol import SavitzkyGolay
from gagjax.filters.settled import Steady, steady
from gagjax.filters.smoother import rts

__all__ = [
    "AdaptiveSmoother",
    "Chain",
    "ConstantAcceleration",
    "ConstantVelocity",
    "Ema",
    "Filter",
    "FixedLag",
    "Kalman",
    "LiveRotation",
    "LiveVelocity",
    "OneEuro",
    "OneEuroRotation",
    "RigidTransform",
    "RotationConstantVelocity",
    "RotationEma",
    "SavitzkyGolay",
    "Steady",
    "chain",
    "fixed_lag",
    "rts",
    "scan",
    "steady",
    "stream",
]
