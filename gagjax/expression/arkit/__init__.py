"""ARKit's 52 face shapes on FLAME heads, both ways: weights to motion and motion to weights."""

from typing import TYPE_CHECKING

from gagjax.process import deferred

if TYPE_CHECKING:
    from gagjax.expression.arkit.channels import needs_head
    from gagjax.expression.arkit.driving import on_head, with_weights
    from gagjax.expression.arkit.fitting import FittedShapes, shapes_for
    from gagjax.expression.arkit.names import NAMES, column_of
    from gagjax.expression.arkit.shapes import Shapes, builtin_shapes
    from gagjax.expression.arkit.solving import weights_of
else:
    __getattr__, __dir__ = deferred.names(
        __name__,
        {
            "channels": ("needs_head",),
            "driving": ("on_head", "with_weights"),
            "fitting": ("FittedShapes", "shapes_for"),
            "names": ("NAMES", "column_of"),
            "shapes": ("Shapes", "builtin_shapes"),
            "solving": ("weights_of",),
        },
    )

__all__ = [
    "NAMES",
    "FittedShapes",
    "Shapes",
    "builtin_shapes",
    "column_of",
    "needs_head",
    "on_head",
    "shapes_for",
    "weights_of",
    "with_weights",
]
