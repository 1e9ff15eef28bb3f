"""Contents and jitter of a track, as text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gagjax.metrics.channels import channel_jitter, channels_of
from gagjax.text.printable import escaped
from gagjax.text.table import text_table
from gagjax.track import Track
from gagjax.typing import AnyArray


def jitter(track: Track) -> dict[str, tuple[float, str]]:
    """Jitter of each moving channel, as defined in `gagjax.metrics.channels`.

    For a track with only every second or third frame, jitter is measured on the frames present.

    Returns:
        Name to value (per frame squared) and unit; {} for fewer than three consecutive frames.
    """
    valid = np.asarray(track.valid)
    places = np.flatnonzero(valid)
    stride = int(np.gcd.reduce(np.diff(places))) if len(places) > 2 else 1
    if stride > 1:
        track, valid = track[int(places[0]) :: stride], valid[places[0] :: stride]
    found = {name: (channel_jitter(each, valid), each.unit) for name, each in channels_of(track).items()}
    turning = found["head rotation"][0]
    return {
        name: (value, unit)
        for name, (value, unit) in found.items()
        # Skip channels that never move, and a rotation that duplicates the camera's.
        if value > 1e-9 and not (name in track.rotations and np.isclose(value, turning, rtol=1e-3))
    }


def table(before: Track, after: Track) -> str:
    """Jitter before and after, one line per channel that moved before."""
    old, new = jitter(before), jitter(after)
    rows = [("jitter per frame²", "before", "after", "change")]
    for name, (value, unit) in old.items():
        now = new.get(name, (0.0, unit))[0]
        label = escaped(f"{name} ({unit})" if unit else name)
        rows.append((label, f"{value:.4f}", f"{now:.4f}", f"{100 * (now / value - 1):+.0f} %"))
    if len(rows) == 1:
        seen = int(np.asarray(before.valid).sum())
        return "nothing moves in this track" if _still(before) else f"no jitter to tell: {seen} frames, with gaps"
    return text_table(rows)


def _still(track: Track) -> bool:
    """Whether every channel is constant over the valid frames."""
    valid = np.asarray(track.valid)
    found: list[bool] = []
    track.channels.map(lambda x: found.append(np.ptp(np.asarray(x)[valid], axis=0).max(initial=0.0) < 1e-9))
    return all(found)


def gaps(track: Track) -> str:
    """Missing frames as text: "12-14, 40"; "" for none."""
    missing = np.flatnonzero(~np.asarray(track.valid))
    if missing.size == 0:
        return ""
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")


def describe(track: Track) -> Iterator[tuple[str, str]]:
    """Describe a track as (label, text) pairs."""
    rate = f"{track.fps} fps" if track.fps.denominator == 1 else f"{track.fps} = {float(track.fps):.3f} fps"
    yield "frames", f"{len(track)} at {rate}, {track.seconds:.2f} s"
    missing = int((~np.asarray(track.valid)).sum())
    yield "missing", f"{missing} frames: {gaps(track)}" if missing else "none"
    if track.names is not None:
        ends = [escaped(name) for name in (track.names[0], track.names[-1])]
        yield "names", ends[0] if len(track) == 1 else " ... ".join(ends)
    channels = {
        name: value for name, value in track.channels._asdict().items() if name != "extra" and value is not None
    }
    yield (
        "channels",
        ", ".join(f"{escaped(name)} {_shape(value)}" for name, value in (channels | dict(track.extra)).items()),
    )
    if track.shape is not None:
        one = track.shape.ndim == 1
        yield "shape", "one for the clip" if one else "one for each frame"
    still = [name for name, value in channels.items() if not np.any(np.asarray(value))]
    if still:
        yield "all zero", ", ".join(still)
    for name, (value, unit) in jitter(track).items():
        yield f"jitter, {escaped(name)}", f"{value:.4f} {unit or 'units'} per frame²"


def _shape(value: AnyArray) -> str:
    return "×".join(map(str, np.shape(value)[1:]))
