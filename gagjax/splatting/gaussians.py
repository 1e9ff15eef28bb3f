"""Gaussians: a set of 3D Gaussians with opacities and any number of feature channels."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gagjax.pytree import pytree
from gagjax.typing import AnyArray


@pytree
class Gaussians:
    """N Gaussians. Leading batch axes are allowed if all arrays share them.

    Args:
        means: Centres, (N, 3), world units.
        covariances: Symmetric, (N, 3, 3), world units squared.
        opacities: (N,), in [0, 1].
        features: (N, C): colours, or any channels; unbounded.

    Example:
        >>> import numpy as np
        >>> one = Gaussians(np.zeros((1, 3)), np.eye(3)[None], np.ones(1), np.ones((1, 3)))
        >>> len(one)
        1
    """

    means: Float[AnyArray, "*#batch N 3"]
    covariances: Float[AnyArray, "*#batch N 3 3"]
    opacities: Float[AnyArray, "*#batch N"]
    features: Float[AnyArray, "*#batch N C"]

    def __len__(self) -> int:
        return self.means.shape[-2]

    @classmethod
    def from_scales(
        cls,
        means: Float[AnyArray, "*#batch N 3"],
        scales: Float[AnyArray, "*#batch N 3"],
        quaternions: Float[AnyArray, "*#batch N 4"],
        opacities: Float[AnyArray, "*#batch N"],
        features: Float[AnyArray, "*#batch N C"],
        *,
        normalise: bool = True,
    ) -> Gaussians:
        """Gaussians from standard deviations along their own axes and orientations.

        Args:
            means: Centres.
            scales: Standard deviations, linear (not logarithms).
            quaternions: w, x, y, z.
            opacities: In [0, 1].
            features: Any channels.
            normalise: Whether to normalise the quaternions. GAGAvatar's head Gaussians were trained with the rotation
                formula applied to raw quaternions: pass False for those.
        """
        return cls(means, covariance(scales, quaternions, normalise=normalise), opacities, features)


def covariance(
    scales: Float[AnyArray, "*#batch 3"], quaternions: Float[AnyArray, "*#batch 4"], *, normalise: bool = True
) -> Float[Array, "*#batch 3 3"]:
    """R diag(scales^2) R^T.

    Args:
        scales: Standard deviations.
        quaternions: w, x, y, z.
        normalise: Normalise the quaternions first; the zero quaternion gives the identity.
    """
    q = jnp.asarray(quaternions)
    if normalise:
        square = (q * q).sum(-1, keepdims=True)
        ok = square > 0
        unit = q / jnp.sqrt(jnp.where(ok, square, 1))
        q = jnp.where(ok, unit, jnp.asarray([1.0, 0.0, 0.0, 0.0], q.dtype))
    w, x, y, z = (q[..., i] for i in range(4))
    rotation = jnp.stack(
        [
            jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        -2,
    )
    root = rotation * jnp.asarray(scales)[..., None, :]
    return jnp.einsum("...ij,...kj->...ik", root, root, precision="highest")
