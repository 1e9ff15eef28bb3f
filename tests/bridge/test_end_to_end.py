"""One gradient from an image loss to a filter's hyperparameters, through FLAME, camera, rasterizer and the bridge."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import bridge
from gagjax.camera import from_track
from gagjax.filters import ConstantVelocity, Kalman, rts, scan
from gagjax.flame import FlameModel, vertices
from gagjax.splatting.gaussians import Gaussians
from tests.oracles import rasterizer as oracle

torch = pytest.importorskip("torch", reason="needs torch")

FRAMES, POINTS, SIZE = 5, 24, 24
TRANSFORM = np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0], [0], [9.0]]], 1).astype(np.float32)


@functools.cache
def model() -> FlameModel:
    """A little head of random arrays in FLAME's form."""
    rng = np.random.default_rng(0)
    weights, regressor = (rng.uniform(0.1, 1, shape) for shape in ((POINTS, 5), (5, POINTS)))
    return FlameModel(
        v_template=np.float32(0.07 * rng.normal(size=(POINTS, 3))),
        shapedirs=np.float32(0.01 * rng.normal(size=(POINTS, 3, 400))),
        posedirs=np.float32(0.01 * rng.normal(size=(POINTS, 3, 36))),
        J_regressor=np.float32(regressor / regressor.sum(1, keepdims=True)),
        weights=np.float32(weights / weights.sum(1, keepdims=True)),
        faces=np.int32([[0, 1, 2]]),
        landmark_faces=np.int32([0]),
        landmark_bary=np.float32([[1, 0, 0]]),
    )


@functools.cache
def motion() -> tuple[np.ndarray, np.ndarray]:
    """True and observed expression, (T, 100)."""
    rng = np.random.default_rng(1)
    truth = np.cumsum(0.2 * rng.normal(size=(FRAMES, 100)), 0)
    return np.float32(truth), np.float32(truth + 0.5 * rng.normal(size=truth.shape))


def gaussians(points) -> Gaussians:
    """Wide and thin, so that no pixel crosses the 1/255 skip or fills up: at those steps a difference has no limit."""
    rng = np.random.default_rng(2)
    dtype = points.dtype
    spread = jnp.asarray(np.stack([1.44 * np.eye(3)] * POINTS), dtype)
    return Gaussians(
        5 * points,
        spread,
        jnp.asarray(rng.uniform(0.1, 0.3, POINTS), dtype),
        jnp.asarray(rng.uniform(0, 1, (POINTS, 3)), dtype),
    )


def points_of(xs):
    still = jnp.zeros((FRAMES, 6), xs.dtype)
    # The model's own type decides what FLAME computes in.
    head = jax.tree.map(lambda v: v.astype(xs.dtype) if v.dtype.kind == "f" else v, model())
    return vertices(head, jnp.zeros(300, xs.dtype), xs, still, still)


def smoothed(log_noise, xs):
    one = jnp.asarray(1.0, xs.dtype)
    return rts(Kalman(jnp.exp(log_noise[0]), jnp.exp(log_noise[1]), initial_variance=one, dt=one), xs)


def render(points):
    """(T, H, W, 3) pictures of (T, V, 3) vertices."""
    camera = from_track(TRANSFORM, size=SIZE)
    return jax.lax.map(lambda p: bridge.rasterize(gaussians(p), camera, backend="cpu")[0], points)


@functools.cache
def target() -> np.ndarray:
    return np.asarray(render(points_of(jnp.asarray(motion()[0]))))


@pytest.fixture(autouse=True)
def _target_is_drawn_outside_any_trace():
    target()


def loss_in_jax(log_noise):
    return jnp.square(render(points_of(smoothed(log_noise, jnp.asarray(motion()[1])))) - target()).sum()


def finite_differences(log_noise: np.ndarray) -> np.ndarray:
    """The same loss in float64, drawn by the oracle, differentiated by central differences."""
    with jax.enable_x64(True):
        camera = from_track(TRANSFORM.astype(np.float64), size=SIZE)

        def loss(at) -> float:
            points = points_of(smoothed(jnp.asarray(at, jnp.float64), jnp.asarray(motion()[1], jnp.float64)))
            pictures = [oracle.rasterize(gaussians(p), camera)[0] for p in points]
            return float(np.square(np.stack(pictures) - target()).sum())

        step = 1e-4 * np.eye(2)
        return np.array([(loss(log_noise + e) - loss(log_noise - e)) / 2e-4 for e in step])


START = np.float32([2.0, -2.0])  # trusts what it sees far too much


def test_image_loss_reaches_the_filter_as_finite_differences_say():
    found = jax.jit(jax.grad(loss_in_jax))(START)
    expected = finite_differences(START.astype(np.float64))
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_the_same_gradient_with_the_loss_in_torch_inside_jax():
    in_torch = bridge.torch_function(lambda pictures, goal: (pictures - goal).square().sum())

    def loss(log_noise):
        return in_torch(render(points_of(smoothed(log_noise, jnp.asarray(motion()[1])))), jnp.asarray(target()))

    np.testing.assert_allclose(jax.jit(jax.grad(loss))(START), jax.grad(loss_in_jax)(START), rtol=1e-4)


def test_the_same_gradient_with_the_pipeline_inside_torch():
    pictures = bridge.jax_function(lambda noise, xs: render(points_of(smoothed(noise, xs))))
    noise = torch.tensor(START, requires_grad=True)
    loss = (pictures(noise, torch.from_numpy(motion()[1].copy())) - torch.from_numpy(target().copy())).square().sum()
    loss.backward()
    np.testing.assert_allclose(noise.grad, jax.grad(loss_in_jax)(START), rtol=1e-4)


def test_optax_lowers_the_image_loss():
    adam = optax.adam(0.5)
    noise, state = jnp.asarray(START), adam.init(jnp.asarray(START))
    step = jax.jit(jax.value_and_grad(loss_in_jax))
    first, _ = step(noise)
    for _ in range(20):
        _, gradient = step(noise)
        updates, state = adam.update(gradient, state)
        noise = optax.apply_updates(noise, updates)
    assert step(noise)[0] < 0.8 * first


def test_a_scan_with_the_rasterizer_inside_has_a_gradient():
    """A live stream that draws as it filters: the rasterizer under `lax.scan` and `grad` together."""

    def loss(log_noise):
        f = ConstantVelocity(jnp.exp(log_noise[0]), jnp.exp(log_noise[1]), 1.0)
        ys, _ = scan(f, jnp.asarray(motion()[1]))
        points = points_of(ys)

        def body(total, p):
            return total + bridge.rasterize(gaussians(p), from_track(TRANSFORM, size=SIZE), backend="cpu")[
                0
            ].sum(), None

        return jax.lax.scan(body, 0.0, points)[0]

    assert np.isfinite(jax.jit(jax.grad(loss))(START)).all()
