"""What a newcomer passes by mistake is named, with what to write instead; and facts are not trained."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gagjax as gj
from gagjax import flame, gaze
from gagjax.errors import InputError
from gagjax.expression import ClosureMatcher
from gagjax.filters import Ema, LiveVelocity, OneEuro, scan
from gagjax.pytree import fact, pytree
from gagjax.simulate import driver
from gagjax.track import Channels

ROOT = Path(__file__).resolve().parents[2]


class Plain:
    """A filter as one writes it at first: a class that JAX does not know."""

    def init(self, first):
        return first

    def step(self, state, x):
        return x, x

    def predict(self, state):
        return state, state


@pytree
class Named:
    """A pytree with a text among its leaves."""

    alpha: float = 0.5
    name: str = "mine"
    init, step, predict = Plain.init, Plain.step, Plain.predict


@pytree
class Half:
    """A pytree that is no filter."""

    alpha: float = 0.5


@pytest.mark.misuse
@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ("default", r"name 'default'.*gagjax\.Stack\.default\(\)"),
        ("quality", r"name 'quality'.*Stack\.live\(\)"),
        (gj.Stack.live, r"function.*Call it: gagjax\.Stack\.live\(\)"),
        (Ema(0.5), r"type Ema.*Stack\(temporal="),
        (None, r"type NoneType"),
    ],
    ids=["preset", "scenario", "function", "filter", "none"],
)
def test_what_is_no_stack_is_named(stack, said):
    for run in (lambda: gj.enhance_track(stack, driver(4)), lambda: gj.enhance_frames(stack, np.zeros((2, 8, 8, 3)))):
        with pytest.raises(InputError, match=said):
            run()


@pytest.mark.misuse
@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        (Plain(), r"type Plain is no pytree.*@pytree class Plain"),
        (Ema, r"the class Ema itself.*Ema\("),
        (Named(), r"holds a str.*static"),
        (Half(), r"Half has no init and no step"),
    ],
    ids=["plain", "class", "text", "half"],
)
def test_what_is_no_filter_is_named(filter_, said):
    with pytest.raises(InputError, match=said):
        scan(filter_, np.zeros((4, 1), np.float32))


@pytest.mark.misuse
def test_a_stage_that_is_no_pytree_is_named():
    with pytest.raises(InputError, match=r"temporal: of type Plain is no pytree"):
        gj.enhance_track(gj.Stack(temporal=Plain()), driver(4))


@pytest.mark.parametrize(
    "line",
    [
        "bridge.to_jax(1)",
        "bridge.to_torch(jax.numpy.zeros(2))",
        "bridge.torch_function(lambda x: x)",
        "bridge.jax_function(lambda x: x)",
        "bridge.perceptual",
        "bridge.gagavatar.GAGAvatar",
    ],
)
def test_without_torch_it_is_said_how_to_install_it(line):
    program = f"{HIDDEN}\nimport jax, bridge\n{line}"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "pip install 'gagjax[torch]'" in run.stderr.splitlines()[-1], run.stderr


# An import system in which torch is not installed.
HIDDEN = """import sys, importlib.util
class Hidden:
    def find_spec(self, name, *rest):
        if name == 'torch':
            raise ModuleNotFoundError(name)
_found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == 'torch' else _found(name, *rest)
sys.meta_path.insert(0, Hidden())
"""


def test_rates_are_not_trained():
    """A filter's gradient is a filter; what says how the data are comes out as zero, the hyperparameters do not."""
    xs = np.cumsum(np.random.default_rng(0).normal(size=(30, 2)), 0).astype(np.float32)
    for filter_, trained in (
        (OneEuro(1.0, 0.5, 1.0, 25.0), "min_cutoff"),
        (LiveVelocity(cutoff=2.0, fps=25.0), "cutoff"),
    ):

        def loss(f):
            return (scan(f, xs)[0] ** 2).sum()

        for gradient in (jax.grad(loss)(filter_), jax.jit(jax.grad(loss))(filter_)):
            assert float(gradient.fps) == 0.0
            assert abs(float(getattr(gradient, trained))) > 1e-6
        # It is data all the same: another rate gives another result.
        other = dataclasses.replace(filter_, fps=np.float32(50.0))
        assert abs(float(loss(other)) - float(loss(filter_))) > 1e-3


def _channels(rng):
    frames = 6
    transform = np.repeat(np.concatenate([np.diag([-1.0, 1, -1]), [[0.0], [0], [9]]], 1)[None], frames, 0)
    return Channels(
        expression=(0.1 * rng.normal(size=(frames, 100))).astype(np.float32),
        jaw=np.zeros((frames, 3), np.float32),
        eyes=(0.1 * rng.normal(size=(frames, 6))).astype(np.float32),
        transform=transform.astype(np.float32),
    )


def test_the_heads_geometry_is_not_trained():
    model = flame.builtin()
    channels = _channels(np.random.default_rng(1))
    stage = gaze.GazeCorrector(strength=0.5, target=(0.0, 0.0, 0.6), frame="head").for_model(model)
    gradient = jax.grad(lambda s: (s.apply(channels).eyes ** 2).sum(), allow_int=True)(stage)
    assert abs(float(gradient.strength)) > 1e-4
    assert float(jnp.abs(gradient.target).max()) > 1e-4  # where to look is a choice
    for name in ("centres", "neck_joint", "root"):
        assert float(jnp.abs(getattr(gradient, name)).max()) == 0.0, name
    assert float(jnp.abs(gradient.lids.landmarks.v_template).max()) == 0.0
    matcher = dataclasses.replace(ClosureMatcher.for_models(model, np.zeros(0), np.zeros(0)), steps=1)
    closed = channels._replace(expression=channels.expression + 0.9 * (np.arange(100) < 2))
    gradient = jax.grad(lambda m: (m.match(closed, closed) ** 2).sum(), allow_int=True)(matcher)
    assert float(jnp.abs(gradient.target.v_template).max()) == 0.0
    assert float(jnp.abs(gradient.mobility).max()) == 0.0


def test_a_fact_is_batched_and_compiled_like_any_leaf():
    @pytree
    class Scaled:
        gain: float = 2.0
        rate: float = fact(default=3.0)

    traced = []

    @jax.jit
    def product(x):
        traced.append(1)
        return x.gain * x.rate

    assert [float(product(Scaled(rate=r))) for r in (3.0, 5.0)] == [6.0, 10.0] and len(traced) == 1
    many = jax.tree.map(lambda *x: jnp.stack(x), Scaled(1.0, 2.0), Scaled(3.0, 4.0))
    assert jax.vmap(lambda x: x.gain * x.rate)(many).tolist() == [2.0, 12.0]
    slope = jax.grad(lambda x: x.gain * x.rate)(Scaled(2.0, 3.0))
    assert (float(slope.gain), float(slope.rate)) == (3.0, 0.0)
