"""A perceptual loss on fixed filters, which need no weights: gradients at several scales, and their Gram matrices.

At each scale of a Gaussian pyramid (binomial filter 1 4 6 4 1, halved each time) the responses of five filters are
taken in every colour: both first differences, both second differences, and the mixed one. The loss is

    sum over scales of  mean |r - r'|  of the first differences  +  gram * mean |G - G'|,    G = R^T R / pixels

with R the absolute responses, so that G compares which edges occur together, wherever they are: texture. It is no
measure of human judgement like LPIPS, but it asks for sharp edges and texture where L1 is content with their mean.

Source: the Gram matrix of filter responses as in Gatys, Ecker and Bethge, Image style transfer using convolutional
neural networks, CVPR 2016, with the network replaced by derivative filters.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.avatars.personal.parts.base import Part, Shown
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray, Tree


def responses(picture: Float[AnyArray, "H W C"]) -> Float[Array, "h w F"]:
    """Five derivatives of every channel, one pixel narrower on each side: d/dx, d/dy, d2/dx2, d2/dy2, d2/dxdy."""
    x = jnp.asarray(picture)
    middle = x[1:-1, 1:-1]
    right, left, down, up = x[1:-1, 2:], x[1:-1, :-2], x[2:, 1:-1], x[:-2, 1:-1]
    mixed = (x[2:, 2:] - x[2:, :-2] - x[:-2, 2:] + x[:-2, :-2]) / 4
    found = [(right - left) / 2, (down - up) / 2, right + left - 2 * middle, down + up - 2 * middle, mixed]
    return jnp.concatenate(found, -1)


def halved(picture: Float[AnyArray, "H W C"]) -> Float[Array, "h w C"]:
    """Every second pixel after a binomial filter, borders continued."""
    x = jnp.pad(jnp.asarray(picture), ((2, 2), (2, 2), (0, 0)), mode="edge")
    height, width = picture.shape[:2]
    taps = [w / 16 for w in (1, 4, 6, 4, 1)]
    rows = jnp.stack([w * x[k : k + height] for k, w in enumerate(taps)]).sum(0)
    return jnp.stack([w * rows[:, k : k + width] for k, w in enumerate(taps)]).sum(0)[::2, ::2]


def gram(found: Float[AnyArray, "h w F"]) -> Float[Array, "F F"]:
    """Mean products of absolute responses."""
    flat = jnp.abs(found).reshape(-1, found.shape[-1])
    return flat.T @ flat / flat.shape[0]


def distance(
    drawn: Float[AnyArray, "H W 3"], truth: Float[AnyArray, "H W 3"], *, scales: int = 3, share: float = 10.0
) -> Float[Array, ""]:
    """The loss of a picture; 0 for equal ones.

    Args:
        drawn: Of at least 3 pixels at the coarsest scale.
        truth: The same size.
        scales: Number of scales.
        share: Weight of the Gram matrices.

    Example:
        >>> float(distance(jnp.ones((16, 16, 3)), jnp.ones((16, 16, 3))))
        0.0
    """
    total, first = jnp.zeros(()), 2 * drawn.shape[-1]
    for scale in range(scales):
        if scale:
            drawn, truth = halved(drawn), halved(truth)
        mine, theirs = responses(drawn), responses(truth)
        total = total + jnp.abs(mine[..., :first] - theirs[..., :first]).mean()
        total = total + share * jnp.abs(gram(mine) - gram(theirs)).mean()
    return total


@pytree
class FilterLoss(Part):
    """The loss on fixed filters as a part of a fit.

    Args:
        weight: Weight beside the photometric loss.
        scales: Number of scales.
        share: Weight of the Gram matrices in it.
    """

    name: ClassVar[str] = "filters"
    weight: float = static(default=0.2)
    scales: int = static(default=3)
    share: float = static(default=10.0)

    def loss(self, weights: Tree, shown: Shown) -> Float[AnyArray, ""]:
        return self.weight * distance(shown.picture, shown.truth, scales=self.scales, share=self.share)
