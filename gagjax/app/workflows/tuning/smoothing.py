"""Workflow of `gagjax tune`: read tracks, fit, compare on held-out tracks, write the preset."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

import gagjax
from gagjax import tuning
from gagjax.conventions.head_pose import transform_of
from gagjax.errors import InputError
from gagjax.filters import OneEuro
from gagjax.io.tracks import load_track
from gagjax.text.table import text_table
from gagjax.track import Channels, Track
from gagjax.tuning import losses, tracks
from gagjax.typing import AnyArray

if TYPE_CHECKING:
    from gagjax.tuning.losses import Loss

SCALES = np.geomspace(0.35, 3.0, 25)  # factors on all cutoffs together: the family whose front is drawn
EVERY = 8  # frame stride of the rendered frames that --loss image compares
SIZE = 96  # their width and height, pixels


class TuneJob(NamedTuple):
    """The command's validated options."""

    tracks: Sequence[Path]
    truths: Sequence[Path]
    loss: str
    lag: float | None
    noise: float
    steps: int
    folds: int
    seed: int
    fps: str | None
    plot: bool


class Result(NamedTuple):
    """Result of a tuning run.

    Attributes:
        preset: The preset as YAML.
        text: The table and remarks.
        fronts: Families to plot, by label.
        budget: The lag budget, or None.
    """

    preset: str
    text: str
    fronts: dict[str, tuning.Front]
    budget: float | None


def fit(job: TuneJob) -> Result:
    """Fit, and compare with the shipped preset on held-out tracks.

    Raises:
        InputError: If a track cannot be read, or nothing in the tracks moves.
    """
    given, truths, names = _read(job)
    given, truths, names = _halves(given, truths, names)
    first = tracks.together(given)
    causal = job.lag is not None
    only = tracks.leaves(first, causal=causal)
    if not only:
        raise InputError("holds nothing that moves", file=names[0], fix="Pass tracks with motion")
    start = tracks.live(first) if causal else tracks.offline(first)
    clips = tuning.batch(given, truths)
    held = max(1, len(given) // 4)
    loss = _loss(job, given if truths is None else truths)
    judged = clips if job.loss != "image" else _with_pictures(clips, truths)
    options: dict[str, Any] = {"only": only, "domains": dict.fromkeys(only, "positive")}
    found = tuning.fit(start, judged, loss, held_out=held, steps=job.steps, seed=job.seed, progress=True, **options)
    chosen = np.sort(np.random.default_rng(job.seed).permutation(len(given))[:held])
    out = jax.tree.map(lambda x: x[chosen], clips)
    fronts = _fronts(found.model, start, out, only, causal, clips, loss, job) if job.plot else {}
    model = found.model
    if job.lag is not None:
        # Decided on the fitted tracks, so that the held-out ones stay unseen.
        seen = np.setdiff1d(np.arange(len(given)), chosen)
        model = _within(model, only, jax.tree.map(lambda x: x[seen], clips), job.lag)
    shipped = start if causal else tracks.TrackSmoother.default(first.fps).for_track(first)
    score = _scorer(loss, judged, chosen)
    # The shipped offline preset selects a cutoff per channel and clip, so it has no likelihood.
    scores = {"shipped": None if job.loss == "likelihood" else score(shipped), "fitted": score(model)}
    table = _table({"shipped": shipped, "fitted": model}, out, scores)
    lines = [f"{len(given)} tracks, {sum(map(len, given))} frames; on the {held} held out:", "", *table, ""]
    values = tuning.optimise.leaf_values(model, only)
    lines += [f"  {name}: {float(value):.3g} Hz" for name, value in values.items()]
    trust: dict[str, Any] = {}
    if job.folds:
        lines += _trust(model, judged, loss, job, options, trust)
    return Result(_preset(job, values, causal, names, chosen, table, trust), "\n".join(lines), fronts, job.lag)


def draw(result: Result, path: Path) -> None:
    """Plot the fronts to a file."""
    tuning.plot(result.fronts, path, budget=result.budget)


def _read(job: TuneJob) -> tuple[list[Track], list[Track] | None, list[str]]:
    given, names = _sequences(job.tracks, job.fps)
    for track, name in zip(given, names, strict=True):
        if int(np.asarray(track.valid).sum()) < 12:
            raise InputError(
                f"has {int(np.asarray(track.valid).sum())} frames",
                file=name,
                fix="Tune on clips of twelve frames or more",
            )
    if job.truths:
        truths, paths = _sequences(job.truths, job.fps)
        if len(truths) != len(given):
            raise InputError(
                f"hold {len(truths)} sequences, the tracks {len(given)}", field="--truth", fix="Pass the same"
            )
        for track, truth, path in zip(given, truths, paths, strict=True):
            if len(track) != len(truth):
                raise InputError(
                    f"has {len(truth)} frames, its track {len(track)}", file=path, fix="Pass the same clip"
                )
        both = _alike([*given, *truths])
        return both[: len(given)], both[len(given) :], names
    given = _alike(given)
    if job.loss == "likelihood":
        return given, None, names
    return [tracks.observed(t, job.seed + k, noise=job.noise) for k, t in enumerate(given)], given, names


def _sequences(paths: Sequence[Path], fps: str | None) -> tuple[list[Track], list[str]]:
    """The sequences of some files, one clip each, and their names."""
    found, names = [], []
    for path in paths:
        parts = load_track(path, fps=fps).validate(str(path)).split()
        found += list(parts.values())
        names += [f"{path}, {name}" if len(parts) > 1 else str(path) for name in parts]
    return found, names


def _alike(given: list[Track]) -> list[Track]:
    """Restrict the tracks to the channels that all of them have; print what is dropped."""
    alike, left_out = tracks.shared(given)
    if left_out:
        warnings.warn(f"not tuned, since not every track holds them: {', '.join(left_out)}", stacklevel=2)
    return alike


def _halves(
    given: list[Track], truths: list[Track] | None, names: list[str]
) -> tuple[list[Track], list[Track] | None, list[str]]:
    """Cut a single track into four parts, so that one can be held out."""
    if len(given) > 1:
        return given, truths, names
    if len(given[0]) < 80:
        raise InputError(
            f"is one clip of {len(given[0])} frames",
            file=names[0],
            fix="Pass several tracks, or one of 80 frames or more",
        )
    cuts = np.linspace(0, len(given[0]), 5).round().astype(int)
    parts = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    return (
        [given[0][part] for part in parts],
        None if truths is None else [truths[0][part] for part in parts],
        [f"{names[0]}[{part.start}:{part.stop}]" for part in parts],
    )


def _loss(job: TuneJob, truths: Sequence[Track]) -> losses.Loss:
    if job.loss == "likelihood":
        return losses.likelihood
    if job.loss == "truth":
        # Errors in units of each channel's own motion; a small acceleration term prefers the smoother of equal errors.
        return losses.truth(tracks.weights(truths), run="filter" if job.lag is not None else "auto", acceleration=0.2)
    return losses.image(lambda channels: _pictures(channels), run="filter" if job.lag is not None else "auto")


def _pictures(channels: Channels) -> Any:
    """Small rendered frames of the built-in avatar at every EVERY-th frame of a clip, (T / EVERY, SIZE, SIZE, 3)."""
    import jax.numpy as jnp

    from gagjax import avatars

    avatar = avatars.builtin()
    none = jnp.zeros(3)

    def one(frame: tuple[AnyArray, ...]) -> Any:
        transform, expression, jaw, eyes = frame
        shape = jnp.zeros(avatar.model.shapes)
        grey = jnp.full(3, 0.8)
        return avatars.picture(avatar, shape, transform, expression, jaw, eyes, none, grey, SIZE, "cpu")

    frames = transform_of(channels), channels.expression, channels.jaw, channels.eyes
    return jax.lax.map(one, jax.tree.map(lambda x: jnp.asarray(x)[::EVERY], frames))


def _with_pictures(clips: tuning.Clip, truths: list[Track] | None) -> tuning.Clip:
    if truths is None or not np.any(clips.truth.expression):
        raise InputError(
            "cannot be tuned by pictures: it holds no FLAME expression", field="--loss", fix="Use likelihood or truth"
        )
    render = jax.jit(_pictures)
    pictures = np.stack(
        [np.asarray(render(jax.tree.map(lambda x, k=k: x[k], clips.truth))) for k in range(len(clips.valid))]
    )
    return clips._replace(truth=pictures, present=clips.present[:, ::EVERY])


def _scaled(model: object, only: Sequence[str], factor: float | np.floating) -> Any:
    """The model with the named leaves multiplied by a factor."""
    flat, tree = jax.tree_util.tree_flatten_with_path(model)
    leaves = [leaf * factor if tuning.constraints.leaf_name(path) in only else leaf for path, leaf in flat]
    return jax.tree.unflatten(tree, leaves)


def _family(model: object, only: Sequence[str]) -> Any:
    members = [_scaled(model, only, np.float32(scale)) for scale in SCALES]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, np.float32) for leaf in leaves]), *members)


def _within(model: object, only: Sequence[str], clips: tuning.Clip, lag: float) -> Any:
    """The model, or if it exceeds the lag budget, the best member of its family within the budget."""
    alone = tuning.front(jax.tree.map(lambda leaf: np.asarray(leaf)[None], model), clips)
    if alone.lag[0] <= lag:
        return model
    family = tuning.front(_family(model, only), clips)
    try:
        return family.member(family.best_within(lag))
    except ValueError as error:
        raise InputError(str(error), field="--lag", fix="Allow more") from error


def _fronts(
    model: object,
    start: object,
    out: tuning.Clip,
    only: Sequence[str],
    causal: bool,
    clips: tuning.Clip,
    loss: Loss,
    job: TuneJob,
) -> dict[str, tuning.Front]:
    run: losses.Pass = "filter" if causal else "auto"
    fronts = {"fitted": tuning.front(_family(model, only), out, run=run)}
    if causal:
        fronts["shipped"] = tuning.front(_family(start, only), out, run=run)
    if causal and job.loss == "truth":
        # One Euro on every channel, its two parameters fitted in the same way.
        euro = OneEuro(1.0, 0.5, 1.0, float(1 / np.asarray(clips.dt)[0]))
        leaves = ("min_cutoff", "beta")
        fitted = tuning.fit(euro, clips, loss, only=leaves, held_out=max(1, len(clips.valid) // 4), steps=job.steps)
        fronts["One Euro, fitted alike"] = tuning.front(_family(fitted.model, ("min_cutoff", "beta")), out)
    return fronts


def _scorer(loss: losses.Loss, clips: tuning.Clip, chosen: np.ndarray) -> Callable[[Any], float]:
    part = jax.tree.map(lambda x: x[chosen], clips)
    return lambda model: float(np.mean(jax.vmap(lambda clip: loss(model, clip))(part)))


def _table(models: dict[str, Any], out: tuning.Clip, scores: dict[str, float | None]) -> list[str]:
    rows = []
    for name, model in models.items():
        stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], model)
        figures = tuning.front(stacked, out, run="auto")
        error = "" if np.isnan(figures.error).all() else f"{figures.error[0]:.3f}"
        value = scores[name]
        rows.append(
            (name, "" if value is None else f"{value:.5g}", error, f"{figures.jitter[0]:.3f}", f"{figures.lag[0]:+.2f}")
        )
    header = ("", "loss", "error / input's", "jitter / input's", "lag, frames")
    return text_table([header, *rows]).splitlines()


def _trust(
    model: object, clips: tuning.Clip, loss: losses.Loss, job: TuneJob, options: dict[str, Any], facts: dict[str, Any]
) -> list[str]:
    checked = tuning.cross_validate(model, clips, loss, folds=job.folds, steps=job.steps, seed=job.seed, **options)
    intervals = tuning.bootstrap(model, clips, loss, samples=20, steps=40, seed=job.seed, **options)
    facts["cross-validated loss"] = [round(float(value), 6) for value in checked.loss]
    facts["95 % interval"] = {name: [float(f"{i.low:.4g}"), float(f"{i.high:.4g}")] for name, i in intervals.items()}
    lines = [
        "",
        f"cross-validated loss, {job.folds} folds: {checked.loss.mean():.5g} (from {checked.loss.min():.5g} to ",
    ]
    lines[-1] += f"{checked.loss.max():.5g})"
    return lines + [
        f"  {name}: 95 % bootstrap interval {i.low:.3g} to {i.high:.3g} Hz" for name, i in intervals.items()
    ]


def _preset(
    job: TuneJob,
    values: dict[str, np.ndarray],
    causal: bool,
    names: Sequence[str],
    chosen: np.ndarray,
    table: list[str],
    trust: dict[str, Any],
) -> str:
    import yaml

    settings: dict[str, float] = {}
    for name, value in values.items():
        number = float(f"{float(value):.4g}")
        if causal:
            settings[f"temporal.{name}"] = number
            continue
        field = name.removesuffix(".lowest")
        shipped = getattr(tracks.TrackSmoother.default(), field)
        # Set the bounds in an order in which they never cross.
        order = ("highest", "lowest") if number >= float(shipped.lowest) else ("lowest", "highest")
        settings |= {f"temporal.{field}.{bound}": number for bound in order}
    content = {
        "preset": "live" if causal else "default",
        "set": settings,
        "fitted": {
            "on": [_described(path) for path in job.tracks],
            "truth": [_described(path) for path in job.truths]
            or ("the tracks, with noise added" if job.loss != "likelihood" else "none"),
            "held out": [names[k] for k in chosen],
            "loss": job.loss,
            "lag": job.lag,
            "noise": job.noise if job.loss != "likelihood" and not job.truths else None,
            "seed": job.seed,
            "result": table,
            **trust,
            "date": datetime.date.today().isoformat(),
            "gagjax": gagjax.__version__,
        },
    }
    head = "# A preset of gagjax: pass it to --preset. Made by `gagjax tune`; `fitted` is for readers.\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _described(path: Path) -> dict[str, str]:
    """A file's name and a short digest; for a folder, the digest of its first fifty files."""
    files = (
        [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.stat().st_size < 1 << 26)
    )
    digest = hashlib.sha256()
    for file in files[:50]:
        digest.update(file.read_bytes())
    return {"file": path.name, "sha256": digest.hexdigest()[:16]}
