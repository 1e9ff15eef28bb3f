"""Fit the distance field, its colours and its deformation to a clip.

In each step the field's surface is found by marching tetrahedra, deformed to a frame and drawn: one opaque Gaussian on each
crossed edge of the grid, as wide as the grid is coarse, through the same rasterizer as everything else. Its coverage is
the soft silhouette: it has gradients where the surface's outline lies, and so the outline moves. The losses and their
weights are the published ones:

    0.1 |rgb| + 0.1 (1 - IoU) + 1 deformation + 0.01 offset + 0.1 landmark + 100 Laplacian

in decimetres: deformation is the squared distance of the deformed landmarks from the tracked ones, offset the squared
deformation, landmark the field's value at the neutral landmarks (they lie on the surface), Laplacian the squared distance
of each vertex from the mean of its neighbours.

Source: Xu et al., Gaussian Head Avatar, CVPR 2024, and the losses of its published mesh trainer.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from gagjax import flame
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.builtin.shading import FRONT
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal import networks
from gagjax.avatars.personal.appearance import own
from gagjax.avatars.personal.deformation import EXPRESSION, POSE, shares
from gagjax.avatars.personal.motion import COLUMNS, Motion
from gagjax.avatars.personal.sdf import field, tetrahedra
from gagjax.avatars.personal.starts.start import Given
from gagjax.splatting import rasterize
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray, Tree

RGB, SILHOUETTE, DEFORMATION, OFFSET, LANDMARK, LAPLACIAN = 0.1, 0.1, 1.0, 0.01, 0.1, 100.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the fit of a distance field.

    Args:
        steps: Optimiser steps, one frame each.
        size: Largest width of the frames, pixels.
        frames: Largest number of frames, spread over the clip.
        step: Width of a cell of the grid, metres.
        margin: Room around the FLAME mesh for hair and clothes, metres.
        width: Width of the networks' hidden layers; the published ones have 256.
        hidden: Hidden layers of the distance network; the published one has 5.
        rate: Peak learning rate.
        capacity: Largest number of surface vertices.
    """

    steps: int = 200
    size: int = 96
    frames: int = 24
    step: float = 0.012
    margin: float = 0.07
    width: int = 64
    hidden: int = 3
    rate: float = 4e-3
    capacity: int = 12_000


class Fitted(NamedTuple):
    """A fitted neutral head.

    Attributes:
        vertices: The surface, metres, (V, 3).
        faces: Its triangles, outward, (F, 3).
        weights: The networks, for `colours`.
        losses: The loss of every step.
    """

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    weights: dict[str, Any]
    losses: list[float]

    def colours(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Neutral colours in [0, 1] at points in metres."""
        return np.asarray(jax.nn.sigmoid(field.applied(self.weights["colour"], field.encode(points))))


class _Scene(NamedTuple):
    grid: tetrahedra.Grid
    base: Array
    marks: Array
    model: Any
    motion: Motion
    background: Array


def fit(given: Given, settings: Settings | None = None) -> Fitted:
    """Fit the field to a clip.

    Args:
        given: The person's head and the clip; of several cameras the first one is used.
        settings: Settings of the fit.

    Returns:
        The neutral surface and its colours.
    """
    s, model, clip = settings or Settings(), given.model, given.clip
    rest = np.asarray(model.v_template, np.float64)
    grid = tetrahedra.box(rest.min(0) - s.margin, rest.max(0) + s.margin, s.step)
    base = field.mesh_distance(np.asarray(grid.vertices), rest, model.faces)
    size = min(s.size, clip.size)
    scene = _Scene(
        jax.tree.map(jnp.asarray, grid),
        jnp.asarray(base, jnp.float32),
        flame.landmarks(model, model.v_template),
        model,
        Motion.of(clip.track, size),
        jnp.asarray(clip.background, jnp.float32).reshape(-1, 3)[0],
    )
    weights: dict[str, Any] = {
        "distance": field.perceptron([field.ENCODED, *[s.width] * s.hidden, 4], given.seed),
        "colour": field.perceptron([field.ENCODED, s.width, s.width, 3], given.seed + 1),
        "expression": networks.create(field.ENCODED, EXPRESSION, s.width, 3, given.seed + 2),
        "pose": networks.create(field.ENCODED, POSE, s.width, 3, given.seed + 3),
    }
    optimiser = _optimiser(s)
    state, losses = optimiser.init(weights), []
    few = np.asarray(given.frames)
    few = few[np.unique(np.linspace(0, len(few) - 1, min(s.frames, len(few))).round().astype(int))]
    shots = {int(i): _shot(given, int(i), size) for i in few}
    for step in range(s.steps):
        turn, place = divmod(step, len(few))
        i = int(np.random.default_rng([given.seed, turn]).permutation(few)[place])
        weights, state, loss = _step(weights, state, scene, i, *shots[i], s)
        losses.append(float(loss))
    found = _surface(weights, scene, s)
    used, kept = np.asarray(found.used), np.asarray(found.used_faces)
    return Fitted(np.asarray(found.vertices)[used], np.asarray(found.faces)[kept], weights, losses)


def deformed(
    weights: Tree, points: Float[AnyArray, "N 3"], marks: Float[AnyArray, "L 3"], parameters: Parameters
) -> Float[Array, "N 3"]:
    """Displacement of neutral points in a frame, decimetres.

    Args:
        weights: `expression` and `pose`, of `networks`.
        points: Metres.
        marks: Neutral landmarks; near them the expression acts, far from them the pose.
        parameters: The frame.
    """
    turn = jnp.asarray(FRONT) if parameters.camera is None else parameters.camera.viewmat[:3, :3]
    expression = jnp.concatenate([0.3 * parameters.expression, 3 * parameters.pose[3:6], 3 * parameters.eyes])
    pose = jnp.concatenate([3 * parameters.neck, (turn - jnp.asarray(FRONT)).reshape(-1)])
    square = ((jax.lax.stop_gradient(points)[:, None] - marks[None]) ** 2).sum(-1).min(1)
    near, far = shares(jnp.sqrt(square + 1e-12))
    encoded = field.encode(points)
    by_expression = networks.apply(weights["expression"], encoded, expression)
    by_pose = networks.apply(weights["pose"], encoded, pose)
    return 0.1 * (near[:, None] * by_expression + far[:, None] * by_pose)


def _surface(weights: Tree, scene: _Scene, s: Settings) -> tetrahedra.Surface:
    out = field.applied(weights["distance"], field.encode(scene.grid.vertices))
    distances = scene.base + field.DECIMETRE * out[:, 0]
    moved = scene.grid.vertices + jnp.tanh(out[:, 1:]) * s.step / 2
    return tetrahedra.surface(scene.grid, distances, moved, capacity=s.capacity)


def _error(weights: Tree, scene: _Scene, i: AnyArray, truth: AnyArray, mask: AnyArray, s: Settings) -> Any:
    size = truth.shape[0]
    parameters, _ = scene.motion.frame(i, jnp.zeros(COLUMNS), size)
    found = _surface(weights, scene, s)
    change = deformed(weights, found.vertices, scene.marks, parameters)
    places = found.vertices + field.DECIMETRE * change
    colours = jax.nn.sigmoid(field.applied(weights["colour"], field.encode(found.vertices)))
    width = 0.6 * s.step * UNITS
    gaussians = Gaussians(
        places * UNITS,
        jnp.broadcast_to(width**2 * jnp.eye(3), (s.capacity, 3, 3)),
        jnp.where(found.used, 0.95, 0.0),
        colours,
    )
    assert parameters.camera is not None
    picture, coverage = rasterize(gaussians, parameters.camera, background=scene.background)
    both = (coverage * mask).sum()
    iou = both / ((coverage + mask - coverage * mask).sum() + 1e-6)
    # Landmarks: their neutral places are deformed as the surface is, and lie on it.
    tracked = flame.landmarks(scene.model, own(parameters).vertices(scene.model))
    moved = deformed(weights, scene.marks, scene.marks, parameters)
    on_it = field.applied(weights["distance"], field.encode(scene.marks))[:, 0]
    return (
        RGB * jnp.abs(picture - truth).mean()
        + SILHOUETTE * (1 - iou)
        + DEFORMATION * ((moved - (tracked - scene.marks) / field.DECIMETRE) ** 2).mean()
        + OFFSET * ((change**2).sum(-1) * found.used).sum() / (found.used.sum() + 1)
        + LANDMARK * jnp.abs(on_it).mean()
        + LAPLACIAN * laplacian(places / field.DECIMETRE, found)
    )


def laplacian(places: Float[AnyArray, "N 3"], found: tetrahedra.Surface) -> Float[Array, ""]:
    """Mean squared distance of each vertex from the mean of its neighbours, per coordinate, padding left out."""
    f, there = found.faces, found.used_faces[:, None]
    total, count = jnp.zeros_like(places), jnp.zeros((len(places), 1))
    for k in range(3):
        for other in ((k + 1) % 3, (k + 2) % 3):
            total = total.at[f[:, k]].add(jnp.where(there, places[f[:, other]] - places[f[:, k]], 0.0))
            count = count.at[f[:, k]].add(there.astype(count.dtype))
    return ((total / jnp.maximum(count, 1)) ** 2).sum() / (3 * found.used.sum() + 1)


@functools.cache
def _optimiser(s: Settings) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(s.rate, s.steps, 0.1))


@functools.partial(jax.jit, static_argnames=("s",))
def _step(weights: Tree, state: Tree, scene: _Scene, i: AnyArray, truth: AnyArray, mask: AnyArray, s: Settings) -> Any:
    loss, gradient = jax.value_and_grad(_error)(weights, scene, i, truth, mask, s)
    updates, state = _optimiser(s).update(gradient, state)
    return optax.apply_updates(weights, updates), state, loss


def _shot(given: Given, i: int, size: int) -> tuple[Array, Array]:
    """A frame and its matte at a size; without mattes, what differs from the background is the person."""
    clip = given.clip
    rig = getattr(clip, "rig", None)
    at = i if rig is None else int(np.flatnonzero((np.asarray(rig.time) == i) & (np.asarray(rig.camera) == 0))[0])
    picture = jnp.asarray(clip.frames[at], jnp.float32) / 255
    if clip.masks is not None:
        mask = jnp.asarray(clip.masks[at], jnp.float32) / 255
    else:
        behind = jnp.asarray(clip.background, jnp.float32).reshape(-1, 3)[0]
        mask = (jnp.abs(picture - behind).max(-1) > 0.05).astype(jnp.float32)
    return jax.image.resize(picture, (size, size, 3), "linear"), jax.image.resize(mask, (size, size), "linear")
