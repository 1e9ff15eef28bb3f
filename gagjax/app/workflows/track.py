"""Tracking as a step of other commands: a video or image given in place of a track is tracked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gagjax.errors import InputError


def track_file(
    path: Path,
    out: Path,
    *,
    flame: Path | None = None,
    face: str | int = "largest",
    focal: float | None = None,
    fps: str | None = None,
    look: Path | None = None,
    force: bool = False,
) -> Any:
    """Track a video, an image or a folder of images, and write the track; an interrupted run is resumed.

    Args:
        path: Input to track.
        out: `.npz`, a folder, or `.pt` for an image.
        flame: A head model file; None selects the built-in head.
        face: "largest", or the face's index from the left.
        focal: Focal length in units of the longer image side, if known.
        fps: Frame rate of a folder of images.
        look: Output video with landmarks and mesh overlaid, if any.
        force: Replace existing outputs.

    Returns:
        The `TrackedClip`.

    Raises:
        InputError: If the models are missing, the output exists, or no face is found.
    """
    from tqdm import tqdm

    from gagjax import flame as heads
    from gagjax.app.waiting import waiting
    from gagjax.io import atomic, video
    from gagjax.track import as_rate
    from gagjax.tracking import files, models, sources
    from gagjax.tracking.clip import track_clip
    from gagjax.tracking.fit.shot import subject
    from gagjax.tracking.look import look as overlay
    from gagjax.tracking.store import LandmarkStore

    models.path_of("face_mesh")
    source = sources.open_source(path, None if fps is None else as_rate(fps))
    kind = files.kind_of(out, source)
    atomic.check(out, force, folder=kind == "folder")
    if look is not None:
        atomic.check(look, force)
    head = subject(heads.builtin() if flame is None else heads.load(flame))
    store = LandmarkStore(out, source, face)
    with tqdm(total=source.count, desc="landmarks", unit="frame", disable=source.count < 2) as bar:
        store.collect(lambda done: bar.update(done - bar.n))
    landmarks, cuts = store.landmarks(), store.cuts()
    with waiting(f"fitting the head to {len(landmarks)} frames"):
        clip = track_clip(head, landmarks, cuts, source, focal=focal)
    with waiting(f"writing {out}"):
        files.write(clip, landmarks, source, out, force=force)
    if look is not None:
        shown = tqdm(overlay(head, clip, landmarks, source), "drawing", len(landmarks), unit="frame")
        video.write(look, shown, source.fps, force=force)
    store.remove()
    return clip


def tracked_first(path: Path, output: Path, *, flame: Path | None = None, again: bool = False) -> Path:
    """A path that holds a track: the path itself, or the track made from a video or image beside an output.

    Args:
        path: The path that a command received as a track.
        output: The command's output; the track is kept beside it as `<name>_tracked` and reused.
        flame: A head model file.
        again: Track again even if a track exists.

    Returns:
        Path of the track: a GAGAvatar folder for a video, `_tracked.pt` for an image.

    Raises:
        InputError: As for `track_file`.
    """
    from gagjax.io import suffixes

    if not path.is_file() or not (suffixes.is_video(path) or suffixes.is_image(path)):
        return path
    film = suffixes.is_video(path)
    kept = output.parent / (f"{path.stem}_tracked" if film else f"{path.stem}_tracked.pt")
    made = kept / "optim.pkl" if film else kept
    if made.is_file() and not again and made.stat().st_mtime >= path.stat().st_mtime:
        print(f"{path}: tracked before, in {kept}")
        return kept
    print(f"{path}: tracked first, into {kept}")
    clip = track_file(path, kept, flame=flame, force=True)
    print(report(clip))
    if not clip.track.valid.any():
        raise InputError(
            "no frame's fit is good", file=path, fix="Look at it: gagjax track FILM -o a.npz --look look.mp4"
        )
    return kept


def report(clip: Any) -> str:
    """Summary of a tracked clip: frames found and fitted, residual, and camera of each shot."""
    import numpy as np

    lines = []
    for shot in clip.shots:
        name = f"frames {shot.start}-{shot.stop - 1}"
        if shot.camera is None:
            lines.append(f"{name}: no face")
            continue
        good = shot.residual[shot.valid] if shot.valid.any() else shot.residual[shot.found]
        side = max(shot.camera.width, shot.camera.height)
        lines.append(
            f"{name}: face in {int(shot.found.sum())}, valid {int(shot.valid.sum())}, residual "
            f"{1e2 * float(np.mean(good)):.2f} % of the distance between the eyes, focal length {shot.camera.focal / side:.2f}"
        )
    if len(clip.shots) > 1:
        lines.append(f"cuts at frames {', '.join(str(shot.start) for shot in clip.shots[1:])}")
    return "\n".join(lines)
