"""Nested dicts of arrays in safetensors files, which execute no code when read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gagjax.errors import InputError
from gagjax.typing import Tree

LIMIT = 1 << 31


def write(path: Path, tree: Tree, about: Mapping[str, str] | None = None) -> None:
    """Write the arrays of a pytree, named by their paths."""
    from safetensors.numpy import save

    arrays = {name: np.array(value, order="C") for name, value in named(tree).items()}
    path.write_bytes(save(arrays, metadata=dict(about or {})))


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Raises:
        InputError: If it is missing, too large, damaged, or holds values that are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        raise InputError("does not exist", file=path)
    if path.stat().st_size > LIMIT:
        raise InputError("is too large", file=path)
    try:
        arrays = load(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is no readable safetensors file ({error})", file=path, fix="Fit the avatar again") from error
    for name, value in arrays.items():
        if value.dtype.kind not in "fiub" or not np.isfinite(value).all():
            raise InputError("is not finite", file=path, field=name, fix="Fit the avatar again")
    return arrays


def about(path: Path) -> dict[str, str]:
    """The metadata of a file that `read` has accepted."""
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        return dict(file.metadata() or {})


def fill(tree: Tree, arrays: Mapping[str, np.ndarray], file: Path) -> Any:
    """A pytree with its arrays taken from a file.

    Args:
        tree: The structure, with arrays (or their shapes) of the wanted shapes and types.
        arrays: From `read`.
        file: The file, for messages.

    Raises:
        InputError: If an array is missing, unexpected, or of another shape or type.
    """
    wanted = named(tree)
    for name in sorted(set(arrays) - set(wanted)):
        raise InputError("is not known", file=file, field=name, fix="Fit the avatar again")
    for name, value in wanted.items():
        if name not in arrays:
            raise InputError("is missing", file=file, field=name, fix="Fit the avatar again")
        found = arrays[name]
        if found.shape != tuple(value.shape) or found.dtype != np.dtype(value.dtype):
            raise InputError(
                f"is {found.dtype}{found.shape}, expected {np.dtype(value.dtype)}{tuple(value.shape)}",
                file=file,
                field=name,
                fix="Fit the avatar again with these settings",
            )
    leaves = [arrays[name] for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


def named(tree: Tree) -> dict[str, Any]:
    """The leaves of a pytree by path, such as `points.colour`."""
    return {
        ".".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }
