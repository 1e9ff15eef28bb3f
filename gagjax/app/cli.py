"""`gagjax`: finds the command, prints what a user can act on, returns the exit status.

Status: 0 done, 1 a defect of ours (with its traceback), 2 input that cannot be used, 130 stopped by Ctrl-C, 143 and
129 stopped by a signal. Nothing here imports JAX, so that help and mistakes answer at once.
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
    """Where a command lives: a dataclass in `gagjax.app.commands.<module>` with a method `run() -> int`."""

    module: str
    dataclass: str
    summary: str


# To add a command: write its module, add one line here.
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
    "live": Command("live", "Live", "a track or a camera, enhanced while it comes"),
    "convert": Command("convert", "Convert", "a track from one format into another"),
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
        argv: The words after `gagjax`; None takes them from the process.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of files need not be text in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
    except OSError as error:  # of help that is longer than what a full disk still buffers
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
        # Libraries name their argument, the command line its flag.
        return _complain(str(error).replace("force=True", "--force"))
    except _Stopped as stopped:
        print(f"stopped by {stopped.signal.name}", file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()  # its reader went away: `gagjax info clip | head`
        return 1
    except OSError as error:
        if error.errno not in FULL and error.filename is None:
            raise
        # A disk that is full, or a file that the system does not give: nothing that a traceback would explain.
        return _complain(f"{escaped(error.filename or 'the output')}: {error.strerror}")
    except SystemExit as leaving:  # tyro: --help is 0, a wrong option 2
        return leaving.code if isinstance(leaving.code, int) else 2


def parse(name: str, words: Sequence[str]) -> Any:
    """A command with its options, from the words after its name.

    Raises:
        SystemExit: By tyro, after it has printed help or what is wrong with an option.
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
    with contextlib.suppress(OSError, ValueError):  # nobody reads it: the status says it, too
        print(f"error: {message}", file=sys.stderr)
    return 2


def _drop_output() -> None:
    """Let nothing more be written to standard output: Python would fail again while it closes it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _printable_output() -> Iterator[None]:
    """What commands print, control characters escaped: much of it comes from files."""
    before = sys.stdout
    if before is None:  # the shell has closed it
        with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):  # noqa: PTH123
            yield
        return
    with contextlib.redirect_stdout(Escaping(before)):  # type: ignore[type-var]
        yield


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings for the user in one line, without the place in our code that gave them."""
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
    """A signal that ends the process, as an exception: temporary files are removed on the way out."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signal handlers belong to the main thread
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
