"""Whatever a preset, a line or a name holds: a result or one `InputError`, at once."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import pickle

import jax
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gagjax.app import presets
from gagjax.app.cli import main
from gagjax.app.streaming.track_lines import TrackLineSession
from gagjax.errors import InputError
from gagjax.io.formats import gagavatar, json_lines, numbering
from gagjax.io.tracks import load_track, save_track
from gagjax.stack import Stack
from gagjax.text.printable import quoted
from gagjax.track import as_rate
from tests.io import make

BIG = [
    10**400,
    -(10**400),
    10**4000,
    2**63,
    -(2**63),
    1e308,
    -1e308,
    1e39,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    0,
    -1,
    -0.0,
]
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=5), st.dates(),
    st.datetimes(), st.sampled_from(BIG),
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def fields_of(value, path=()):
    """The paths of all fields of a stack, and of what lies on the way to them."""
    if path:
        yield ".".join(path)
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from fields_of(getattr(value, field.name), (*path, field.name))


FIELDS = {name: sorted(fields_of(getattr(Stack, name)())) for name in ("default", "live", "reference")}
PATHS = [(name, path) for name, paths in FIELDS.items() for path in paths]


def stack_of(content):
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    return presets.stack_of("a.yaml", text=text)


@pytest.mark.misuse
@settings(max_examples=400)
@given(st.sampled_from(PATHS), trees)
def test_any_value_in_any_field_of_a_preset(place, value):
    base, path = place
    try:
        stack = stack_of({"preset": base, "set": {path: value}})
    except InputError as error:
        assert "a.yaml" in str(error) and len(str(error)) < 1000
        return
    before, after = getattr(Stack, base)(), stack
    for name in path.split("."):
        before, after = getattr(before, name), getattr(after, name)
    assert type(value) in (int, float) and float(after) == np.float32(value)
    hash(after) if type(before) is int else np.asarray(after)


@settings(max_examples=300)
@given(
    st.one_of(trees, st.fixed_dictionaries({}, optional={key: trees for key in ("preset", "enable", "set", "fitted")}))
)
def test_any_content_of_a_preset(content):
    try:
        stack_of(content if not isinstance(content, str) else yaml.safe_dump(content))
    except InputError as error:
        assert len(str(error)) < 1000 and str(error).isprintable()


@given(st.text(st.sampled_from("!<>&*-?:,[]{}#|%@`'\"\\ \n\t0123456789abcxe_.~=intboltmesap"), max_size=60))
def test_any_text_of_a_preset(text):
    with contextlib.suppress(InputError):
        stack_of(text)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        "!!int ''", "!!bool x", "!!timestamp x", "!!float ''", "2001-99-99", "!!binary '*'", "? [a]\n: b", "<<: 1",
        "!!python/object/apply:os.system [x]", "a: " + "[" * 30_000, "- " * 30_000, "a: " + ":".join(["59"] * 20_000),
        "preset: 0x" + "f" * 20_000, "enable: [0x" + "f" * 20_000 + "]", "set: {0x" + "f" * 20_000 + ": 1}",
        "set: {temporal.jaw.highest: 0x" + "f" * 20_000 + "}", "preset: [default]", "enable: [[temporal]]",
        "set: {detail.levels: 1.5}", "set: {detail.levels: 1000000000}", "set: {temporal.jaw.highest: .nan}", "x" * 70_000,
        "set: {temporal.jaw: 3}", "set: {'': 3}", "set: {temporal.fields.x.y: 3}", "set: {detail.noise: 3}",
    ],
    ids=lambda text: quoted(text)[:30],
)  # fmt: skip
def test_odd_presets(text):
    with pytest.raises(InputError) as error:
        stack_of(text)
    assert len(str(error.value)) < 1000


def test_whole_numbers_stay_whole():
    """Candidates are structure: an array in their place cannot be compiled with."""
    stack = stack_of({"set": {"temporal.jaw.candidates": 6, "temporal.jaw.highest": 9}})
    assert stack.temporal.jaw.candidates == 6 and type(stack.temporal.jaw.candidates) is int
    hash(jax.tree.structure(stack))
    with pytest.raises(InputError, match="follows from other fields"):
        stack_of({"set": {"detail.levels": 3}})


LINE = {
    "time": 0.04, "expression": [0.1] * 100, "jaw": [0.1] * 3, "eyes": [0.1] * 6,
    "transform": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 9.0]],
}  # fmt: skip
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(BIG[:2] + BIG[3:])
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def session():
    live = TrackLineSession(Stack.live(), 25.0, None)
    live.answer(json.dumps(LINE).encode())
    return live


@settings(max_examples=300)
@given(data=st.data())
def test_any_value_in_any_field_of_a_line(session, data):
    line = json.loads(json.dumps(LINE))
    name = data.draw(st.sampled_from([*LINE, "valid", "neck", "more"]))
    if name in ("expression", "jaw", "eyes") and data.draw(st.booleans()):
        line[name][data.draw(st.integers(0, len(line[name]) - 1))] = data.draw(values)
    else:
        line[name] = data.draw(values)
    answer = json.loads(session.answer(json.dumps(line).encode()))
    assert isinstance(answer, dict)
    for field in ("expression", "jaw", "eyes", "transform"):
        assert field not in answer or np.isfinite(answer[field]).all()


@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
        values.map(lambda v: json.dumps(v).encode()),
    )
)
def test_any_line(session, line):
    assert isinstance(json.loads(session.answer(line)), dict)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "time", ["1" + "0" * 400, "-1" + "0" * 400, "1e400", "NaN", "9" * 5000, "1" * 4000], ids=range(6)
)
def test_a_line_with_an_absurd_time(time):
    with pytest.raises(InputError):
        json_lines.parse(f'{{"time": {time}, "valid": false}}')


def test_a_saved_state_is_checked(tmp_path, session):
    """A state from elsewhere has other shapes, types or counts, and is refused."""
    from gagjax.app.streaming.live_track import LiveTrack

    live = session.track
    live.save(tmp_path / "good.npz", neck=False, number=1, bytes=2, lost=0, written=3)
    with np.load(tmp_path / "good.npz") as archive:
        good = dict(archive)
    assert live.restore(tmp_path / "good.npz")["bytes"] == 2

    def about(**changes):
        return {"about": np.array(json.dumps(json.loads(str(good["about"])) | changes))}

    for changes in (
        {"leaf0": np.array("text")}, {"leaf0": np.zeros((3, 3, 3))}, {"about": np.array("[]")}, about(last="x"),
        about(last=[1]), about(more={"bytes": "x"}), about(more=3), about(more={"bytes": -1}), about(last=10**400),
    ):  # fmt: skip
        np.savez(tmp_path / "bad.npz", **(good | changes))
        with pytest.raises(InputError, match="bad"):
            live.restore(tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", **{name: value for name, value in good.items() if name != "leaf1"})
    with pytest.raises(InputError, match="bad"):
        live.restore(tmp_path / "bad.npz")
    assert isinstance(live, LiveTrack)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "rate", ["1e99999999", "1e-99999999", "-1e99999999", "9" * 5000, 10**5000, "1/" + "9" * 60, "9" * 60 + "/1", "nan", "inf", "", None, [25], "²", 1e300, 1e-300],
    ids=lambda rate: quoted(rate)[:30],
)  # fmt: skip
def test_absurd_rates(rate):
    with pytest.raises(InputError) as error:
        as_rate(rate)
    assert len(str(error.value)) < 400


@given(st.one_of(st.text(st.sampled_from("0123456789eE+-./_ ²٣"), max_size=30), scalars))
def test_any_rate(rate):
    with contextlib.suppress(InputError):
        assert as_rate(rate) > 0


def test_an_absurd_rate_in_a_file(tmp_path, capsys):
    path = tmp_path / "a.npz"
    save_track(make.track(3), path)
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["metadata"] = np.array(str(arrays["metadata"]).replace('"fps": "25"', '"fps": "1e99999999"'))
    np.savez(path, **arrays)
    assert main(["info", str(path)]) == 2
    assert "frame rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    "keys", [["²", "1", "x٣"], ["1" * 5000, "2" * 4999 + "x"], ["a_²", "a_1"], ["0" * 30 + "7", "12", "007x"]]
)
def test_odd_names_of_frames(tmp_path, keys):
    record = make.records(1)["clip_0"]
    path = tmp_path / "optim.pkl"
    path.write_bytes(pickle.dumps(dict.fromkeys(keys, record)))
    if max(map(len, keys)) > gagavatar.NAME_LIMIT:
        with pytest.raises(InputError, match="characters"):
            load_track(path)
    else:
        assert len(load_track(path)) == len(keys)


@given(st.lists(st.text(st.sampled_from("0123456789ab²_"), max_size=12), min_size=1, max_size=6))
def test_any_names_have_an_order(names):
    """Numbers count by their value, whatever their length."""
    assert sorted(numbering.natural(names)) == list(range(len(names)))
    some = ["f10", "f9", "f010x", "f1"]
    assert [some[i] for i in numbering.natural(some)] == ["f1", "f9", "f10", "f010x"]


@pytest.mark.parametrize("keys", [[1, "1"], [b"a_1", "a_1"], [(1, 2)], [None], [1.5]])
def test_names_that_are_one_as_text_are_refused(tmp_path, keys):
    record = make.records(1)["clip_0"]
    path = tmp_path / "optim.pkl"
    path.write_bytes(pickle.dumps(dict.fromkeys(keys, record)))
    with pytest.raises(InputError, match=r"name|two frames"):
        load_track(path)
