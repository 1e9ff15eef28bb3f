"""`gagjax enhance`: smooth and correct tracks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.stack import Stack


@dataclass
class Enhance:
    """Enhance a track: smooth it over time, correct its expression and gaze.

    A video is tracked first, and its track is kept beside the output. Reads GAGAvatar_track folders, optim.pkl and smoothed.pkl, LivePortrait templates, VHAP and GaussianAvatars .npz and
    folders, and gagjax .npz. The output has the input's format unless its suffix says otherwise; the file's other
    contents are kept unchanged, and the command reports what another format cannot store. An output without suffix is a
    folder: in VHAP's format for VHAP parameters, otherwise one that drives the original GAGAvatar. With several tracks,
    or an output that ends in a slash, each track keeps its name and format inside that folder. Frames that the tracker
    lost count in the smoothing and are left out of the output where the format can mark them.

    examples:
      gagjax enhance clip/ -o steady/
      gagjax enhance talking.pkl -o steady.pkl
      gagjax enhance *.pkl -o steady/
      gagjax enhance film.mp4 -o steady.npz
      gagjax enhance clip/ -o steady.npz --enable temporal --fps 30
    """

    track: tyro.conf.Positional[tuple[Path, ...]]
    """One or more tracks, or videos, which are tracked first."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Output: .pkl, .npz, or a folder."""
    preset: str = "default"
    """default, live, reference, quality, balanced, fast, interaction, smooth, or a preset file."""
    enable: tuple[Literal["temporal", "expression", "gaze"], ...] = ()
    """Run only these enhancements."""
    fps: str | None = None
    """Frame rate to assume if the file has none; 25 by default. Examples: 30, 29.97, 30000/1001."""
    drop_nonfinite: bool = False
    """Treat frames with NaN or infinity as lost by the tracker, instead of stopping."""
    fill_gaps: bool = False
    """Also write frames that the tracker lost."""
    flame: Path | None = None
    """The FLAME file to track videos with; the built-in head by default."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track videos again even if their tracks exist beside the output."""
    force: bool = False
    """Replace an existing output."""

    def run(self) -> int:
        from gagjax.app import presets

        if not self.track:
            raise InputError("names no track", field="track", fix="Pass a track")
        stack = presets.stack_of(self.preset, self.enable)
        for number, (source, target) in enumerate(self._targets()):
            if number:
                print()
            self._one(source, target, stack)
        return 0

    def _targets(self) -> list[tuple[Path, Path]]:
        """Pair each track with its output path, after checking that all may be written."""
        from gagjax.app.workflows.track import is_film
        from gagjax.io import atomic

        out = Path(self.out)
        inside = len(self.track) > 1 or (self.track[0].is_file() and self.out.endswith(("/", os.sep)))
        if inside and self._is_driver(self.track):
            inside = False  # a single GAGAvatar file: the folder drives the original
        if not inside:
            return [(self.track[0], out)]
        if out.suffix:
            raise InputError(
                f"is one file for {len(self.track)} tracks", file=out, fix="Name a folder: it keeps their names"
            )
        if out.exists() and not out.is_dir():
            raise InputError("is a file; several tracks go into a folder", file=out, fix="Choose another name")
        found: dict[str, Path] = {}
        for source in self.track:
            name = source.resolve().name if source.name in ("", "..") else source.name
            if is_film(source):
                name = f"{source.stem}.npz"
            if name in found:
                raise InputError(
                    f"and {found[name]} would both become {out / name}",
                    file=source,
                    fix="Rename one, or enhance them into two folders",
                )
            found[name] = source
            if (out / name).resolve() == source.resolve():
                raise InputError("would be replaced by its own result", file=source, fix="Choose another folder")
            if (out / name).exists():
                atomic.check(out / name, self.force, folder=source.is_dir())
        return [(source, out / name) for name, source in found.items()]

    @staticmethod
    def _is_driver(sources: tuple[Path, ...]) -> bool:
        from gagjax.app.workflows.track import is_film
        from gagjax.io import tracks

        return len(sources) == 1 and (is_film(sources[0]) or tracks.find(sources[0]).format == "gagavatar")

    def _one(self, source: Path, out: Path, stack: Any) -> None:
        from gagjax.app.reports import summary
        from gagjax.app.waiting import waiting
        from gagjax.app.workflows.enhance import enhanced, fitting
        from gagjax.app.workflows.track import folder_of, is_film, tracked_first
        from gagjax.io import atomic, tracks

        frames = source if source.is_dir() else None
        if is_film(source):
            atomic.check(out, self.force, folder=not out.suffix)
            source = tracked_first(source, out, flame=self.flame, again=self.force_retrack, pictures=not out.suffix)
            frames = None if out.suffix else folder_of(source)
        found = tracks.find(source)
        if found.format == "portraits":
            raise InputError(
                "holds portraits, which are not frames of one clip", file=found.file, fix="Pass a tracked video"
            )
        track = tracks.read(found, fps=self.fps, nonfinite="drop" if self.drop_nonfinite else "error")
        layout = tracks.layout_of(track, out, like=found.format)
        if found.format == "liveportrait" and layout == "gagavatar":
            raise InputError(
                "has no suffix, which means a GAGAvatar folder: a LivePortrait template holds no FLAME expression for it",
                file=out,
                fix=f"Use {out.with_suffix('.pkl')}, or {out}/ for a folder that keeps names and formats",
            )
        tracks.check_output(out, layout, self.force, track=track)
        if len(track) < 2:
            raise InputError(
                "has one frame", file=found.file, fix="A clip has at least two; a still needs no smoothing"
            )
        stack, said = fitting(stack, track)
        with waiting(f"enhancing {len(track)} frames; the first clip of a length compiles a program"):
            after = enhanced(stack, track)
        tracks.save_track(
            after,
            out,
            format=layout,
            force=self.force,
            fill_gaps=self.fill_gaps,
            frames_from=frames,
        )
        parts, after_parts = track.split(), after.split()
        for name, part in parts.items():
            if len(parts) > 1:
                print(f"sequence {name}: {len(part)} frames")
            print(summary.table(part, after_parts[name]))
        missing = summary.gaps(track)
        if missing:
            print(f"missing frames: {missing}")
        for line in said:
            print(line)
        where = "a folder, since it has no suffix: " if out.is_dir() and not source.is_dir() else ""
        print(f"{out}: {where}{len(after)} frames at {track.fps} fps, {tracks.FORMATS[layout]}, by {_ran(stack)}")


def _ran(stack: Stack) -> str:
    names = [name for name in ("temporal", "expression", "gaze") if getattr(stack, name) is not None]
    return ", ".join(names) if names else "nothing (this preset enhances no tracks)"
