"""Frame-by-frame enhancement of a track: filter state, clock and checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gagjax import __version__
from gagjax.errors import InputError
from gagjax.filters import chain, scan
from gagjax.io import atomic
from gagjax.io.untrusted.checkpoints import load_npz
from gagjax.protocols import BindsTrack, TrackStage
from gagjax.stack import Stack
from gagjax.track import Channels, Track
from gagjax.typing import Tree

PAUSE = 1.0  # gap in seconds after which the state is discarded


class LiveTrack:
    """The track stages of a causal stack, one step per frame.

    Args:
        stack: The stages; each must be a filter.
        example: A frame that shows which channels the stream has.
        fps: Frames per second, for frames without a time.

    Raises:
        InputError: If a stage needs the whole sequence.
    """

    def __init__(self, stack: Stack, example: Channels, fps: float) -> None:
        stages = [stage for stage in (stack.temporal, stack.expression, stack.gaze) if stage is not None]
        filters = [stage for stage in stages if not isinstance(stage, TrackStage)]
        if len(filters) < len(stages):
            raise InputError("looks at whole clips", field="--preset", fix="Use live, or a preset file based on it")
        if not stages:
            raise InputError("changes no track", field="--preset", fix="Use live, or a preset file based on it")
        still = Track(**{k: v[None] for k, v in example._asdict().items() if k != "extra" and v is not None})
        bound = [stage.for_track(still) if isinstance(stage, BindsTrack) else stage for stage in filters]
        self.filter = chain(*bound)
        self.usual = 1 / fps
        self.state: Any = None
        self.last: float | None = None
        self.jumps = 0
        self._blank = example  # placeholder for lost frames; its values are never used
        # Compile before the first frame arrives: for the first frame and for all later ones.
        _, state = self._step(example, None, self.usual, True)
        self._structure: Any = jax.tree.structure(state)
        self._kinds = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)]
        self._step(example, state, self.usual, True)

    def step(self, frame: Channels | None, time: float | None = None) -> tuple[Channels | None, str | None]:
        """Enhance a frame.

        Args:
            frame: Its channels; None where the tracker lost the face.
            time: Its time in seconds.

        Returns:
            The enhanced channels, or the prediction for a lost frame (None before the first valid frame), and a remark
            on its time, if unusual.
        """
        seconds, odd = self._elapsed(time)
        if seconds is None:
            self.state = None
        if frame is None and self.state is None:
            return None, odd
        values = self._blank if frame is None else frame
        after, self.state = self._step(values, self.state, seconds or self.usual, frame is not None)
        return after, odd

    def _elapsed(self, time: float | None) -> tuple[float | None, str | None]:
        """Seconds since the previous frame, None if the state is too old to use; and a remark."""
        before, self.last = self.last, time if time is not None else self.last
        if time is None or before is None:
            return self.usual, None
        passed = time - before
        if 0 < passed <= PAUSE:
            return passed, None
        self.jumps += 1
        if passed > PAUSE:
            return None, f"{passed:.1f} s after the frame before: begun anew"
        return self.usual, f"its clock went back by {-passed:.3f} s: taken as one frame"

    def _step(self, frame: Channels, state: Tree, seconds: float, seen: bool) -> tuple[Channels, Any]:
        xs = jax.tree.map(lambda x: np.asarray(x, np.float32)[None], frame)
        valid, dt = np.array([seen]), np.array([seconds], np.float32)
        ys, state = scan(self.filter, xs, state, valid=valid, dt=dt, method="sequential")
        return jax.tree.map(lambda y: np.asarray(y)[0], ys), state

    def save(self, path: Path, *, neck: bool, **more: object) -> None:
        """Write the state, whether the stream has a neck, and the caller's own numbers."""
        about = {"version": __version__, "last": self.last, "started": self.state is not None, "more": more}
        arrays: dict[str, Any] = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(self.state))}
        with atomic.output(path, force=True) as temporary, temporary.open("wb") as file:
            np.savez(
                file, about=np.array(json.dumps(about)), structure=np.array(str(self._structure)), neck=neck, **arrays
            )

    def restore(self, path: Path) -> dict[str, Any]:
        """Restore a saved state.

        Returns:
            The caller's numbers saved with it.

        Raises:
            InputError: If the file is not a saved state, or is from another preset.
        """
        arrays = load_npz(path)
        fix = "Remove it to begin anew"
        try:
            about = json.loads(str(arrays["about"]))
            started, last, more = about["started"], about["last"], about["more"]
            same = str(arrays["structure"]) == str(self._structure)
            last = None if last is None else float(last)
            if not all(type(more[name]) is int and more[name] >= 0 for name in more):
                raise ValueError("no counts")
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InputError("is no saved state", file=path, fix=fix) from error
        leaves = [arrays.get(f"leaf{i}", np.zeros(0)) for i in range(len(self._kinds))] if started and same else []
        fitting = [(leaf.shape, leaf.dtype) for leaf in leaves] == self._kinds
        if not same or (started and not fitting):
            raise InputError("was saved with another preset or version", file=path, fix=fix)
        self.state = jax.tree.unflatten(self._structure, [jnp.asarray(leaf) for leaf in leaves]) if started else None
        self.last = last
        return more
