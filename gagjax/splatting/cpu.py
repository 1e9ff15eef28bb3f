"""The CPU backend: compositing by numba behind `custom_vjp` and a call to the host, projection by JAX around it."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.camera import Camera
from gagjax.splatting import host_calls
from gagjax.splatting.gaussians import Gaussians
from gagjax.splatting.projection import splats
from gagjax.typing import AnyArray, Tree

_lock = threading.Lock()  # numba's thread pool serves one caller at a time; XLA may call back from several threads
_threads: int | None = None


def set_threads(count: int | None) -> None:
    """Set the number of threads of the CPU rasterizer; None for all cores available to the process.

    Results do not depend on it.

    Raises:
        ValueError: If the count is not positive.
    """
    global _threads
    if count is not None and count < 1:
        raise ValueError(f"the number of threads must be positive, got {count}")
    _threads = count


def threads() -> int:
    """The number of threads of the CPU rasterizer."""
    import numba

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_threads or available, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


@functools.cache
def _kernels() -> Any:
    package = Path(__file__).parent
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(package, os.W_OK):
        # Compiled kernels are cached beside the source if that is writable, else in the user's cache.
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gagjax" / "numba"
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError:
            cache = Path(tempfile.mkdtemp(prefix="gagjax-numba-"))
        import numba

        numba.config.CACHE_DIR = str(cache)  # type: ignore[attr-defined]
    from gagjax.splatting import kernels

    return kernels


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def rasterize_cpu(
    gaussians: Gaussians, camera: Camera, background: Float[AnyArray, "C"]
) -> tuple[Float[Array, "H W C"], Float[Array, "H W"]]:
    """Rasterize one set of Gaussians for one camera; see `gagjax.splatting.rasterize` for the semantics."""
    flat = splats(gaussians, camera)
    # The drawing order has no gradient; Gaussians that are not drawn get depth 0 and opacity 0.
    opacities = jnp.where(flat.drawn, gaussians.opacities, 0)
    features = jnp.where(flat.drawn[:, None], gaussians.features, 0)
    arguments = (flat.centres, flat.conics, opacities, features, background, flat.depths)
    as_float32 = tuple(a.astype(jnp.float32) for a in arguments)
    picture, light = _composite(camera.width, camera.height, *as_float32)
    dtype = gaussians.means.dtype
    return picture.astype(dtype), (1 - light).astype(dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _composite(width: int, height: int, *arguments: AnyArray) -> Any:
    channels = arguments[3].shape[-1]
    return _on_host(_forward, ((height, width, channels), (height, width)), *arguments)


def _composite_fwd(width: int, height: int, *arguments: AnyArray) -> Any:
    return _composite(width, height, *arguments), arguments


def _composite_bwd(width: int, height: int, arguments: tuple[AnyArray, ...], cotangents: Tree) -> Any:
    shapes = tuple(a.shape for a in arguments[:5])
    grads = _on_host(_backward, shapes, *arguments, *cotangents)
    return *grads, jnp.zeros_like(arguments[5])


_composite.defvjp(_composite_fwd, _composite_bwd)


def _on_host(function: Callable[..., None], shapes: tuple[tuple[int, ...], ...], *arguments: AnyArray) -> Any:
    """Call `function(outputs, *inputs)` on float32 NumPy arrays; it fills the outputs.

    Where JAX runs on the CPU, these are XLA's own buffers; elsewhere they are copied to the host and back.
    """
    results = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    if jax.default_backend() == "cpu":
        name = f"gagjax.splatting.{function.__name__.strip('_')}"
        if host_calls.register(name, function):
            return host_calls.call(name, shapes, *arguments)
        from jax.experimental.buffer_callback import buffer_callback

        def in_place(_: object, outputs: Any, *inputs: Any) -> None:  # XLA's own buffers, not arrays yet
            function([np.asarray(o) for o in outputs], *(np.asarray(i) for i in inputs))

        return buffer_callback(in_place, results, vmap_method="sequential")(*arguments)

    def through_copies(*inputs: AnyArray) -> Any:
        outputs = tuple(np.empty(shape, np.float32) for shape in shapes)
        function(outputs, *(np.ascontiguousarray(np.asarray(i), np.float32) for i in inputs))
        return outputs

    return jax.pure_callback(through_copies, results, *arguments, vmap_method="sequential")


class _Plan:
    """Depth order and tile lists of one frame."""

    def __init__(
        self,
        width: int,
        height: int,
        centres: AnyArray,
        conics: AnyArray,
        opacities: AnyArray,
        features: AnyArray,
        depths: AnyArray,
    ) -> None:
        kernels = _kernels()
        seen = np.flatnonzero((depths > 0) & (opacities > kernels.ALPHA_MIN)).astype(np.uint64)
        # Positive floats sort like their bits; the index below the depth breaks ties.
        keys = (depths[seen].view(np.uint32).astype(np.uint64) << np.uint64(32)) | seen
        keys.sort()
        self.order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int32)
        self.box = kernels.boxes(self.order, centres, conics, opacities, width, height)
        hit = np.flatnonzero(self.box[:, 1])  # x1 of an empty box is 0
        self.order, self.box = self.order[hit], self.box[hit]
        self.tiles_x, self.tiles_y = -(-width // kernels.TILE), -(-height // kernels.TILE)
        self.first, self.start, self.position, self.pair = kernels.bin_pairs(self.box, self.tiles_x, self.tiles_y)
        # Longest lists first, assigned round-robin: balances the work of the threads.
        self.tiles = np.argsort(-np.diff(self.start), kind="stable")
        order = self.order
        self.geometry = np.concatenate([centres[order], conics[order], opacities[order, None]], 1)
        self.features = features[order]


def _forward(outputs: Sequence[np.ndarray], *arguments: np.ndarray) -> None:
    picture, light = outputs
    height, width = light.shape
    centres, conics, opacities, features, background, depths = arguments
    with _lock, _blas().limit(limits=1, user_api="blas"):
        plan = _Plan(width, height, centres, conics, opacities, features, depths)
        _kernels().composite(
            threads(),
            plan.tiles,
            plan.start,
            plan.position,
            plan.box,
            plan.geometry,
            plan.features,
            background,
            picture,
            light,
        )


def _backward(outputs: Sequence[np.ndarray], *arguments: np.ndarray) -> None:
    g_centres, g_conics, g_opacities, g_features, g_background = outputs
    centres, conics, opacities, features, background, depths, g_picture, g_light = arguments
    height, width = g_light.shape
    columns = 6 + features.shape[1]
    with _lock, _blas().limit(limits=1, user_api="blas"):
        kernels = _kernels()
        plan = _Plan(width, height, centres, conics, opacities, features, depths)
        light = np.empty((height, width), np.float32)
        pair_grads = _scratch(len(plan.pair) * columns).reshape(-1, columns)
        pair_grads[:] = 0
        kernels.composite_backward(
            threads(),
            plan.tiles,
            plan.start,
            plan.position,
            plan.pair,
            plan.box,
            plan.geometry,
            plan.features,
            background,
            g_picture,
            g_light,
            pair_grads,
            light,
        )
        for output in outputs:
            output[...] = 0
        kernels.gather(plan.order, plan.first, pair_grads, g_centres, g_conics, g_opacities, g_features)
        g_background[:] = light.reshape(-1) @ g_picture.reshape(-1, features.shape[1])


_buffer = np.empty(0, np.float32)


def _scratch(size: int) -> np.ndarray:
    """Uninitialised memory reused between calls, guarded by the lock: page faults cost more than the sums."""
    global _buffer
    if len(_buffer) < size:
        _buffer = np.empty(size + size // 8, np.float32)
    return _buffer[:size]
