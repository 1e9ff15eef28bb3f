"""Local Laplacian filters: edge-aware detail manipulation, the high-quality choice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.detail.edges import luma
from gagjax.detail.planes import above_noise, binomial, box, noise_level, ramp
from gagjax.detail.pyramid import check_size, downsample, laplacian_pyramid, reconstruct
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Scalar, Tree, Values


@pytree
class LocalLaplacian:
    """Fast local Laplacian filter on the luma: differences up to `sigma` are amplified, larger ones (edges) are kept.

    Around a value g, an intensity i becomes `g + sign(i - g) sigma (|i - g| / sigma)^alpha` for |i - g| <= sigma and
    is kept beyond. The filter is computed for `samples` fixed values of g; a pixel's pyramid coefficients are
    interpolated between those nearest to it.

    Args:
        alpha: Below 1 amplifies detail, above 1 smooths it, 1 is the identity.
        sigma: Largest difference that counts as detail, image units.
        coring: Local energy up to this many noise standard deviations is not changed.
        samples: Number of values of g.
        levels: Pyramid levels.

    Source: Paris, Hasinoff & Kautz, Local Laplacian filters, SIGGRAPH 2011; Aubry, Paris, Hasinoff, Kautz & Durand,
    Fast local Laplacian filters, ACM TOG 2014 (the sampled form).
    """

    alpha: Scalar = 0.75
    sigma: Scalar = 0.12
    coring: Scalar = 1.6
    samples: int = static(default=10)
    levels: int = static(default=4)

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, got {self.samples}")

    def __call__(
        self, image: Float[AnyArray, "*#batch H W 3"], strength: Scalar = 1.0
    ) -> Float[Array, "*#batch H W 3"]:
        """Filter an image, or each image of a batch independently.

        Args:
            image: Images in [0, 1], (..., H, W, 3), or one channel.
            strength: Scale of the change; 0 returns the image.

        Raises:
            InputError: If an image is smaller than 2^levels pixels.
        """
        image = jnp.asarray(image)
        check_size(image.shape, self.levels)
        return _filter_batch(self, image, strength)

    def init(self, first: Float[AnyArray, "H W 3"]) -> tuple[()]:
        """The state before the first frame, see `gagjax.protocols`."""
        return ()

    def apply(self, state: tuple[()], frames: AnyArray, eye_centres: AnyArray | None = None) -> tuple[tuple[()], Any]:
        """As a frame stage of a Stack, see `gagjax.protocols.FrameStage`; it has no state."""
        return state, self(frames)


@jax.jit
def _filter_batch(filter_: LocalLaplacian, image: AnyArray, strength: Scalar) -> Any:
    images = image.reshape(-1, *image.shape[-3:])
    return jax.lax.map(lambda x: _filter_one(filter_, x, strength), images).reshape(image.shape)


def _filter_one(filter_: LocalLaplacian, image: AnyArray, strength: Scalar) -> Any:
    y = luma(image)
    gaussian = [y]
    for _ in range(filter_.levels):
        gaussian.append(downsample(gaussian[-1], "burt-adelson"))
    noise = noise_level(y[..., 0])
    step = 1 / (filter_.samples - 1)

    def add(bands: Tree, g: AnyArray) -> tuple[Any, None]:
        own, _ = laplacian_pyramid(_remap(filter_, y, g, noise), filter_.levels, "burt-adelson")
        hats = [jnp.maximum(1 - jnp.abs(level - g) / step, 0) for level in gaussian[:-1]]
        return [total + hat * band for total, hat, band in zip(bands, hats, own, strict=True)], None

    start = [jnp.zeros_like(level) for level in gaussian[:-1]]
    bands, _ = jax.lax.scan(add, start, jnp.linspace(0, 1, filter_.samples))
    plane = y[..., 0]
    detail = plane - binomial(plane)
    # A remapping steeper than 1 amplifies noise in areas without detail.
    sure = above_noise(box(detail * detail), filter_.coring * noise)
    delta = strength * sure[..., None] * (reconstruct(bands, gaussian[-1], "burt-adelson") - y)
    return jnp.clip(image + delta, jnp.minimum(image, 0), jnp.maximum(image, 1))


def _remap(filter_: LocalLaplacian, y: AnyArray, g: AnyArray, noise: Values) -> Any:
    difference = y - g
    size = jnp.abs(difference)
    inside = (size < filter_.sigma) & (size > 0)
    share = jnp.where(inside, size / filter_.sigma, 1)
    moved = jnp.sign(difference) * filter_.sigma * share**filter_.alpha
    # The slope at zero is infinite for alpha < 1: differences up to the noise, or one 8-bit step, are kept.
    floor = jnp.maximum(2 * noise, 1 / 255)
    weight = ramp(size / floor - 1) * jnp.where(inside, 1, 0)
    return y + weight * (moved - difference)
