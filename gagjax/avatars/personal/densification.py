"""Prune and densify with static shapes: slots that contribute nothing are moved to where more Gaussians are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gagjax.avatars.personal.canonical import Canonical, attach
from gagjax.pytree import pytree
from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.flame.model import FlameModel

# A split Gaussian and its copy are each narrower than the original, by this factor.
_SPLIT = 1.6


@pytree
class Seen:
    """Statistics of each slot since the last reassignment.

    Args:
        pull: Sum of gradient norms in the offset, (N,): large where more Gaussians are needed.
        drawn: Sum of absolute gradients in the colour, (N,): zero for slots that were never visible.
    """

    pull: Float[AnyArray, "N"]
    drawn: Float[AnyArray, "N"]

    @classmethod
    def none(cls, count: int) -> Seen:
        """Empty statistics."""
        return cls(jnp.zeros(count), jnp.zeros(count))

    def add(self, gradient: dict[str, AnyArray]) -> Seen:
        """Add one step's gradients of the points."""
        return Seen(
            self.pull + jnp.sqrt((gradient["offset"] ** 2).sum(-1)),
            self.drawn + jnp.abs(gradient["colour"]).sum(-1),
        )


def reassigned(state: Tree, model: FlameModel, share: float, seed: int) -> Any:
    """The state after the least visible slots have become copies of those with the largest pull.

    The number of Gaussians stays the same, so nothing is recompiled. Copies start with zero Adam moments.

    Args:
        state: `training.State`.
        model: The person's head.
        share: Maximum fraction of slots to reassign.
        seed: Seed of the copies' small displacements.
    """
    points, canonical = state.weights["points"], state.canonical
    count = len(canonical)
    take = int(share * count)
    pull, shown = np.asarray(state.seen.pull), np.asarray(state.seen.drawn)
    idle = shown <= 0
    if "opacity" in points:
        idle |= np.asarray(points["opacity"]) < -4.6  # under one per cent
    free = np.flatnonzero(idle)
    # Idle slots farthest from any visible one go first: those that a head turn may reveal stay.
    if len(free) > take:
        from scipy.spatial import cKDTree

        v, f = np.asarray(model.v_template), np.asarray(model.faces)
        places = (v[f[np.asarray(canonical.triangles)]] * np.asarray(canonical.corners)[..., None]).sum(1)
        distance = cKDTree(places[~idle]).query(places[free])[0] if (~idle).any() else np.zeros(len(free))
        free = free[np.argsort(-distance, kind="stable")[:take]]
    wanted = np.argsort(-pull, kind="stable")[: len(free)]
    wanted = wanted[pull[wanted] > 0]
    free = free[: len(wanted)]
    if not len(free):
        return state._replace(seen=Seen.none(count))
    keep = np.arange(count)
    keep[free] = wanted
    changed = np.zeros(count, bool)
    changed[free] = changed[wanted] = True
    noise = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    copied = {name: np.asarray(value)[keep] for name, value in points.items()}
    width = np.exp(copied["scale"]).reshape(count, -1).mean(1, keepdims=True) * 100  # centimetres
    copied["offset"] = copied["offset"] + changed[:, None] * noise * width
    shrink = changed.reshape(-1, *[1] * (copied["scale"].ndim - 1)) * np.log(_SPLIT)
    copied["scale"] = (copied["scale"] - shrink).astype(np.float32)
    new: Canonical = attach(model, np.asarray(canonical.triangles)[keep], np.asarray(canonical.corners)[keep])

    def fresh(path: Sequence[Any], value: AnyArray) -> AnyArray:
        if any(getattr(key, "key", None) == "points" for key in path) and value.ndim:
            return jnp.where(changed.reshape(-1, *[1] * (value.ndim - 1)), 0, value)
        return value

    return state._replace(
        weights={**state.weights, "points": jax.tree.map(jnp.asarray, copied)},
        canonical=new,
        optimiser=jax.tree_util.tree_map_with_path(fresh, state.optimiser),
        seen=Seen.none(count),
    )
