"""A neutral head of Gaussians, and a deformation field driven by expression and head pose.

Every neutral Gaussian has a feature. One network takes it with the expression, another with the pose of head and neck;
each predicts changes of position, colour, rotation, width and opacity. Near facial landmarks the expression branch
applies, far from them the pose branch, with a blend in between. The head's rigid motion is applied last.

Gaussian Head Avatar is initialised by a signed distance field fitted to the clip and meshed by deep marching
tetrahedra, with deformation and colour networks pretrained on that mesh. Here the initialisation is the tracked FLAME
mesh itself: neutral Gaussians lie on it, and the field is first fitted to the mesh's own motion under the clip's
expressions (`guide`), which takes seconds and no images. Parts that FLAME lacks (hair, shoulders, glasses) must be
reached by offsets from its surface; the paper's initialisation includes them.

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
from gagjax.avatars.personal.starts.start import Start
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree, static
from gagjax.splatting.gaussians import Gaussians
from gagjax.typing import AnyArray, Scalar, Tree

Blend = Literal["linear", "sigmoid"]
BLENDS = ("linear", "sigmoid")
FEATURES, WIDTH = 16, 64
EXPRESSION, POSE = 100 + 3 + 6, 3 + 9
SHAPE = 3 + 3 + 3 + 1  # outputs other than colours: position, rotation, width, opacity
CHANNELS = (3, 32)
#: Within the first distance of a landmark only the expression acts, beyond the second only the pose; metres.
NEAR, FAR = 0.02, 0.05


def shares(
    distance: Float[AnyArray, "*N"], blend: Blend = "linear", near: float = NEAR, far: float = FAR
) -> tuple[Float[Array, "*N"], Float[Array, "*N"]]:
    """Weights of the expression and pose branches per Gaussian; the two sum to one.

    Args:
        distance: Distance to the nearest landmark, metres.
        blend: "linear": 1 up to `near`, then linear to 0 at `far`. "sigmoid": a logistic curve with the same midpoint
            and slope, without kinks.
        near: Metres.
        far: Metres.

    Returns:
        The weights of expression and of pose.
    """
    if blend == "linear":
        expression = jnp.clip((far - distance) / (far - near), 0.0, 1.0)
    else:
        expression = jax.nn.sigmoid(4 * ((near + far) / 2 - distance) / (far - near))
    return expression, 1 - expression


@pytree
class FieldAvatar:
    """A person's avatar: neutral Gaussians and a deformation field.

    Args:
        model: The person's head model, without shape coefficients. Only mean head, root joint and landmarks are used.
        canonical: Initial placement of the neutral Gaussians.
        points: Per-Gaussian parameters: `feature` (N, 16), `offset` from the initial position (N, 3) in centimetres,
            `colour` (N, C): logits of red, green and blue, then further channels for the network of `upscaling`;
            `scale` (N, 3) as logarithms of metres, `rotation` (N, 3) axis-angle, `opacity` (N,) as a logit.
        network: Weights by branch, `expression` and `pose`, and optionally of `upscale`.
        dynamic: Weight of the field's changes of appearance: 0 in the first stage of training, then 1. Positions always
            move.
        size: Size in pixels of the images it was fitted to, 0 before fitting; see `canonical.widened`.
        blend: "linear" or "sigmoid", see `shares`.
        factor: Image size over rasterized size.
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
        """Positions of the Gaussians at rest, metres."""
        return self.canonical.on(self.model, self.model.v_template) + self.points["offset"] * CENTIMETRE

    def finish(self, features: Float[AnyArray, "h w C"]) -> Float[AnyArray, "H W 3"]:
        """The image from a rasterized feature map, `factor` times as large."""
        if "upscale" not in self.network:
            return features
        return upscaling.apply(self.network["upscale"], features, self.factor)

    def changes(self, parameters: Parameters) -> Float[Array, "N _channels"]:
        """The field's changes in a frame, both branches blended."""
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
        # No gradient through the blend weights: the distance is a constant.
        places = jax.lax.stop_gradient(self.neutral())
        square = ((places[:, None, :] - marks[None]) ** 2).sum(-1)
        return jnp.sqrt(square.min(1) + 1e-16)

    def gaussians(self, parameters: Parameters) -> Gaussians:
        """The Gaussians of a frame, in world units; three colours in [0, 1], then further channels for `finish`."""
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
    model: FlameModel,
    count: int,
    seed: int = 0,
    *,
    blend: Blend = "linear",
    channels: int = 3,
    factor: int = 1,
    start: Start | None = None,
) -> FieldAvatar:
    """An avatar before fitting: neutral Gaussians, and a field with zero output.

    Args:
        model: The person's head (`canonical.person`).
        count: Maximum number of Gaussians.
        seed: Seed of features and initial weights.
        blend: How the two branches are blended, see `shares`.
        channels: Channels per Gaussian, 3 or more; more than 3 add the network of `upscaling`.
        factor: Image size over rasterized size: 1, 2 or 4.
        start: Placed and coloured Gaussians (`starts.begin`); None for grey ones all over the mesh.
    """
    start = Start(*spread(model, count)) if start is None else start
    canonical, width = start.canonical, start.width
    n = len(canonical)
    places = np.asarray(canonical.on(model, model.v_template))
    feature = _waves(places)
    points = {
        "feature": jnp.asarray(feature),
        "offset": jnp.asarray(start.centimetres()),
        "colour": jnp.asarray(np.concatenate([start.logits(), _further_channels(n, channels - 3, seed)], 1)),
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


def _further_channels(count: int, channels: int, seed: int) -> np.ndarray:
    """Small random values in the channels after the colours, so that the network can distinguish Gaussians."""
    return (0.1 * np.random.default_rng(seed).normal(size=(count, channels))).astype(np.float32)


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
    """Fit the avatar's field to the mesh's motion under a clip's expressions; no images are needed.

    Args:
        avatar: From `create`.
        expression: (T, 100), from the track.
        jaw: (T, 3).
        eyes: (T, 6).
        neck: (T, 3).
        steps: Adam steps, each on one frame and 4096 Gaussians.
        seed: Seed of the sampling.
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
    """Initial features: sines of the position, so that neighbours start out similar."""
    x = places / 0.1
    return np.concatenate(
        [x, np.sin(2 * x), np.cos(2 * x), np.sin(5 * x), np.cos(5 * x), x[:, :1] * x[:, 1:2]], 1
    ).astype(np.float32)


def structure(count: int, channels: int = 3, factor: int = 1) -> dict[str, Any]:
    """Shapes of the arrays of an avatar with `count` Gaussians, as required in a file."""

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
