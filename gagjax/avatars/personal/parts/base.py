"""The plug of a fit: what a part may do to the avatar, to what is drawn, and to the loss.

A fit goes through the same places for every picture, and a part may change what passes there:

    parameters -> avatar -> Gaussians -> (rasterizer) -> picture -> loss

A part is a pytree: its leaves are constants (maps, filters), its static fields options. Its trainable arrays are not in
it but in `State.weights["parts"][part.name]`, so that they are saved, resumed and optimised with everything else. A part
that changes nothing at the start (zero weights) leaves the first steps of a fit as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.typing import AnyArray, Tree

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.splatting.gaussians import Gaussians


class Scene(NamedTuple):
    """What a part may know when it makes its first weights.

    Attributes:
        avatar: The avatar before fitting.
        frames: Number of frames in time.
        cameras: Number of cameras.
        size: Width and height of the pictures, pixels.
        seed: Seed of initial weights.
    """

    avatar: Any
    frames: int
    cameras: int
    size: int
    seed: int = 0


class View(NamedTuple):
    """One picture of a clip.

    Attributes:
        time: Its frame, ().
        camera: Its camera, (); 0 if there is one.
        reference: From the head at rest to the first camera, `[R | t]` of the track's convention, (3, 4).
        share: Completed fraction of the fit's steps, ().
        background: Colour behind the head in this camera, (3,).
    """

    time: Array
    camera: Array
    reference: Float[Array, "3 4"]
    share: Array
    background: Float[Array, "3"]


class Shown(NamedTuple):
    """A picture as drawn, beside the truth.

    Attributes:
        picture: As drawn, after every part, (S, S, 3).
        truth: As filmed, (S, S, 3).
        coverage: Coverage of the avatar, (S, S).
        mask: The person's matte in [0, 1], (S, S), or None.
        avatar: The avatar that was drawn, with this frame's changes.
        parameters: The frame's parameters and camera.
        view: Which picture it is.
    """

    picture: Float[Array, "S S 3"]
    truth: Float[Array, "S S 3"]
    coverage: Float[Array, "S S"]
    mask: Float[Array, "S S"] | None
    avatar: Any
    parameters: Parameters
    view: View


class Part:
    """A part that does nothing; real ones are pytrees that override what they need.

    Attributes:
        name: Its name in options, checkpoints and avatar files.
        rate: Peak learning rate of its weights (Adam, cosine decay).
        since: Fraction of the fit's steps after which its weights move.
        lasting: Whether it belongs to the avatar and is drawn after the fit too, or only to this film.

    Example:
        >>> Part().start(Scene(None, 1, 1, 8))
        {}
    """

    name: ClassVar[str] = ""
    rate: ClassVar[float] = 1e-2
    since: ClassVar[float] = 0.0
    lasting: ClassVar[bool] = False

    def start(self, scene: Scene) -> dict[str, Any]:
        """The first weights, a dict of arrays; empty if there is nothing to learn."""
        return {}

    def parameters(self, weights: Tree, parameters: Parameters, view: View) -> Parameters:
        """The frame's parameters, such as its camera."""
        return parameters

    def avatar(self, weights: Tree, avatar: Tree, parameters: Parameters, view: View | None) -> Any:
        """The avatar in this frame: another shape, other features. `view` is None outside a fit."""
        return avatar

    def gaussians(
        self, weights: Tree, gaussians: Gaussians, avatar: Tree, parameters: Parameters, view: View | None
    ) -> Gaussians:
        """The Gaussians of this frame, such as lit ones. `view` is None outside a fit."""
        return gaussians

    def picture(
        self, weights: Tree, picture: Float[AnyArray, "S S 3"], coverage: Float[AnyArray, "S S"], view: View
    ) -> Float[AnyArray, "S S 3"]:
        """The picture as this camera records it."""
        return picture

    def loss(self, weights: Tree, shown: Shown) -> Float[AnyArray, ""]:
        """A loss of one picture, weighted."""
        return jnp.zeros(())

    def prior(self, weights: Tree, avatar: Tree) -> Float[AnyArray, ""]:
        """A loss of the weights alone, weighted."""
        return jnp.zeros(())
