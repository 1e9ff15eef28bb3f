"""Argument types: Python numbers, NumPy arrays and JAX arrays, tracers included.

`jax.Array` alone would be wrong, since public functions take NumPy arrays as well. `AnyArray` is the array type of
shape annotations, `Float[AnyArray, "T 3"]`; the other names abbreviate common annotations. The fast test suite checks
all of them at run time (jaxtyping with beartype).

Example:
    >>> isinstance(np.zeros((4, 3), np.float32), Float[np.ndarray, "T 3"])
    True
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
    "AnyArray",
    "Array",
    "Condition",
    "FrameRate",
    "HeldMask",
    "HeldNames",
    "HeldRate",
    "Hyperparameter",
    "Mask",
    "Scalar",
    "Tree",
    "Values",
]

if TYPE_CHECKING:
    from jax import Array as Array
    from jaxtyping import PyTree
else:

    class _OfJax(type):
        """Knows a JAX array without importing JAX: where JAX has not been imported, nothing is one."""

        def __instancecheck__(cls, value: object) -> bool:
            jax = sys.modules.get("jax")
            return isinstance(value, getattr(jax, "Array", ()))

        def __subclasscheck__(cls, other: type) -> bool:
            jax = sys.modules.get("jax")
            return other is cls or issubclass(other, getattr(jax, "Array", ()))

    class Array(metaclass=_OfJax):
        """`jax.Array`, for signatures and `isinstance` in modules that must not import JAX."""

    PyTree = object

#: A NumPy or JAX array; tracers are JAX arrays.
AnyArray: TypeAlias = Array | np.ndarray
#: A real number: a Python or NumPy number, or an array without axes.
Scalar: TypeAlias = float | int | np.number | Float[AnyArray, ""] | Int[AnyArray, ""]
#: An array of real numbers of any shape, or one number.
Values: TypeAlias = float | int | np.number | Float[AnyArray, "..."] | Int[AnyArray, "..."]
#: A leaf of a filter or a stage: one number for all channels, or an array that broadcasts against a frame.
Hyperparameter: TypeAlias = Values
#: Booleans of any shape, or a single one.
Mask: TypeAlias = bool | np.bool_ | Bool[AnyArray, "..."]
#: A single boolean.
Condition: TypeAlias = bool | np.bool_ | Bool[AnyArray, ""]
#: Frames per second: a number, or a ratio as text such as "30000/1001".
FrameRate: TypeAlias = Fraction | float | int | str | np.number | Float[AnyArray, ""]
#: A pytree of arrays: a frame, or frames time first.
Tree: TypeAlias = PyTree

# Fields that accept several forms and store one: a type checker sees the stored form.
if TYPE_CHECKING:
    HeldMask: TypeAlias = Bool[AnyArray, "T"]
    HeldRate: TypeAlias = Fraction
    HeldNames: TypeAlias = tuple[str, ...]
else:
    HeldMask = Bool[AnyArray, "T"] | Sequence[bool]
    HeldRate = FrameRate
    HeldNames = Sequence[str]
