"""Every class of numbers across the bridge, in both directions: crossed rightly, gradients too, or refused at the call."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bridge
from bridge import BridgeError

torch = pytest.importorskip("torch", reason="needs torch")

FLOATING = ["float16", "bfloat16", "float32"]
COMPLEX = ["complex64"]
WHOLE = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "bool"]
WIDE = ["float64", "int64", "uint64", "complex128"]
Z = np.array([1 + 2j, -0.5 + 0.3j, 2 - 1j])


def array(dtype: str) -> jax.Array:
    return jnp.asarray(Z if dtype.startswith("complex") else Z.real, dtype)


@pytest.mark.parametrize("dtype", FLOATING + COMPLEX + WHOLE)
def test_values_of_every_type_cross_in_both_directions(dtype):
    x = array(dtype)
    there = bridge.torch_function(lambda t: (t.clone(), t[1:].clone()))(x)
    back = bridge.jax_function(lambda a: (a, a[1:]))(bridge.to_torch(x))
    for same, turned in (there, [bridge.to_jax(t) for t in back]):
        assert same.dtype == turned.dtype == x.dtype
        np.testing.assert_array_equal(same, x)
        np.testing.assert_array_equal(turned, x[1:])


@pytest.mark.parametrize("dtype", WIDE)
def test_64_bits_are_refused_at_the_call_without_x64_and_cross_with_it(dtype):
    narrow = jnp.ones(3)
    with pytest.raises(BridgeError, match="x64"):
        bridge.torch_function(lambda t: t.to(getattr(torch, dtype)))(narrow)
    with pytest.raises(BridgeError, match="x64"):
        bridge.torch_function(lambda t: t, output=jax.ShapeDtypeStruct((3,), dtype))(narrow)
    with pytest.raises(BridgeError, match="x64"):
        bridge.jax_function(lambda a: a)(torch.ones(3, dtype=getattr(torch, dtype)))
    with jax.enable_x64(True):
        x = array(dtype)
        assert x.dtype == dtype
        np.testing.assert_array_equal(bridge.torch_function(torch.clone)(x), x)
        np.testing.assert_array_equal(bridge.to_jax(bridge.jax_function(lambda a: a)(bridge.to_torch(x))), x)


@pytest.mark.parametrize("dtype", ["int4", "uint4"])
def test_types_of_one_side_only_are_refused_at_the_call(dtype):
    with pytest.raises(BridgeError, match="do not share"):
        bridge.torch_function(lambda t: t)(jnp.ones(3, dtype))
    with pytest.raises(BridgeError, match="do not share"):
        bridge.torch_function(lambda t: torch.zeros(2, dtype=torch.complex32))(jnp.ones(3))


# name: the function in torch, the same in JAX, the kind of its argument
MIXES = {
    "real to complex": (lambda t: torch.complex(t, 2 * t) ** 2, lambda a: jax.lax.complex(a, 2 * a) ** 2, False),
    "complex to real": (lambda t: (t.conj() * t).real + t.imag, lambda a: (a.conj() * a).real + a.imag, True),
    "holomorphic": (lambda t: t**2 + 3j * t, lambda a: a**2 + 3j * a, True),
    "conjugating": (lambda t: t.conj() * t.abs() + 1j * t, lambda a: a.conj() * jnp.abs(a) + 1j * a, True),
    "lazy conjugate and negation": (lambda t: (t.conj() * 1j).conj().imag, lambda a: (a.conj() * 1j).conj().imag, True),
    "real": (lambda t: torch.sin(t) * t, lambda a: jnp.sin(a) * a, False),
}


def loss(a):
    """Real, and with a cotangent that is not its own conjugate."""
    return jnp.sum(jnp.real(a * (2.0 - 1.5j)) + jnp.abs(a) ** 2)


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("name", MIXES)
def test_gradients_of_torch_inside_jax_are_those_of_jax(name, wide):
    in_torch, in_jax, complex_in = MIXES[name]
    with jax.enable_x64(wide):
        x = jnp.asarray(
            Z if complex_in else Z.real,
            ("complex" if complex_in else "float") + str(32 * (1 + wide) * (1 + complex_in)),
        )
        crossing = bridge.torch_function(in_torch)
        np.testing.assert_allclose(crossing(x), in_jax(x), rtol=1e-5)
        for run in (jax.grad, lambda f: jax.jit(jax.grad(f))):
            got = run(lambda a: loss(crossing(a)))(x)
            assert got.dtype == x.dtype
            np.testing.assert_allclose(got, jax.grad(lambda a: loss(in_jax(a)))(x), rtol=1e-4)


@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("name", MIXES)
def test_gradients_of_jax_inside_torch_are_those_of_torch(name, wide):
    in_torch, in_jax, complex_in = MIXES[name]

    def torch_loss(t):
        return ((t * (2.0 - 1.5j)).real + t.abs() ** 2).sum()

    dtype = {(0, 0): torch.float32, (0, 1): torch.float64, (1, 0): torch.complex64, (1, 1): torch.complex128}
    with jax.enable_x64(wide):
        inputs = [
            torch.tensor(Z if complex_in else Z.real).to(dtype[complex_in, wide]).requires_grad_() for _ in range(2)
        ]
        torch_loss(bridge.jax_function(in_jax)(inputs[0])).backward()
        torch_loss(in_torch(inputs[1])).backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", FLOATING)
def test_gradients_of_every_floating_type(dtype):
    x = array(dtype)
    got = jax.grad(lambda a: bridge.torch_function(lambda t: t * t)(a).astype(jnp.float32).sum())(x)
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got.astype(np.float32), 2 * Z.real, rtol=1e-2)
    tensor = bridge.to_torch(x).clone().requires_grad_()
    bridge.jax_function(lambda a: a * a)(tensor).float().sum().backward()
    np.testing.assert_allclose(tensor.grad.float(), 2 * Z.real, rtol=1e-2)


@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_have_no_gradient_beside_those_that_have(dtype):
    whole, x = array(dtype), array("complex64")
    got = jax.grad(lambda a: loss(bridge.torch_function(lambda t, w: t * w.to(t.dtype))(a, whole)))(x)
    np.testing.assert_allclose(got, jax.grad(lambda a: loss(a * whole.astype(a.dtype)))(x), rtol=1e-5)
    tensor = bridge.to_torch(x).clone().requires_grad_()
    scaled, passed = bridge.jax_function(lambda a, w: (a * w.astype(a.dtype), w))(tensor, bridge.to_torch(whole))
    assert scaled.requires_grad and not passed.requires_grad


@pytest.mark.parametrize(
    "function",
    [
        lambda t: t[t > 0],  # nothing for zeros
        lambda t: t[t <= 1],  # everything for zeros
        lambda t: t if t.sum() == 0 else t.half(),
        lambda t: t if t.sum() == 0 else t[None],
    ],
    ids=["empty on zeros", "shorter", "other type", "other shape"],
)
def test_a_result_that_is_not_as_announced_is_refused(function):
    f = bridge.torch_function(function)
    x = jnp.arange(4, dtype=jnp.float32)
    for run in (f, jax.jit(f)):
        with pytest.raises(jax.errors.JaxRuntimeError, match="announced"):
            jax.block_until_ready(run(x))


def test_empty_results_have_gradients():
    f = bridge.torch_function(lambda t: (t[:0], t * 2))
    got = jax.jit(jax.grad(lambda a: sum(y.sum() for y in f(a))))(jnp.ones(3))
    np.testing.assert_array_equal(got, [2, 2, 2])
    only = bridge.torch_function(lambda t: t[:0])
    np.testing.assert_array_equal(jax.grad(lambda a: only(a).sum())(jnp.ones(3)), [0, 0, 0])
