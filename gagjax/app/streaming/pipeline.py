"""Concurrent pipeline stages: each stage runs ahead of the one that consumes its results."""

from __future__ import annotations

import collections
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()
_PATIENCE = 0.1  # seconds between checks that the consumer still waits


def ahead(items: Iterable[Item], depth: int = 2) -> Generator[Item]:
    """Produce the items of an iterable in another thread, in order, up to `depth` of them ahead.

    Rendering, enhancing and encoding spend their time outside Python, so chained stages overlap; memory is bounded by
    the depth. An exception in the producer is raised where its item would have come. Closing the generator, as leaving
    a loop or an exception does, stops the producer and closes its iterator.

    Args:
        items: Source; iterated entirely in the other thread, which starts when the first item is requested.
        depth: Maximum number of finished items that wait.

    Example:
        >>> list(ahead(x * x for x in range(4)))
        [0, 1, 4, 9]
    """
    waiting: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(max(1, depth))
    stop = threading.Event()

    def put(item: object, error: BaseException | None = None) -> bool:
        while not stop.is_set():
            try:
                waiting.put((item, error), timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    return
            put(_END)
        except BaseException as error:  # passed on to the consumer
            put(None, error)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=produce, daemon=True, name="gagjax-ahead")
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()


class newest(Iterator[Item]):
    """The newest items of a source that does not wait: items the consumer has no time for are dropped, oldest first.

    Attributes:
        dropped: Number of dropped items.
    """

    def __init__(self, items: Iterable[Item], depth: int = 2) -> None:
        self.dropped = 0
        self._waiting: collections.deque[Item] = collections.deque()
        self._changed = threading.Condition()
        self._depth, self._ended = depth, False
        self._error: BaseException | None = None
        threading.Thread(target=self._produce, args=(items,), daemon=True, name="gagjax-newest").start()

    def _produce(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                with self._changed:
                    self._waiting.append(item)
                    if len(self._waiting) > self._depth:
                        self._waiting.popleft()
                        self.dropped += 1
                    self._changed.notify()
        except BaseException as error:  # passed on to the consumer
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()

    def __next__(self) -> Item:
        with self._changed:
            while not self._waiting:
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    raise StopIteration
                self._changed.wait()
            return self._waiting.popleft()
