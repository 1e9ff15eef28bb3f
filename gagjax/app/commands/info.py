"""`gagjax info`: identify a file and summarise its contents."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from gagjax.errors import InputError
from gagjax.text.printable import escaped
from gagjax.text.table import text_table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gagjax.io.tracks import Found
    from gagjax.io.video.describing import VideoInfo
    from gagjax.track import Track


@dataclass
class Info:
    """Identify a file and summarise it: track, portraits, video, images, frame database, FLAME model or checkpoint.

    For a track, lists frames, rate, missing frames, channels and jitter, and warns of likely problems.

    examples:
      gagjax info clip/
      gagjax info talking.pkl
      gagjax info driver.mp4
    """

    path: Positional[Path]
    """File or folder."""
    format: Literal["deca", "smirk", "artalk", "livelink-radians"] | None = None
    """How to read a track that does not say what it is: a bare array of codes, or Live Link Face angles in radians."""

    def run(self) -> int:
        title, lines, remarks = describe(self.path, self.format)
        print(f"{escaped(self.path)}: {title}")
        if lines:
            print(text_table([(f"  {escaped(word)}", escaped(text)) for word, text in lines], left=2))
        for remark in remarks:
            print(f"  warning: {escaped(remark)}")
        return 0


Lines = list[tuple[str, str]]


def describe(path: Path, format: str | None = None) -> tuple[str, Lines, list[str]]:
    """Identify a path: a title, (label, text) pairs, and warnings.

    Args:
        path: A file or a folder.
        format: How to read a track that does not say what it is.

    Raises:
        InputError: If the kind of file is not known.
    """
    from gagjax.io import suffixes, tracks, video

    suffix = path.suffix.lower()
    if not path.exists():
        raise InputError("does not exist", file=path)
    if path.is_dir() and (path / "data.mdb").is_file():
        return _database(path)
    if suffixes.is_video(path) if path.is_file() else video.is_stills(path):
        return _video(path)
    if path.is_file() and suffixes.is_image(path):
        from gagjax.io import images

        height, width = images.read(path).shape[:2]
        through = ["what is seen through is put over black"] if images.is_transparent(path) else []
        return "image", [("size", f"{width}×{height}")], through
    if format is None and path.is_file() and suffix in (".pt", ".pth", ".pkl", ".pickle", ".npz"):
        model = _model(path)
        if model is not None:
            return model
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = tracks.find(path, format)
        if found.format == "portraits":
            return _portraits(found)
        track = tracks.read(found, nonfinite="drop")
    remarks = [str(warning.message) for warning in caught] + list(_remarks(found, track, path))
    inside = "" if found.file == path else f", {found.file.name}"
    title = tracks.FORMATS[found.format.removesuffix("-radians")]
    return f"{title}{inside}", _of_track(track), remarks


def _of_track(track: Track) -> Lines:
    from gagjax.app.reports import summary
    from gagjax.io.formats.catalogue import SUFFIXES
    from gagjax.io.formats.losses import unread

    lines = [*summary.describe(track), ("source", track.source)]
    origin = track.origin
    while origin is not None and origin.format == "gagjax":
        origin = origin.before
    carried = [] if origin is None else sorted(map(str, unread(origin)))
    word = "carried along" if origin is not None and origin.format in SUFFIXES else "left unread"
    return lines + ([(word, ", ".join(carried))] if carried else [])


def _remarks(found: Found, track: Track, path: Path) -> Iterable[str]:
    from gagjax.app.workflows.enhance import MARK
    from gagjax.expression.arkit.channels import needs_head
    from gagjax.io import tracks

    if track.source == "gagavatar-smoothed":
        yield "camera and eyes have been smoothed by the tracker; optim.pkl is better where you have it"
    if track.source.endswith(MARK):
        yield "this track has been enhanced already"
    if len(track) == 1:
        yield "one frame: a still, not a driver"
    if path.is_dir() and found.format == "gagavatar" and not (path / "img_lmdb").is_dir():
        yield "no img_lmdb: gagjax needs none, but the original's inference does"
    if needs_head(track):
        yield "the expression of ARKit's weights or lid parameters needs a head: reenact takes its own, convert --flame one"
    if found.format in ("gagavatar", "vhap", "lam", "deca", "smirk", "metrical", "head-tracker", "cap4d"):
        yield "the format holds no frame rate; 25 is taken, --fps sets another"
    try:
        tracks.read(found)
    except InputError as error:
        yield str(error)


def _portraits(found: Found) -> tuple[str, Lines, list[str]]:
    from gagjax.io import tracks
    from gagjax.io.formats import gagavatar

    lines = []
    for name, portrait in gagavatar.read_portraits(found.content, found.file).items():
        image = portrait.image
        lines.append((name, "no image" if image is None else f"image {image.shape[1]}×{image.shape[0]}"))
    return f"{tracks.FORMATS[found.format]}, {len(lines)} of them", lines, []


def _database(path: Path) -> tuple[str, Lines, list[str]]:
    from gagjax.io.frame_database import FrameDatabase

    with FrameDatabase(path) as database:
        names = list(database)
        lines = [("frames", str(len(names)))]
        if names:
            height, width = database[names[0]].shape[:2]
            lines += [("size", f"{width}×{height}"), ("names", f"{names[0]} ... {names[-1]}")]
    return "database of frames (LMDB)", lines, []


def _video(path: Path) -> tuple[str, Lines, list[str]]:
    from gagjax.io import video
    from gagjax.io.video import describing

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reported as remarks instead
        info = video.info(path)
    rate = str(info.fps) if info.fps.denominator == 1 else f"{info.fps} = {float(info.fps):.3f}"
    frames = f"{info.frames} at {rate} fps, {info.seconds:.2f} s"
    if info.packets != info.frames:
        frames += f" (shown, of {info.packets} packets)"
    lines = [
        ("size", f"{info.width}×{info.height}{_placed(info)}"),
        ("frames", frames),
        ("codec", info.codec),
        ("colours", describing.colours_of(info) + (", with transparency" if info.alpha else "")),
    ]
    if info.aspect != 1:
        width, height = info.shown_size
        lines.insert(1, ("pixels", f"{info.aspect.numerator}:{info.aspect.denominator}, shown as {width}×{height}"))
    if info.kind == "video":
        lines.append(("audio", _sound(info)))
    kinds = {"video": "video", "pictures": "folder of pictures", "database": "database of frames (LMDB)"}
    return kinds[info.kind], lines, [*info.remarks, *info.changes]


def _placed(info: VideoInfo) -> str:
    """The rotation or mirroring that displays the stored frame upright, in words."""
    parts = ["mirrored"] if info.mirrored else []
    parts += [f"turned by {info.rotation}°"] if info.rotation else []
    return "".join(f", {part}" for part in parts)


def _sound(info: VideoInfo) -> str:
    if not info.audio:
        return "none"
    names = ", ".join(info.audio)
    if info.sound is None or abs(info.sound) < 0.0005:
        return names
    return f"{names}, starts {abs(info.sound):.3f} s {'after' if info.sound > 0 else 'before'} the first frame shown"


def _model(path: Path) -> tuple[str, Lines, list[str]] | None:
    """Describe a FLAME model or a network checkpoint; None for anything else."""
    import numpy as np

    from gagjax.io.untrusted import checkpoints
    from gagjax.io.untrusted.state_dicts import is_state_dict, without_prefix

    suffix = path.suffix.lower()
    if suffix == ".npz":
        return None
    content = checkpoints.load_pickle(path) if suffix in (".pkl", ".pickle") else checkpoints.load_torch(path)
    if not isinstance(content, dict):
        return None
    flame = content.get("flame_model", content)
    if isinstance(flame, dict) and "v_template" in flame:
        lines = [(key, _shape(flame[key])) for key in ("v_template", "f", "shapedirs", "posedirs") if key in flame]
        return "FLAME model", lines, []
    weights = next((inner for inner in map(content.get, ("model", "state_dict")) if isinstance(inner, dict)), content)
    if is_state_dict(weights) and all(isinstance(value, np.ndarray) for value in weights.values()):
        total = sum(value.size for value in weights.values())
        names = without_prefix(weights)
        kind = "GAGAvatar checkpoint" if "head_base" in names else "weights of a network"
        lines = [("tensors", str(len(weights))), ("numbers", f"{total:,}")]
        prefix = next(iter(weights)).removesuffix(next(iter(names)))
        return kind, lines + ([("prefix", f"{prefix} before every name")] if prefix else []), []
    return None


def _shape(value: ArrayLike) -> str:
    import numpy as np

    return "×".join(map(str, np.shape(value)))
