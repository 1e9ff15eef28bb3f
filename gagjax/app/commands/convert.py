"""`gagjax convert`: a track from one format into another."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from gagjax.printable import escaped


@dataclass
class Convert:
    """Convert a track into another format; its motion is not changed.

    The suffix of the output chooses the format: .npz is gagjax's own and keeps everything, .pkl is LivePortrait's for a
    track that came from there and GAGAvatar's otherwise, no suffix is a GAGAvatar driver folder.

    examples:
      gagjax convert clip/ clip.npz
      gagjax convert clip.npz driver/
      gagjax convert clip/ flame_param.npz --format vhap
    """

    track: tyro.conf.Positional[Path]
    """The track."""
    out: tyro.conf.Positional[Path]
    """Where to: .npz, .pkl or a folder."""
    format: Literal["gagjax", "gagavatar", "liveportrait", "vhap"] | None = None
    """The format, where the suffix leaves a choice."""
    fps: str | None = None
    """Frame rate, where the file holds none (25 otherwise): 30, 29.97 or 30000/1001."""
    drop_nonfinite: bool = False
    """Take frames with NaN or infinity for frames that the tracker lost, instead of stopping."""
    fill_gaps: bool = False
    """Write the frames that the tracker lost, too: each repeats the one before."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        from gagjax.io import tracks

        track = tracks.load_track(self.track, fps=self.fps, nonfinite="drop" if self.drop_nonfinite else "error")
        layout = self.format or tracks.layout_of(track, self.out)
        for loss in losses(track, layout):
            warnings.warn(loss, stacklevel=1)
        tracks.save_track(
            track,
            self.out,
            format=layout,
            force=self.force,
            fill_gaps=self.fill_gaps,
            frames_from=self.track if self.track.is_dir() else None,
        )
        print(f"{self.out}: {len(track)} frames at {track.fps} fps, {tracks.FORMATS[layout]}")
        return 0


def losses(track: Track, layout: str) -> list[str]:
    """What a format cannot hold of a track."""
    import numpy as np

    found: list[str] = []
    if layout == "gagjax":
        return found
    if layout in ("gagavatar", "vhap") and track.source.startswith("liveportrait"):
        found.append("expression, jaw and eyes are zero: LivePortrait's keypoints are not FLAME's")
    if layout == "gagavatar":
        if track.neck is not None and np.any(track.neck):
            found.append("the neck's rotation is left out: GAGAvatar has none")
        if track.fps != 25:
            found.append(f"the frame rate of {track.fps} is not kept: GAGAvatar's files hold none")
    if layout == "vhap":
        found.append("the camera is left out: these files hold the head's rotation alone")
    known = {
        "gagavatar": {"bbox", "global_rotation"},
        "vhap": {"rotation", "translation"},
        "liveportrait": set(track.extra),
    }[layout]
    others = sorted(set(track.extra) - known)
    if others:
        found.append(f"left out, the format has no place for them: {', '.join(map(escaped, others))}")
    return found
