"""The default enhancer: pyramid gains that leave noise, strong edges, highlights and shadows alone.

It works on the luma and adds the same difference to all three channels, so colours do not shift. Per band, the gain
follows the local energy: none where that is noise (coring), none where it is a strong edge, which is sharp already. The
result is then kept near the range of its neighbourhood, so that edges grow steeper without halos.

Nothing is normalised by a statistic of other frames: every frame is enhanced on its own, or, in `sequence`, with the
gain maps and the added detail of the frames before as state. Where the picture stands still, what is added is averaged
over time, so that noise in it does not flicker; where it moves, the new frame alone decides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.detail.edges import luma
from gagjax.detail.planes import BAND_NOISE, above_noise, box, local_range, noise_level, ramp
from gagjax.detail.pyramid import check_size, downsample, upsample
from gagjax.detail.warp import warp
from gagjax.pytree import pytree, static


class DetailState(NamedTuple):
    """What a video carries from frame to frame.

    Attributes:
        gains: The gain maps of the last frame, finest first.
        luma: Its luma.
        delta: The detail added to it.
        noise: The noise level so far.
        frames: How many frames there were.
    """

    gains: tuple[Float[Array, "h w"], ...]
    luma: Float[Array, "H W"]
    delta: Float[Array, "H W"]
    noise: Float[Array, ""]
    frames: Float[Array, ""]


@pytree
class DetailEnhancer:
    """Sharpen images without amplifying noise and without halos.

    Args:
        gains: What is added to each band, as a multiple of it, finest first, (levels,); all at strength 1.
        coring: Local energy up to this many noise standard deviations is left alone; full gain at twice that.
        edge: Contrast (local standard deviation of a band, image units) at which the gain has halved.
        halo: How far a pixel may leave the range of its 5x5 neighbourhood, as a fraction of that range; the
            noise is added to it.
        protect: Distance from black or white below which the change fades to nothing.
        noise: Noise standard deviation in image units, or None to estimate it from each frame.
        inertia: Share of the last frame kept in `sequence`: of its gains where they change little, of its added detail
            where the picture stands still.
        strength: Scale of all gains.

    Example:
        >>> image = jnp.full((16, 16, 3), 0.5)
        >>> bool((DetailEnhancer()(image) == image).all())
        True
    """

    gains: Float[Array, "levels"] | tuple[float, ...] = (1.1, 0.2)
    coring: Float[Array, ""] | float = 1.7
    edge: Float[Array, ""] | float = 0.12
    halo: Float[Array, ""] | float = 0.05
    protect: Float[Array, ""] | float = 0.04
    noise: Float[Array, ""] | float | None = None
    inertia: Float[Array, ""] | float = 0.85
    strength: Float[Array, ""] | float = 1.0
    levels: int = static(default=0)

    def __post_init__(self) -> None:
        gains = jnp.asarray(self.gains, jnp.float32)
        if gains.ndim != 1 or gains.shape[0] == 0:
            raise ValueError(f"gains needs one number per level, got shape {gains.shape}")
        object.__setattr__(self, "gains", gains)
        object.__setattr__(self, "levels", gains.shape[0])

    def __call__(
        self,
        image: Float[Array, "*batch H W 3"],
        strength: Any = 1.0,
        mask: Float[Array, "*batch H W"] | None = None,
    ) -> Float[Array, "*batch H W 3"]:
        """The enhanced image; every image of a batch on its own.

        Args:
            image: Images in [0, 1], (..., H, W, 3), or one channel.
            strength: Scale of all gains; 0 returns the image.
            mask: Where to work, weights in [0, 1], (..., H, W), such as skin or face; None for everywhere.

        Raises:
            InputError: If an image is smaller than 2^levels pixels.
        """
        image = jnp.asarray(image)
        check_size(image.shape, self.levels)
        if mask is not None:
            mask = jnp.broadcast_to(jnp.asarray(mask), image.shape[:-1])
        return _enhance_batch(self, image, strength, mask)

    # -- frames of one video -------------------------------------------------------------------------------------

    def init(self, first: Float[Array, "H W 3"]) -> DetailState:
        """The state before the first frame of a video."""
        check_size(first.shape, self.levels)
        height, width = first.shape[:2]
        gains = []
        for _ in range(self.levels):
            gains.append(jnp.zeros((height, width), jnp.float32))
            height, width = (height + 1) // 2, (width + 1) // 2
        plane = jnp.zeros(first.shape[:2], jnp.float32)
        return DetailState(tuple(gains), plane, plane, jnp.float32(0), jnp.float32(0))

    def sequence(
        self,
        state: DetailState,
        frames: Float[Array, "T H W 3"],
        motion: Float[Array, "T H W 2"] | None = None,
    ) -> tuple[DetailState, Float[Array, "T H W 3"]]:
        """Enhance the frames of a video in order, gain maps carried from frame to frame in one scan.

        Args:
            state: From `init`, or where an earlier chunk ended.
            frames: RGB in [0, 1], (T, H, W, 3).
            motion: Backward flow in pixels, (T, H, W, 2): where each pixel was in the frame before, minus where it is,
                (x, y). Gain maps are then warped along; without it they are averaged in place.

        Returns:
            The state after the last frame, and the frames.
        """

        def step(state: DetailState, inputs: Any) -> tuple[DetailState, Any]:
            frame, flow = inputs
            if flow is not None:
                gains, last, delta = _warp_maps(state.gains, flow), warp(state.luma, flow), warp(state.delta, flow)
                state = state._replace(gains=gains, luma=last, delta=delta)
            return _enhance_one(self, frame, self.strength, None, state)

        return jax.lax.scan(step, state, (frames, motion))

    def apply(self, state: DetailState, frames: Any, eye_centres: Any = None) -> tuple[DetailState, Any]:
        """As a frame stage of a Stack."""
        return self.sequence(state, frames)


@jax.jit
def _enhance_batch(enhancer: DetailEnhancer, image: Any, strength: Any, mask: Any) -> Any:
    lead = image.shape[:-3]
    images = image.reshape(-1, *image.shape[-3:])
    masks = None if mask is None else mask.reshape(-1, *image.shape[-3:-1])
    strength = strength * enhancer.strength
    # One after the other, not vmapped: a frame's planes then stay in the cache.
    out = jax.lax.map(lambda x: _enhance_one(enhancer, x[0], strength, x[1], None)[1], (images, masks))
    return out.reshape(*lead, *image.shape[-3:])


def _enhance_one(
    enhancer: DetailEnhancer, image: Any, strength: Any, mask: Any, state: DetailState | None
) -> tuple[Any, Any]:
    y = luma(image)[..., 0]
    noise = enhancer.noise
    if noise is None:
        noise = noise_level(y)
        if state is not None:
            # The noise of a video is one number: its estimate settles.
            noise = state.noise + (noise - state.noise) / jnp.minimum(state.frames + 1, 25)
    noise = jnp.asarray(noise, jnp.float32)
    extra, gains = _extra_detail(enhancer, y, noise, state)
    margin = jnp.minimum(y, 1 - y) / jnp.maximum(enhancer.protect, 1e-6)
    delta = strength * extra * ramp(margin)
    if state is not None:
        delta = _steady(enhancer, state, y, delta, noise)
    if mask is not None:
        delta = delta * mask
    low, high = local_range(y)
    # The range of a noisy neighbourhood is known no better than the noise; a strict clamp would flicker with it.
    room = enhancer.halo * (high - low) + noise
    limited = jnp.clip(y + delta, low - room, high + room) - y
    # Per channel the result stays in range, but what lay outside before is not touched.
    out = jnp.clip(image + limited[..., None], jnp.minimum(image, 0), jnp.maximum(image, 1))
    if state is None:
        return None, out
    return DetailState(gains, y, delta, noise, jnp.minimum(state.frames + 1, 1e6)), out


def _extra_detail(enhancer: DetailEnhancer, y: Any, noise: Any, state: DetailState | None) -> tuple[Any, Any]:
    """The sum of what the gains add to the bands, at full size, and the gain maps (without the bands' own factors)."""
    level, bands, maps = y[..., None], [], []
    for index in range(enhancer.levels):
        smaller = downsample(level, "burt-adelson")
        band = (level - upsample(smaller, level.shape[0], level.shape[1], "burt-adelson"))[..., 0]
        level = smaller
        gain = _gain_map(enhancer, band, noise * band_noise(index))
        if state is not None:
            gain = _coherent(enhancer, state.gains[index], gain, state.frames)
        bands.append(band)
        maps.append(gain)
    total: Any = None
    for index in reversed(range(enhancer.levels)):
        own = enhancer.gains[index] * maps[index] * bands[index]
        total = (
            own
            if total is None
            else own + upsample(total[..., None], own.shape[0], own.shape[1], "burt-adelson")[..., 0]
        )
    return total, tuple(maps)


def band_noise(index: int) -> float:
    """Standard deviation of a Burt-Adelson band for unit white noise."""
    last = len(BAND_NOISE) - 1
    return BAND_NOISE[index] if index <= last else BAND_NOISE[last] * 0.5 ** (index - last)


def _gain_map(enhancer: DetailEnhancer, band: Any, noise: Any) -> Any:
    energy = box(band * band)
    return above_noise(energy, enhancer.coring * noise) / (1 + energy / enhancer.edge**2)


def _coherent(enhancer: DetailEnhancer, before: Any, now: Any, frames: Any) -> Any:
    # Small changes of the gain are mostly noise, large ones are motion: the first are averaged, the second pass.
    change = now - before
    keep = enhancer.inertia * jnp.exp(-((change / 0.3) ** 2))
    return jnp.where(frames > 0, now - keep * change, now)


def _steady(enhancer: DetailEnhancer, state: DetailState, y: Any, delta: Any, noise: Any) -> Any:
    # Two frames of a picture that stands still differ by 1.13 noise levels in the mean, or by rounding.
    expected = 1.13 * noise + 0.5 / 255
    still = 1 - ramp((box(jnp.abs(y - state.luma)) / expected - 1.5) * (1 / 1.5))
    keep = jnp.where(state.frames > 0, enhancer.inertia * still, 0)
    return delta + keep * (state.delta - delta)


def _warp_maps(gains: tuple[Any, ...], flow: Any) -> tuple[Any, ...]:
    warped = []
    for index, gain in enumerate(gains):
        scale = 2**index
        warped.append(warp(gain, flow[::scale, ::scale][: gain.shape[0], : gain.shape[1]] / scale))
    return tuple(warped)


def default_stage() -> DetailEnhancer:
    """What `Stack.default` and `Stack.live` run on frames."""
    return DetailEnhancer()
