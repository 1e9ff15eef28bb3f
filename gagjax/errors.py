"""The errors of gagjax and bridge: one base class and one subclass per kind of failure."""

from __future__ import annotations

from pathlib import Path

from gagjax.text.printable import escaped


class GagjaxError(Exception):
    """Base class of every error that gagjax and bridge raise on purpose."""


class SplattingError(GagjaxError, ValueError):
    """Gaussians, cameras or a backend that the rasterizer cannot use; says which and why."""


class InputError(GagjaxError, ValueError):
    """Input that cannot be used: says which file, which field and what to do.

    The command line prints the message alone and exits with status 2.

    Args:
        problem: What is wrong, as a short clause ("has 99 columns, expected 100").
        file: The file or folder concerned, if any.
        field: The field inside it, if any.
        fix: What the user can do about it.
    """

    def __init__(
        self, problem: str, *, file: str | Path | None = None, field: str | None = None, fix: str | None = None
    ) -> None:
        # Each may quote untrusted file content: the message is kept printable, on one line and of bounded length.
        problem, field = _short(problem, 400), None if field is None else _short(field, 120)
        self.problem, self.file, self.field, self.fix = problem, file, field, fix
        where = ": ".join(escaped(part) for part in (file, field) if part is not None)
        message = f"{where}: {problem}" if where else problem
        super().__init__(f"{message}. {_short(fix, 600)}" if fix else message)


class ExistsError(InputError):
    """An output that already exists and may not be replaced.

    Args:
        file: The file or folder.
    """

    def __init__(self, file: str | Path) -> None:
        super().__init__("exists already", file=file, fix="Choose another name, or pass force=True to replace it")


class NoFaceError(InputError):
    """A film or picture in which no face was found."""


def _short(text: object, limit: int) -> str:
    line = escaped(" ".join(str(text)[: 4 * limit].split()))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
