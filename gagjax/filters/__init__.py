"""Filters over time: small pytrees with explicit state, run by one `lax.scan`."""

from gagjax.filters.base import Chain, Filter, chain, scan, stream
from gagjax.filters.ema import Ema

__all__ = ["Chain", "Ema", "Filter", "chain", "scan", "stream"]
