"""`gagjax tune`: fit smoothing parameters to tracks and write them as a preset for every command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Tune:
    """Fit the smoothing to your tracker: one cutoff per channel, found by gradient descent on your own tracks.

    Without --lag, fits the offline preset, which sees the whole clip; with --lag, the live preset, within that many
    frames of delay. Some of the tracks are held out, and the table reports the improvement on those. Writes a small
    YAML file for --preset and a plot of error against lag beside it.

    losses:
      likelihood  marginal likelihood of the tracks as they are; needs no ground truth (offline only)
      truth       the tracks are taken as ground truth and noise is added; or pass the true tracks with --truth
      image       like truth, but measured on rendered frames of the built-in avatar

    With --pca, fits a PCA of the tracks' expressions instead, and puts it into the preset: the expression stage then
    keeps what a face like these does, and drops the rest.

    examples:
      gagjax tune clips/* -o mine.yaml
      gagjax tune --pca clips/* -o person.yaml
      gagjax tune noisy/*.npz --truth true/*.npz -o mine.yaml --lag 0.5
      gagjax enhance clip/ -o steady/ --preset mine.yaml
    """

    tracks: tyro.conf.Positional[tuple[Path, ...]]
    """Tracks from one tracker, in any formats; the channels that all of them have are tuned."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output preset, .yaml."""
    loss: Literal["likelihood", "truth", "image"] | None = None
    """Loss to minimise; by default likelihood for the offline preset, truth for the live one."""
    truth: tuple[Path, ...] = ()
    """Ground-truth tracks, one per track, in the same order."""
    lag: float | None = None
    """Tune the live preset, with at most this many frames of delay."""
    noise: float = 0.3
    """Noise added where the tracks are the truth, in standard deviations of each channel."""
    steps: int = 120
    """Maximum number of optimiser steps."""
    folds: int = 0
    """Number of cross-validation folds over clips, with bootstrap intervals; 0 does neither."""
    seed: int = 0
    """Seed of the noise and of the held-out split."""
    pca: bool = False
    """Fit a PCA of the expressions instead of the smoothing."""
    rank: int | None = None
    """Components of the PCA; enough for 99 % of the variance by default."""
    base: Literal["default", "live", "reference"] = "default"
    """Preset that the PCA is for; reference projects as the original does."""
    fps: str | None = None
    """Frame rate to assume if the files have none; 25 by default."""
    plot: bool = True
    """Draw the plot."""
    force: bool = False
    """Replace existing outputs."""

    def run(self) -> int:
        if self.out.suffix.lower() not in (".yaml", ".yml"):
            raise InputError("is no preset file name", file=self.out, fix="Use NAME.yaml")
        if not self.tracks:
            raise InputError("names no track", field="tracks", fix="Pass one or more tracks")
        if self.pca:
            return self._fit_pca()
        if self.rank is not None or self.base != "default":
            raise InputError("goes with --pca", field="--rank" if self.rank is not None else "--base", fix="Pass --pca")
        causal = self.lag is not None
        if self.lag is not None and not 0 <= self.lag <= 5:
            raise InputError(f"is {self.lag:g}", field="--lag", fix="Use 0 to 5 frames")
        loss = self.loss or ("truth" if causal or self.truth else "likelihood")
        if causal and loss == "likelihood":
            raise InputError(
                "has no likelihood with --lag", field="--loss", fix="Use truth or image for the live preset"
            )
        if self.truth and len(self.truth) != len(self.tracks):
            raise InputError(
                f"names {len(self.truth)} tracks for {len(self.tracks)}",
                field="--truth",
                fix="Pass one for each, in order",
            )
        if not 1 <= self.steps <= 10_000:
            raise InputError(f"is {self.steps}", field="--steps", fix="Use 1 to 10000")
        if not 0 < self.noise <= 10:
            raise InputError(f"is {self.noise:g}", field="--noise", fix="Use more than 0, up to 10")
        if self.folds < 0 or self.folds == 1 or self.folds > len(self.tracks):
            raise InputError(f"is {self.folds}", field="--folds", fix=f"Use 0, or 2 up to {len(self.tracks)} tracks")
        from gagjax.app.workflows.tuning import smoothing as tune
        from gagjax.io import atomic

        picture = self.out.with_suffix(".png")
        for path in (self.out, *([picture] if self.plot else [])):
            atomic.check(path, self.force)
        job = tune.TuneJob(
            tracks=self.tracks,
            truths=self.truth,
            loss=loss,
            lag=self.lag,
            noise=self.noise,
            steps=self.steps,
            folds=self.folds,
            seed=self.seed,
            fps=self.fps,
            plot=self.plot,
        )
        result = tune.fit(job)
        with atomic.output(self.out, self.force) as temporary:
            temporary.write_text(result.preset, encoding="utf-8")
        if self.plot:
            with atomic.output(picture, self.force) as temporary:
                tune.draw(result, temporary)
        print(result.text)
        print(f"{self.out}: use it with --preset {self.out}")
        if self.plot:
            print(f"{picture}: what lag costs, and where the fit stands")
        return 0

    def _fit_pca(self) -> int:
        from gagjax.app.workflows.tuning import components as tune_pca
        from gagjax.io import atomic

        if self.rank is not None and self.rank < 1:
            raise InputError(f"is {self.rank}", field="--rank", fix="Use 1 or more")
        atomic.check(self.out, self.force)
        made = tune_pca.fit(self.tracks, base=self.base, rank=self.rank, seed=self.seed, fps=self.fps)
        with atomic.output(self.out, self.force) as temporary:
            temporary.write_text(made.preset, encoding="utf-8")
        print(made.text)
        print(f"{self.out}: use it with --preset {self.out}")
        return 0
