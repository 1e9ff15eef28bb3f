"""Expression: neutral estimation, retargeting, regional editing, subspaces, comparison and transfer."""

from typing import TYPE_CHECKING

from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.expression.closure import ClosureMatcher, apertures
    from gagjax.expression.codes import track_from_codes
    from gagjax.expression.compare import blend, distance, transfer
    from gagjax.expression.from_template import driven
    from gagjax.expression.masks import region_weights, vertex_areas
    from gagjax.expression.neutral_face import neutral
    from gagjax.expression.openings import Openings
    from gagjax.expression.regions import CrossTalk, RegionEditor
    from gagjax.expression.retargeting import LiveRetargeter, Retargeter, default_stage, live_stage, soft_limit
    from gagjax.expression.subspace import PCA, RunningMoments, merge, metric_factor, moments
else:
    __getattr__, __dir__ = deferred.names(
        __name__,
        {
            "closure": ("ClosureMatcher", "apertures"),
            "codes": ("track_from_codes",),
            "compare": ("blend", "distance", "transfer"),
            "from_template": ("driven",),
            "masks": ("region_weights", "vertex_areas"),
            "neutral_face": ("neutral",),
            "openings": ("Openings",),
            "regions": ("CrossTalk", "RegionEditor"),
            "retargeting": ("LiveRetargeter", "Retargeter", "default_stage", "live_stage", "soft_limit"),
            "subspace": ("PCA", "RunningMoments", "merge", "metric_factor", "moments"),
        },
    )

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
