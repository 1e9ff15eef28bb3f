"""Tuned compared with shipped smoothing on held-out clips: `python -m benchmarks.tuning_quality`.

Real motion templates are taken as ground truth and observed with noise. Each clip is held out in turn: the live
smoother's cutoffs and One Euro's two parameters are fitted on the other clips with the same loss, and measured on it.
Writes benchmarks/results/tuning_quality.md and .png, the fronts of error against lag on the held-out clips.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.common import RESULTS, write_table
from gagjax import tuning
from gagjax.filters import OneEuro
from gagjax.io.tracks import load_track
from gagjax.track import Track
from gagjax.tuning import losses, tracks

SCALES = np.geomspace(0.3, 4.0, 21)
COMMON = ("R", "exp", "scale", "t")


def template(path: Path) -> Track:
    """A motion template, restricted to the channels that all templates have."""
    track = load_track(path)
    return dataclasses.replace(track, extra={name: track.extra[name] for name in COMMON})


def family(model: Any, only: tuple[str, ...]) -> Any:
    """The model with the named leaves scaled by a common factor, stacked over factors."""

    def scaled(factor: float) -> Any:
        flat, tree = jax.tree_util.tree_flatten_with_path(model)
        leaves = [x * factor if tuning.constraints.leaf_name(p) in only else x for p, x in flat]
        return jax.tree.unflatten(tree, leaves)

    members = [scaled(float(scale)) for scale in SCALES]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x, np.float32) for x in leaves]), *members)


def merged(fronts: list[tuning.Front]) -> tuning.Front:
    """The mean of fronts with the same members over held-out clips."""
    mean = lambda name: np.mean([getattr(each, name) for each in fronts], axis=0)  # noqa: E731
    return fronts[0]._replace(jitter=mean("jitter"), lag=mean("lag"), error=mean("error"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "tracks")
    parser.add_argument("--quick", action="store_true", help="one seed and few steps; writes nothing")
    arguments = parser.parse_args()
    paths = sorted(arguments.tracks.glob("*.pkl"))
    if len(paths) < 2:
        parser.error(f"needs motion templates (*.pkl) in {arguments.tracks}; name their folder with --tracks")
    truths = [template(path) for path in paths]
    seeds = 1 if arguments.quick else 4
    steps = 20 if arguments.quick else 150
    given = [tracks.observed(truth, seed) for truth in truths for seed in range(seeds)]
    clips = tuning.batch(given, [truth for truth in truths for _ in range(seeds)])
    loss = losses.truth(tracks.weights(truths), run="filter", acceleration=0.2)
    live, only = tracks.live(given[0]), tracks.leaves(given[0], causal=True)
    euro = OneEuro(1.0, 0.5, 1.0, 25.0)
    found: dict[str, list[tuning.Front]] = {}
    for k in range(len(truths)):
        out = np.arange(len(given)) // seeds == k
        seen, unseen = (jax.tree.map(lambda x, m=mask: x[m], clips) for mask in (~out, out))
        fitted = tuning.fit(live, seen, loss, only=only, domains=dict.fromkeys(only, "positive"), steps=steps)
        rival = tuning.fit(euro, seen, loss, only=("min_cutoff", "beta"), steps=steps)
        for name, model, leaves in (
            ("shipped live", live, only),
            ("live, fitted on the other clips", fitted.model, only),
            ("One Euro, fitted alike", rival.model, ("min_cutoff", "beta")),
        ):
            found.setdefault(name, []).append(tuning.front(family(model, leaves), unseen))
    fronts = {name: merged(each) for name, each in found.items()}
    rows = []
    middle = int(np.argmin(np.abs(SCALES - 1)))
    for name, front in fronts.items():
        within = front.best_within(max(0.5, float(front.lag.min())))
        rows.append([name, *(float(v[middle]) for v in (front.error, front.jitter, front.lag))])
        rows[-1] += [float(front.error[within]), float(front.lag[within])]
    header = [
        "held-out clips",
        "error / input's",
        "jitter / input's",
        "lag, frames",
        "error within 0.5 frames",
        "its lag",
    ]
    if arguments.quick:
        print(header, *rows, sep="\n")
        return
    write_table(
        "tuning_quality",
        header,
        rows,
        command="python -m benchmarks.tuning_quality",
        notes=[
            f"{len(truths)} templates ({', '.join(p.stem for p in paths)}), {seeds} noise seeds each, one template held out "
            "in turn; means over the held-out ones",
            "errors over those of the noisy input on the frames that were seen; noise 0.3 of each channel's deviation, "
            "outliers of 20 times that on 2 % of the frames, 5 % lost",
            "fitted: Adam, 150 steps, on squared error in units of each array's motion plus 0.2 of the acceleration's",
            "within 0.5 frames: the best of the family in which all cutoffs are scaled together (for One Euro its two "
            "parameters), or its least lag",
        ],
    )
    tuning.plot(fronts, RESULTS / "tuning_quality.png", budget=0.5)


if __name__ == "__main__":
    main()
