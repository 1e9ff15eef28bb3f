"""`gagjax convert`: convert a track to another format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass
class Convert:
    """Convert a track to another format; its motion does not change.

    The suffix of the output selects the format: .npz is gagjax's own and keeps everything; .pkl is LivePortrait's for a
    track that came from LivePortrait and GAGAvatar's otherwise; no suffix is a GAGAvatar driver folder. The
    command reports what the format cannot store. The file's other contents are kept in .npz and restored when it is
    converted back to its original format.

    examples:
      gagjax convert clip/ clip.npz
      gagjax convert clip.npz driver/
      gagjax convert clip/ flame_param.npz --format vhap
      gagjax convert clip/ vhap/ --format vhap
    """

    track: tyro.conf.Positional[Path]
    """The track to convert."""
    out: tyro.conf.Positional[Path]
    """Output: .npz, .pkl or a folder."""
    format: Literal["gagjax", "gagavatar", "liveportrait", "vhap"] | None = None
    """Output format, where the suffix is ambiguous."""
    fps: str | None = None
    """Frame rate to assume if the file has none; 25 by default. Examples: 30, 29.97, 30000/1001."""
    drop_nonfinite: bool = False
    """Treat frames with NaN or infinity as lost by the tracker, instead of stopping."""
    fill_gaps: bool = False
    """Also write frames that the tracker lost; each repeats the frame before it."""
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
