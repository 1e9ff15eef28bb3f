"""`gagjax track`: a film or a picture in, a track out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from gagjax.errors import InputError


@dataclass
class Track:
    """Track a face: head, jaw, expression, eyes and camera, from a film, a picture or a folder of pictures.

    Needs the networks that `gagjax models` fetches once. A run that was interrupted goes on where it was. The suffix of
    the output chooses the format: .npz is gagjax's own and keeps landmarks and cameras, a folder can be driven by the
    original GAGAvatar, .pt is GAGAvatar's tracked portrait of one picture. Nothing is smoothed: `gagjax enhance` does.

    examples:
      gagjax track film.mp4 -o film.npz --look look.mp4
      gagjax track film.mp4 -o driver/
      gagjax track portrait.jpg -o tracked.pt
    """

    source: tyro.conf.Positional[Path]
    """A film, a picture, or a folder of pictures."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Where to: .npz, a folder, or .pt for a picture."""
    flame: Path | None = None
    """FLAME_with_eye.pt or generic_model.pkl; the built-in head otherwise."""
    face: str = "largest"
    """Which face: largest, or its number from the left (0, 1, ...)."""
    focal: float | None = None
    """Focal length in longer picture sides, if known (35 mm film: millimetres / 36); estimated otherwise."""
    fps: str | None = None
    """Frame rate of a folder of pictures (25 otherwise)."""
    look: Path | None = None
    """Also write a film of landmarks, mesh and gaze over the frames."""
    force: bool = False
    """Replace existing outputs."""

    def run(self) -> int:
        import numpy as np
        from tqdm import tqdm

        from gagjax import flame
        from gagjax.io import atomic, video
        from gagjax.track import as_rate
        from gagjax.tracking import files, models, sources
        from gagjax.tracking.clip import track_clip
        from gagjax.tracking.fit.shot import subject
        from gagjax.tracking.look import look
        from gagjax.tracking.store import LandmarkStore

        if self.face != "largest" and not self.face.isdigit():
            raise InputError(f"is {self.face!r}", field="--face", fix="Use largest, or a number from 0")
        if self.focal is not None and not 0.2 <= self.focal <= 50:
            raise InputError(f"is {self.focal}", field="--focal", fix="Use longer picture sides: 0.5 to 10")
        which: str | int = self.face if self.face == "largest" else int(self.face)
        models.path_of("face_mesh")
        source = sources.open_source(self.source, None if self.fps is None else as_rate(self.fps))
        kind = files.kind_of(self.out, source)
        atomic.check(self.out, self.force, folder=kind == "folder")
        if self.look is not None:
            atomic.check(self.look, self.force)
        head = subject(flame.builtin() if self.flame is None else flame.load(self.flame))
        store = LandmarkStore(self.out, source, which)
        with tqdm(total=source.count, desc="landmarks", unit="frame", disable=source.count < 2) as bar:
            store.collect(lambda done: bar.update(done - bar.n))
        landmarks, cuts = store.landmarks(), store.cuts()
        clip = track_clip(head, landmarks, cuts, source, focal=self.focal)
        files.write(clip, landmarks, source, self.out, force=self.force)
        if self.look is not None:
            video.write(self.look, look(head, clip, landmarks, source), source.fps, force=self.force)
        print(report(clip))
        print(f"{self.out}: {len(clip.track)} frames at {source.fps} fps, {np.sum(clip.track.valid)} valid")
        store.remove()
        return 0


def report(clip: Any) -> str:
    """Figures of a tracked clip: found, fitted, residual and camera of each shot."""
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
