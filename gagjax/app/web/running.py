"""Run a plan's commands as processes of their own: progress is read off what they print, and cancelling ends them."""

from __future__ import annotations

import itertools
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gagjax.app.web.plan import Plan, Step

_BAR = re.compile(r"\s*(?P<what>[\w ,.()-]{1,60}):\s+(?P<share>\d{1,3})%\|")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LAST = 10.0  # seconds that a stopped command has to remove its temporary files


class Update(NamedTuple):
    """Where a run is.

    Attributes:
        step: Index of the step.
        label: What it does.
        share: Part of the step that is done, 0 to 1, or None where it is not known.
        what: What the command says that it is doing.
        line: A new line for the log, or "".
    """

    step: int
    label: str
    share: float | None
    what: str
    line: str = ""


class Failed(Exception):
    """A command could not do its work; the message is what it printed."""


class Cancelled(Exception):
    """The user has cancelled the run."""


class Running:
    """One run of a plan. Iterate over it for its updates; `cancel` may be called from another thread.

    Args:
        plan: What to run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """End the command that runs, and start no other."""
        self._stop.set()
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def __iter__(self) -> Iterator[Update]:
        """The updates, at least one in half a second.

        Raises:
            Failed: If a command fails.
            Cancelled: After `cancel`.
        """
        for number, step in enumerate(self.plan.steps):
            if self._stop.is_set():
                raise Cancelled
            yield Update(number, step.label, None, "starting", f"$ {command_of(step)}" if step.words else "")
            made = self._joined(number, step) if step.joins is not None else self._command(number, step)
            yield from made
            if self._stop.is_set():
                raise Cancelled
            yield Update(number, step.label, 1.0, "done")

    def _command(self, number: int, step: Step) -> Iterator[Update]:
        root = str(Path(__file__).resolve().parents[3])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        with self._lock:
            if self._stop.is_set():
                raise Cancelled
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "gagjax", *step.words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        found: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process, found), daemon=True).start()
        share, what, said = None, "starting", []
        try:
            while True:
                try:
                    text = found.get(timeout=0.4)
                except queue.Empty:
                    yield Update(number, step.label, share, what)
                    continue
                if text is None:
                    break
                bar = _BAR.match(text)
                if bar:
                    share, what = min(int(bar["share"]), 100) / 100, bar["what"].strip()
                    continue
                said.append(text)
                what = text if len(text) < 90 else what
                yield Update(number, step.label, share, what, text)
            status = process.wait()
        finally:
            _end(process)
        if status and not self._stop.is_set():
            raise Failed("\n".join(said[-6:]) or f"gagjax {step.words[0]} ended with status {status}")

    def _joined(self, number: int, step: Step) -> Iterator[Update]:
        """Write before and after side by side, with the sound of the second."""
        from gagjax.app.reports import panels
        from gagjax.io import video

        assert step.joins is not None
        before, after = step.joins
        told: queue.Queue[int] = queue.Queue()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                (left, _), (right, info) = video.read(before), video.read(after)
                with left, right:
                    count = itertools.count(1)

                    def rows() -> Iterator[Any]:
                        for pair in zip(left, right, strict=True):
                            if self._stop.is_set():
                                raise Cancelled
                            yield panels.beside(pair, ["before", "after"])
                            told.put(next(count))

                    sound = after if info.audio else None
                    video.write(step.makes, rows(), info.fps, audio_from=sound, force=True)
            except BaseException as error:  # told to the thread that waits
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.4)
            yield Update(number, step.label, None, f"{told.qsize()} frames")
        if failed:
            raise failed[0]


def command_of(step: Step) -> str:
    """The step as one would type it in a terminal."""
    return shlex.join(("gagjax", *step.words))


def _read(process: subprocess.Popen[bytes], found: queue.Queue[str | None]) -> None:
    """Everything the process prints, a line at a time; a progress bar ends its lines with a carriage return."""
    assert process.stdout is not None
    rest = b""
    while chunk := os.read(process.stdout.fileno(), 1 << 14):
        *lines, rest = re.split(rb"[\r\n]", rest + chunk)
        for line in (*lines, rest if _BAR.match(rest.decode(errors="replace")) else b""):
            text = _ESCAPES.sub("", line.decode(errors="replace")).rstrip()
            if text:
                found.put(text)
    if rest.strip():
        found.put(_ESCAPES.sub("", rest.decode(errors="replace")).rstrip())
    found.put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        deadline = time.monotonic() + LAST
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is None:
            process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
