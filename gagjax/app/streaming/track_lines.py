"""Read a track line by line and answer each line with its enhanced version immediately."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gagjax.app.streaming.latency import Latency
from gagjax.app.streaming.live_track import LiveTrack
from gagjax.conventions import track_units
from gagjax.errors import ExistsError, InputError
from gagjax.io import atomic
from gagjax.io.formats import json_lines
from gagjax.stack import Stack
from gagjax.track import Channels

SAVE_EVERY = 250  # frames between checkpoints
REMARKS = 5  # odd frames reported individually; later ones are only counted
POLL = 0.005  # seconds between polls of a growing file


def run(
    stack: Stack,
    source: str,
    out: str,
    *,
    fps: float,
    follow: bool = False,
    idle: float = 0.0,
    state: Path | None = None,
    force: bool = False,
) -> int:
    """Enhance lines until the input ends. See `gagjax.app.commands.live.Live` for the arguments."""
    if state is not None and (source == "-" or out == "-"):
        raise InputError("needs files", field="--state", fix="A pipe cannot be read or written again: use .jsonl files")
    resumed = state is not None and state.exists()
    with contextlib.ExitStack() as opened:
        incoming = _input(source, opened)
        outgoing = open_output(out, opened, force=force or resumed, keep=resumed)
        session = TrackLineSession(stack, fps, neck=None)
        if resumed and state is not None:
            session.go_on(state, incoming, outgoing)
        more = opened.enter_context(contextlib.closing(_lines(incoming, follow, idle)))
        try:
            for text in more:
                answer = session.answer(text)
                with atomic.no_room(out):
                    data = answer.encode()
                    if outgoing.write(data) < len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    outgoing.flush()
                session.latency.add(time.perf_counter() - session.began)
                if state is not None and session.number % SAVE_EVERY == 0:
                    session.save(state, outgoing)
        except KeyboardInterrupt:
            pass  # the usual way to stop an endless stream
        if state is not None and session.number:
            session.save(state, outgoing)
    session.report()
    return 0


class TrackLineSession:
    """State of a run over lines: filter state, input position, and remarks."""

    def __init__(self, stack: Stack, fps: float, neck: bool | None) -> None:
        self.stack, self.fps, self.neck = stack, fps, neck
        self.track: LiveTrack | None = None
        self.number = self.bytes = self.lost = self.remarks = 0
        self.units = False  # whether the remark about angle units was made
        self.began = 0.0
        self.latency = Latency()

    def answer(self, text: bytes) -> str:
        """The output line for an input line."""
        self.number += 1
        self.bytes += len(text)
        self.began = time.perf_counter()
        try:
            line = json_lines.parse(text, neck=self.neck)
        except InputError as error:
            if self.track is None:
                raise InputError(error.problem, file=f"line {self.number}", field=error.field, fix=error.fix) from error
            self._remark(f"line {self.number}: {error}; taken as a lost frame")
            line = json_lines.Line(None, None, {})
        if line.channels is not None and not self.units:
            for each in track_units.oddities(line.channels):
                self.units = True
                self._remark(f"line {self.number}: {each}")
        if self.track is None:
            if line.channels is None:
                self.lost += 1
                return json_lines.dump_lost(line)
            self._prepare(line.channels)
            self.began = time.perf_counter()  # compilation does not count as latency
        assert self.track is not None
        after, odd = self.track.step(line.channels, line.time)
        if odd:
            self._remark(f"line {self.number}: {odd}")
        self.lost += line.channels is None
        return (
            json_lines.dump_lost(line)
            if after is None
            else json_lines.dump(after, line, valid=line.channels is not None)
        )

    def go_on(self, state: Path, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        """Restore filters, input and output to the saved position."""
        from gagjax.io.untrusted.checkpoints import load_npz

        saved = load_npz(state).get("neck", np.array(False))
        if saved.shape or saved.dtype.kind not in "biu":
            raise InputError("is no saved state", file=state, fix="Remove it to begin anew")
        neck = bool(saved)
        self._prepare(still(neck))
        assert self.track is not None
        more = self.track.restore(state)
        if not {"bytes", "written", "number", "lost"} <= more.keys():
            raise InputError("is no saved state", file=state, fix="Remove it to begin anew")
        size = os.fstat(incoming.fileno()).st_size
        if more["bytes"] > size or more["written"] > os.fstat(outgoing.fileno()).st_size:
            raise InputError("is of longer files than these", file=state, fix="Remove it to begin anew")
        self.number, self.bytes, self.lost = more["number"], more["bytes"], more["lost"]
        incoming.seek(more["bytes"])
        # Output written after the checkpoint is written again.
        outgoing.truncate(more["written"])
        outgoing.seek(more["written"])
        print(f"going on after frame {self.number}", file=sys.stderr)

    def save(self, state: Path, outgoing: BinaryIO) -> None:
        """Write a checkpoint."""
        if self.track is not None:
            os.fsync(outgoing.fileno())
            here = {"number": self.number, "bytes": self.bytes, "lost": self.lost, "written": outgoing.tell()}
            self.track.save(state, neck=bool(self.neck), **here)

    def report(self) -> None:
        """Print a summary of the run."""
        jumps = self.track.jumps if self.track is not None else 0
        odd = [f"{self.lost} lost" if self.lost else "", f"{jumps} jumps of the clock" if jumps else ""]
        counted = ", ".join([f"{self.number} frames", *filter(None, odd)])
        print(f"{counted}; from a line read to its answer: {self.latency}", file=sys.stderr)

    def _prepare(self, example: Channels) -> None:
        print("compiling", file=sys.stderr)
        self.neck = example.neck is not None
        self.track = LiveTrack(self.stack, example, self.fps)
        print("ready", file=sys.stderr)

    def _remark(self, text: str) -> None:
        self.remarks += 1
        if self.remarks <= REMARKS:
            print(f"warning: {text}", file=sys.stderr)
        elif self.remarks == REMARKS + 1:
            print("warning: further remarks are left out", file=sys.stderr)


def still(neck: bool) -> Channels:
    """A zero frame with the right shapes."""
    zeros = {name: np.zeros(shape, np.float32) for name, shape in json_lines.SHAPES.items()}
    zeros["transform"] = np.eye(3, 4, dtype=np.float32)
    return Channels(**(zeros | ({} if neck else {"neck": None})), extra={})  # type: ignore[arg-type]


def _input(source: str, opened: contextlib.ExitStack) -> BinaryIO:
    if source == "-":
        return sys.stdin.buffer
    try:
        return opened.enter_context(Path(source).open("rb"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=source) from error


def open_output(out: str, opened: contextlib.ExitStack, *, force: bool, keep: bool = False) -> Any:
    """Open the output, which is written line by line and not atomically.

    Args:
        out: `-`, or a `.jsonl` file.
        opened: Closes it.
        force: Replace what is there.
        keep: Go on in what is there.

    Raises:
        InputError: If it is no such name, exists, or cannot be written.
    """
    if out == "-":
        return sys.stdout.buffer
    path = Path(out)
    if path.suffix != ".jsonl":
        raise InputError("does not end in .jsonl", file=path, fix="Name the output NAME.jsonl, or - for a pipe")
    if path.exists() and not force:
        raise ExistsError(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, since closing after a full disk would fail again.
        return opened.enter_context(path.open("r+b" if keep and path.exists() else "w+b", buffering=0))
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=path) from error


def _lines(incoming: BinaryIO, follow: bool, idle: float) -> Generator[bytes]:
    """Yield complete lines as they arrive."""
    half = b""
    since = time.monotonic()
    while True:
        text = incoming.readline(json_lines.LIMIT + 2)
        if text:
            half += text
            since = time.monotonic()
            if half.endswith(b"\n") or len(half) > json_lines.LIMIT:
                if half.strip():
                    yield half
                half = b""
            continue
        if not follow or (idle and time.monotonic() - since > idle):
            if half.strip():
                yield half  # a last line without a newline
            return
        time.sleep(POLL)
