"""The eye stage: enhancement in two crops of fixed size, blended through a soft mask.

Only the crops are computed. They cover the region where the mask exceeds 1e-4, plus the reach of the stencils, so the
result equals that of the whole frame; a crop at the image border is moved inside, so that it has the same border.

The default enhancer is deterministic: a sharpening that does not amplify noise and stays near the range of the
neighbourhood. `EyeEnhancer.trained()` uses the shipped eye network instead (see weights/README.md for its gain). Either
acts in proportion to the missing fine detail: images that are sharp, also by the detail stage, pass unchanged.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.detail.bands import bands_of, lack
from gagjax.detail.edges import luma
from gagjax.detail.networks import Network, enhance_eyes, shipped
from gagjax.detail.planes import above_noise, binomial, box, local_range, noise_level
from gagjax.gaze.masks import eye_mask
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Scalar, Tree, Values

FLOOR = 1e-4  # mask values up to this count as zero
_RADIUS = math.sqrt(-2 * math.log(FLOOR))  # where a Gaussian of standard deviation 1 falls to FLOOR
_STENCILS = 6  # reach of the deterministic sharpening, pixels


@pytree
class EyeEnhancer:
    """Enhance the region of the eyes.

    Args:
        amount: Amount of sharpening, as a multiple of the residual of a Gaussian of one pixel.
        coring: Local energy up to this many noise standard deviations is not amplified.
        halo: How far a pixel may leave the range of its 5x5 neighbourhood, as a fraction of that range.
        sharpness: Energy ratio of the finest to the next octave at which a frame counts as sharp and passes unchanged,
            see `DetailEnhancer`. None: always the full change.
        strength: Scale of the whole change; 0 is the identity.
        network: A trained eye network instead of the sharpening, or None.
        sigma: Maximum width of the mask, as a fraction of either side; determines the size of the crops.
        spread: Width of the mask as a fraction of the distance between the eyes, up to `sigma`.
    """

    amount: Scalar = 0.6
    coring: Scalar = 1.7
    halo: Scalar = 0.05
    sharpness: Scalar | None = 0.95
    strength: Scalar = 1.0
    network: Network | None = None
    sigma: float = static(default=0.03)
    spread: float = static(default=0.15)

    @classmethod
    def trained(cls, **changes: Any) -> EyeEnhancer:
        """The enhancer with the shipped eye network.

        Args:
            changes: Other fields, such as `strength` or `sigma`.
        """
        return cls(network=shipped().eyes, **changes)

    def __call__(
        self, image: Float[AnyArray, "*#batch H W 3"], eye_centres: Float[AnyArray, "*#batch 2 2"]
    ) -> Float[Array, "*#batch H W 3"]:
        """Enhance the eyes in images.

        Args:
            image: RGB in [0, 1], (..., H, W, 3).
            eye_centres: (x, y) of both eyes as fractions of the image, (..., 2, 2); where one is not finite, nothing
                is changed around it.
        """
        image = jnp.asarray(image)
        centres = jnp.broadcast_to(jnp.asarray(eye_centres, jnp.float32), (*image.shape[:-3], 2, 2))
        out = _in_crops(self, image.reshape(-1, *image.shape[-3:]), centres.reshape(-1, 2, 2))
        return out.reshape(image.shape)

    def full_frame(self, image: Float[AnyArray, "N H W 3"], eye_centres: Float[AnyArray, "N 2 2"]) -> Any:
        """The same by the plain definition on whole frames: the reference for tests of the crops."""
        masks = self.masks(image.shape[1], image.shape[2], jnp.asarray(eye_centres))
        noise, lacks = self.measures(image)
        return image + masks[..., None] * (self.better(image, noise, lacks) - image)

    def measures(self, images: Float[AnyArray, "N H W 3"]) -> tuple[Float[Array, "N"], Float[Array, "N"]]:
        """Noise level and lack of fine detail of each frame."""

        def one(image: AnyArray) -> Any:
            found = bands_of(luma(image)[..., 0], 2)
            noise = noise_level(found.plane())
            return noise, 1.0 if self.sharpness is None else lack(found.energies(noise), self.sharpness)

        return jax.lax.map(one, images)

    def masks(self, height: int, width: int, centres: Float[AnyArray, "N 2 2"]) -> Float[Array, "N H W"]:
        """The soft masks, (N, H, W).

        Args:
            height: Image height, pixels.
            width: Image width, pixels.
            centres: (x, y) of both eyes as fractions of the image, (N, 2, 2).
        """
        return eye_mask(height, width, centres, self.widths(height, width, centres)[..., None, None])

    def widths(self, height: int, width: int, centres: Float[AnyArray, "*#batch 2 2"]) -> Float[Array, "*#batch"]:
        """Width of each frame's mask: from the distance between the eyes if both are visible, at most `sigma`.

        Args:
            height: Image height, pixels.
            width: Image width, pixels.
            centres: (x, y) of both eyes as fractions of the image, (..., 2, 2).
        """
        apart = (centres[..., 1, :] - centres[..., 0, :]) * jnp.array([width, height], jnp.float32)
        square = jnp.sum(apart**2, -1)
        known = jnp.isfinite(square) & (square > 0)
        distance = jnp.sqrt(jnp.where(known, square, 1)) / min(height, width)
        return jnp.where(known, jnp.clip(self.spread * distance, 0.25 * self.sigma, self.sigma), self.sigma)

    def reach(self) -> int:
        """Radius in pixels of a result's dependence on its neighbourhood."""
        return _STENCILS if self.network is None else sum(layer.kernel.shape[0] // 2 for layer in self.network)

    def better(
        self, image: Float[AnyArray, "N h w 3"], noise: Float[AnyArray, "N"], lacks: Float[AnyArray, "N"]
    ) -> Float[AnyArray, "N h w 3"]:
        """The enhanced images for blending by the mask.

        Args:
            image: (N, h, w, 3) in [0, 1].
            noise: Noise level of each, (N,).
            lacks: Lack of fine detail of each, (N,), in [0, 1].
        """
        if self.network is not None:
            share = (self.strength * lacks)[:, None, None, None]
            return image + share * (enhance_eyes(self.network, image) - image)
        return jax.vmap(self._sharpen)(image, noise, lacks)

    def _sharpen(self, image: AnyArray, noise: Values, lacks: Values) -> Any:
        y = luma(image)[..., 0]
        detail = y - binomial(y)
        weight = above_noise(box(detail * detail), self.coring * 0.9 * noise)
        low, high = local_range(y)
        room = self.halo * (high - low)
        sharp = jnp.clip(y + lacks * self.strength * self.amount * weight * detail, low - room, high + room)
        return jnp.clip(image + (sharp - y)[..., None], 0, 1)

    # -- as a frame stage ----------------------------------------------------------------------------------------

    def init(self, first: Float[AnyArray, "H W 3"]) -> tuple[()]:
        """The state before the first frame, see `gagjax.protocols`."""
        return ()

    def apply(self, state: tuple[()], frames: AnyArray, eye_centres: AnyArray | None = None) -> tuple[tuple[()], Any]:
        """As a frame stage of a Stack, see `gagjax.protocols.FrameStage`; without eye centres, frames are unchanged."""
        return state, frames if eye_centres is None else self(frames, eye_centres)


def crop_size(sigma: float, reach: int, length: int) -> int:
    """Size of a crop along a side of `length` pixels: mask, stencils, and one pixel for rounding on either side."""
    return min(length, 2 * (math.ceil(_RADIUS * sigma * (length - 1)) + reach + 1) + 1)


@jax.jit
def _in_crops(stage: EyeEnhancer, images: AnyArray, centres: AnyArray) -> Any:
    height, width = images.shape[1:3]
    reach = stage.reach()
    size = crop_size(stage.sigma, reach, height), crop_size(stage.sigma, reach, width)
    extent = jnp.array([width - 1, height - 1], jnp.float32)
    seen = jnp.isfinite(centres).all(-1)
    pixel = jnp.where(seen[..., None], centres, 0.5) * extent
    corner = jnp.round(pixel).astype(jnp.int32) - jnp.array([size[1] // 2, size[0] // 2])
    corner = jnp.clip(corner, 0, jnp.array([width - size[1], height - size[0]]))  # (N, 2 eyes, xy)
    noise, lacks = stage.measures(images)

    def cut(image: AnyArray, at: AnyArray) -> Any:
        return jax.lax.dynamic_slice(image, (at[1], at[0], 0), (*size, image.shape[-1]))

    crops = jax.vmap(lambda image, both: jax.vmap(lambda at: cut(image, at))(both))(images, corner)
    better = stage.better(crops.reshape(-1, *size, 3), jnp.repeat(noise, 2), jnp.repeat(lacks, 2)).reshape(crops.shape)
    widths = stage.widths(height, width, centres)
    rows, columns = jnp.arange(size[0])[:, None], jnp.arange(size[1])[None, :]

    def blend(
        image: AnyArray,
        eye: int,
        crops: AnyArray,
        better: AnyArray,
        corner: AnyArray,
        centres: AnyArray,
        sigma: Values,
        seen: AnyArray,
    ) -> Any:
        # Both eyes' mask at the crop's own pixels, so that overlapping crops agree.
        x = (corner[eye, 0] + jnp.arange(size[1])) / max(width - 1, 1)
        y = (corner[eye, 1] + jnp.arange(size[0])) / max(height - 1, 1)
        safe = jnp.where(seen[:, None], centres, 1e3)
        square = (x[None, None, :] - safe[:, 0, None, None]) ** 2 + (y[None, :, None] - safe[:, 1, None, None]) ** 2
        mask = jnp.exp(-jnp.min(square, axis=0) / (2 * sigma**2))[..., None]
        # Near crop borders inside the image, stencils read outside the crop: left to the other crop.
        left, top = corner[eye, 0], corner[eye, 1]
        inside = ((columns >= reach) | (left == 0)) & ((columns < size[1] - reach) | (left == width - size[1]))
        inside &= ((rows >= reach) | (top == 0)) & ((rows < size[0] - reach) | (top == height - size[0]))
        now = cut(image, corner[eye])
        mixed = crops[eye] + mask * (better[eye] - crops[eye])
        new = jnp.where(inside[..., None] & seen[eye], mixed, now)
        return jax.lax.dynamic_update_slice(image, new, (top, left, 0))

    def both(image: AnyArray, *rest: Tree) -> Any:
        return blend(blend(image, 0, *rest), 1, *rest)

    return jax.vmap(both)(images, crops, better, corner, centres, widths, seen)
