"""Where the eyes and the face are in the frames of a tracked video, for the frame enhancements."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

SOFT = 0.06  # softness of the face mask's edge, as a part of the face's height


class Faces(NamedTuple):
    """A face through a video.

    Attributes:
        landmarks: As fractions of the picture's width and height, (T, 478, 2); NaN where no face was found.
        valid: Frames whose fit is good: eyes of the others are not to be trusted.
    """

    landmarks: Float[np.ndarray, "T 478 2"]
    valid: Bool[np.ndarray, "T"]

    def found(self, start: int, count: int) -> Bool[np.ndarray, "count"]:
        """Which frames from `start` on show the face; frames beyond the track do not."""
        here = np.isfinite(self.landmarks[start : start + count, 0, 0])
        return np.concatenate([here, np.zeros(count - len(here), bool)])

    def eye_centres(self, start: int, count: int, height: int, width: int) -> Float[np.ndarray, "count 2 2"]:
        """Middles of the eyes for `enhance_frames`: 0 and 1 are the outermost pixels' centres; NaN where unknown.

        Args:
            start: The first frame.
            count: How many.
            height, width: Of the frames, pixels.
        """
        from gagjax.tracking import points

        part = self.landmarks[start : start + count][:, points.LIDS[:, :2]].mean(2)
        part = np.where(self.valid[start : start + count, None, None], part, np.nan)
        size = np.array([width, height], np.float32)
        whole = np.full((count, 2, 2), np.nan, np.float32)
        whole[: len(part)] = (part * size - 0.5) / np.maximum(size - 1, 1)
        return whole

    def mask(self, frame: int, height: int, width: int) -> Float[np.ndarray, "height width 1"]:
        """How much of each pixel is the face, soft at its outline; 0 everywhere where there is none."""
        from PIL import Image, ImageDraw, ImageFilter

        from gagjax.tracking import points

        image = Image.new("L", (width, height))
        if self.found(frame, 1)[0]:
            outline = self.landmarks[frame, points.OVAL] * [width, height]
            ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in outline], fill=255)
            image = image.filter(ImageFilter.GaussianBlur(SOFT * float(np.ptp(outline[:, 1]))))
        return np.asarray(image, np.float32)[..., None] / 255

    def digest(self) -> str:
        """What tells these faces from others."""
        return hashlib.sha256(self.landmarks.tobytes() + self.valid.tobytes()).hexdigest()


def faces_in(video: Path, output: Path, *, again: bool = False) -> Faces | None:
    """The face of a video, which is tracked first; None, said in one line, where the whole frames are enhanced alike.

    Args:
        video: Any input of `gagjax video`.
        output: Its output; the track is kept beside it.
        again: Track again even if a track exists.
    """
    from gagjax.app.workflows.track import landmarks_of, tracked_first
    from gagjax.errors import InputError, NoFaceError
    from gagjax.io import suffixes
    from gagjax.tracking import models, sources

    if not (video.is_file() and suffixes.is_video(video)):
        return None
    if not models.complete():
        print(f"{video}: the eyes are left alone, as the face networks are not here (gagjax models fetches them)")
        return None
    try:
        kept = tracked_first(video, output, again=again)
    except NoFaceError as error:
        print(f"{video}: {error.problem}: whole frames are enhanced")
        return None
    marks, valid = landmarks_of(kept)
    source = sources.open_source(video)
    if len(marks) != source.count:
        raise InputError(f"is of {len(marks)} frames, not {source.count}", file=kept, fix="Pass --force-retrack")
    size = np.array([source.width, source.height], np.float32)
    return Faces(marks[..., :2] / size, valid)
