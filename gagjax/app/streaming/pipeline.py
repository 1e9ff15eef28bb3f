"""Work that goes on side by side: a stage of a pipeline runs ahead of the one that uses its results."""

from __future__ import annotations

import collections
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()
_PATIENCE = 0.1  # seconds between looks at whether anybody still waits


def ahead(items: Iterable[Item], depth: int = 2) -> Generator[Item]:
    """The same items in the same order, made by another thread up to `depth` of them ahead.

    Rendering, enhancing and encoding each spend their time outside Python, so chained stages overlap; memory stays
    bounded by the depth. An error of the producer is raised where its item would have come. Closing the generator, as
    leaving a loop or an exception does, stops the producer and closes its iterator.

    Args:
        items: What to make; iterated wholly in the other thread, which starts with the first item asked for.
        depth: How many finished items may wait.

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
        except BaseException as error:  # handed over whole: the consumer decides
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
    """The newest items of a source that does not wait: what its consumer has no time for is dropped, oldest first.

    Attributes:
        dropped: How many were.
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
        except BaseException as error:  # handed over: the consumer decides
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
