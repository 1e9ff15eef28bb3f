"""Track: construction, slicing, validation, pytree behaviour."""

from __future__ import annotations

from fractions import Fraction

import jax
import numpy as np
import pytest

import gagjax as gj
from gagjax.track import as_rate, concat


def make(frames: int = 6, **changes) -> gj.Track:
    rng = np.random.default_rng(0)
    fields = {
        "expression": rng.normal(size=(frames, 100)),
        "jaw": rng.normal(size=(frames, 3)),
        "eyes": rng.normal(size=(frames, 6)),
        "transform": np.tile(np.eye(3, 4), (frames, 1, 1)),
    }
    return gj.Track(**{**fields, **changes})


def test_round_trips_through_jax_and_keeps_metadata():
    track = make(fps="30000/1001", names=[f"v_{i}" for i in range(6)], extra={"lips": np.ones((6, 2))})
    again = jax.tree.map(lambda x: x, track)
    assert again.fps == Fraction(30000, 1001) and again.names == track.names
    np.testing.assert_array_equal(again.extra["lips"], track.extra["lips"])
    doubled = jax.jit(lambda t: jax.tree.map(lambda x: x + x, t))(track)
    np.testing.assert_allclose(doubled.jaw, 2 * track.jaw, rtol=1e-6)


def test_slice_concat_pad():
    track = make(names=[str(i) for i in range(6)])
    joined = concat([track[:2], track[2:]])
    np.testing.assert_array_equal(joined.expression, track.expression)
    assert joined.names == track.names
    padded = track.pad(9)
    assert len(padded) == 9 and padded.valid.tolist() == [True] * 6 + [False] * 3
    assert track[::2].fps == track.fps / 2


@pytest.mark.misuse
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expression": np.zeros((6, 99))}, ["expression", "(6, 99)", "100"]),
        ({"jaw": np.zeros((5, 3))}, ["jaw", "5"]),
        ({"fps": 0}, ["fps"]),
        ({"fps": "fast"}, ["fps"]),
        ({"names": ["a"]}, ["names"]),
        ({"shape": np.zeros(10)}, ["shape"]),
        ({"extra": {"lips": np.zeros((2, 2))}}, ["lips"]),
        ({"rotations": ("R",)}, ["R"]),
    ],
)
def test_wrong_shapes_name_the_field(changes, words):
    with pytest.raises(gj.InputError) as error:
        make(**changes)
    assert all(word in str(error.value) for word in words)


def test_no_frames_is_refused():
    with pytest.raises(gj.InputError, match="no frames"):
        make(0)


def test_validate_names_file_field_and_frame():
    track = make(names=[f"clip_{i}" for i in range(6)])
    track.expression[3, 7] = np.nan
    with pytest.raises(gj.InputError) as error:
        track.validate("a.npz")
    assert "a.npz: expression" in str(error.value) and "clip_3" in str(error.value)
    marked = make(expression=track.expression, valid=np.arange(6) != 3)
    assert marked.validate() is marked


def test_validate_refuses_a_mirrored_camera():
    mirrored = np.tile(np.diag([1.0, 1.0, -1.0]), (6, 1, 1))
    with pytest.raises(gj.InputError, match="transform"):
        make(transform=np.concatenate([mirrored, np.zeros((6, 3, 1))], 2)).validate()


def test_rates_are_exact():
    assert as_rate(29.97) == Fraction(30000, 1001)
    assert as_rate(23.976) == Fraction(24000, 1001)
    assert as_rate(25.0) == 25 and as_rate("30/1") == 30 and as_rate(12.5) == Fraction(25, 2)


def test_a_track_shows_itself_on_one_screen():
    text = repr(gj.simulate.driver(500, seed=0))
    assert len(text) < 1000 and "500 frames at 25 fps" in text and "expression=(500, 100)" in text
