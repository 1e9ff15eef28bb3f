"""A clip lengthened to its bucket gives what the clip alone gives, and a folder of clips few programs."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import shape_bucketing, simulate
from gagjax.stack import Stack, enhance_track


@given(st.integers(1, 100_000))
def test_a_bucket_holds_the_clip_and_wastes_at_most_half_of_it(frames):
    whole = shape_bucketing.bucket(frames)
    assert frames <= whole
    assert whole <= max(1.5 * frames, shape_bucketing.SHORTEST)


def test_a_thousand_lengths_need_a_dozen_programs():
    assert len({shape_bucketing.bucket(frames) for frames in range(1, 1001)}) == 9


@pytest.fixture
def clip():
    return simulate.observe(simulate.driver(70, seed=3), seed=1)


@pytest.mark.parametrize("preset", ["default", "live", "reference"])
def test_lengthening_changes_nothing(preset, clip, monkeypatch):
    stack = getattr(Stack, preset)()
    short = enhance_track(stack, clip)
    monkeypatch.setattr(shape_bucketing, "bucket", lambda frames: frames)
    alone = enhance_track(stack, clip)
    for name, value in alone.channels._asdict().items():
        if value is not None and name != "extra":
            np.testing.assert_allclose(getattr(short, name), value, atol=5e-6, err_msg=name)


def test_lengths_of_one_bucket_share_their_programs(clip):
    stack = Stack.default()
    enhance_track(stack, clip)
    compiled = []

    def listen(event, *_, **__):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    for frames in (65, 66, 69):
        enhance_track(stack, clip[:frames])
    assert not compiled
    enhance_track(stack, simulate.driver(97, seed=0))  # the next bucket: the listener does hear
    assert compiled


def test_a_stage_with_values_for_each_frame_sees_the_clip_as_it_is(clip):
    assert shape_bucketing.fits(Stack.default(), len(clip))
    assert not shape_bucketing.fits([{"target": np.zeros((70, 3))}], 70)
