"""The default enhancer: pyramid gains that leave noise, strong edges, highlights and shadows alone.

It works on the luma and adds the same difference to all three channels, so colours do not shift. The amount adapts to
the image: a sharp one has about as much energy in its finest octave as in the next, and only the deficit is restored.
Per band, the gain follows the local energy: none where that is noise (coring), less at strong edges, which are already
sharp. The result is limited to about the range of its neighbourhood, so that edges become steeper without halos.

No statistic couples the images of a batch: each is enhanced independently, or, in `sequence`, with the previous frames'
gain maps, added detail and slowly varying noise and sharpness as state. In static areas the added detail is averaged
over time, so that noise does not flicker; in moving areas only the new frame counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.detail.bands import WINDOW, Bands, band_noise, bands_of, lack, margins, sum_of
from gagjax.detail.edges import luma
from gagjax.detail.planes import above_noise, box, box_inside, cut, noise_level, ramp, range_inside
from gagjax.detail.pyramid import check_size
from gagjax.detail.warp import warp
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Scalar, Tree, Values

SETTLED = 25  # frames over which noise and sharpness of a video are averaged


class DetailState(NamedTuple):
    """State carried between the frames of a video.

    Attributes:
        gains: The gain maps of the last frame, finest first.
        luma: Its luma.
        delta: The detail added to it.
        noise: Running estimate of the noise level.
        energy: Running mean energy of the finest and the next octave, without noise.
        frames: Number of frames so far.
    """

    gains: tuple[Float[Array, "h w"], ...]
    luma: Float[Array, "H W"]
    delta: Float[Array, "H W"]
    noise: Float[Array, ""]
    energy: Float[Array, "2"]
    frames: Float[Array, ""]


@pytree
class DetailEnhancer:
    """Sharpen images without amplifying noise and without halos.

    Args:
        gains: Maximum addition to each band, as a multiple of it, finest first, (levels,); reached at strength 1.
        coring: Local energy up to this many noise standard deviations is not amplified; full gain at twice that.
        edge: Contrast (local standard deviation of a band, image units) at which the gain is halved.
        halo: How far a pixel may leave the range of its 5x5 neighbourhood, as a fraction of that range; the noise level
            is added to it.
        protect: Distance from black or white below which the change fades to zero.
        sharpness: Energy ratio of the finest to the next octave at which an image counts as sharp and the gains are
            zero: 0.6 to 0.75 in sharp faces, filmed or rendered, 1 and more in other sharp photographs, 0.2 after a blur
            of 1.2 pixels. None: always full gains.
        noise: Noise standard deviation in image units, or None to estimate it from each frame.
        inertia: Weight of the previous frame in `sequence`: of its gains where they change little, of its added detail
            where the image is static.
        motion: Fraction of the added detail that `sequence` omits in moving areas: there the eye resolves less, and
            sharper edges flicker more.
        strength: Scale of all gains.

    Example:
        >>> image = jnp.full((16, 16, 3), 0.5)
        >>> bool((DetailEnhancer()(image) == image).all())
        True
    """

    gains: Float[AnyArray, "levels"] | tuple[float, ...] = (1.3, 0.2)
    coring: Scalar = 1.7
    edge: Scalar = 0.12
    halo: Scalar = 0.05
    protect: Scalar = 0.04
    sharpness: Scalar | None = 0.62
    noise: Scalar | None = None
    inertia: Scalar = 0.85
    motion: Scalar = 0.5
    strength: Scalar = 1.0
    levels: int = static(init=False, default=0)

    def __post_init__(self) -> None:
        gains = jnp.asarray(self.gains, jnp.float32)
        if gains.ndim != 1 or gains.shape[0] == 0:
            raise ValueError(f"gains needs one number per level, got shape {gains.shape}")
        object.__setattr__(self, "gains", gains)
        object.__setattr__(self, "levels", gains.shape[0])

    def __call__(
        self,
        image: Float[AnyArray, "*#batch H W 3"],
        strength: Scalar = 1.0,
        mask: Float[AnyArray, "*#batch H W"] | None = None,
    ) -> Float[Array, "*#batch H W 3"]:
        """Enhance an image, or each image of a batch independently.

        Args:
            image: Images in [0, 1], (..., H, W, 3), or one channel.
            strength: Scale of all gains; 0 returns the image.
            mask: Weights in [0, 1], (..., H, W), such as skin or face; None for everywhere.

        Raises:
            InputError: If an image is smaller than 2^levels pixels.
        """
        image = jnp.asarray(image)
        check_size(image.shape, self.levels)
        if mask is not None:
            mask = jnp.broadcast_to(jnp.asarray(mask), image.shape[:-1])
        return _enhance_batch(self, image, strength, mask)

    # -- frames of one video -------------------------------------------------------------------------------------

    def init(self, first: Float[AnyArray, "H W 3"]) -> DetailState:
        """The state before the first frame of a video."""
        check_size(first.shape, self.levels)
        height, width = first.shape[:2]
        gains = []
        for _, reach in margins(self.levels):
            gains.append(jnp.zeros((height + 2 * reach, width + 2 * reach), jnp.float32))
            height, width = (height + 1) // 2, (width + 1) // 2
        plane = jnp.zeros(first.shape[:2], jnp.float32)
        return DetailState(tuple(gains), plane, plane, jnp.float32(0), jnp.zeros(2), jnp.float32(0))

    def sequence(
        self,
        state: DetailState,
        frames: Float[AnyArray, "T H W 3"],
        motion: Float[AnyArray, "T H W 2"] | None = None,
    ) -> tuple[DetailState, Float[Array, "T H W 3"]]:
        """Enhance the frames of a video in order, carrying the state from frame to frame in one scan.

        Args:
            state: From `init` or from an earlier chunk.
            frames: RGB in [0, 1], (T, H, W, 3).
            motion: Backward flow in pixels, (T, H, W, 2): position of each pixel in the previous frame minus its
                current position, (x, y). Gain maps are then warped; without it they are averaged in place.

        Returns:
            The state after the last frame, and the frames.
        """

        def step(state: DetailState, inputs: Tree) -> tuple[DetailState, Any]:
            frame, flow = inputs
            if flow is not None:
                gains, last, delta = _warp_maps(state.gains, flow), warp(state.luma, flow), warp(state.delta, flow)
                state = state._replace(gains=gains, luma=last, delta=delta)
            return _on_all_cores(lambda: _enhance_one(self, frame, self.strength, None, state), state.frames)

        return jax.lax.scan(step, state, (frames, motion))

    def apply(
        self, state: DetailState, frames: AnyArray, eye_centres: AnyArray | None = None
    ) -> tuple[DetailState, Any]:
        """As a frame stage of a Stack, see `gagjax.protocols.FrameStage`."""
        return self.sequence(state, frames)


@jax.jit
def _enhance_batch(enhancer: DetailEnhancer, image: AnyArray, strength: Scalar, mask: AnyArray | None) -> Any:
    lead = image.shape[:-3]
    images = image.reshape(-1, *image.shape[-3:])
    masks = None if mask is None else mask.reshape(-1, *image.shape[-3:-1])
    strength = strength * enhancer.strength

    def one(image: AnyArray, mask: AnyArray | None) -> Any:
        return _enhance_one(enhancer, image, strength, mask, None)[1]

    if len(images) == 1:
        out = jax.vmap(one)(images, masks)
    else:
        # Sequentially, not vmapped, so that a frame's planes stay in the cache.
        out = jax.lax.map(lambda x: _on_all_cores(lambda: one(*x), enhancer.halo), (images, masks))
    return out.reshape(*lead, *image.shape[-3:])


def _on_all_cores(function: Callable[[], Any], number: Scalar) -> Any:
    """The function's result, computed in a branch that is taken for every finite number; NaN otherwise.

    XLA fuses the computation of a frame into the loop step that writes it to the output, and runs that step on one
    core; it does not fuse into a branch. Four times faster on two cores.
    """
    shapes = jax.eval_shape(function)
    return jax.lax.cond(
        jnp.isfinite(number), function, lambda: jax.tree.map(lambda s: jnp.full(s.shape, jnp.nan, s.dtype), shapes)
    )


def _enhance_one(
    enhancer: DetailEnhancer, image: AnyArray, strength: Scalar, mask: AnyArray | None, state: DetailState | None
) -> tuple[Any, Any]:
    found = bands_of(luma(image)[..., 0], max(enhancer.levels, 2))
    y = found.plane()
    share = 1.0 if state is None else 1 / jnp.minimum(state.frames + 1, SETTLED)
    noise = jnp.asarray(noise_level(y) if enhancer.noise is None else enhancer.noise, jnp.float32)
    if state is not None and enhancer.noise is None:
        # Noise and sharpness are constants of a video, so their estimates converge.
        noise = state.noise + share * (noise - state.noise)
    energy = found.energies(noise)
    if state is not None:
        energy = state.energy + share * (energy - state.energy)
    gains = _gain_maps(enhancer, found, noise)
    if state is not None:
        gains = tuple(_coherent(enhancer, *pair, state.frames) for pair in zip(state.gains, gains, strict=True))
    delta = _delta(enhancer, found, y, gains, strength * _lack(enhancer, energy))
    if state is not None:
        still = _still(state, y, noise)
        delta = delta * (1 - enhancer.motion * (1 - still))
        delta = delta + jnp.where(state.frames > 0, enhancer.inertia * still, 0) * (state.delta - delta)
    out = _limited(enhancer, image, found, y, delta if mask is None else delta * mask, noise)
    if state is None:
        return None, out
    return DetailState(gains, y, delta, noise, energy, jnp.minimum(state.frames + 1, 1e6)), out


def _lack(enhancer: DetailEnhancer, energy: AnyArray) -> Any:
    return 1.0 if enhancer.sharpness is None else lack(energy, enhancer.sharpness)


def _delta(enhancer: DetailEnhancer, found: Bands, y: AnyArray, gains: tuple[Any, ...], strength: Scalar) -> Any:
    """The addition of the gain maps to the luma."""
    scaled = []
    for index, gain in enumerate(gains):
        band = found.bands[index]
        scaled.append(enhancer.gains[index] * gain * cut(band, (band.shape[0] - gain.shape[0]) // 2))
    margin = jnp.minimum(y, 1 - y) / jnp.maximum(enhancer.protect, 1e-6)
    return strength * sum_of(scaled, (y.shape[0], y.shape[1])) * ramp(margin)


def _limited(
    enhancer: DetailEnhancer, image: AnyArray, found: Bands, y: AnyArray, delta: AnyArray, noise: Values
) -> Any:
    """The image plus the luma change, limited to about the range of the neighbourhood."""
    low, high = range_inside(found.around)
    # The range of a noisy neighbourhood is uncertain by the noise; a strict clamp would flicker with it.
    room = enhancer.halo * (high - low) + noise
    added = jnp.clip(y + delta, low - room, high + room) - y
    # Per channel the result stays in range, but input values outside it are unchanged.
    return jnp.clip(image + added[..., None], jnp.minimum(image, 0), jnp.maximum(image, 1))


def _gain_maps(enhancer: DetailEnhancer, found: Bands, noise: Values) -> tuple[Any, ...]:
    """The gain maps, without the bands' own factors."""
    maps = []
    for index, (_, reach) in enumerate(margins(enhancer.levels)):
        band = found.reaching(index, reach + WINDOW)
        energy = box_inside(band * band)
        sure = above_noise(energy, enhancer.coring * noise * band_noise(index))
        maps.append(sure / (1 + energy / enhancer.edge**2))
    return tuple(maps)


def _coherent(enhancer: DetailEnhancer, before: AnyArray, now: AnyArray, frames: AnyArray) -> Any:
    # Small changes of the gain are mostly noise and averaged; large ones are motion and pass.
    change = now - before
    keep = enhancer.inertia * jnp.exp(-((change / 0.3) ** 2))
    return jnp.where(frames > 0, now - keep * change, now)


def _still(state: DetailState, y: AnyArray, noise: Values) -> Any:
    """Confidence that each pixel is static, in [0, 1]; 1 in the first frame."""
    # Two frames of a static image differ by 1.13 noise levels on average, or by rounding.
    expected = 1.13 * noise + 0.5 / 255
    moves = ramp((box(jnp.abs(y - state.luma)) / expected - 1.5) * (1 / 1.5))
    return jnp.where(state.frames > 0, 1 - moves, 1)


def _warp_maps(gains: tuple[Any, ...], flow: AnyArray) -> tuple[Any, ...]:
    warped = []
    for index, (gain, (_, reach)) in enumerate(zip(gains, margins(len(gains)), strict=True)):
        scale = 2**index
        own = jnp.pad(flow[::scale, ::scale] / scale, [(reach, reach), (reach, reach), (0, 0)], mode="edge")
        warped.append(warp(gain, own))
    return tuple(warped)


def default_stage() -> DetailEnhancer:
    """The detail stage of `Stack.default` and `Stack.live`."""
    return DetailEnhancer()
