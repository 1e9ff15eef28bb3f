"""Arrays as the original's callers hold them: NumPy or torch in, the same kind out, torch never imported here."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from gagjax.errors import InputError
from gagjax.typing import AnyArray


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor, told by the name of its class's module."""
    return type(value).__module__.split(".")[0] == "torch" and type(value).__name__ in ("Tensor", "Parameter")


def host(value: AnyArray | object, name: str) -> np.ndarray:
    """A value as a float32 NumPy array.

    Args:
        value: A NumPy or JAX array, a list of numbers, or a torch tensor on any device; gradients do not go through.
        name: What it is called, for the message.

    Returns:
        A NumPy array.

    Raises:
        InputError: If it holds no numbers.
    """
    tensor: Any = value
    try:
        found = tensor.detach().cpu().float().numpy() if is_tensor(value) else np.asarray(value)
        return np.asarray(found, np.float32)
    except (TypeError, ValueError) as error:
        raise InputError("holds no numbers", field=name, fix="Pass a NumPy array or a torch tensor") from error


def like(array: AnyArray, given: AnyArray | object) -> Any:
    """An array as what was given: a tensor of its type and on its device, a JAX array, or NumPy in its float type."""
    tensor: Any = given
    if is_tensor(given):
        made = tensor.new_tensor(np.asarray(array, np.float32))
        return made if made.is_floating_point() else made.float()
    if isinstance(given, jax.Array):
        return jax.numpy.asarray(array)
    kind = np.asarray(given).dtype
    return np.asarray(array).astype(kind if kind.kind == "f" else np.float32)
