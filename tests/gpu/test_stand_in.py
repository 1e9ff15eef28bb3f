"""The stand-in for gsplat: its pictures are the float64 oracle's, and the adapter's gradients are the CPU backend's."""

from __future__ import annotations

import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bridge
from gagjax import splatting
from gagjax.camera import from_track
from gagjax.splatting.gaussians import Gaussians

torch = pytest.importorskip("torch")

from tests.oracles import gsplat_stand_in as stand_in  # noqa: E402
from tests.oracles import rasterizer as oracle  # noqa: E402

SIZE = 32
VIEW = from_track(np.concatenate([np.eye(3), [[0], [0], [9.0]]], 1).astype(np.float32), size=SIZE)
# The parameters of gsplat 1.5.3's `rasterization` up to the lens distortion that nothing here uses, with their defaults.
SIGNATURE = (
    "means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane=0.01, far_plane=10000000000.0, "
    "radius_clip=0.0, eps2d=0.3, sh_degree=None, packed=True, tile_size=16, backgrounds=None, render_mode='RGB', "
    "sparse_grad=False, absgrad=False, rasterize_mode='classic', channel_chunk=32, distributed=False, "
    "camera_model='pinhole', segmented=False, covars=None, with_ut=False, with_eval3d=False"
)


def scene(count: int = 50, channels: int = 3, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    arrays = (
        0.4 * rng.normal(size=(count, 3)),
        0.08 * np.exp(0.5 * rng.normal(size=(count, 3))),
        rng.normal(size=(count, 4)),
        rng.uniform(0, 0.9, count),
        rng.normal(size=(count, channels)),
    )
    return Gaussians.from_scales(*(np.float32(a) for a in arrays))


def tensors(g: Gaussians) -> dict:
    names = {"means": "means", "covars": "covariances", "opacities": "opacities", "colors": "features"}
    return {name: torch.from_numpy(np.array(getattr(g, field))) for name, field in names.items()} | {
        "viewmats": torch.from_numpy(np.array(VIEW.viewmat))[None],
        "Ks": torch.from_numpy(np.array(VIEW.K))[None],
    }


def test_its_signature_is_the_documented_one() -> None:
    parameters = inspect.signature(stand_in.rasterization).parameters.values()
    found = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert ", ".join(found) == SIGNATURE


def test_its_picture_is_the_oracles() -> None:
    g = scene()
    picture, alpha, _ = stand_in.rasterization(
        quats=None, scales=None, width=SIZE, height=SIZE, near_plane=0.2, packed=False, **tensors(g)
    )
    expected, covered = oracle.rasterize(g, VIEW)
    np.testing.assert_allclose(picture[0], expected, atol=2e-5)
    np.testing.assert_allclose(alpha[0, ..., 0], covered, atol=2e-5)


def test_every_gradient_through_the_adapter_is_the_cpu_backends() -> None:
    g, weights = scene(), np.random.default_rng(1).normal(size=(SIZE, SIZE, 3)).astype(np.float32)

    def loss(g: Gaussians, viewmat: object, background: object, backend: str) -> jax.Array:
        from dataclasses import replace

        picture, alpha = bridge.rasterize(g, replace(VIEW, viewmat=viewmat), backend=backend, background=background)
        return (picture * weights).sum() + alpha.sum()

    colour = jnp.asarray([0.3, -0.2, 0.9])
    with stand_in.installed():
        found, expected = (
            jax.grad(loss, (0, 1, 2))(jax.tree.map(jnp.asarray, g), jnp.asarray(VIEW.viewmat), colour, name)
            for name in ("gsplat", "cpu")
        )
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max(), err_msg=jax.tree_util.keystr(path))
        assert np.abs(b).max() > 0
    # Both halves of a symmetric matrix have their share.
    np.testing.assert_allclose(found[0].covariances, np.swapaxes(found[0].covariances, 1, 2), rtol=1e-4, atol=1e-3)


def test_it_is_there_only_while_it_is_installed() -> None:
    before = splatting.backend_report()
    with stand_in.installed():
        assert sys.modules["gsplat"].rasterization is stand_in.rasterization
        assert splatting.backend_report().startswith("gsplat")
    assert (
        "gsplat" not in sys.modules or sys.modules["gsplat"].__dict__.get("rasterization") is not stand_in.rasterization
    )
    assert splatting.backend_report() == before
