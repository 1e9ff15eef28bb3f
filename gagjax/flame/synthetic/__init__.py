"""The built-in head: a FLAME-format model made from formulas, with named expression controls.

It has FLAME's sizes (5,023 vertices, 300 shape and 100 expression columns, 5 joints) and conventions, and none of its
data: the geometry is written in `sculpt` and `mesh`.
"""

from gagjax.flame.synthetic.expressions import CONTROLS
from gagjax.flame.synthetic.head import neutral_mesh, synthetic

__all__ = ["CONTROLS", "neutral_mesh", "synthetic"]
