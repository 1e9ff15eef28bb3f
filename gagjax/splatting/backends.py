"""The rasterizer's backends: their protocol, and a registry to which other packages add theirs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from gagjax.camera import Camera
from gagjax.errors import SplattingError
from gagjax.splatting.cpu import rasterize_cpu
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray


@runtime_checkable
class Backend(Protocol):
    """A backend that composites Gaussians with the semantics of `rasterize`."""

    def unavailable(self) -> str | None:
        """Why this backend cannot run here and how to fix that; None if it can."""
        ...

    def preferred(self) -> bool:
        """Whether "auto" prefers this backend to the CPU here."""
        ...

    def rasterize(
        self, gaussians: Gaussians, camera: Camera, background: Float[AnyArray, "C"]
    ) -> tuple[Float[Array, "H W C"], Float[Array, "H W"]]:
        """Features (H, W, C) and alpha (H, W) of one set of Gaussians seen by one camera."""
        ...


class CpuBackend:
    """Compositing by numba on the host."""

    def unavailable(self) -> str | None:
        return None

    def preferred(self) -> bool:
        return False  # the fallback when no other backend is preferred

    def rasterize(
        self, gaussians: Gaussians, camera: Camera, background: Float[AnyArray, "C"]
    ) -> tuple[Float[Array, "H W C"], Float[Array, "H W"]]:
        return rasterize_cpu(gaussians, camera, background)


_BACKENDS: dict[str, Backend] = {"cpu": CpuBackend()}


def register(name: str, backend: Backend) -> None:
    """Register a backend of `rasterize` under a name; a second registration of the name replaces the first.

    Args:
        name: The name for `rasterize(..., backend=name)`.
        backend: The backend.

    Raises:
        SplattingError: If the name is "auto" or "cpu".
    """
    if name in ("auto", "cpu"):
        raise SplattingError(f"the backend name {name!r} is taken")
    _BACKENDS[name] = backend


def names() -> tuple[str, ...]:
    """The registered names, without "auto"."""
    return tuple(_BACKENDS)


def choose(name: str) -> Backend:
    """The backend of a name, or the one that "auto" selects here.

    Raises:
        SplattingError: If no backend has this name, or it cannot run here.
    """
    if name == "auto":
        return next((backend for backend in _BACKENDS.values() if backend.preferred()), _BACKENDS["cpu"])
    if name not in _BACKENDS:
        known = ", ".join(f'"{each}"' for each in ("auto", *_BACKENDS))
        hint = '; `import bridge` registers "gsplat"' if name == "gsplat" else ""
        raise SplattingError(f"backend must be one of {known}, got {name!r}{hint}")
    backend = _BACKENDS[name]
    reason = backend.unavailable()
    if reason is not None:
        raise SplattingError(f'backend="{name}" cannot run here: {reason}')
    return backend


def report() -> str:
    """Which backend "auto" selects here, and why the others are not selected."""
    taken = choose("auto")
    name = next(name for name, backend in _BACKENDS.items() if backend is taken)
    others = [
        f"{other}: {backend.unavailable() or 'available, not preferred here'}"
        for other, backend in _BACKENDS.items()
        if other not in (name, "cpu")
    ]
    if "gsplat" not in _BACKENDS:
        others.append("gsplat: `import bridge` registers it")
    return f"{name}: {'; '.join(others)}" if others else name
