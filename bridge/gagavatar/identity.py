"""Identity: one encoded portrait. Encode once, save, and drive many times."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bridge.gagavatar import lifting
from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.io.untrusted import checkpoints

FORMAT = "gagjax-identity"
VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    """The Gaussians of one portrait: V at the head's vertices, then the plane's, lifted backward and forward.

    Only the first V means change from frame to frame (they are the vertices); everything else is here.

    Attributes:
        points: Means of the plane's Gaussians, (N - V, 3), GAGAvatar units.
        scales: (N, 3), GAGAvatar units.
        quaternions: w, x, y, z as output by the network, (N, 4). Those of the vertices are *not* of unit length;
            use `covariances`.
        opacities: (N,), in (0, 1).
        features: (N, C).
        transform: The portrait's camera `[R | t]`, (3, 4).
        shape: The portrait's FLAME shape, (300,), or None if unknown.
    """

    points: Float[Tensor, "M 3"]
    scales: Float[Tensor, "N 3"]
    quaternions: Float[Tensor, "N 4"]
    opacities: Float[Tensor, "N"]
    features: Float[Tensor, "N C"]
    transform: Float[Tensor, "3 4"]
    shape: Float[Tensor, "300"] | None = None

    @property
    def vertices(self) -> int:
        """The number of Gaussians at the head's vertices."""
        return len(self.scales) - len(self.points)

    def covariances(self) -> Float[Tensor, "N 3 3"]:
        """Covariances from the raw quaternions, GAGAvatar units squared."""
        return lifting.covariances(self.scales, self.quaternions)

    def to(self, device: torch.device | str) -> Identity:
        """The same identity on another device."""
        return dataclasses.replace(self, **{name: value.to(device) for name, value in self._tensors().items()})

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write a `.npz` that `load` reads.

        Args:
            path: The file to write.
            force: Whether an existing file may be replaced.

        Raises:
            InputError: If the file exists and `force` is not given.
        """
        arrays: dict[str, Any] = {name: value.detach().cpu().numpy() for name, value in self._tensors().items()}
        header = json.dumps({"format": FORMAT, "version": VERSION, "units": "GAGAvatar (metres times 5)"})
        with atomic.output(path, force=force) as temporary, Path(temporary).open("wb") as stream:
            np.savez(stream, meta=np.array(header), **arrays)

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> Identity:
        """Read a file written by `save`.

        Args:
            path: The file.
            device: Device of the tensors.

        Raises:
            InputError: If it is missing or is not an identity file.
        """
        arrays = checkpoints.load_npz(path)
        try:
            meta = json.loads(str(arrays.pop("meta")))
        except (KeyError, ValueError, RecursionError) as error:
            raise InputError("is no saved identity", file=path, fix="Pass a file that Identity.save wrote") from error
        if not isinstance(meta, dict) or not isinstance(meta.get("version", 0), int):
            raise InputError("is no saved identity", file=path, fix="Pass a file that Identity.save wrote")
        if meta.get("format") != FORMAT or meta.get("version", 0) > VERSION:
            raise InputError(
                f"is {meta.get('format')} version {meta.get('version')}, expected {FORMAT} up to version {VERSION}",
                file=path,
            )
        known = {field.name for field in dataclasses.fields(cls)}
        missing = known - {"shape"} - set(arrays)
        if missing:
            raise InputError(f"lacks {', '.join(sorted(missing))}", file=path)
        _check({name: array for name, array in arrays.items() if name in known}, path)
        tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items() if name in known}
        return cls(**tensors)

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def _check(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Raise if a shape or type does not match the others, or a value is not finite."""
    points, count = len(np.atleast_1d(arrays["points"])), len(np.atleast_1d(arrays["scales"]))
    wanted: dict[str, tuple[int | None, ...]] = {
        "points": (points, 3),
        "scales": (count, 3),
        "quaternions": (count, 4),
        "opacities": (count,),
        "features": (count, None),
        "transform": (3, 4),
        "shape": (300,),
    }
    for name, array in arrays.items():
        shape = wanted[name]
        fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if not fits or array.dtype != np.float32 or not np.isfinite(array).all():
            text = ", ".join("C" if n is None else str(n) for n in shape)
            raise InputError(f"is {array.dtype} {array.shape}; expected finite float32 ({text})", file=path, field=name)
    if points > count:
        raise InputError(f"has {points} rows, more than the {count} Gaussians", file=path, field="points")
