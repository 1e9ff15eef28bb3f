"""Expression: neutral estimation, retargeting, regional editing, subspaces, comparison and transfer."""

from gagjax.expression.closure import ClosureMatcher, apertures
from gagjax.expression.codes import track_from_codes
from gagjax.expression.compare import blend, distance, transfer
from gagjax.expression.from_template import driven
from gagjax.expression.masks import region_weights, vertex_areas
from gagjax.expression.neutral import neutral
from gagjax.expression.openings import Openings
from gagjax.expression.regions import CrossTalk, RegionEditor
from gagjax.expression.retargeting import LiveRetargeter, Retargeter, default_stage, live_stage, soft_limit
from gagjax.expression.subspace import PCA, RunningMoments, merge, metric_factor, moments

__all__ = [
    "PCA",
    "ClosureMatcher",
    "CrossTalk",
    "LiveRetargeter",
    "Openings",
    "RegionEditor",
    "Retargeter",
    "RunningMoments",
    "apertures",
    "blend",
    "default_stage",
    "distance",
    "driven",
    "live_stage",
    "merge",
    "metric_factor",
    "moments",
    "neutral",
    "region_weights",
    "soft_limit",
    "track_from_codes",
    "transfer",
    "vertex_areas",
]
