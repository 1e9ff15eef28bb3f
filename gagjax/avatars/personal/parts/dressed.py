"""An avatar with parts: what a fit draws, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxtyping import Float

from gagjax.avatars.personal.parts.base import Part, View
from gagjax.protocols import DrawsSmaller, FinishesPictures
from gagjax.pytree import pytree
from gagjax.typing import AnyArray

if TYPE_CHECKING:
    from gagjax.avatars.parameters import Parameters
    from gagjax.flame.model import FlameModel
    from gagjax.splatting.gaussians import Gaussians


@pytree
class DressedAvatar:
    """A personal avatar drawn through its parts.

    Args:
        base: The avatar without parts.
        parts: The parts, in the order in which they act.
        weights: The weights of each part by name.
        view: Which picture of a clip is drawn; None outside a fit.
    """

    base: Any
    parts: tuple[Part, ...]
    weights: Mapping[str, Any]
    view: View | None = None

    def __len__(self) -> int:
        return len(self.base)

    @property
    def size(self) -> int:
        """Size in pixels of the pictures that it was fitted to."""
        return self.base.size

    @property
    def factor(self) -> int:
        """Image size over rasterized size."""
        return self.base.factor if isinstance(self.base, DrawsSmaller) else 1

    def finish(self, features: Float[AnyArray, "h w C"]) -> Float[AnyArray, "H W 3"]:
        """The image from a rasterized feature map."""
        return self.base.finish(features) if isinstance(self.base, FinishesPictures) else features

    @property
    def model(self) -> FlameModel:
        """The person's head."""
        return self.base.model

    def within(self, parameters: Parameters) -> Any:
        """The base avatar as its parts change it in a frame."""
        avatar = self.base
        for part in self.parts:
            avatar = part.avatar(self.weights.get(part.name, {}), avatar, parameters, self.view)
        return avatar

    def gaussians(self, parameters: Parameters) -> Gaussians:
        """The Gaussians of a frame, in world units."""
        avatar = self.within(parameters)
        found = avatar.gaussians(parameters)
        for part in self.parts:
            found = part.gaussians(self.weights.get(part.name, {}), found, avatar, parameters, self.view)
        return found
