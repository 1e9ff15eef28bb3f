"""Many clips at once, sharded over the devices of a machine."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gagjax import forked, shape_bucketing
from gagjax.conventions import track_units
from gagjax.filters.base import check_observed
from gagjax.protocols import Filter, PerFrame, TrackStage
from gagjax.stack import Stack, enhance_track, run_stages, track_stages
from gagjax.track import Channels, Track, interleaved
from gagjax.typing import AnyArray

AXIS = "clips"


def enhance_tracks(stack: Stack, tracks: Sequence[Track], *, devices: Sequence[Any] | None = None) -> list[Track]:
    """Run the track stages over many clips, sharded over devices.

    Clips of one length bucket (`gagjax.shape_bucketing`) run in one compiled program, vectorised over clips and sharded
    without communication between devices (`jax.shard_map`). Where the stack holds per-frame values (such as a gaze
    target per frame) or a stage is not a pytree of arrays, clips run one by one.

    Args:
        stack: The stages.
        tracks: The clips, of any lengths.
        devices: Devices to run on; None uses all of the default backend.

    Returns:
        The enhanced clips, in order; equal to `enhance_track` on each, up to rounding.

    Example:
        >>> from gagjax.simulate import driver
        >>> short, long = enhance_tracks(Stack.live(enable=("temporal",)), [driver(20), driver(30)])
        >>> len(short), len(long)
        (20, 30)
    """
    forked.check()
    # Each sequence of a file is a separate clip.
    pieces = [track.split() for track in tracks]
    if any(len(each) > 1 for each in pieces) and isinstance(stack.gaze, PerFrame):
        return [enhance_track(stack, track) for track in tracks]  # each sequence has values of its own
    if any(len(each) > 1 for each in pieces):
        flat = enhance_tracks(stack, [part for each in pieces for part in each.values()], devices=devices)
        made, rest = [], iter(flat)
        for track, each in zip(tracks, pieces, strict=True):
            parts = [next(rest) for _ in each]
            places = list(track.sequences.values())
            made.append(
                parts[0] if len(parts) == 1 else track.with_channels(interleaved([p.channels for p in parts], places))
            )
        return made
    mesh = Mesh(np.asarray(jax.devices() if devices is None else list(devices)), (AXIS,))
    groups: dict[Hashable, list[int]] = {}
    found: dict[int, Track] = {}
    for number, track in enumerate(tracks):
        stages = track_stages(stack, track)
        check_observed(track.valid)
        if _shared(stages) and shape_bucketing.fits(stages, len(track)):
            if not track.source:
                track_units.warn(track.channels, track.valid)
            groups.setdefault(_likeness(track), []).append(number)
        else:
            found[number] = enhance_track(stack, track)
    for numbers in groups.values():
        made = _enhanced(stack, [tracks[n] for n in numbers], mesh)
        found |= dict(zip(numbers, made, strict=True))
    return [found[number] for number in range(len(tracks))]


def _shared(stages: Sequence[Any]) -> bool:
    """Whether the stages can be arguments of a compiled program."""
    return all(isinstance(leaf, jax.Array | np.ndarray | np.generic | float | int) for leaf in jax.tree.leaves(stages))


def _likeness(track: Track) -> Hashable:
    """The key of clips that can share one program."""
    structure = jax.tree.structure(track.channels)
    return shape_bucketing.bucket(len(track)), structure, track.fps, track.rotations, track.source, track.camera_known


def _enhanced(stack: Stack, tracks: Sequence[Track], mesh: Mesh) -> list[Track]:
    stages = track_stages(stack, tracks[0])
    if not stages:
        return list(tracks)
    whole = shape_bucketing.bucket(len(tracks[0]))
    # Every device gets the same number of clips; the last clip is repeated as padding.
    wanted = -(-len(tracks) // mesh.size) * mesh.size
    filled = [*tracks, *[tracks[-1]] * (wanted - len(tracks))]
    channels = jax.tree.map(
        lambda *xs: np.stack([np.asarray(x) for x in xs]),
        *(shape_bucketing.lengthen(t.channels, whole) for t in filled),
    )
    real = np.arange(whole) < np.array([len(t) for t in filled])[:, None]
    valid = np.stack([np.asarray(shape_bucketing.lengthen(np.asarray(t.valid), whole)) for t in filled]) & real
    sharded = jax.device_put((channels, valid, real), NamedSharding(mesh, PartitionSpec(AXIS)))
    after = jax.device_get(_program(mesh)(stages, jnp.float32(1 / tracks[0].fps), *sharded))
    made = [jax.tree.map(lambda x, n=n: x[n], after) for n in range(len(tracks))]
    return [t.with_channels(shape_bucketing.shorten(c, len(t))) for t, c in zip(tracks, made, strict=True)]


_programs: dict[Mesh, Any] = {}


def _program(mesh: Mesh) -> Any:
    """The stages over clips, for a mesh; cached, so that it compiles once per bucket."""
    if mesh not in _programs:
        shared, own = PartitionSpec(), PartitionSpec(AXIS)

        def clips(
            stages: Sequence[Filter[Any] | TrackStage],
            dt: AnyArray,
            channels: Channels,
            valid: AnyArray,
            real: AnyArray,
        ) -> Any:
            return jax.vmap(lambda c, v, r: run_stages(stages, c, v, r, dt))(channels, valid, real)

        specs = (shared, shared, own, own, own)
        _programs[mesh] = jax.jit(jax.shard_map(clips, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False))
    return _programs[mesh]
