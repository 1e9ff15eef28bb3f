"""`gagjax`: dispatch a command, report errors the user can act on, return the exit status.

Status: 0 success, 1 a bug in gagjax (with traceback), 2 unusable input, 130 stopped by Ctrl-C, 143 (SIGTERM) and 129
(SIGHUP) stopped by a signal. This module does not import JAX, so help and usage errors appear immediately.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import inspect
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gagjax.app.compilation_cache import keep_compiled
from gagjax.errors import InputError
from gagjax.io.atomic import FULL
from gagjax.text.printable import Escaping, escaped


@dataclasses.dataclass(frozen=True)
class Command:
    """Location of a command: a dataclass in `gagjax.app.commands.<module>` with a method `run() -> int`."""

    module: str
    dataclass: str
    summary: str


# To add a command, write its module and add one line here.
COMMANDS: dict[str, Command] = {
    "demo": Command("demo", "Demo", "the whole way on built-in data, measured against known truth"),
    "avatar": Command("portrait.avatar", "Avatar", "one photo in, an avatar that looks like the person out"),
    "fit": Command("fit", "Fit", "a personal avatar from a tracked clip, and a better track"),
    "track": Command("track", "Track", "a film or a picture in, a track of its face out"),
    "models": Command("models", "Models", "the face networks that tracking needs, fetched once"),
    "reenact": Command("reenact", "Reenact", "an avatar driven by a track, enhanced on the way"),
    "enhance": Command("enhance", "Enhance", "a track in, a steadier track out"),
    "video": Command("video", "Video", "the frame enhancements on any video"),
    "batch": Command("batch", "Batch", "many clips enhanced, resumable, on one machine or on Ray"),
    "view": Command("view", "View", "a track in the browser, before and after, with sliders"),
    "app": Command("pages.app", "App", "a page to drop a photo and a film on"),
    "live": Command("live", "Live", "a track or a camera, enhanced while it comes"),
    "convert": Command("convert", "Convert", "a track from one format into another"),
    "draw": Command("motion.draw", "Draw", "a track over its frames: mesh, landmarks, gaze, eye masks"),
    "transfer": Command("motion.transfer", "Transfer", "one person's expression on another's face"),
    "edit": Command("motion.edit", "Edit", "parts of a clip changed by hand: regions, expressions, eyes, blinks"),
    "export": Command("motion.export", "Export", "a track's mesh or an avatar's Gaussians, for other programs"),
    "tune": Command("tune", "Tune", "smoothing parameters fitted to your tracks, as a preset"),
    "eval": Command("evaluate", "Evaluate", "how good a track or a video is, against its truth or by itself"),
    "ablate": Command("ablate", "Ablate", "what each enhancement does, alone and together, against known truth"),
    "info": Command("info", "Info", "what a file is: frames, rate, gaps, jitter, warnings"),
}

EXAMPLES = """\
examples:
  gagjax demo
  gagjax reenact -d clip/ -o result.mp4 --enhanced
  gagjax enhance clip/ -o steady/
  gagjax video in.mp4 -o out.mp4 --side-by-side
  gagjax tune clips/* -o mine.yaml && gagjax enhance clip/ -o steady/ --preset mine.yaml
  gagjax info clip/
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after `gagjax`; None takes them from `sys.argv`.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names may not be encodable in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
    except OSError as error:  # help text longer than the output buffer, on a full disk
        if error.errno not in FULL:
            raise
        _drop_output()
        return _complain(f"the output cannot be written: {error.strerror}")
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:  # ValueError: closed
        _drop_output()
        if not isinstance(error, BrokenPipeError) and status == 0:
            return _complain(f"the output cannot be written: {getattr(error, 'strerror', None) or error}")
        return status or 1
    return status


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        from gagjax import __version__

        print(f"gagjax {__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean `gagjax {near[0]}`?" if near else "`gagjax --help` lists the commands"
        return _complain(f"no command {name!r}; {hint}")
    if "jax" not in sys.modules:
        keep_compiled()
    try:
        with _signals_as_exceptions(), _plain_warnings():
            command = parse(name, words[1:])
            with _printable_output():
                return command.run() or 0
    except InputError as error:
        # Library messages name the Python argument; the command line has a flag instead.
        return _complain(str(error).replace("force=True", "--force"))
    except _Stopped as stopped:
        print(f"stopped by {stopped.signal.name}", file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()  # the reader closed the pipe: `gagjax info clip | head`
        return 1
    except OSError as error:
        if error.errno not in FULL and error.filename is None:
            raise
        # Disk full or file not accessible: a traceback would not help.
        return _complain(f"{escaped(error.filename or 'the output')}: {error.strerror}")
    except SystemExit as leaving:  # tyro exits with 0 for --help, 2 for a bad option
        return leaving.code if isinstance(leaving.code, int) else 2


def parse(name: str, words: Sequence[str]) -> Any:
    """Parse the arguments after the command name into a command with its options.

    Raises:
        SystemExit: Raised by tyro after it has printed the help or the problem with an option.
    """
    import tyro

    command = COMMANDS[name]
    kind = getattr(importlib.import_module(f"gagjax.app.commands.{command.module}"), command.dataclass)
    return tyro.cli(
        kind,
        prog=f"gagjax {name}",
        description=inspect.cleandoc(kind.__doc__ or command.summary),
        args=list(words),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def overview() -> str:
    """The text of `gagjax --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: gagjax COMMAND [options]",
            "",
            "Steadier, livelier, sharper Gaussian head avatars: temporal, expression, gaze and detail enhancement.",
            "",
            "commands:",
            *lines,
            "",
            EXAMPLES,
            "`gagjax COMMAND --help` explains one command; `gagjax --version` prints the version.",
        ]
    )


def _complain(message: str) -> int:
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed; the exit status reports the error as well
        print(f"error: {message}", file=sys.stderr)
    return 2


def _drop_output() -> None:
    """Redirect standard output to the null device, or Python would fail again when closing it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _printable_output() -> Iterator[None]:
    """Escape control characters in what commands print, since much of it comes from files."""
    before = sys.stdout
    if before is None:  # closed by the shell
        with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):  # noqa: PTH123
            yield
        return
    with contextlib.redirect_stdout(Escaping(before)):  # type: ignore[type-var]
        yield


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print user warnings on one line, without the source location."""
    before = warnings.formatwarning

    def one_line(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
        return (
            f"warning: {escaped(message)}\n" if category is UserWarning else before(message, category, *where, **more)
        )

    warnings.formatwarning = one_line
    try:
        yield
    finally:
        warnings.formatwarning = before


class _Stopped(BaseException):
    """A terminating signal as an exception, so that temporary files are removed on the way out."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread can set signal handlers
        yield
        return

    def stop(number: int, frame: types.FrameType | None) -> None:
        raise _Stopped(number)

    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(kind, stop) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
