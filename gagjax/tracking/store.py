"""Landmarks on the disk while a film is gone through: what is there is not looked for again, and memory stays small."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from gagjax.errors import InputError
from gagjax.tracking.faces.following import Follower
from gagjax.tracking.faces.regions import Region
from gagjax.tracking.sources import Source

EVERY = 50  # frames from one note of progress to the next
_POINTS, _MOUTH = 478 * 3, 12 * 12 * 3
_ROW = _POINTS + 2 + _MOUTH  # landmarks, confidence, whether a shot begins, the mouth's pixels


class LandmarkStore:
    """The landmarks of a source, in a hidden folder beside the output.

    Args:
        output: The output that they are for.
        source: What is tracked.
        which: The face that is followed.
    """

    def __init__(self, output: Path, source: Source, which: str | int) -> None:
        self.folder = output.parent / f".{output.name}.tracking"
        self.source, self.which = source, which
        self._made: list[Path] = []
        self._rows, self._note = self.folder / "landmarks.f32", self.folder / "progress.json"

    def collect(self, tell: Callable[[int], None] = lambda done: None) -> None:
        """Go through the frames that have not been looked at yet.

        Args:
            tell: Told how many frames are done, frame by frame.

        Raises:
            InputError: If a frame cannot be read, or the models are not installed.
        """
        self._made = [parent for parent in self.folder.parents if not parent.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror or error}",
                file=self.folder.parent,
                fix="Choose another place with -o",
            ) from error
        done, follower = self._resumed()
        with self._rows.open("r+b" if self._rows.exists() else "w+b") as file:
            file.truncate(done * _ROW * 4)
            file.seek(0, 2)
            tell(done)
            for picture in self.source.frames(done):
                look = follower(picture)
                row = np.concatenate([look.points.ravel(), [look.confidence, float(look.cut)], look.mouth.ravel()])
                file.write(row.astype("<f4").tobytes())
                done += 1
                tell(done)
                if done % EVERY == 0:
                    file.flush()
                    self._write(done, follower)
            file.flush()
            self._write(done, follower)

    def landmarks(self) -> Float[np.ndarray, "T 478 3"]:
        """The landmarks in pixels, NaN where no face was found; read from the disk as they are used."""
        return self._mapped()[:, :_POINTS].reshape(-1, 478, 3)

    def cuts(self) -> np.ndarray:
        """Whether a shot begins with each frame, (T,)."""
        return np.asarray(self._mapped()[:, _POINTS + 1]) > 0.5

    def mouths(self) -> UInt8[np.ndarray, "T 12 12 3"]:
        """The mouths' surroundings, for `gagjax.tracking.faces.cover`."""
        return np.asarray(self._mapped()[:, _POINTS + 2 :]).astype(np.uint8).reshape(-1, 12, 12, 3)

    def remove(self) -> None:
        """Remove what was kept, and folders that were made for it and hold nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for parent in self._made:
            with contextlib.suppress(OSError):
                parent.rmdir()

    def _mapped(self) -> np.ndarray:
        return np.memmap(self._rows, "<f4", "r").reshape(-1, _ROW)

    def _key(self) -> dict[str, Any]:
        return {"source": self.source.mark(), "face": str(self.which), "row": _ROW}

    def _resumed(self) -> tuple[int, Follower]:
        follower = Follower(which=self.which)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self._note.read_text("utf-8"))
            if note["key"] == self._key() and self._rows.stat().st_size >= note["done"] * _ROW * 4:
                state = note["state"]
                follower.region = Region(*state["region"]) if state["region"] else None
                follower.last = Region(*state["last"]) if state["last"] else None
                follower.missing = int(state["missing"])
                for name in ("cuts", "brows"):
                    finder, kept = getattr(follower, name), state[name]
                    finder.before = None if kept["before"] is None else np.array(kept["before"], np.float32)
                    finder.recent = tuple(kept["recent"])
                return int(note["done"]), follower
        return 0, follower

    def _write(self, done: int, follower: Follower) -> None:
        state: dict[str, Any] = {
            "region": follower.region,
            "last": follower.last,
            "missing": follower.missing,
        }
        for name, finder in (("cuts", follower.cuts), ("brows", follower.brows)):
            before = None if finder.before is None else finder.before.tolist()
            state[name] = {"before": before, "recent": list(finder.recent)}
        temporary = self._note.with_suffix(".new")
        temporary.write_text(json.dumps({"key": self._key(), "done": done, "state": state}), "utf-8")
        temporary.replace(self._note)
