"""State dicts of networks: detection among other dicts of arrays, and removal of wrappers' key prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

#: Key prefixes of `DataParallel`, `torch.compile` and trainers.
PREFIXES = ("module.", "_orig_mod.", "model.")
_ENDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", "weight_g", "weight_v")


def without_prefix(state: Mapping[Any, Value]) -> dict[Any, Value]:
    """A state dict without the known prefixes common to all keys.

    Args:
        state: Tensors or arrays by name.

    Returns:
        The same values; names are changed only if all begin with a known prefix.

    Example:
        >>> without_prefix({"module.head.weight": 1, "module.head.bias": 2})
        {'head.weight': 1, 'head.bias': 2}
    """
    found = dict(state)
    while found:
        prefix = next((p for p in PREFIXES if all(isinstance(k, str) and k.startswith(p) for k in found)), None)
        if prefix is None:
            break
        found = {key[len(prefix) :]: value for key, value in found.items()}
    return found


def is_state_dict(content: object) -> bool:
    """Whether a dict looks like a network's weights: names of modules, most of which end in `weight` or `bias`.

    Example:
        >>> is_state_dict({"a.weight": 1, "a.bias": 2}), is_state_dict({"expcode": 1, "posecode": 2})
        (True, False)
    """
    if not isinstance(content, Mapping) or not content or not all(isinstance(key, str) for key in content):
        return False
    if "head_base" in without_prefix(content):
        return True
    named = sum(key.rpartition(".")[2] in _ENDS for key in content)
    return named >= max(1, len(content) / 3)
