"""Stages that run ahead: same items, same errors, bounded, and they stop when nobody asks any more."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax.app.streaming.pipeline import ahead


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_items_come_in_order(items, depth):
    assert list(ahead(iter(items), depth)) == items


def test_an_error_comes_where_its_item_would():
    def items():
        yield 1
        raise ValueError("broken")

    running = ahead(items())
    assert next(running) == 1
    with pytest.raises(ValueError, match="broken"):
        next(running)


def test_the_producer_stays_within_its_bound_and_stops():
    made, closed = [], threading.Event()

    def items():
        try:
            for k in itertools.count():
                made.append(k)
                yield k
        finally:
            closed.set()

    running = ahead(items(), 3)
    assert [next(running) for _ in range(2)] == [0, 1]
    time.sleep(0.3)
    assert len(made) <= 2 + 3 + 1  # taken, waiting, in hand
    running.close()
    assert closed.is_set()


def test_stages_overlap():
    """The second item is being made while the first is used."""
    started = threading.Event()

    def items():
        yield 0
        started.set()
        yield 1

    running = ahead(items())
    next(running)
    assert started.wait(5)
    running.close()
