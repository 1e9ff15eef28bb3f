"""`gagjax convert`: convert a track to another format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Convert:
    """Convert a track to another format; its motion does not change.

    The suffix of the output selects the format: .npz is gagjax's own and keeps everything; .pkl is LivePortrait's for a
    track that came from LivePortrait and GAGAvatar's otherwise; .pt is ARTalk's for *_motions.pt and GAGAvatar's otherwise;
    .csv and .json hold ARKit's weights; no suffix is a GAGAvatar driver folder. The
    command reports what the format cannot store. The file's other contents are kept in .npz and restored when it is
    converted back to its original format.

    ARKit's weights name no head, and lid parameters are not part of FLAME: with --flame they become expression coefficients
    of that head, and the other way round motion becomes ARKit's weights. --from-flame and --to-flame carry the coefficients
    of one FLAME model over to another, by least squares through their meshes.

    examples:
      gagjax convert clip/ clip.npz --fps 30
      gagjax convert clip.npz driver/
      gagjax convert clip/ vhap/ --format vhap
      gagjax convert take.csv clip.npz --flame generic_model.pkl
      gagjax convert clip.npz face.csv --flame generic_model.pkl
      gagjax convert clip.npz -o clip2023.npz --from-flame FLAME2020.pkl --to-flame FLAME2023.pkl
    """

    track: tyro.conf.Positional[Path]
    """The track to convert."""
    out: tyro.conf.Positional[Path | None] = None
    """Output: .npz, .pkl, .pt, .csv, .json or a folder."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The same as the second argument."""
    format: (
        Literal[
            "gagjax",
            "gagavatar",
            "liveportrait",
            "vhap",
            "lam",
            "artalk",
            "livelink",
            "arkit",
            "audio2face",
            "mediapipe",
        ]
        | None
    ) = None
    """Output format, where the suffix is ambiguous."""
    from_format: Literal["deca", "smirk", "artalk", "livelink-radians"] | None = None
    """How to read an input that does not say what it is: a bare array of codes, or Live Link Face angles in radians."""
    flame: str | None = None
    """FLAME file of the track's head, or "builtin": takes up ARKit's weights and lid parameters, and makes weights."""
    from_flame: Path | None = None
    """FLAME file that the track's coefficients belong to; with --to-flame."""
    to_flame: Path | None = None
    """FLAME file whose coefficients are wanted."""
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

        out = self._target()
        if (self.from_flame is None) != (self.to_flame is None):
            raise InputError("go together", field="--from-flame, --to-flame", fix="Name both FLAME files")
        track = tracks.load_track(
            self.track,
            fps=self.fps,
            nonfinite="drop" if self.drop_nonfinite else "error",
            format=self.from_format,
        )
        layout = self.format or tracks.layout_of(track, out)
        tracks.check_output(out, layout, self.force, track=track)
        said: list[str] = []
        if self.flame is not None:  # which needs JAX
            from gagjax.app.workflows.convert import onto_head

            track, said = onto_head(track, self.flame, layout)
        if self.from_flame is not None and self.to_flame is not None:
            from gagjax.app.workflows.convert import between_heads

            track, more = between_heads(track, self.from_flame, self.to_flame)
            said += more
        tracks.save_track(
            track,
            out,
            format=layout,
            force=self.force,
            fill_gaps=self.fill_gaps,
            frames_from=self.track if self.track.is_dir() else None,
        )
        for line in said:
            print(line)
        print(f"{out}: {len(track)} frames at {track.fps} fps, {tracks.FORMATS[layout]}")
        return 0

    def _target(self) -> Path:
        given = [each for each in (self.out, self.output) if each is not None]
        if len(given) != 1:
            problem = "is named twice" if given else "is missing"
            raise InputError(problem, field="output", fix="gagjax convert TRACK OUTPUT, or TRACK -o OUTPUT")
        return given[0]
