"""`gagjax convert`: a track from one format into another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass
class Convert:
    """Convert a track into another format; its motion is not changed.

    The suffix of the output chooses the format: .npz is gagjax's own and keeps everything, .pkl is LivePortrait's for a
    track that came from there and GAGAvatar's otherwise, no suffix is a GAGAvatar driver folder. What the format cannot
    hold is said; what the file holds besides the motion goes into .npz, and back into a file of its format.

    examples:
      gagjax convert clip/ clip.npz
      gagjax convert clip.npz driver/
      gagjax convert clip/ flame_param.npz --format vhap
      gagjax convert clip/ vhap/ --format vhap
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
