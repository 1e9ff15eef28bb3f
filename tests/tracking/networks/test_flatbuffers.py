"""The reader of TFLite files: damaged bytes end in an InputError, never in anything else."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax.errors import InputError
from gagjax.tracking.networks import tflite
from gagjax.tracking.networks.flatbuffers import MAX_BYTES, Buffer, flexbuffer


def small_model() -> bytes:
    """A TFLite file with one operator, ADD of the input with itself, laid out by hand."""
    data = bytearray(b"\0" * 8)
    data[4:8] = b"TFL3"

    def add(content: bytes) -> int:
        while len(data) % 4:
            data.append(0)
        place = len(data)
        data.extend(content)
        return place

    def table(fields: dict[int, tuple[str, int]]) -> tuple[int, dict[int, int]]:
        count = max(fields, default=-1) + 1
        vtable = bytearray(struct.pack("<HH", 4 + 2 * count, 0)) + bytes(2 * count)
        body, places = bytearray(4), {}
        for number, (code, value) in fields.items():
            while len(body) % struct.calcsize(code):
                body.append(0)
            struct.pack_into("<H", vtable, 4 + 2 * number, len(body))
            places[number] = len(body)
            body += struct.pack(code, value)
        at = add(bytes(vtable))
        start = add(bytes(body))
        struct.pack_into("<i", data, start, start - at)
        return start, {n: start + p for n, p in places.items()}

    def point(place: int, target: int) -> None:
        struct.pack_into("<I", data, place, target - place)

    def vector(values: list[int]) -> int:
        return add(struct.pack("<I", len(values)) + struct.pack(f"<{len(values)}i", *values))

    def tables(count: int) -> tuple[int, list[int]]:
        start = add(struct.pack("<I", count) + bytes(4 * count))
        return start, [start + 4 + 4 * i for i in range(count)]

    root, at = table({1: ("<I", 0), 2: ("<I", 0), 4: ("<I", 0)})
    struct.pack_into("<I", data, 0, root)
    for number, (field, kind) in {1: ({0: ("<b", 0)}, "codes"), 4: ({}, "buffers")}.items():
        start, slots = tables(1)
        point(at[number], start)
        point(slots[0], table(field)[0])
        assert kind
    start, slots = tables(1)
    point(at[2], start)
    graph, inside = table({0: ("<I", 0), 1: ("<I", 0), 2: ("<I", 0), 3: ("<I", 0)})
    point(slots[0], graph)
    start, slots = tables(2)
    point(inside[0], start)
    for slot in slots:
        tensor, place = table({0: ("<I", 0), 2: ("<I", 0)})
        point(slot, tensor)
        point(place[0], vector([1, 2]))
    point(inside[1], vector([0]))
    point(inside[2], vector([1]))
    start, slots = tables(1)
    point(inside[3], start)
    operator, place = table({0: ("<I", 0), 1: ("<I", 0), 2: ("<I", 0)})
    point(slots[0], operator)
    point(place[1], vector([0, 0]))
    point(place[2], vector([1]))
    return bytes(data)


def test_a_file_made_by_hand_is_read():
    graph = tflite.read(small_model(), "small")
    assert [o.name for o in graph.operations] == ["ADD"]
    assert graph.operations[0].inputs == (0, 0)
    assert graph.shapes == {0: (1, 2), 1: (1, 2)}


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damage_ends_in_an_input_error(changes):
    data = bytearray(small_model())
    for place, value in changes:
        data[place % len(data)] = value
    with contextlib.suppress(InputError):
        tflite.read(bytes(data), "damaged")


@given(st.integers(0, 400))
def test_a_cut_file_ends_in_an_input_error(length):
    whole = small_model()
    if length < len(whole):
        with pytest.raises(InputError):
            tflite.read(whole[:length], "cut")


@given(st.binary(min_size=1, max_size=64))
def test_any_option_bytes_end_well(data):
    with contextlib.suppress(InputError):
        flexbuffer(data, "options")


def test_a_flexbuffer_map_is_read():
    # {"a": 5}: keys vector, then the map's slots, as the FlexBuffers document lays them out.
    data = bytes([ord("a"), 0, 1, 3, 1, 1, 1, 5, 4, 2, 36, 1])
    assert flexbuffer(data, "options") == {"a": 5}


def test_absurd_sizes_are_refused():
    with pytest.raises(InputError, match="bytes"):
        Buffer(b"\0" * 4, "short")
    assert MAX_BYTES < 1 << 30
