"""The laws that every filter keeps, each checked for every filter of the registry."""

from __future__ import annotations

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gagjax import so3
from gagjax.filters import base, rts, scan, stream
from tests.filters.registry import ALL, FRAMES, RIGID, ROTATION, SMOOTHED, VECTOR, gaps, rotations, sequence

few = settings(max_examples=4)
seeds = st.integers(0, 999)
each = pytest.mark.parametrize("name", ALL)
step = jax.jit(lambda f, s, x: f.step(s, x))
predict = jax.jit(lambda f, s: f.predict(s))
init = jax.jit(lambda f, x: f.init(x))


# Compiling a gradient is slow: one filter of each kind of arithmetic.
DIFFERENTIATED = [
    *(name for name in VECTOR if name not in ("Ema per channel", "chain", "fixed_lag", "steady")),
    "RotationEma",
    "OneEuroRotation",
    "RotationConstantVelocity, gate",
    "LiveRotation",
]


@each
@few
@given(seed=seeds)
def test_scan_equals_the_loop(name, seed):
    f, xs, valid = ALL[name], sequence(name, seed), gaps(seed)
    state, loop = init(f, xs[np.argmax(valid)]), []
    for x, seen in zip(xs, valid, strict=True):
        state, y = step(f, state, x) if seen else predict(f, state)
        loop.append(y)
    np.testing.assert_allclose(scan(f, xs, valid=valid)[0], np.stack(loop), rtol=2e-4, atol=2e-5)


@each
@few
@given(seed=seeds, size=st.sampled_from([1, 7]))
def test_any_chunking_is_bitwise_one_scan(name, seed, size):
    f, xs, valid = ALL[name], sequence(name, seed), gaps(seed)
    whole, end = scan(f, xs, valid=valid)
    parts = list(stream(f, ((xs[i : i + size], valid[i : i + size]) for i in range(0, FRAMES, size))))
    np.testing.assert_array_equal(np.concatenate([ys for ys, _ in parts]), whole)
    for a, b in zip(jax.tree.leaves(parts[-1][1]), jax.tree.leaves(end), strict=True):
        np.testing.assert_array_equal(a, b)


@each
def test_single_frames_with_gaps_are_bitwise_one_scan(name):
    # Seed 9 was the first at which LiveRotation was a digit off.
    for seed in (1, 9, 13, 28):
        f, xs, valid = ALL[name], sequence(name, seed), gaps(seed)
        whole, end = scan(f, xs, valid=valid)
        parts = list(stream(f, ((xs[i : i + 1], valid[i : i + 1]) for i in range(FRAMES))))
        np.testing.assert_array_equal(np.concatenate([ys for ys, _ in parts]), whole)
        jax.tree.map(np.testing.assert_array_equal, parts[-1][1], end)


@each
def test_a_changed_hyperparameter_compiles_nothing_new(name):
    f, xs, valid = ALL[name], sequence(name), gaps()
    scan(f, xs, valid=valid)
    before = base._scan._cache_size()
    for factor in (0.9, 0.8):
        changed = jax.tree.map(lambda leaf, by=factor: np.float32(by) * np.asarray(leaf), f)
        scan(changed, sequence(name, 3), valid=valid)
    assert base._scan._cache_size() == before


@each
def test_constant_in_is_constant_out(name):
    xs = np.repeat(sequence(name, 5)[:1], FRAMES, 0)
    np.testing.assert_allclose(scan(ALL[name], xs, valid=gaps(3))[0], xs, atol=2e-6)
    if name in SMOOTHED:
        np.testing.assert_allclose(rts(ALL[name], xs, gaps(3)), xs, atol=2e-6)


@pytest.mark.parametrize("name", VECTOR)
@few
@given(seed=seeds, by=st.floats(-3, 3))
def test_shift_equivariance(name, seed, by):
    f, xs = VECTOR[name], sequence(name, seed)
    by = np.float32(round(by * 4) / 4)
    moved = scan(f, xs + by, valid=gaps(seed))[0] - by
    # A channel at the very threshold of a gate may fall on either side of it.
    close = np.abs(moved - scan(f, xs, valid=gaps(seed))[0]) < 2e-4
    assert close.all() if "gate" not in name else close.mean() > 0.95


@pytest.mark.parametrize(
    "name", ["Ema", "Kalman", "ConstantVelocity", "ConstantAcceleration", "LiveVelocity", "steady"]
)
@few
@given(seed=seeds)
def test_scale_equivariance(name, seed):
    f, xs = VECTOR[name], sequence(name, seed)
    # A power of two changes no rounding, so not even a gate can tell.
    np.testing.assert_allclose(scan(f, 4 * xs)[0], 4 * scan(f, xs)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ROTATION)
@few
@given(seed=seeds)
def test_rotation_equivariance_from_both_sides(name, seed):
    f, xs, valid = ROTATION[name], rotations(seed), gaps(seed)
    a, b = rotations(seed + 7, 2)
    runs = [lambda x: scan(f, x, valid=valid)[0]] + ([lambda x: rts(f, x, valid)] if name in SMOOTHED else [])
    for run in runs:
        close = np.abs(np.asarray(run(a @ xs @ b)) - a @ np.asarray(run(xs)) @ b).max((1, 2)) < 2e-3
        assert close.all() if "gate" not in name and "Live" not in name else close.mean() > 0.8


@pytest.mark.parametrize("name", ROTATION)
def test_outputs_are_rotations(name):
    ys = np.asarray(scan(ROTATION[name], rotations(1, 200))[0], np.float64)
    np.testing.assert_allclose(ys @ ys.transpose(0, 2, 1), np.broadcast_to(np.eye(3), ys.shape), atol=5e-6)


def hard(name: str) -> list[np.ndarray]:
    """Repeated frames, a spike, and for rotations the identity and half turns back and forth."""
    if name in VECTOR:
        still = np.zeros((FRAMES, 3), np.float32)
        spike = still.copy()
        spike[10] = 1e4
        return [still, spike]
    still = np.broadcast_to(np.eye(3, dtype=np.float32), (FRAMES, 3, 3)).copy()
    flips = still.copy()
    flips[1::2] = np.diag([1.0, -1.0, -1.0])
    if name in ROTATION:
        return [still, flips]
    return [np.concatenate([r, np.zeros((FRAMES, 3, 1), np.float32)], -1) for r in (still, flips)]


def quadratic(f, xs, valid):
    return jnp.sum(scan(f, xs, valid=valid)[0] ** 2)


def quadratic_smooth(f, xs, valid):
    return jnp.sum(rts(f, xs, valid) ** 2)


gradients = jax.jit(jax.grad(quadratic, argnums=(0, 1), allow_int=True))
smooth_gradients = jax.jit(jax.grad(quadratic_smooth, argnums=(0, 1), allow_int=True))


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_values_and_gradients_are_finite_where_it_is_hard(name):
    for xs in hard(name):
        assert np.isfinite(scan(ALL[name], xs)[0]).all()
        smoothed = name in ("ConstantVelocity, gate", "RotationConstantVelocity, gate")
        for run in (gradients, smooth_gradients) if smoothed else (gradients,):
            for leaf in jax.tree.leaves(run(ALL[name], xs, gaps())):
                assert np.isfinite(leaf).all()


@pytest.mark.parametrize("name", ["ConstantVelocity", "RotationConstantVelocity"])
@pytest.mark.parametrize("field", ["process_noise", "measurement_noise"])
def test_zero_noise_is_finite(name, field):
    leaf = np.float32(0)
    f = jax.tree.map(lambda x: x, ALL[name])
    object.__setattr__(f, field, leaf)
    xs = sequence(name)
    ys = scan(f, xs)[0]
    if field == "measurement_noise":
        np.testing.assert_allclose(ys, xs, atol=1e-4)
        np.testing.assert_allclose(rts(f, xs), xs, atol=1e-4)
    steep = (gradients(f, xs, gaps()), smooth_gradients(f, xs, gaps())) if name in VECTOR else ()
    for leaf in jax.tree.leaves((ys, rts(f, xs, gaps()), steep)):
        assert np.isfinite(leaf).all()


@each
@few
@given(seed=seeds)
def test_missing_frames_contribute_nothing(name, seed):
    f, xs, valid = ALL[name], sequence(name, seed), gaps(seed)
    broken = np.where(valid.reshape(-1, *(1,) * (xs.ndim - 1)), xs, np.nan)
    np.testing.assert_array_equal(scan(f, xs, valid=valid)[0], scan(f, broken, valid=valid)[0])
    if name in DIFFERENTIATED:
        for leaf in jax.tree.leaves(gradients(f, broken, valid)):
            assert np.isfinite(leaf).all()
    if name in SMOOTHED:
        np.testing.assert_array_equal(rts(f, xs, valid), rts(f, broken, valid))
        assert np.isfinite(rts(f, broken, valid)).all()


@each
def test_a_saved_state_resumes_bitwise(name):
    f, xs, valid = ALL[name], sequence(name), gaps()
    whole, _ = scan(f, xs, valid=valid)
    _, state = scan(f, xs[:14], valid=valid[:14])
    leaves, tree = jax.tree.flatten(state)
    file = io.BytesIO()
    np.savez(file, *leaves)
    file.seek(0)
    loaded = np.load(file)
    state = jax.tree.unflatten(tree, [loaded[key] for key in loaded.files])
    np.testing.assert_array_equal(scan(f, xs[14:], state, valid=valid[14:])[0], whole[14:])


@pytest.mark.parametrize("name", [name for name in ALL if hasattr(ALL[name], "with_dt")])
def test_equal_time_stamps_change_nothing(name):
    f, xs = ALL[name], sequence(name)
    seconds = 0.1 if "Euro" in name or "Live" in name else 0.5
    regular = scan(f.with_dt(np.float32(seconds)), xs)[0]
    np.testing.assert_allclose(scan(f, xs, dt=np.full(FRAMES, seconds, np.float32))[0], regular, rtol=1e-4, atol=1e-4)


def test_rigid_transform_filters_the_image_of_its_pivot():
    f = RIGID["RigidTransform"]
    rng = np.random.default_rng(0)
    turns = rotations(2)
    place = np.broadcast_to(rng.normal(size=3), (FRAMES, 3))
    # A head that turns about the pivot: the pivot's image stays, whatever the filter makes of the turn.
    xs = np.concatenate([turns, (place - np.asarray(f.pivot) @ turns)[..., None]], -1).astype(np.float32)
    for ys in (scan(f, xs)[0], rts(f, xs)):
        image = np.einsum("i,tij->tj", f.pivot, np.asarray(ys)[..., :3]) + np.asarray(ys)[..., 3]
        np.testing.assert_allclose(image, place, atol=1e-5)


def test_slerp_average_ignores_the_sign_of_quaternions():
    q = np.asarray(so3.quaternion_from_matrix(rotations(4)))
    signs = np.where(np.arange(FRAMES) % 2, 1, -1)[:, None]
    a, b = (scan(ROTATION["RotationEma"], so3.matrix_from_quaternion(x))[0] for x in (q, signs * q))
    np.testing.assert_allclose(a, b, atol=1e-6)
