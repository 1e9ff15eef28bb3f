"""The built-in head: a FLAME-format model made from formulas, with named expression controls.

It has FLAME's sizes (5,023 vertices, 300 shape and 100 expression columns, 5 joints) and conventions, and none of its
data: the geometry is written in `sculpt` and `mesh`.
"""

from gagjax.flame.builtin_head.expressions import CONTROLS, FINE_CONTROLS, JAW_OPEN
from gagjax.flame.builtin_head.head import builtin, is_builtin, neutral_mesh

__all__ = ["CONTROLS", "FINE_CONTROLS", "JAW_OPEN", "builtin", "is_builtin", "neutral_mesh"]
