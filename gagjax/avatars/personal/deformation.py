"""A neutral head of Gaussians, and a field that moves it with expression and head pose.

Neutral Gaussians have a feature each. One network sees it with the expression, another with the pose of head and neck;
each gives changes of place, colour, rotation, width and opacity. Near the landmarks of the face the expression moves a
Gaussian, far from them the pose, and in between both by their share. The head's rigid motion comes after.

Gaussian Head Avatar starts from a signed distance field that it fits to the clip, cut into a mesh by deep marching
tetrahedra, with networks for deformation and colour that have learned on that mesh. Here the start is the tracked FLAME
mesh itself: neutral Gaussians lie on it, and the field first learns the mesh's own motion under the clip's expressions
(`guide`), which takes seconds and no pictures. What FLAME does not have (hair, shoulders, glasses) must grow out of its
surface by offsets; the paper's start has them from the beginning.

Source: Xu et al., Gaussian Head Avatar: Ultra high-fidelity head avatar via dynamic Gaussians, CVPR 2024.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gagjax import flame, so3
from gagjax.avatars.avatar import UNITS
from gagjax.avatars.builtin.shading import FRONT
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal import networks, upscaling
from gagjax.avatars.personal.appearance import CENTIMETRE, own
from gagjax.avatars.personal.canonical import Canonical, spread, widened
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree, static
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray, Scalar, Tree

Blend = Literal["linear", "sigmoid"]
BLENDS = ("linear", "sigmoid")
FEATURES, WIDTH = 16, 64
EXPRESSION, POSE = 100 + 3 + 6, 3 + 9
SHAPE = 3 + 3 + 3 + 1  # outputs beside the colours: place, rotation, width, opacity
CHANNELS = (3, 32)
#: Within the first distance of a landmark only the expression acts, beyond the second only the pose; metres.
NEAR, FAR = 0.02, 0.05


def shares(
    distance: Float[AnyArray, "*N"], blend: Blend = "linear", near: float = NEAR, far: float = FAR
) -> tuple[Float[Array, "*N"], Float[Array, "*N"]]:
    """How much expression and pose move a Gaussian; the two sum to one.

    Args:
        distance: To the nearest landmark, metres.
        blend: "linear": 1 up to `near`, then linear to 0 at `far`. "sigmoid": a logistic curve through the same middle,
            with the same slope there, and no kinks.
        near: Metres.
        far: Metres.

    Returns:
        The shares of expression and of pose.
    """
    if blend == "linear":
        expression = jnp.clip((far - distance) / (far - near), 0.0, 1.0)
    else:
        expression = jax.nn.sigmoid(4 * ((near + far) / 2 - distance) / (far - near))
    return expression, 1 - expression


@pytree
class FieldAvatar:
    """A person's avatar: neutral Gaussians and the field that moves them.

    Args:
        model: The person's head: no shape coefficients. Only its mean head, root joint and landmarks are used.
        canonical: Where the neutral Gaussians started.
        points: What each has: `feature` (N, 16), `offset` from its start (N, 3) in centimetres, `colour` (N, C): three
            logits of red, green and blue and what the network of `upscaling` sees besides; `scale` (N, 3) as logarithms of metres, `rotation` (N, 3) axis-angle, `opacity` (N,) as a logit.
        network: Weights by branch, `expression` and `pose`, and of `upscale` where there is one.
        dynamic: How much the field acts on looks: 0 in the first stage of training, then 1. Places always move.
        size: Pixels of the pictures that it was fitted to, 0 for none yet; see `canonical.widened`.
        blend: "linear" or "sigmoid", see `shares`.
        factor: How many times smaller than the picture the Gaussians are drawn.
    """

    model: FlameModel
    canonical: Canonical
    points: Mapping[str, Float[AnyArray, "N ..."]]
    network: dict[str, Any]
    dynamic: float | Scalar = 1.0
    size: int = static(default=0)
    blend: Blend = static(default="linear")
    factor: int = static(default=1)

    def __len__(self) -> int:
        return len(self.canonical)

    def neutral(self) -> Float[Array, "N 3"]:
        """Where the Gaussians are at rest, metres."""
        return self.canonical.on(self.model, self.model.v_template) + self.points["offset"] * CENTIMETRE

    def finish(self, features: Float[AnyArray, "h w C"]) -> Float[AnyArray, "H W 3"]:
        """The picture of a drawn feature map, `factor` times as large."""
        if "upscale" not in self.network:
            return features
        return upscaling.apply(self.network["upscale"], features, self.factor)

    def changes(self, parameters: Parameters) -> Float[Array, "N _channels"]:
        """What the field changes in a frame, both branches blended."""
        turn = jnp.asarray(FRONT) if parameters.camera is None else parameters.camera.viewmat[:3, :3]
        expression = jnp.concatenate([0.3 * parameters.expression, 3 * parameters.pose[3:], 3 * parameters.eyes])
        pose = jnp.concatenate([3 * parameters.neck, (turn - jnp.asarray(FRONT)).reshape(-1)])
        near, far = shares(self._distance(), self.blend)
        feature = self.points["feature"]
        by_expression = networks.apply(self.network["expression"], feature, expression)
        by_pose = networks.apply(self.network["pose"], feature, pose)
        return near[:, None] * by_expression + far[:, None] * by_pose

    def _distance(self) -> Float[Array, "N"]:
        marks = flame.landmarks(self.model, self.model.v_template)
        # The shares do not pull Gaussians about: the distance is taken as given.
        places = jax.lax.stop_gradient(self.neutral())
        square = ((places[:, None, :] - marks[None]) ** 2).sum(-1)
        return jnp.sqrt(square.min(1) + 1e-16)

    def gaussians(self, parameters: Parameters) -> Gaussians:
        """The Gaussians of a frame, in world units; three colours in [0, 1], then what `finish` reads."""
        points, change = self.points, self.changes(parameters)
        channels = points["colour"].shape[1]
        look = self.dynamic * change[:, 3:]
        colour, look = points["colour"] + look[:, :channels], look[:, channels:]
        places = self.neutral() + change[:, :3] * CENTIMETRE
        turned = so3.exp(points["rotation"] + 0.3 * look[:, :3])
        widths = jnp.exp(jnp.clip(points["scale"] + 0.3 * look[:, 3:6], -9.0, -3.5))
        root = turned * widths[:, None, :]
        # Rigid motion of the head, about the root joint.
        rotation = so3.exp(parameters.pose[:3])
        centre = jnp.einsum("v,vc->c", self.model.J_regressor[0], self.model.v_template, precision="highest")
        means = (places - centre) @ rotation.T + centre
        root = (rotation[None, :, :, None] * root[:, None, :, :]).sum(2)
        return Gaussians(
            means * UNITS,
            widened(
                (root[:, :, None, :] * root[:, None, :, :]).sum(-1) * UNITS**2,
                parameters.camera,
                self.size // self.factor,
            ),
            jax.nn.sigmoid(points["opacity"] + look[:, 6]),
            jnp.concatenate([jax.nn.sigmoid(colour[:, :3]), colour[:, 3:]], 1),
        )


Avatar = FieldAvatar


def create(
    model: FlameModel, count: int, seed: int = 0, *, blend: Blend = "linear", channels: int = 3, factor: int = 1
) -> FieldAvatar:
    """An avatar to be fitted: grey neutral Gaussians on the mesh, and a field that does nothing yet.

    Args:
        model: The person's head (`canonical.person`).
        count: At most so many Gaussians.
        seed: Of features and first weights.
        blend: How the two branches share the head.
        channels: Of each Gaussian, 3 or more; more than 3 bring the network of `upscaling`.
        factor: How many times smaller than the picture they are drawn: 1, 2 or 4.
    """
    canonical, width = spread(model, count)
    n = len(canonical)
    places = np.asarray(canonical.on(model, model.v_template))
    feature = _waves(places)
    points = {
        "feature": jnp.asarray(feature),
        "offset": jnp.zeros((n, 3)),
        "colour": jnp.asarray(_first_colours(n, channels, seed)),
        "scale": jnp.asarray(np.repeat(np.log(width)[:, None], 3, 1)),
        "rotation": jnp.zeros((n, 3)),
        "opacity": jnp.full(n, 2.0),
    }
    network = {
        "expression": networks.create(FEATURES, EXPRESSION, WIDTH, SHAPE + channels, seed),
        "pose": networks.create(FEATURES, POSE, WIDTH, SHAPE + channels, seed + 1),
    }
    if channels > 3 or factor > 1:
        network["upscale"] = upscaling.create(channels, factor, seed + 2)
    return FieldAvatar(model, canonical, points, network, jnp.float32(1), blend=blend, factor=factor)


def _first_colours(count: int, channels: int, seed: int) -> np.ndarray:
    """Grey, and small numbers that differ, so that the network has something to tell Gaussians apart by."""
    rest = 0.1 * np.random.default_rng(seed).normal(size=(count, channels - 3))
    return np.concatenate([np.zeros((count, 3)), rest], 1).astype(np.float32)


def guide(
    avatar: FieldAvatar,
    expression: AnyArray,
    jaw: AnyArray,
    eyes: AnyArray,
    neck: AnyArray,
    *,
    steps: int = 600,
    seed: int = 0,
) -> FieldAvatar:
    """The avatar once its field has learned how the mesh moves under a clip's expressions; no pictures are needed.

    Args:
        avatar: From `create`.
        expression: (T, 100), of the track.
        jaw: (T, 3).
        eyes: (T, 6).
        neck: (T, 3).
        steps: Of Adam, on one frame and 4096 Gaussians each.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    track = [jnp.asarray(x, jnp.float32) for x in (expression, jaw, eyes, neck)]
    optimiser = _guide_optimiser(steps)
    feature, network = avatar.points["feature"], avatar.network
    state = optimiser.init((feature, network))
    for _ in range(steps):
        i = rng.integers(len(track[0]))
        noise = jnp.asarray(0.3 * rng.normal(size=100) * (rng.random(100) < 0.1), jnp.float32)
        now = [x[i] for x in track]
        moving = jnp.ptp(track[0], axis=0) > 0
        now[0] = now[0] + noise * moving
        feature, network, state = _guide_step(avatar, feature, network, state, now, steps)
    return dataclasses.replace(avatar, points={**avatar.points, "feature": feature}, network=network)


@functools.cache
def _guide_optimiser(steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(4e-3, steps, 0.05))


@functools.partial(jax.jit, static_argnames=("steps",))
def _guide_step(avatar: FieldAvatar, feature: AnyArray, network: Tree, state: Tree, now: Tree, steps: int) -> Any:
    expression, jaw, eyes, neck = now
    parameters = own(Parameters.of(expression, jaw, eyes, neck))
    model, canonical = avatar.model, avatar.canonical
    wanted = canonical.on(model, parameters.vertices(model)) - canonical.on(model, model.v_template)

    def error(moved: Tree) -> Array:
        points = {**avatar.points, "feature": moved[0]}
        change = dataclasses.replace(avatar, points=points, network=moved[1]).changes(parameters)
        return ((change[:, :3] - wanted / CENTIMETRE) ** 2).sum(-1).mean() * 100

    gradient = jax.grad(error)((feature, network))
    updates, state = _guide_optimiser(steps).update(gradient, state)
    feature, network = optax.apply_updates((feature, network), updates)
    return feature, network, state


def _waves(places: np.ndarray) -> np.ndarray:
    """First features: sines of the place, so that neighbours begin alike."""
    x = places / 0.1
    return np.concatenate(
        [x, np.sin(2 * x), np.cos(2 * x), np.sin(5 * x), np.cos(5 * x), x[:, :1] * x[:, 1:2]], 1
    ).astype(np.float32)


def structure(count: int, channels: int = 3, factor: int = 1) -> dict[str, Any]:
    """The arrays of an avatar of so many Gaussians, as shapes: what a file must hold."""

    def array(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((count, *shape), jnp.float32)

    return {
        "points": {
            "feature": array(FEATURES),
            "offset": array(3),
            "colour": array(channels),
            "scale": array(3),
            "rotation": array(3),
            "opacity": array(),
        },
        "network": {
            "expression": networks.shapes(FEATURES, EXPRESSION, WIDTH, SHAPE + channels),
            "pose": networks.shapes(FEATURES, POSE, WIDTH, SHAPE + channels),
            **({"upscale": upscaling.shapes(channels, factor)} if channels > 3 or factor > 1 else {}),
        },
    }
