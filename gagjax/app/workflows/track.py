"""Tracking as a step of other commands: a video or image given in place of a track is tracked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gagjax.errors import InputError, NoFaceError


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
    key: dict[str, Any] | None = None,
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
        key: What the track is made from, if that is known already.

    Returns:
        The `TrackedClip`.

    Raises:
        NoFaceError: If no face is found.
        InputError: If the models are missing or the output exists.
    """
    import json

    from tqdm import tqdm

    from gagjax import flame as heads
    from gagjax.app.waiting import waiting
    from gagjax.io import atomic, video
    from gagjax.io.identity import content_hash
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
    try:
        with waiting(f"fitting the head to {len(landmarks)} frames"):
            clip = track_clip(head, landmarks, cuts, source, focal=focal, mouths=store.mouths())
    except NoFaceError:
        store.remove()
        raise
    if key is None and kind == "npz":
        key = _key(content_hash(path), flame, face, focal)
    with waiting(f"writing {out}"):
        files.write(clip, landmarks, source, out, made_from=key, force=force)
    if key is not None and kind == "portrait":
        with atomic.output(_beside(out), force=True) as temporary:
            temporary.write_text(json.dumps(key), encoding="utf-8")
    if look is not None:
        shown = tqdm(overlay(head, clip, landmarks, source), "drawing", len(landmarks), unit="frame")
        video.write(look, shown, source.fps, force=force)
    store.remove()
    return clip


def is_footage(path: Path | None) -> bool:
    """Whether a path is a video or an image, which has to be tracked before it can serve as a track."""
    from gagjax.io import suffixes

    return path is not None and path.is_file() and (suffixes.is_video(path) or suffixes.is_image(path))


def is_film(path: Path | None) -> bool:
    """Whether a path is a video."""
    from gagjax.io import suffixes

    return path is not None and path.is_file() and suffixes.is_video(path)


def tracked_first(
    path: Path, output: Path, *, flame: Path | None = None, again: bool = False, pictures: bool = False
) -> Path:
    """A path that holds a track: the path itself, or the track made from a video or image.

    The track is kept beside an output, as `<name>_tracked.npz` (of an image `<name>_tracked.pt`), and reused as long as
    the video's content and the head model are the same.

    Args:
        path: The path that a command received as a track.
        output: The command's output; the track is kept in its folder.
        flame: A head model file.
        again: Track again even if a track exists.
        pictures: Also cut out the video's frames around the head, into a GAGAvatar folder `<name>_tracked`.

    Returns:
        Path of the track's file.

    Raises:
        NoFaceError: If no face is found.
        InputError: As for `track_file`; if a file of that name is there that tracking has not made; or if no frame's
            fit is good.
    """
    if not is_footage(path):
        return path
    from gagjax.io import suffixes
    from gagjax.io.identity import content_hash

    film = suffixes.is_video(path)
    kept = output.parent / f"{path.stem}_tracked{'.npz' if film else '.pt'}"
    key = _key(content_hash(path), flame)
    if kept.resolve() == output.resolve():
        raise InputError("is the name under which the track itself is kept", file=output, fix="Choose another name")
    if kept.exists() and _key_beside(kept) is None:
        raise InputError("exists already, and was not tracked from it", file=kept, fix=f"Move it, or rename {path}")
    if not again and kept.is_file() and _key_beside(kept) == key:
        print(f"{path}: tracked before, in {kept}")
    else:
        print(f"{path}: tracked first, into {kept}", flush=True)
        clip = track_file(path, kept, flame=flame, force=True, key=key)
        print(report(clip))
    if film:
        _check_valid(kept, path)
        if pictures:
            _cut_out(path, kept, key, again)
    return kept


def folder_of(track: Path) -> Path:
    """The folder of pictures that `tracked_first` makes beside a track."""
    return track.with_suffix("")


def landmarks_of(track: Path) -> tuple[Any, Any]:
    """What `gagjax track` kept of a film beside the track itself.

    Args:
        track: The `.npz`.

    Returns:
        Landmarks in pixels, (T, 478, 3), NaN where no face was found, and which frames are valid, (T,).

    Raises:
        InputError: If the file holds no landmarks.
    """
    import numpy as np

    from gagjax.io.untrusted.checkpoints import load_npz

    content = load_npz(track)
    marks, valid = content.get("tracking.landmarks"), content.get("valid")
    if marks is None or valid is None or marks.ndim != 3 or marks.shape[1:] != (478, 3) or len(valid) != len(marks):
        raise InputError("holds no landmarks", file=track, fix="Track the film again")
    return np.asarray(marks, np.float32), np.asarray(valid, bool)


def _key(content: str, flame: Path | None, face: str | int = "largest", focal: float | None = None) -> dict[str, Any]:
    """Everything that determines a track."""
    from gagjax.io.identity import content_hash

    head = None if flame is None else content_hash(flame)
    return {"version": 1, "content": content, "flame": head, "face": str(face), "focal": focal}


def _beside(kept: Path) -> Path:
    return kept.with_suffix(".json")


def _key_beside(kept: Path) -> dict[str, Any] | None:
    """What a kept track was made from; a torch file has it beside itself."""
    import json

    from gagjax.tracking import files

    if kept.suffix != ".pt":
        return files.key_of(kept)
    try:
        found = json.loads(_beside(kept).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _check_valid(kept: Path, path: Path) -> None:
    from gagjax.io.untrusted.checkpoints import load_npz

    if not load_npz(kept)["valid"].any():
        raise InputError(
            "no frame's fit is good", file=path, fix="Look at it: gagjax track FILM -o a.npz --look look.mp4"
        )


def _cut_out(path: Path, kept: Path, key: dict[str, Any], again: bool) -> None:
    """The GAGAvatar folder of a tracked film, if it is not there already."""
    import dataclasses
    import shutil

    from gagjax.io.cropping import crop_of, in_crop
    from gagjax.io.tracks import load_track
    from gagjax.tracking import files, sources

    folder = folder_of(kept)
    if folder.exists():
        found = files.key_of(folder)
        if found == key and not again:
            return
        if found is None:
            raise InputError(
                "exists already, and was not tracked from it", file=folder, fix=f"Move it, or rename {path}"
            )
    track = load_track(kept)
    crops = crop_of(track)
    if crops is None:
        raise InputError("holds no crops", file=kept, fix="Remove it: the film is then tracked again")
    if folder.exists():  # of another film; its mattes go with it
        shutil.rmtree(folder)
    cropped = dataclasses.replace(in_crop(track), origin=None)
    files.write_folder(cropped, crops, sources.open_source(path), folder, made_from=key, force=True)


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
