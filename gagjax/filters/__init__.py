"""Temporal filters: small pytrees with explicit state, run by one `lax.scan`."""

from gagjax.filters.adaptive import AdaptiveSmoother
from gagjax.filters.alpha_beta import LiveRotation, LiveVelocity
from gagjax.filters.base import Chain, Filter, chain, scan, stream
from gagjax.filters.ema import Ema
from gagjax.filters.fixed_lag import FixedLag, fixed_lag
from gagjax.filters.kalman import ConstantAcceleration, ConstantVelocity, Kalman
from gagjax.filters.one_euro import OneEuro
from gagjax.filters.rigid import RigidTransform
from gagjax.filters.rotation import OneEuroRotation, RotationConstantVelocity, RotationEma
from gagjax.filters.rts import rts
from gagjax.filters.savitzky_golay import SavitzkyGolay
from gagjax.filters.steady_state import Steady, steady

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
