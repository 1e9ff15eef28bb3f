"""Part 2: gsplat against the CPU rasterizer in values and gradients, and against gsplat called bare in time."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import bridge
from benchmarks.gpu import scenes
from benchmarks.gpu.clock import Timing, timed
from benchmarks.gpu.record import Record, shown
from benchmarks.gpu.settings import Settings
from gagjax.camera import Camera
from gagjax.splatting.gaussians import Gaussians
from gagjax.splatting.projection import DILATION, NEAR

# gsplat is built with fast arithmetic: where rounding takes an alpha across 1/255 or the light across 1e-4, a pixel steps.
CLOSE = 2e-3  # difference allowed in a pixel, as a share of the largest feature
STEPPED = 0.005  # share of pixels that may differ by more
STEP = 0.05  # and by how much at most
GRADIENT = 0.01  # norm of the difference over the norm, for each argument


def run(settings: Settings, record: Record) -> None:
    """All scenes, all widths."""
    for channels in (3, 32):
        for name in scenes.NAMES:
            record.attempt(
                f"{name}, {channels} channels", compare, settings, record, name, channels, needs=settings.size(5, 0)
            )
    for channels in (3, 32):
        record.attempt(f"times, {channels} channels", times, settings, record, channels, needs=settings.size(5, 0))


def compare(settings: Settings, record: Record, name: str, channels: int) -> None:
    """One scene by both backends: picture, coverage, and the gradient of a weighted sum of both in every argument."""
    gaussians, view = scenes.scene(name, channels, settings)
    rng = np.random.default_rng(7)
    weights = [
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((view.height, view.width, channels), (view.height, view.width))
    ]
    background = jnp.asarray(rng.normal(size=channels), jnp.float32)
    found, grads = both(gaussians, view, background, weights, "gsplat")
    host = jax.devices("cpu")[0]
    with jax.default_device(host):
        here = scenes.on(host, gaussians, view)
        expected, truth = both(*here, *jax.device_put((background, weights), host), "cpu")
    note = f"{len(gaussians):,} Gaussians, {channels} channels, {view.width} px"
    worst, share = pictures_apart(found, expected)
    good = share <= STEPPED and worst <= STEP
    record.check(
        f"values: {name}, {channels} channels",
        good,
        f"worst {shown(worst)}, {100 * share:.2g} % of pixels over {CLOSE}",
        note,
    )
    errors = gradients_apart(grads, truth)
    worst_name = max(errors, key=lambda key: errors[key])
    record.check(
        f"gradients: {name}, {channels} channels",
        errors[worst_name] <= GRADIENT,
        f"{shown(errors[worst_name])} ({worst_name})",
        note,
    )


def both(gaussians: Gaussians, view: Camera, background: Any, weights: Any, backend: str) -> tuple[Any, Any]:
    """Picture and coverage, and the gradients in the Gaussians, the view matrix and the background."""

    def loss(gaussians: Gaussians, viewmat: Any, background: Any) -> Any:
        seen = dataclasses.replace(view, viewmat=viewmat)
        out = bridge.rasterize(gaussians, seen, backend=backend, background=background)
        return sum((a * b).sum() for a, b in zip(out, weights, strict=True)), out

    arguments = (gaussians, view.viewmat, background)
    (_, out), grads = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(*arguments)
    gradient, viewmat, colour = jax.tree.map(np.asarray, grads)
    names = ("means", "covariances", "opacities", "features")
    named = {name: getattr(gradient, name) for name in names} | {"view matrix": viewmat, "background": colour}
    return jax.tree.map(np.asarray, out), named


def pictures_apart(found: Any, expected: Any) -> tuple[float, float]:
    """Largest difference as a share of the largest value, and the share of pixels that differ by more than `CLOSE`."""
    scale = max(1.0, float(np.abs(expected[0]).max()))
    apart = np.maximum(np.abs(found[0] - expected[0]).max(-1), np.abs(found[1] - expected[1])) / scale
    return float(apart.max()), float((apart > CLOSE).mean())


def gradients_apart(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, float]:
    """For each argument the norm of the difference over the norm of the expected gradient; nan counts as infinite."""
    errors = {}
    for name, truth in expected.items():
        error = float(np.linalg.norm(found[name] - truth) / max(float(np.linalg.norm(truth)), 1e-30))
        errors[name] = error if np.isfinite(error) else float("inf")
    return errors


def times(settings: Settings, record: Record, channels: int) -> None:
    """Forward, and forward with backward, through `bridge.rasterize` and by gsplat's own call on the same tensors."""
    gaussians, view = scenes.scene("lifted sheets", channels, settings)
    weight = jnp.asarray(np.random.default_rng(3).normal(size=(view.height, view.width, channels)), jnp.float32)

    def picture(gaussians: Gaussians) -> Any:
        return bridge.rasterize(gaussians, view, backend="gsplat")[0]

    forward = jax.jit(picture)
    pull = jax.jit(jax.grad(lambda g: (picture(g) * weight).sum()))
    repeats = settings.size(15, 2)
    mine = timed(lambda: forward(gaussians), repeats=repeats), timed(lambda: pull(gaussians), repeats=repeats)
    bare_forward, bare_both = _bare_calls(settings, gaussians, view, weight)
    bare = timed(bare_forward, repeats=repeats), timed(bare_both, repeats=repeats)
    note = f"{len(gaussians):,} Gaussians, {channels} channels, {view.width} px"
    for what, own, other in zip(("forward", "forward and backward"), mine, bare, strict=True):
        record.figure(f"{what}, {channels} channels", f"{own.milliseconds:.3g} ms", against(own, other) + "; " + note)


def against(own: Timing, other: Timing) -> str:
    """The comparison with gsplat called bare, and the first call."""
    ratio = own.median / other.median
    return f"bare gsplat {other.milliseconds:.3g} ms, {ratio:.2f} times; first call {own.first:.2g} s"


def bare(settings: Settings, gaussians: Gaussians, view: Camera) -> tuple[Any, list[torch.Tensor]]:
    """gsplat's own call on torch tensors: a function of means, covariances, opacities and features, and those tensors."""
    from gsplat import rasterization

    def tensor(array: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(settings.device)

    leaves = [tensor(getattr(gaussians, name)) for name in ("means", "covariances", "opacities", "features")]
    viewmat, k = tensor(view.viewmat)[None], tensor(view.K)[None]

    def draw(means: Any, covariances: Any, opacities: Any, features: Any) -> torch.Tensor:
        return rasterization(
            means=means,
            quats=None,
            scales=None,
            covars=covariances,
            opacities=opacities,
            colors=features,
            viewmats=viewmat,
            Ks=k,
            width=view.width,
            height=view.height,
            near_plane=NEAR,
            eps2d=DILATION,
            packed=False,
        )[0][0]

    return draw, leaves


def _bare_calls(settings: Settings, gaussians: Gaussians, view: Camera, weight: Any) -> tuple[Any, Any]:
    draw, leaves = bare(settings, gaussians, view)
    weights = torch.from_numpy(np.array(weight)).to(settings.device)
    moving = [leaf.clone().requires_grad_() for leaf in leaves]

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return draw(*leaves)

    def both() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad((draw(*moving) * weights).sum(), moving)

    return forward, both
