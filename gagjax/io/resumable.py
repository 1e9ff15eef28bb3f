"""Resumable video output: finished parts stay on disk, and the next run continues after them.

A hidden folder beside the output holds one file per part and the state from which the next part starts. Every part
begins with a key frame, whether or not a run was interrupted there, so the joined video is the same. Joining copies
packets; nothing is encoded twice.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.io.untrusted.checkpoints import load_npz
from gagjax.io.video import encoding, opened
from gagjax.io.video.encoding import Coding
from gagjax.io.video.sound import Sound
from gagjax.io.video.writing import write

try:
    import fcntl
except ImportError:  # Windows: concurrent runs with the same output are not detected
    fcntl = None  # type: ignore[assignment]

JOB = "job.json"


class Parts:
    """The finished parts of one output, to which further parts can be added; see `kept`.

    Attributes:
        frames: Number of frames in the finished parts.
        state: The arrays stored with the last part; None without parts.
    """

    def __init__(self, folder: Path, kind: encoding.Kind) -> None:
        self.folder, self.kind = folder, kind
        self.frames, self.state = 0, None
        self._files: list[Path] = []
        self._starts: list[Fraction] = []
        while (end := folder / f"{len(self._files):05d}.npz").is_file():
            stored = load_npz(end)
            try:
                self.frames = int(stored["frames"])
                self._starts.append(Fraction(str(stored["start"])))
                self.state = [stored[f"state{i}"] for i in range(int(stored["leaves"]))]
            except (KeyError, ValueError, TypeError) as error:
                raise InputError("is no part of a video", file=end, fix=f"Remove the folder {folder}") from error
            self._files.append(end.with_suffix(encoding.part_suffix(kind)))

    @contextlib.contextmanager
    def begun(self, coding: Coding) -> Iterator[Part]:
        """The next part, open for frames; it is kept only once its `end` has been called."""
        part = Part(self, self.folder / f"{len(self._files):05d}{encoding.part_suffix(self.kind)}", coding)
        try:
            yield part
        finally:
            part.close()

    def join(self, path: Path, coding: Coding, *, audio_from: Path | None = None, force: bool = False) -> int:
        """Join all parts into one video.

        Args:
            path: The output.
            coding: How the parts were encoded.
            audio_from: A file whose audio is copied, or re-encoded if the container cannot hold it.
            force: Replace an existing output.

        Returns:
            The number of frames.

        Raises:
            InputError: If there are no frames, the output exists, or the container cannot hold the audio.
        """
        if not self._files:
            raise InputError("there is no frame to write", file=path)
        if self.kind in ("gif", "pictures"):
            pictures, stamps = itertools.tee(self._pictures())
            stamped = (time for _, time in stamps)
            write(path, (each for each, _ in pictures), coding.rate, times=stamped, force=force)
            return self.frames
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic.output(path, force))
            first = stack.enter_context(opened(self._files[0]))
            output = stack.enter_context(av.open(str(temporary.resolve()), "w", options=encoding.muxer_options(path)))
            stream = output.add_stream_from_template(first.streams.video[0])
            stream.time_base = first.streams.video[0].time_base
            sound = None
            if audio_from is not None:
                sound = stack.enter_context(Sound.opened(audio_from, output, path, encode=True))
            latest = None
            for packet in self._packets():
                if sound is not None:
                    sound.copy_until(float(packet.pts * packet.time_base))
                # With variable frame rate, a part's first decoding times can precede the last of the previous part.
                if latest is not None and packet.dts <= latest:
                    packet.dts = latest + 1
                latest = packet.dts
                packet.stream = stream
                output.mux(packet)
            if sound is not None:
                sound.copy_until(None)
        return self.frames

    def _packets(self) -> Iterator[Any]:
        for file, start in zip(self._files, self._starts, strict=True):
            with opened(file) as container:
                source = container.streams.video[0]
                shift = round(start / source.time_base)
                for packet in container.demux(source):
                    if packet.size and packet.pts is not None:
                        packet.pts += shift
                        packet.dts = packet.pts if packet.dts is None else packet.dts + shift
                        yield packet

    def _pictures(self) -> Iterator[tuple[Any, Fraction]]:
        """The frames of lossless parts, each with its time."""
        for file, start in zip(self._files, self._starts, strict=True):
            with opened(file) as container:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray(format="rgb24"), start + frame.pts * frame.time_base


class Part:
    """One part during encoding."""

    def __init__(self, parts: Parts, file: Path, coding: Coding) -> None:
        self._parts, self._file, self._coding = parts, file, coding
        self._temporary = file.with_name(f"open{file.suffix}")
        self._output: Any = None
        self._stream: Any = None
        self._start = Fraction(0)
        self.frames = 0

    def put(self, picture: UInt8[np.ndarray, "H W 3"], time: Fraction) -> None:
        """Encode the next frame."""
        picture = self._coding.fitted(picture)
        if self._output is None:
            self._start = Fraction(time)
            self._output = av.open(str(self._temporary.resolve()), "w")
            self._stream = encoding.encoder(self._output, picture.shape, self._coding)
        encoding.encode(self._output, self._stream, picture, Fraction(time) - self._start)
        self.frames += 1

    def end(self, state: Iterable[np.ndarray]) -> None:
        """Finish the part: from now on it is kept."""
        self._output.mux(self._stream.encode())
        self.close()
        leaves = [np.asarray(each) for each in state]
        stored: dict[str, Any] = {f"state{i}": each for i, each in enumerate(leaves)}
        frames = self._parts.frames + self.frames
        mark = self._file.with_suffix(".npz")
        half = mark.with_name("open.npz")
        np.savez(half, frames=frames, start=str(self._start), leaves=len(leaves), **stored)
        for temporary, place in ((self._temporary, self._file), (half, mark)):  # the mark last: it makes the part valid
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(place)
        self._parts.frames, self._parts.state = frames, leaves
        self._parts._files.append(self._file)
        self._parts._starts.append(self._start)

    def close(self) -> None:
        """Close the file, whether finished or not."""
        if self._output is not None:
            self._output.close()
            self._output = None


@contextlib.contextmanager
def kept(path: Path, job: Mapping[str, Any]) -> Iterator[Parts]:
    """The parts of an output finished by an earlier run of the same job.

    The parts are removed when the block succeeds. Otherwise they are kept, if there are any, so that the next run can
    continue after them.

    Args:
        path: The output; the folder of the parts is beside it.
        job: Everything that determines the output. Parts of another job are discarded.

    Raises:
        InputError: If another run is writing the same output, or the folder cannot be written.
    """
    folder = path.parent / f".{path.name}.parts"
    missing = [parent for parent in path.parents if not parent.exists()]
    text = json.dumps(dict(job), sort_keys=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", file=path, fix="Choose another place with -o"
        ) from error
    try:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError("is being written by another run", file=path, fix="Let that one end") from None
            except OSError:
                pass  # some network file systems have no locks
        try:
            if not (folder / JOB).is_file() or (folder / JOB).read_text(encoding="utf-8") != text:
                for old in folder.iterdir():
                    old.unlink()
                (folder / "open.json").write_text(text, encoding="utf-8")
                (folder / "open.json").replace(folder / JOB)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", file=folder, fix="Remove that folder") from error
        parts = Parts(folder, encoding.kind_of(path))
        try:
            with atomic.no_room(path):
                yield parts
        except BaseException:
            if not parts.frames:
                _removed(folder, missing)
            raise
        _removed(folder, missing)
    finally:
        os.close(lock)


def _removed(folder: Path, missing: list[Path]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for parent in missing:  # only if empty: the output may be in them
        with contextlib.suppress(OSError):
            parent.rmdir()
