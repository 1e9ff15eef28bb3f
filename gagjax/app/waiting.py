"""Say what a command is doing where it would be silent for more than a moment."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

MOMENT = 1.0  # seconds of silence that need no explanation


@contextlib.contextmanager
def waiting(what: str, after: float | None = None) -> Iterator[None]:
    """Print one line to standard error if the block takes longer than a moment; nothing if it does not.

    Args:
        what: What is being done, such as "fitting the head to 120 frames".
        after: Seconds until the line is printed; None is `MOMENT`.
    """
    ended, delay = threading.Event(), MOMENT if after is None else after

    def tell() -> None:
        if not ended.wait(delay) and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):  # closed by the shell
                print(f"{what} ...", file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
