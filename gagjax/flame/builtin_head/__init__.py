"""The built-in head: a FLAME-format model made from formulas, with named expression controls.

It has FLAME's sizes (5,023 vertices, 300 shape and 100 expression columns, 5 joints) and conventions, and none of its
data: the geometry is written in `sculpt` and `mesh`.
"""

from typing import TYPE_CHECKING

from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.flame.builtin_head.expressions import CONTROLS, FINE_CONTROLS
    from gagjax.flame.builtin_head.head import builtin, is_builtin, neutral_mesh
    from gagjax.flame.builtin_head.jaw import JAW_OPEN
else:
    __getattr__, __dir__ = deferred.names(
        __name__,
        {
            "expressions": ("CONTROLS", "FINE_CONTROLS"),
            "head": ("builtin", "is_builtin", "neutral_mesh"),
            "jaw": ("JAW_OPEN",),
        },
    )

__all__ = ["CONTROLS", "FINE_CONTROLS", "JAW_OPEN", "builtin", "is_builtin", "neutral_mesh"]
