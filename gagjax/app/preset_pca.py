"""A PCA of expressions inside a preset file: what `gagjax tune --pca` writes and every `--preset` reads."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gagjax.errors import InputError
from gagjax.expression import PCA, LiveRetargeter, Retargeter
from gagjax.reference.expression import ReferenceExpression
from gagjax.stack import Stack
from gagjax.track import EXPRESSIONS

MOST = 80  # components; more would not fit into a preset file
_FIX = "Write it with gagjax tune --pca"


def content(pca: PCA) -> dict[str, Any]:
    """A PCA as the `pca` entry of a preset: its arrays as base64 of little-endian float32."""
    return {
        "components": len(np.asarray(pca.components)),
        "mean": _text(np.asarray(pca.mean)),
        "rows": _text(np.asarray(pca.components)),
    }


def applied(stack: Stack, entry: object, path: Path) -> Any:
    """A stack whose expression stage projects onto a preset's PCA.

    `reference` projects the expression about the PCA's mean, as the original does; `default` and `live` project its
    deviation from the neutral face, so there the PCA must be one of deviations (mean zero).

    Args:
        stack: The stack.
        entry: What stands under `pca`.
        path: The preset, for messages.

    Raises:
        InputError: If the entry is no PCA, or has a mean where the stage needs none.
    """
    mean, rows = _arrays(entry, path)
    stage = stack.expression
    if stage is None:
        return stack
    if isinstance(stage, ReferenceExpression):
        return dataclasses.replace(stack, expression=dataclasses.replace(stage, mean=mean, components=rows))
    if np.abs(mean).max() > 1e-6:
        raise InputError("is one about a mean, for the preset reference", file=path, field="pca", fix=_FIX)
    onto = (rows.T @ rows).astype(np.float32)
    if isinstance(stage, LiveRetargeter):
        stage = dataclasses.replace(stage, retargeter=dataclasses.replace(stage.retargeter, map=onto))
    elif isinstance(stage, Retargeter):
        stage = dataclasses.replace(stage, map=onto)
    return dataclasses.replace(stack, expression=stage)


def _arrays(entry: object, path: Path) -> tuple[Float[np.ndarray, "100"], Float[np.ndarray, "k 100"]]:
    def refuse(why: str) -> InputError:
        return InputError(why, file=path, field="pca", fix=_FIX)

    if not isinstance(entry, dict) or set(entry) != {"components", "mean", "rows"}:
        raise refuse("is no PCA")
    count = entry["components"]
    if type(count) is not int or not 1 <= count <= MOST:
        raise refuse(f"has no number of components from 1 to {MOST}")
    found = []
    for name, size in (("mean", EXPRESSIONS), ("rows", count * EXPRESSIONS)):
        text = entry[name]
        try:
            raw = base64.b64decode("".join(text.split()), validate=True) if isinstance(text, str) else b""
        except (binascii.Error, ValueError) as error:
            raise refuse(f"{name} is no base64") from error
        if len(raw) != 4 * size:
            raise refuse(f"{name} holds {len(raw)} bytes, expected {4 * size}")
        found.append(np.frombuffer(raw, "<f4"))
    mean, rows = found[0], found[1].reshape(count, EXPRESSIONS)
    if not (np.isfinite(mean).all() and np.isfinite(rows).all()):
        raise refuse("is not finite")
    if np.abs(rows.astype(np.float64) @ rows.T.astype(np.float64) - np.eye(count)).max() > 1e-3:
        raise refuse("has components that are not orthonormal")
    return mean, rows


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")
