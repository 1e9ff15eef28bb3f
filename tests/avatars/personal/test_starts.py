"""Starts of fits: a start from the clip's best frame shows the person before the first step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import InputError, avatars, flame
from gagjax.avatars.personal import appearance, canonical, deformation
from gagjax.avatars.personal.clip import FilmedClip
from gagjax.avatars.personal.starts import STARTS, Given, Start, begin
from gagjax.avatars.personal.starts.portrait import best_frame, seen_in
from gagjax.avatars.rendering import drawn
from gagjax.io.video import to_uint8
from gagjax.simulate import driver

SIZE, COUNT = 64, 4000


@pytest.fixture(scope="module")
def given() -> Given:
    track = driver(4, controls=flame.CONTROLS, seed=2)
    frames = to_uint8(avatars.render(avatars.builtin(1), track, size=SIZE))
    black = to_uint8(avatars.render(avatars.builtin(1), track, size=SIZE, background=(0.0, 0.0, 0.0)))
    white = to_uint8(avatars.render(avatars.builtin(1), track, size=SIZE, background=(1.0, 1.0, 1.0)))
    masks = 255 - (white.astype(int) - black).max(-1).astype(np.uint8)
    clip = FilmedClip(frames, track, np.float32(avatars.BACKGROUND), masks)
    model = canonical.person(avatars.builtin(1).model)
    return Given(model, clip, np.arange(3), COUNT)


def error(avatar, given: Given, frame: int) -> float:
    """Mean absolute error where the frame shows the person."""
    picture, _ = drawn(avatar, seen_in(given.clip, frame), given.clip.background)
    off = np.abs(np.asarray(picture) - given.clip.frames[frame] / 255).mean(-1)
    return float(off[given.clip.masks[frame] > 250].mean())


@pytest.mark.parametrize("create", [appearance.create, deformation.create])
def test_portrait_start_shows_the_person(given, create):
    """On a frame that the start has not seen."""
    plain, own = (create(given.model, COUNT, start=begin(name, given)) for name in ("flame", "portrait"))
    assert error(own, given, 3) < 0.35 * error(plain, given, 3)


def test_best_frame_is_the_one_that_looks_ahead(given):
    track = given.clip.track
    expression, transform = np.array(track.expression), np.array(track.transform)
    expression[1], transform[1, :, :3] = 0, np.diag([-1.0, 1.0, -1.0])
    still = dataclasses.replace(
        track, expression=expression, transform=transform, jaw=track.jaw * 0, eyes=track.eyes * 0
    )
    changed = dataclasses.replace(given, clip=dataclasses.replace(given.clip, track=still))
    assert best_frame(changed) == 1
    assert best_frame(dataclasses.replace(changed, frames=np.array([0, 2]))) != 1


def test_unknown_start_is_refused(given):
    with pytest.raises(InputError, match="nothing") as caught:
        begin("nothing", given)
    assert all(name in str(caught.value) for name in STARTS)


@pytest.mark.misuse
def test_arrays_of_a_start_must_fit(given):
    plain = begin("flame", given)
    with pytest.raises(InputError, match="colours"):
        dataclasses.replace(plain, colours=np.zeros((3, 3), np.float32))
    with pytest.raises(InputError, match="width"):
        Start(plain.canonical, plain.width * np.nan)
