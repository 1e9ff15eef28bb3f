"""The rasterizer against its float64 oracle: pictures, gradients, and everything that can be odd about a Gaussian."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge import gsplat
from gagjax import splatting
from gagjax.camera import Camera, from_track
from gagjax.errors import SplattingError
from gagjax.splatting.gaussians import Gaussians, covariance
from gagjax.splatting.projection import splats
from tests.oracles import rasterizer as oracle

SIZE = 40
KNOWN = np.array([[1, 0, 1], [0, 1, 1]])  # entries of K that a camera has
DECIDED = 1e-4  # relative distance from a threshold beyond which float32 rounding changes no decision
draw = jax.jit(lambda g, c, b: bridge.rasterize(g, c, backend="cpu", background=b))


def camera(size: int = SIZE) -> Camera:
    return from_track(np.concatenate([np.eye(3), [[0], [0], [9.0]]], 1).astype(np.float32), size=size)


def scene(count: int = 60, channels: int = 3, seed: int = 0, scale: float = 0.08, spread: float = 1.0) -> Gaussians:
    rng = np.random.default_rng(seed)
    return Gaussians.from_scales(
        (0.4 * rng.normal(size=(count, 3))).astype(np.float32),
        (scale * np.exp(spread * rng.normal(size=(count, 3)))).astype(np.float32),
        rng.normal(size=(count, 4)).astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.normal(size=(count, channels)).astype(np.float32),
    )


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.08, 0.5]), st.sampled_from([0.5, 1.0]))
def test_pictures_equal_the_oracle(seed, scale, spread):
    g, b = scene(60, 3, seed, scale, spread), np.float32([0.2, -0.4, 1.0])
    # The projected covariance of a needle that lies across the axes loses digits in float32: one scene in fifty of those
    # with a spread of 1 (axes 10 : 1 and more) exceeds 1e-5, by up to 2.2e-5 in 120 scenes.
    atol = 1e-5 if spread < 1 else 5e-5
    features, alpha = (np.asarray(v) for v in draw(g, camera(), b))
    expected, covered, margin = oracle.rasterize(g, camera(), b, margins=True)
    # Where float32 rounding may take an alpha across 1/255, or the light across 1e-4, both pictures are right.
    sure = margin > DECIDED
    assert sure.mean() > 0.98
    np.testing.assert_allclose(features[sure], expected[sure], atol=atol * max(1, np.abs(expected).max()))
    np.testing.assert_allclose(alpha[sure], covered[sure], atol=atol)


@pytest.mark.parametrize("channels", [1, 3, 8, 9, 32, 33])
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (1, 1), (50, 3)])
def test_any_width_of_features_and_any_size(channels, size):
    view = dataclasses.replace(camera(), width=size[0], height=size[1])
    g = scene(40, channels)
    features, alpha = bridge.rasterize(g, view, backend="cpu")
    assert features.shape == (size[1], size[0], channels)
    expected, covered = oracle.rasterize(g, view)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    np.testing.assert_allclose(alpha, covered, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.004, 0.012])
def test_full_scene_equals_the_oracle_at_sampled_pixels(scale):
    rng = np.random.default_rng(0)
    g = scene(180_255, 32, scale=scale)
    g = dataclasses.replace(g, features=rng.uniform(-1, 1, size=g.features.shape).astype(np.float32))
    view = camera(512)
    features, alpha = bridge.rasterize(g, view, backend="cpu")
    pixels = rng.integers(100, 412, size=(150, 2))
    expected, covered, margin = oracle.rasterize(g, view, pixels=pixels, margins=True)
    sure = margin > DECIDED
    assert sure.mean() > 0.9 and covered.mean() > 0.5
    np.testing.assert_allclose(np.asarray(features)[tuple(pixels.T)][sure], expected[sure], atol=2e-5)
    np.testing.assert_allclose(np.asarray(alpha)[tuple(pixels.T)][sure], covered[sure], atol=2e-5)


def gradients(g: Gaussians, view: Camera, weights, background):
    def loss(g, viewmat, k, b):
        c = dataclasses.replace(view, viewmat=viewmat, K=k)
        features, alpha = bridge.rasterize(g, c, backend="cpu", background=b)
        return (features * weights[0]).sum() + (alpha * weights[1]).sum()

    return jax.jit(jax.grad(loss, (0, 1, 2, 3)))(g, view.viewmat, view.K, background)


def oracle_gradients(g: Gaussians, view: Camera, weights, background):
    order = np.lexsort((np.arange(len(g)), np.asarray(splats(g, view).depths)))
    drawn = np.asarray(splats(g, view).drawn)
    order = [i for i in order if drawn[i]]
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), (g, view.viewmat, view.K, background))

        def loss(g, viewmat, k, b):
            flat = splats(g, dataclasses.replace(view, viewmat=viewmat, K=k))
            picture, alpha = oracle.smooth_composite(
                flat.centres, flat.conics, order, g.opacities, g.features, b, view.width, view.height
            )
            return (picture * weights[0]).sum() + (alpha * weights[1]).sum()

        return jax.tree.map(np.asarray, jax.jit(jax.grad(loss, (0, 1, 2, 3)))(*wide))


CASES = {
    "ordinary": (scene(30, 3, 1), 16),
    "many channels": (scene(30, 12, 2), 16),
    "near-opaque stack": (
        dataclasses.replace(scene(24, 3, 3, scale=0.2), opacities=np.full(24, 0.985, np.float32)),
        16,
    ),
    "small and faint": (scene(40, 3, 4, scale=0.01), 20),
}


@pytest.mark.parametrize(("g", "size"), CASES.values(), ids=CASES)
def test_every_gradient_equals_float64_autodiff(g, size):
    view = camera(size)
    rng = np.random.default_rng(5)
    channels = g.features.shape[1]
    weights = (
        rng.normal(size=(size, size, channels)).astype(np.float32),
        rng.normal(size=(size, size)).astype(np.float32),
    )
    background = rng.normal(size=channels).astype(np.float32)
    found = gradients(g, view, weights, background)
    expected = oracle_gradients(g, view, weights, background)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max() + 1e-7, err_msg=jax.tree_util.keystr(path))
        assert np.abs(b).max() > 0, jax.tree_util.keystr(path)


def test_the_oracle_of_gradients_equals_finite_differences():
    g, view = CASES["ordinary"][0], camera(16)
    weights = (np.ones((16, 16, 3), np.float32), np.zeros((16, 16), np.float32))
    grads, *_ = oracle_gradients(g, view, weights, np.zeros(3, np.float32))
    for name in ("means", "covariances", "opacities", "features"):
        gradient = np.asarray(getattr(grads, name))
        where = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        value = np.asarray(getattr(g, name), np.float64)
        step = 1e-6 * max(abs(value[where]), 1e-3)
        ends = []
        for sign in (1, -1):
            moved = value.copy()
            moved[where] += sign * step
            ends.append(oracle.rasterize(dataclasses.replace(g, **{name: moved}), view)[0].sum())
        np.testing.assert_allclose(gradient[where], (ends[0] - ends[1]) / (2 * step), rtol=1e-4, err_msg=name)


def test_gradients_in_scales_and_quaternions_equal_float64_autodiff_and_differences():
    rng = np.random.default_rng(0)
    g, view = CASES["ordinary"][0], camera(16)
    count = len(g)
    scales = (0.08 * np.exp(rng.normal(size=(count, 3)))).astype(np.float32)
    quaternions = rng.normal(size=(count, 4)).astype(np.float32)
    weights = (rng.normal(size=(16, 16, 3)).astype(np.float32), rng.normal(size=(16, 16)).astype(np.float32))

    def loss(s, q):
        features, alpha = bridge.rasterize(dataclasses.replace(g, covariances=covariance(s, q)), view, backend="cpu")
        return (features * weights[0]).sum() + (alpha * weights[1]).sum()

    found = jax.jit(jax.grad(loss, (0, 1)))(scales, quaternions)
    flat = splats(dataclasses.replace(g, covariances=covariance(scales, quaternions)), view)
    order = [i for i in np.lexsort((np.arange(count), np.asarray(flat.depths))) if np.asarray(flat.drawn)[i]]
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), (g, view.viewmat, view.K, scales, quaternions))

        def exact(s, q):
            own = dataclasses.replace(wide[0], covariances=covariance(s, q))
            p = splats(own, dataclasses.replace(view, viewmat=wide[1], K=wide[2]))
            picture, alpha = oracle.smooth_composite(
                p.centres, p.conics, order, own.opacities, own.features, np.zeros(3), 16, 16
            )
            return (picture * weights[0]).sum() + (alpha * weights[1]).sum()

        expected = [np.asarray(v) for v in jax.jit(jax.grad(exact, (0, 1)))(*wide[3:])]
        value = jax.jit(exact)
        for at, gradient in enumerate(expected):
            where = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
            step = 1e-6 * np.eye(gradient.size)[np.ravel_multi_index(where, gradient.shape)].reshape(gradient.shape)
            ends = [
                float(value(*(v + sign * step if k == at else v for k, v in enumerate(wide[3:])))) for sign in (1, -1)
            ]
            np.testing.assert_allclose(gradient[where], (ends[0] - ends[1]) / 2e-6, rtol=1e-4)
    for got, want in zip(found, expected, strict=True):
        assert np.abs(want).max() > 1e-3
        np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_covariances_of_odd_quaternions():
    zero = jax.grad(lambda q: covariance(np.ones(3, np.float32), q).sum())(np.zeros(4, np.float32))
    assert np.isfinite(zero).all()
    q = np.random.default_rng(0).normal(size=4).astype(np.float32)
    raw = covariance(np.ones(3, np.float32), 0.01 * q, normalise=False)
    np.testing.assert_allclose(raw, np.eye(3), atol=5e-3)


def test_gradients_in_k_that_gsplat_does_not_give_pass_through_the_view_matrix():
    g, view = CASES["ordinary"][0], camera(16)
    weights = np.random.default_rng(3).normal(size=(16, 16, 3)).astype(np.float32)

    def loss(k, through_view):
        c = dataclasses.replace(view, K=k)
        c = gsplat.without_k(c) if through_view else c
        return (bridge.rasterize(g, c, backend="cpu")[0] * weights).sum()

    (value, direct), (same, indirect) = (jax.value_and_grad(loss)(view.K, way) for way in (False, True))
    assert value == same
    assert np.abs(direct).max() > 0.1
    np.testing.assert_allclose(indirect[:2, [0, 1, 2]] * KNOWN, direct[:2, [0, 1, 2]] * KNOWN, rtol=1e-3, atol=1e-4)


def odd(**changes) -> Gaussians:
    g = jax.tree.map(np.array, scene(8, 3, 9))
    for name, value in changes.items():
        getattr(g, name)[2] = value
    return g


ODD = {
    "NaN mean": {"means": np.nan},
    "infinite covariance": {"covariances": np.inf},
    "NaN opacity": {"opacities": np.nan},
    "NaN feature": {"features": np.nan},
    "behind the camera": {"means": [0, 0, -20]},
    "in the camera": {"means": [0, 0, -9]},
    "zero opacity": {"opacities": 0},
    "faint": {"opacities": 1 / 256},
    "opacity above one": {"opacities": 3},
    "huge": {"covariances": 1e4 * np.eye(3)},
    "sub-pixel": {"covariances": 1e-12 * np.eye(3)},
    "zero covariance": {"covariances": 0},
    "negative covariance": {"covariances": -np.eye(3)},
    "needle": {"covariances": np.diag([1.0, 1e-8, 1e-8])},
    "far outside": {"means": [50, 0, 0]},
    "very far": {"means": [0, 0, 1e6]},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_odd_gaussians_draw_by_the_semantics_and_have_finite_gradients(changes):
    g = odd(**changes)
    features, alpha = draw(g, camera(), np.zeros(3, np.float32))
    expected, covered = oracle.rasterize(g, camera())
    np.testing.assert_allclose(features, expected, atol=2e-5)
    np.testing.assert_allclose(alpha, covered, atol=2e-5)
    weights = (np.ones((SIZE, SIZE, 3), np.float32), np.ones((SIZE, SIZE), np.float32))
    for leaf in jax.tree.leaves(gradients(g, camera(), weights, np.zeros(3, np.float32))):
        assert np.isfinite(leaf).all()


def test_an_empty_set_and_one_with_nothing_drawn_show_the_background():
    b = np.float32([0.1, 0.2, 0.3])
    empty = jax.tree.map(lambda v: v[:0], scene(4))
    hidden = dataclasses.replace(scene(4), opacities=np.zeros(4, np.float32))
    for g in (empty, hidden):
        features, alpha = bridge.rasterize(g, camera(), backend="cpu", background=b)
        np.testing.assert_allclose(features, np.broadcast_to(b, (SIZE, SIZE, 3)))
        assert float(alpha.max()) == 0


def test_ties_in_depth_go_by_index():
    g = scene(2, 1)
    g = dataclasses.replace(
        g, means=np.zeros((2, 3), np.float32), opacities=np.full(2, 0.9, np.float32), features=np.float32([[1], [0]])
    )
    same = np.broadcast_to(0.1 * np.eye(3, dtype=np.float32), (2, 3, 3))
    g = dataclasses.replace(g, covariances=same)
    middle = float(bridge.rasterize(g, camera(), backend="cpu")[0][SIZE // 2, SIZE // 2, 0])
    assert middle > 0.85, "the first of the two is in front"


def test_no_seam_at_tile_borders():
    g = jax.tree.map(lambda v: v[:1], scene(1, 1))
    wide = np.float32(0.05 * np.eye(3))[None]
    g = dataclasses.replace(g, means=np.zeros((1, 3), np.float32), covariances=wide, opacities=np.ones(1, np.float32))
    alpha = np.asarray(bridge.rasterize(g, camera(64), backend="cpu")[1])
    np.testing.assert_allclose(alpha, alpha.T, atol=1e-6)
    np.testing.assert_allclose(alpha, alpha[::-1], atol=1e-5)


def test_results_do_not_depend_on_threads():
    g, b = scene(500, 9), np.zeros(9, np.float32)
    weights = (np.ones((SIZE, SIZE, 9), np.float32), np.ones((SIZE, SIZE), np.float32))
    runs = []
    try:
        for count in (1, 2, 1):
            splatting.set_threads(count)
            runs.append(jax.tree.map(np.asarray, (draw(g, camera(), b), gradients(g, camera(), weights, b))))
    finally:
        splatting.set_threads(None)
    jax.tree.map(np.testing.assert_array_equal, runs[0], runs[1])
    jax.tree.map(np.testing.assert_array_equal, runs[0], runs[2])
    with pytest.raises(ValueError, match="threads"):
        splatting.set_threads(0)


def test_batches_vmap_and_scan_agree_with_single_calls():
    sets = jax.tree.map(lambda *v: np.stack(v), scene(20, 3, 1), scene(20, 3, 2))
    singles = np.stack(
        [draw(jax.tree.map(lambda v, i=i: v[i], sets), camera(), np.zeros(3, np.float32))[0] for i in (0, 1)]
    )
    np.testing.assert_array_equal(bridge.rasterize(sets, camera(), backend="cpu")[0], singles)
    mapped = jax.vmap(lambda g: bridge.rasterize(g, camera(), backend="cpu")[0])(sets)
    np.testing.assert_allclose(mapped, singles, atol=5e-6)  # batched projection rounds differently
    scanned = jax.lax.scan(lambda c, g: (c, bridge.rasterize(g, camera(), backend="cpu")[0]), 0, sets)[1]
    np.testing.assert_array_equal(scanned, singles)
    cameras = jax.tree.map(lambda v: np.stack([v, v, v])[:, None], camera())
    assert bridge.rasterize(sets, cameras, backend="cpu")[0].shape == (3, 2, SIZE, SIZE, 3)
    grad = jax.grad(lambda g: bridge.rasterize(g, camera(), backend="cpu")[0].sum())(sets)
    alone = jax.grad(lambda g: bridge.rasterize(g, camera(), backend="cpu")[0].sum())(
        jax.tree.map(lambda v: v[1], sets)
    )
    np.testing.assert_allclose(grad.means[1], alone.means, rtol=1e-5, atol=1e-5)


@pytest.mark.misuse
def test_wrong_shapes_and_backends_are_named():
    with pytest.raises(SplattingError, match="opacities"):
        bridge.rasterize(dataclasses.replace(scene(4), opacities=np.ones(3)), camera())
    with pytest.raises(SplattingError, match="background"):
        bridge.rasterize(scene(4), camera(), background=np.zeros(4))
    with pytest.raises(SplattingError, match="backend"):
        bridge.rasterize(scene(4), camera(), backend="vulkan")


@pytest.mark.skipif(gsplat.loads(), reason="gsplat runs here")
def test_gsplat_where_it_cannot_run_says_what_is_missing():
    with pytest.raises(SplattingError, match=r"gsplat.*cannot run here: .*(CUDA|install|CPU)"):
        bridge.rasterize(scene(4), camera(), backend="gsplat")
    assert splatting.backend_report().startswith("cpu: ")


@pytest.mark.gpu
@pytest.mark.skipif(not gsplat.loads(), reason="needs CUDA and gsplat")
def test_gsplat_and_cpu_agree():
    g = scene(2000, 32, scale=0.03)
    cap = 2e-3 if gsplat.alpha_cap() == 0.99 else 1e-2
    for a, b in zip(
        bridge.rasterize(g, camera(128), backend="gsplat"), bridge.rasterize(g, camera(128), backend="cpu"), strict=True
    ):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=cap)


def test_kernels_compile_where_the_package_cannot_be_written(tmp_path):
    code = (
        "import os; real = os.access; os.access = lambda p, m: False if m == os.W_OK else real(p, m)\n"
        "from gagjax.splatting import cpu; cpu._kernels(); import numba; print(numba.config.CACHE_DIR)"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(tmp_path / "gagjax" / "numba")
