"""A tiny clip of the built-in avatar, and fits of it that tests share."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import avatars, flame
from gagjax.avatars.personal import appearance, canonical, deformation
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.avatars.personal.training import Settings
from gagjax.io.video import to_uint8
from gagjax.simulate import driver, observe

SIZE, COUNT, FRAMES = 40, 400, 6


@pytest.fixture(scope="session")
def truth():
    return driver(FRAMES, controls=flame.CONTROLS, seed=2)


@pytest.fixture(scope="session")
def clip(truth) -> FilmedClip:
    frames = to_uint8(avatars.render(avatars.builtin(0), truth, size=SIZE))
    seen = observe(truth, seed=1, outliers=0, dropped=0)
    return FilmedClip(frames, seen, np.float32(avatars.BACKGROUND))


@pytest.fixture(scope="session")
def person():
    return canonical.person(flame.builtin(0))


@pytest.fixture(scope="session")
def start(person):
    return appearance.create(person, COUNT)


@pytest.fixture(scope="session")
def field(person):
    return deformation.create(person, COUNT)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return dataclasses.replace(Settings(), steps=30, reassign_every=10, motion_from=0.0, reassign_share=0.1)
