"""`gagjax eval`: quality of a track or a video, with or without ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gagjax.errors import InputError


@dataclass
class Evaluate:
    """Measure the quality of a track or a video, against ground truth if available.

    With --truth: error, acceleration error and lag per channel; for FLAME tracks also in millimetres and degrees on a
    head; for videos PSNR, SSIM, fine detail, flicker, temporal stability and detail fidelity. Without --truth: jitter,
    which needs no reference. A video without a truth, or beside a track, is tracked first and measured as a track. The
    page "What the figures mean" of the documentation defines each figure and its source.

    examples:
      gagjax eval steady.npz --truth truth.npz
      gagjax eval noisy.npz
      gagjax eval film.mp4
      gagjax eval sharp.mp4 --truth original.mp4 --csv figures.csv
      gagjax eval result.mp4 --truth film.mp4 --landmarks --flow --identity embeddings.npz
    """

    result: tyro.conf.Positional[Path]
    """The track or video to measure."""
    truth: Path | None = None
    """The ground truth, of the same length."""
    flame: Path | None = None
    """The FLAME file of the tracks; the built-in head by default."""
    csv: Path | None = None
    """Also write the results to this CSV file."""
    lpips: tuple[Path, ...] = ()
    """Your weights for LPIPS on videos: the state dict of lpips.LPIPS(net='alex'), or torchvision's AlexNet and alex.pth."""
    flow: bool = False
    """For videos, also the warping error: what is left of a frame's change once the truth's motion is taken away."""
    landmarks: bool = False
    """For videos, also AKD and the sharpness of the eyes, by the face networks of `gagjax models`."""
    identity: Path | None = None
    """For videos, also CSIM: your network's embeddings in an .npz, `result` (T, D) and `truth` (T, D) or (1, D)."""
    fps: str | None = None
    """Frame rate to assume if the file has none; 25 by default."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track a video again even if its track exists (beside --csv, else in this folder)."""
    force: bool = False
    """Replace an existing file."""

    def run(self) -> int:
        from gagjax.app.workflows import evaluate
        from gagjax.io import atomic, suffixes

        for path in (self.result, self.truth):
            if path is not None and not path.exists():
                raise InputError("does not exist", file=path)
        if self.csv is not None:
            atomic.check(self.csv, self.force)
        if self.truth is not None and suffixes.is_video(self.result) and suffixes.is_video(self.truth):
            rows = evaluate.of_videos(self.result, self.truth, self.lpips)
            if self.flow or self.landmarks or self.identity is not None:
                from gagjax.app.workflows import evaluate_faces

                rows += evaluate_faces.of_videos(
                    self.result, self.truth, flow=self.flow, landmarks=self.landmarks, identity=self.identity
                )
        else:
            for name, given in (("--flow", self.flow), ("--landmarks", self.landmarks), ("--identity", self.identity)):
                if given:
                    raise InputError("measures pictures", field=name, fix="Leave it out for tracks")
            if self.lpips:
                raise InputError("measures pictures", field="--lpips", fix="Leave it out for tracks")
            result, truth = self._tracked(self.result), None if self.truth is None else self._tracked(self.truth)
            rows = evaluate.of_tracks(result, truth, self.flame, self.fps)
        print(evaluate.as_text(rows))
        if self.csv is not None:
            with atomic.output(self.csv, self.force) as temporary:
                temporary.write_text(evaluate.as_csv(rows), encoding="utf-8")
        return 0

    def _tracked(self, path: Path) -> Path:
        from gagjax.app.workflows.track import is_film, tracked_first

        if not is_film(path):
            return path
        return tracked_first(path, self.csv or Path("figures"), flame=self.flame, again=self.force_retrack)
