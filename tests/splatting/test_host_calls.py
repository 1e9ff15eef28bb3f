"""Programs call the rasterizer by name: no callback of Python in them, so that JAX keeps them in its cache."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax.splatting import cpu, host_calls
from gagjax.splatting.projection import splats
from tests.splatting.test_rasterize import camera, scene


def twice(outputs, numbers):
    outputs[0][...] = 2 * numbers
    outputs[1][...] = numbers.sum()


def fails(outputs, numbers):
    raise ValueError("no picture today")


@pytest.fixture(scope="module")
def doubled():
    assert host_calls.register("tests.twice", twice)
    return jax.jit(lambda x: host_calls.call("tests.twice", (x.shape, ()), x))


def test_a_function_fills_the_outputs_of_a_program(doubled):
    for x in (jnp.arange(6.0).reshape(2, 3), jnp.zeros((0, 3)), jnp.float32(2)):
        double, total = doubled(x)
        np.testing.assert_array_equal(double, 2 * x)
        assert float(total) == float(x.sum())


def test_a_batch_is_called_element_by_element(doubled):
    x = jnp.arange(6.0).reshape(2, 3)
    double, totals = jax.vmap(doubled)(x)
    np.testing.assert_array_equal(double, 2 * x)
    np.testing.assert_array_equal(totals, x.sum(1))


def test_an_error_in_the_function_is_the_programs_error():
    assert host_calls.register("tests.fails", fails)
    with pytest.raises(jax.errors.JaxRuntimeError, match="ValueError: no picture today"):
        jax.block_until_ready(host_calls.call("tests.fails", ((3,),), jnp.zeros(3)))


def test_other_types_are_refused(doubled):
    with pytest.raises(jax.errors.JaxRuntimeError, match="expected float32"):
        jax.block_until_ready(host_calls.call("tests.twice", ((3,), ()), jnp.zeros(3, jnp.int32)))


def test_inputs_cannot_be_written():
    seen = []
    assert host_calls.register("tests.flags", lambda outputs, x: seen.append((outputs[0].flags, x.flags)))
    jax.block_until_ready(host_calls.call("tests.flags", ((3,),), jnp.zeros(3)))
    (output, given), *_ = seen
    assert output.writeable
    assert not given.writeable


def test_pictures_and_gradients_are_those_of_a_callback_bit_by_bit(monkeypatch):
    g = scene(60, 3)
    flat = splats(g, camera())
    splatted = (flat.centres, flat.conics, g.opacities, g.features, jnp.ones(3), flat.depths)

    def both(*arguments):
        pictures, back = jax.vjp(lambda *a: cpu._composite(40, 40, *a), *arguments)
        return pictures, back(pictures)

    by_name = jax.jit(both)(*splatted)
    monkeypatch.setattr(host_calls, "register", lambda *_: False)  # as where XLA does not take the handler
    by_callback = jax.jit(lambda *a: both(*a))
    assert "callback" in by_callback.lower(*splatted).as_text()
    jax.tree.map(np.testing.assert_array_equal, by_name, by_callback(*splatted))


PROGRAM = """
import jax, numpy as np
from gagjax.splatting import cpu
r = np.random.default_rng(0)
shapes = ((9, 2), (9, 3), (9,), (9, 3), (3,), (9,))
splats = [r.random(shape, np.float32) for shape in shapes]
compiled = []
step = jax.jit(jax.value_and_grad(lambda *x: sum((y**2).sum() for y in cpu._composite(24, 20, *x))))
jax.monitoring.register_event_listener(lambda name, **_: compiled.append(name))
value, _ = step(*splats)
print(compiled.count("/jax/compilation_cache/cache_hits"), compiled.count("/jax/compilation_cache/cache_misses"), value)
"""


def test_a_second_process_compiles_nothing(tmp_path):
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def run():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, **cache}, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    (_, missed, first), (hit, missed_again, second) = run(), run()
    assert int(missed) > 0
    assert int(hit) > 0
    assert missed_again == "0"
    assert first == second
