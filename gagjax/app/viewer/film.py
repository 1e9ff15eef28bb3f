"""Films in the viewer: frames by number, and a track's mesh drawn over them."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw

from gagjax.errors import InputError
from gagjax.track import Track

HEIGHT = 400  # pixels of a kept frame
BEFORE, AFTER = (150, 150, 150), (70, 150, 255)


class Film:
    """Frames of a film by number: read by a thread of its own, scaled down and kept as JPEG.

    Args:
        frames: The frames in order, (H, W, 3) uint8.
        size: Their width and height.
        fps: Frames per second.

    Attributes:
        scale: Kept size over the film's own.
        complaint: What was wrong with the rest of the film, or "".
    """

    def __init__(self, frames: Iterable[Any], size: tuple[int, int], fps: float) -> None:
        self.size, self.fps, self.complaint = size, fps, ""
        self.scale = min(1.0, HEIGHT / size[1])
        self._kept: list[bytes] = []
        self._some = threading.Event()
        self._open = True
        self._thread = threading.Thread(target=self._read, args=(iter(frames),), name="film", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, path: Path) -> Film:
        """A video file, or a folder of pictures."""
        from gagjax.io import video

        frames, info = video.read(path)
        return cls(frames, (info.width, info.height), float(info.fps))

    @classmethod
    def of_track(cls, path: Path, names: tuple[str, ...] | None, fps: float) -> Film | None:
        """The pictures of a GAGAvatar folder by the track's frame names; None where there are none."""
        from gagjax.io.frame_database import FrameDatabase

        folder = path if path.is_dir() else path.parent
        if names is None or not (folder / "img_lmdb").is_dir():
            return None
        database = FrameDatabase(folder)
        present = [name for name in names if name in database]
        if not present:
            return None
        first = database[present[0]]

        def frames() -> Iterator[Any]:
            last = first
            for name in names:
                last = database[name] if name in database else last  # noqa: SIM401  (it has no get)
                yield last

        return cls(frames(), (first.shape[1], first.shape[0]), fps)

    def __len__(self) -> int:
        """How many frames have been read."""
        return len(self._kept)

    def wait(self, whole: bool = False) -> None:
        """Wait until the first frame, or the whole film, has been read.

        Raises:
            InputError: If there is no frame.
        """
        self._some.wait()
        if whole:
            self._thread.join()
        if not self._kept:
            raise InputError(self.complaint or "has no frames", field="film")

    def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """A frame, scaled; the last one that has been read stands for those after it."""
        data = self._kept[min(index, len(self._kept) - 1)]
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))

    def close(self) -> None:
        """Stop reading."""
        self._open = False
        self._thread.join()

    def _read(self, frames: Iterator[Any]) -> None:
        small = (max(2, round(self.size[0] * self.scale)), max(2, round(self.size[1] * self.scale)))
        try:
            for frame in frames:
                if not self._open:
                    break
                file = io.BytesIO()
                Image.fromarray(np.asarray(frame)).resize(small).save(file, "JPEG", quality=88)
                self._kept.append(file.getvalue())
                self._some.set()
        except InputError as error:
            self.complaint = str(error)
        finally:
            self._some.set()


def sees(track: Track, size: tuple[int, int]) -> bool:
    """Whether a track's camera is the one that filmed, so that its mesh lies over the film's frames.

    Args:
        track: The track; one without a lens has GAGAvatar's camera, which sees a crop and not the film.
        size: Width and height of the film's frames.
    """
    lens = track.intrinsics
    return lens is not None and abs(lens.width * size[1] - lens.height * size[0]) <= max(lens.width, lens.height)


def wires_of(faces: Int[np.ndarray, "F 3"], template: Float[np.ndarray, "V 3"]) -> Int[np.ndarray, "E 2"]:
    """Edges of the front of a head, every third one: enough to see how the mesh lies."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]), 1), axis=0)
    depth = template[:, 2]
    return edges[depth[edges].mean(1) > np.quantile(depth, 0.55)][::3]


def drawn_over(
    picture: UInt8[np.ndarray, "h w 3"],
    plane: Float[np.ndarray, "V 2"],
    wires: Int[np.ndarray, "E 2"],
    colour: tuple[int, int, int],
) -> UInt8[np.ndarray, "h w 3"]:
    """A frame with the mesh's wires over it.

    Args:
        picture: The frame.
        plane: Where its vertices are, pixels.
        wires: Edges, pairs of vertices.
        colour: Of the wires.
    """
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for a, b in wires:
        pen.line([*plane[a], *plane[b]], fill=colour, width=1)
    return np.asarray(image)
