"""Gradients across the bridge, in both directions."""

from __future__ import annotations

import gc

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest
from jax.test_util import check_grads

import bridge
from bridge import BridgeError

torch = pytest.importorskip("torch", reason="needs torch")

A = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
B = np.linspace(0.5, 2, 6, dtype=np.float32).reshape(2, 3)


def in_torch(a, b):
    return {"rows": (torch.sin(a) * b).sum(-1), "sign": (b > 1).int()}


def in_jax(a, b):
    return {"rows": (jnp.sin(a) * b).sum(-1), "sign": (b > 1).astype(jnp.int32)}


def test_torch_inside_jit_equals_jax():
    f = bridge.torch_function(in_torch)
    for run in (f, jax.jit(f)):
        for name, value in run(A, B).items():
            np.testing.assert_allclose(value, in_jax(A, B)[name], rtol=1e-6)


def test_results_written_into_jaxs_own_memory_are_not_copied_and_have_gradients():
    places = []

    def draw(a, b, out):
        if out is None:
            return torch.sin(a) * b, a + b
        places.extend(tensor.data_ptr() for tensor in out)
        torch.mul(torch.sin(a), b, out=out[0])
        return out[0], a + b  # the second is copied

    f = bridge.torch_function(draw, in_place=True)
    first, second = jax.jit(f)(A, B)
    np.testing.assert_allclose(first, np.sin(A) * B, rtol=1e-6)
    np.testing.assert_allclose(second, A + B, rtol=1e-6)
    assert places == [first.unsafe_buffer_pointer(), second.unsafe_buffer_pointer()]
    grads = jax.grad(lambda a, b: f(a, b)[0].sum(), (0, 1))(A, B)
    np.testing.assert_allclose(grads[0], np.cos(A) * B, rtol=1e-5)
    np.testing.assert_allclose(grads[1], np.sin(A), rtol=1e-5)


def test_gradients_of_torch_inside_jax():
    def loss(f):
        return lambda a, b: jnp.square(f(a, b)["rows"]).sum()

    expected = jax.grad(loss(in_jax), (0, 1))(A, B)
    f = bridge.torch_function(in_torch)
    for run in (jax.grad(loss(f), (0, 1)), jax.jit(jax.grad(loss(f), (0, 1)))):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), run(A, B), expected)


def test_vmap_and_scan_of_torch_inside_jax():
    f = bridge.torch_function(in_torch)
    rows = jax.vmap(jax.grad(lambda a, b: f(a, b)["rows"]))(A, B)
    np.testing.assert_allclose(rows, np.cos(A) * B, rtol=1e-5)

    def total(step):
        def body(carry, x):
            return carry + step(carry, x)["rows"][:, None], carry.sum()

        return lambda a: jax.lax.scan(body, a, jnp.stack([B, 2 * B, 3 * B]))[1].sum()

    np.testing.assert_allclose(jax.grad(total(f))(A), jax.grad(total(in_jax))(A), rtol=1e-5)


def test_torch_gradients_equal_finite_differences_in_float64():
    with jax.enable_x64(True):
        f = bridge.torch_function(lambda a, b: torch.tanh(a @ b.T).sum(0))
        check_grads(f, (A.astype(np.float64), B.astype(np.float64)), order=1, modes=["rev"], eps=1e-6)


def test_unused_and_integer_arguments_have_zero_gradients():
    f = bridge.torch_function(lambda a, index, unused: a[index.long()])
    index = np.array([1, 0], np.int32)
    grads = jax.grad(lambda a, u: f(a, index, u)[0].sum(), (0, 1))(A, B)
    np.testing.assert_array_equal(grads[0], [[0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(grads[1], np.zeros_like(B))
    constant = bridge.torch_function(lambda a: torch.ones_like(a).detach())
    np.testing.assert_array_equal(jax.grad(lambda a: constant(a).sum())(A), np.zeros_like(A))


def test_declared_and_inferred_outputs_agree():
    declared = bridge.torch_function(in_torch, output=lambda a, b: jax.eval_shape(in_jax, a, b))
    jax.tree.map(np.testing.assert_array_equal, declared(A, B), bridge.torch_function(in_torch)(A, B))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.int32, jnp.bool_, jnp.uint8], ids=str)
def test_every_type_crosses_a_callback(dtype):
    f = bridge.torch_function(lambda x: x.clone())
    for shape in ((), (3,), (0, 2)):
        x = jnp.ones(shape, dtype)
        y = f(x)
        assert y.dtype == dtype and y.shape == shape
        np.testing.assert_array_equal(np.asarray(y, np.float32), np.asarray(x, np.float32))


def test_no_host_copy_inside_a_callback():
    seen = []

    def look(x):
        seen.append(x.data_ptr())
        return x + 1

    f = bridge.torch_function(look, output=jax.ShapeDtypeStruct((4096,), jnp.float32))
    x = jnp.arange(4096, dtype=jnp.float32)
    f(x).block_until_ready()
    assert seen == [x.unsafe_buffer_pointer()]


def test_a_torch_function_that_writes_into_its_argument_is_refused():
    f = bridge.torch_function(lambda x: x.mul_(2), output=lambda x: x)
    with pytest.raises(jax.errors.JaxRuntimeError, match="wrote into an argument"):
        f(jnp.ones(3)).block_until_ready()


def test_a_torch_function_must_return_tensors():
    with pytest.raises(BridgeError, match="tensors"):
        bridge.torch_function(lambda x: 3.0)(A)


def test_jax_inside_torch_equals_torch():
    f = bridge.jax_function(in_jax)
    a, b = (torch.from_numpy(x.copy()).requires_grad_() for x in (A, B))
    f(a, b)["rows"].square().sum().backward()
    c, d = (torch.from_numpy(x.copy()).requires_grad_() for x in (A, B))
    in_torch(c, d)["rows"].square().sum().backward()
    torch.testing.assert_close(a.grad, c.grad)
    torch.testing.assert_close(b.grad, d.grad)
    assert not f(a, b)["sign"].requires_grad


def test_jax_inside_torch_passes_gradcheck_in_float64():
    with jax.enable_x64(True):
        f = bridge.jax_function(lambda a, scale: jnp.tanh(a).sum(0) * scale)
        a = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: f(x, 2.0), (a,))


def test_jax_inside_torch_without_gradients_makes_no_graph():
    f = bridge.jax_function(in_jax)
    a = torch.from_numpy(A.copy()).requires_grad_()
    with torch.no_grad():
        assert not f(a, torch.from_numpy(B.copy()))["rows"].requires_grad
    # Strided and expanded arguments and cotangents are copied where needed.
    (3 * f(a.t().contiguous().t(), torch.from_numpy(B.copy()))["rows"]).sum().backward()
    np.testing.assert_allclose(a.grad, 3 * np.cos(A) * B, rtol=1e-5)


def test_differentiating_twice_is_refused_clearly():
    x = torch.ones(3, requires_grad=True)
    y = bridge.jax_function(jnp.sin)(x)
    with pytest.raises(RuntimeError, match="differentiable once"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


def test_a_write_between_forward_and_backward_is_refused():
    x = torch.ones(3, requires_grad=True)
    y = bridge.jax_function(jnp.exp)(x)
    y.detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_repeated_calls_leak_nothing():
    f = bridge.jax_function(lambda x: jnp.sin(x).sum())
    x = torch.zeros(1 << 18, requires_grad=True)

    def step() -> None:
        x.grad = None
        f(x).backward()

    for _ in range(50):
        step()
    gc.collect()
    before = psutil.Process().memory_info().rss
    for _ in range(300):
        step()
    gc.collect()
    assert psutil.Process().memory_info().rss - before < 64 << 20
