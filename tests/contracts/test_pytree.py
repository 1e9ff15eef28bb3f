"""`pytree`: leaves, structure, and what a class inherits."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from gagjax.filters import ConstantAcceleration, ConstantVelocity, Kalman, LiveRotation, LiveVelocity
from gagjax.pytree import pytree, static
from gagjax.typing import Scalar


@pytree
class Positive:
    value: Scalar
    name: str = static(default="")

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise ValueError("value must be positive")


@pytree
class Derived(Positive):
    more: Scalar = 2.0


def test_an_inherited_check_runs():
    assert Derived(1.0).more.dtype == np.float32
    with pytest.raises(ValueError, match="positive"):
        Derived(-1.0)


def test_an_own_check_may_call_the_inherited_one():
    @pytree
    class Both(Positive):
        def __post_init__(self) -> None:
            Positive.__post_init__(self)
            if self.name == "no":
                raise ValueError("not this name")

    with pytest.raises(ValueError, match="positive"):
        Both(-1.0)
    with pytest.raises(ValueError, match="name"):
        Both(1.0, "no")


def test_jax_rebuilds_without_the_check():
    assert jax.tree.map(lambda x: -x, Derived(1.0)).value == -1


@pytest.mark.parametrize("kind", (Kalman, ConstantVelocity, ConstantAcceleration))
def test_kalman_filters_check_what_they_inherit(kind):
    with pytest.raises(ValueError, match="process_noise"):
        kind(-1.0, 1.0)
    with pytest.raises(ValueError, match="patience"):
        kind(1.0, 1.0, patience=0)


@pytest.mark.parametrize("kind", (LiveVelocity, LiveRotation))
def test_live_filters_check_what_they_inherit(kind):
    with pytest.raises(ValueError, match="cutoff"):
        kind(cutoff=-1.0)


def test_the_order_of_positional_arguments_is_the_contract():
    names = {kind: [f.name for f in dataclasses.fields(kind)] for kind in (Kalman, ConstantVelocity)}
    assert names[Kalman][:4] == ["process_noise", "measurement_noise", "initial_variance", "dt"]
    assert names[ConstantVelocity][:4] == ["process_noise", "measurement_noise", "dt", "gate"]
