"""The manifest of a batch: one JSON line per finished clip, appended when the clip ends."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from gagjax.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: concurrent runs are not detected
    fcntl = None  # type: ignore[assignment]


class Entry(NamedTuple):
    """The last outcome of a clip.

    Attributes:
        status: "done" or "failed".
        stamp: Identifies the source, as opposed to an earlier file of the same name.
        reason: Reason of the failure.
    """

    status: str
    stamp: str
    reason: str


class Manifest:
    """The recorded outcome of each result; see `opened`."""

    def __init__(self, path: Path, entries: dict[str, Entry], file: TextIO) -> None:
        self.path, self._entries, self._file = path, entries, file

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, config: Mapping[str, Any], *, force: bool = False) -> Iterator[Manifest]:
        """Open the manifest at a path, creating it if needed, for one run at a time.

        Args:
            path: The file; a line left incomplete by a killed run is ignored.
            config: How clips are processed. Results of two configurations never mix in one manifest.
            force: Start over.

        Raises:
            InputError: If it belongs to another configuration or a running batch, is no manifest, or cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", file=path, fix="Choose another place") from error
        with file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise InputError("is in use by another run", file=path, fix="Let that one end") from None
                except OSError:
                    pass  # some network file systems do not support locks
            file.seek(0)
            lines = file.read().splitlines()
            if force or not lines:
                file.truncate(0)
                lines = []
            entries = _entries(lines, config, path)
            if not lines:
                _append(file, {"config": dict(config)})
            elif not _complete(path):
                file.write("\n")  # terminate the incomplete line of a killed run
            yield cls(path, entries, file)

    def get(self, result: str) -> Entry | None:
        """The last outcome of the clip with this result; None if there is none."""
        return self._entries.get(result)

    def add(self, result: str, source: str, stamp: str, reason: str | None) -> None:
        """Record that a clip ended, with the reason if it failed. On disk when this returns."""
        entry = Entry("done" if reason is None else "failed", stamp, reason or "")
        self._entries[result] = entry
        _append(self._file, {"result": result, "source": source, **entry._asdict()})


def _append(file: TextIO, line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()
    os.fsync(file.fileno())


def _complete(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _entries(lines: list[str], config: Mapping[str, Any], path: Path) -> dict[str, Entry]:
    parsed = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            parsed.append(json.loads(line))
    dicts = [each for each in parsed if isinstance(each, dict)]
    if not lines:
        return {}
    if not dicts or not isinstance(dicts[0].get("config"), dict):
        raise InputError("is no manifest of a batch", file=path, fix="Choose another folder, or pass --force")
    if dicts[0]["config"] != dict(config):
        before = dicts[0]["config"].get("preset")
        raise InputError(
            f"is of a run with other settings (preset {before})",
            file=path,
            fix="Use the same, choose another folder, or pass --force to do everything again",
        )
    return {
        str(each["result"]): Entry(each["status"], str(each.get("stamp", "")), str(each.get("reason", "")))
        for each in dicts[1:]
        if "result" in each and each.get("status") in ("done", "failed")
    }
