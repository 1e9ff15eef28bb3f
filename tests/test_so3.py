"""Laws of rotations, and jaxlie, SciPy and a float64 oracle as peers. Samples include the identity and angle pi."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jaxlie
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from gagjax import so3
from tests.oracles import rotations as oracle

ANGLES = np.array([0.0, 1e-12, 1e-6, 1e-4, 5e-3, 0.01, 0.011, 0.3, 1.0, 2.0, 3.0, 3.1415, np.pi])


def vectors(seed: int = 0) -> np.ndarray:
    """Axis-angle vectors at all of `ANGLES`, about the coordinate axes and about random ones."""
    axes = np.concatenate([np.eye(3), np.random.default_rng(seed).normal(size=(4, 3))])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return (ANGLES[:, None, None] * axes).reshape(-1, 3).astype(np.float32)


def rotations(seed: int = 0) -> np.ndarray:
    return np.stack([oracle.exp(v) for v in vectors(seed)]).astype(np.float32)


def same_up_to_sign(a, b, atol):
    np.testing.assert_allclose(np.minimum(abs(a - b).max(-1), abs(a + b).max(-1)), 0, atol=atol)


def test_exp_is_the_matrix_exponential():
    np.testing.assert_allclose(so3.exp(vectors()), rotations(), atol=3e-7)


def test_exp_agrees_with_jaxlie_and_has_its_derivative():
    v = vectors()
    np.testing.assert_allclose(so3.exp(v), jax.vmap(lambda u: jaxlie.SO3.exp(u).as_matrix())(v), atol=1e-6)
    ours = jax.vmap(jax.jacobian(so3.exp))(v)
    theirs = jax.vmap(jax.jacobian(lambda u: jaxlie.SO3.exp(u).as_matrix()))(v)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_log_inverts_exp():
    v = vectors()
    below = np.linalg.norm(v, axis=1) < 3.14
    np.testing.assert_allclose(so3.log(so3.exp(v))[below], v[below], atol=2e-5)
    np.testing.assert_allclose(so3.exp(so3.log(rotations())), rotations(), atol=2e-6)


def test_log_keeps_the_relative_precision_of_small_angles():
    v = np.array([[1e-5, -2e-5, 3e-6], [1e-3, 0, 2e-3]], np.float32)
    np.testing.assert_allclose(so3.log(so3.exp(v)), v, rtol=1e-6, atol=1e-12)


def test_log_agrees_with_scipy():
    r = rotations()
    ours, theirs = np.asarray(so3.log(r)), Rotation.from_matrix(r).as_rotvec()
    at_pi = np.linalg.norm(theirs, axis=1) > 3.14159
    np.testing.assert_allclose(ours[~at_pi], theirs[~at_pi], atol=2e-5)
    same_up_to_sign(ours[at_pi], theirs[at_pi], 1e-3)


def test_quaternions_agree_with_scipy_and_round_trip():
    r = rotations()
    q = np.asarray(so3.quaternion_from_matrix(r))
    assert (q[:, 0] >= 0).all()
    same_up_to_sign(q, Rotation.from_matrix(r).as_quat()[:, [3, 0, 1, 2]], 2e-6)
    np.testing.assert_allclose(so3.matrix_from_quaternion(q), r, atol=2e-6)
    np.testing.assert_allclose(so3.matrix_from_quaternion(-3 * q), r, atol=2e-6)
    same_up_to_sign(np.asarray(so3.quaternion_exp(vectors())), q, 1e-6)


def test_quaternion_product_is_the_matrix_product():
    p, q = (np.asarray(so3.quaternion_from_matrix(rotations(seed))) for seed in (1, 2))
    product = so3.matrix_from_quaternion(so3.quaternion_multiply(p, q))
    np.testing.assert_allclose(product, rotations(1) @ rotations(2), atol=3e-6)
    unit = so3.quaternion_multiply(p, so3.quaternion_conjugate(p))
    np.testing.assert_allclose(unit, np.tile([1.0, 0, 0, 0], (len(p), 1)), atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 1.0])
def test_slerp_agrees_with_scipy_and_ignores_the_sign(t, sign):
    v = vectors()
    v = v[np.linalg.norm(v, axis=1) < 3.1]
    first = np.tile(Rotation.random(random_state=1).as_quat(), (len(v), 1))
    second = (Rotation.from_quat(first) * Rotation.from_rotvec(v)).as_quat()
    ours = so3.slerp(first[:, [3, 0, 1, 2]], sign * second[:, [3, 0, 1, 2]], t)
    theirs = [Slerp([0, 1], Rotation.from_quat([a, b]))(t).as_quat() for a, b in zip(first, second, strict=True)]
    same_up_to_sign(np.asarray(ours), np.stack(theirs)[:, [3, 0, 1, 2]], 1e-6)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_slerp_divides_the_angle(seed, t):
    rng = np.random.default_rng(seed)
    q0 = so3.quaternion_exp(rng.normal(size=3).astype(np.float32))
    v = rng.normal(size=3).astype(np.float32)
    v *= rng.uniform(0, 3) / np.linalg.norm(v)
    part = so3.slerp(q0, so3.quaternion_multiply(q0, so3.quaternion_exp(v)), t)
    turned = so3.quaternion_log(so3.quaternion_multiply(so3.quaternion_conjugate(q0), part))
    np.testing.assert_allclose(turned, t * v, atol=3e-6)


def test_six_numbers():
    r = rotations()
    np.testing.assert_allclose(so3.from_6d(so3.to_6d(r)), r, atol=1e-6)
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    made = np.asarray(so3.from_6d(x))
    np.testing.assert_allclose(made[:, 0], x[:, :3] / np.linalg.norm(x[:, :3], axis=1, keepdims=True), atol=1e-6)
    assert np.abs(np.einsum("ni,ni->n", np.cross(x[:, :3], x[:, 3:]), made[:, 1])).max() < 1e-5


def test_everything_made_is_a_rotation():
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    x[0], x[1, :3], x[2, 3:], x[3, 3:] = 0, 0, 0, 2 * x[3, :3]
    singular = np.zeros((2, 3, 3), np.float32)
    singular[1, 0, 0] = 1
    for made in (so3.from_6d(x), so3.project(x[:36].reshape(-1, 3, 3)), so3.project(singular), so3.exp(9 * x[:, :3])):
        made = np.asarray(made, np.float64)
        np.testing.assert_allclose(made @ made.transpose(0, 2, 1), np.broadcast_to(np.eye(3), made.shape), atol=3e-6)
        assert (np.linalg.det(made) > 0.99).all()


def test_projection_is_the_nearest_rotation():
    rng = np.random.default_rng(0)
    m = (rotations() + rng.normal(scale=0.1, size=(len(rotations()), 3, 3))).astype(np.float32)
    np.testing.assert_allclose(so3.project(m), np.stack([oracle.project(each) for each in m]), atol=3e-6)
    np.testing.assert_allclose(so3.project(rotations()), rotations(), atol=2e-6)
    reflected = np.diag([1.0, 1.0, -0.5]).astype(np.float32)
    np.testing.assert_allclose(so3.project(reflected), np.eye(3), atol=1e-6)


def test_projection_has_the_derivative_of_finite_differences():
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        for m in (np.eye(3), oracle.exp([0.2, 3.0, 0.1]) + rng.normal(scale=0.1, size=(3, 3))):
            d, h = rng.normal(size=(3, 3)), 1e-5
            _, ours = jax.jvp(so3.project, (jnp.asarray(m),), (jnp.asarray(d),))
            np.testing.assert_allclose(
                ours, (oracle.project(m + h * d) - oracle.project(m - h * d)) / (2 * h), atol=1e-8
            )


FUNCTIONS = {
    "exp": (so3.exp, vectors),
    "log": (so3.log, rotations),
    "quaternion_exp": (so3.quaternion_exp, vectors),
    "quaternion_log": (so3.quaternion_log, lambda: np.asarray(so3.quaternion_exp(vectors()))),
    "quaternion_from_matrix": (so3.quaternion_from_matrix, rotations),
    "matrix_from_quaternion": (so3.matrix_from_quaternion, lambda: np.asarray(so3.quaternion_exp(vectors()))),
    "slerp": (lambda q: so3.slerp(q[:4], q[4:], 0.3), lambda: np.concatenate([so3.quaternion_exp(vectors())] * 2, 1)),
    "slerp from 1": (
        lambda q: so3.slerp(jnp.array([1.0, 0, 0, 0]), q, 0.3),
        lambda: np.asarray(so3.quaternion_exp(vectors())),
    ),
    "from_6d": (so3.from_6d, lambda: np.concatenate([np.asarray(so3.to_6d(rotations())), np.zeros((1, 6))])),
    "project": (so3.project, rotations),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_finite_everywhere(name):
    function, points = FUNCTIONS[name]
    points = np.asarray(points(), np.float32)
    for mode in (jax.jacfwd, jax.jacrev):
        assert np.isfinite(jax.jit(jax.vmap(mode(function)))(points)).all()


def test_derivative_of_log_agrees_with_finite_differences_up_to_pi():
    with jax.enable_x64(True):
        for v in ([0.0, 0, 0], [1e-7, 0, 0], [0.0101, 0, 0], [0.4, -1, 0.2], [0, 3.14, 0]):
            r, d, h = oracle.exp(v), np.array([0.3, -0.2, 0.5]), 1e-6

            def path(t, r=r, d=d):
                return so3.log(jnp.asarray(r) @ so3.exp(t * jnp.asarray(d)))

            _, ours = jax.jvp(path, (0.0,), (1.0,))
            theirs = (np.asarray(path(h)) - np.asarray(path(-h))) / (2 * h)
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_leading_dimensions_are_kept():
    v = np.zeros((2, 0, 5, 3), np.float32)
    assert so3.exp(v).shape == (2, 0, 5, 3, 3) and so3.log(so3.exp(v)).shape == v.shape
    assert so3.slerp(np.ones((2, 4)) / 2, np.ones((3, 1, 4)) / 2, np.zeros(2)).shape == (3, 2, 4)
