"""Closure matching: the target's lids and lips close when the driver's do.

The same coefficients close one face's eyes and leave another's slightly open, because closure depends on the identity
shape. Closure is therefore matched by aperture: where the driver's lids or lips nearly touch, a few Gauss-Newton steps
apply the smallest change (in surface displacement) to the target's expression that gives the same relative aperture.
Open eyes and an open mouth are left unchanged.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.expression.masks import vertex_areas
from gagjax.flame.eye_aspect_ratio import lid_aperture, lip_aperture
from gagjax.flame.model import FlameModel, landmarks, vertices
from gagjax.flame.subset import at_landmarks
from gagjax.pytree import fact, pytree, static
from gagjax.track import Channels
from gagjax.typing import AnyArray, Scalar


@pytree
class ClosureMatcher:
    """Matches lid and lip closure between two faces. Construct with `for_models`.

    Args:
        driver: The driver's head, restricted to its landmarks.
        driver_shape: The driver's shape coefficients.
        target: The target's head, likewise.
        target_shape: The target's shape coefficients.
        mobility: The inverse of `B^T M B + lambda I`, (100, 100): large along coefficient directions that move little
            skin.
        shut: Relative aperture below which closure is matched fully.
        open: Relative aperture above which nothing changes.
        steps: Gauss-Newton steps.
    """

    driver: FlameModel = fact()
    driver_shape: Float[AnyArray, "S"] = fact()
    target: FlameModel = fact()
    target_shape: Float[AnyArray, "S"] = fact()
    mobility: Float[AnyArray, "100 100"] = fact()
    shut: Scalar = 0.15
    open: Scalar = 0.5
    steps: int = static(default=4)

    @classmethod
    def for_models(
        cls,
        target: FlameModel,
        target_shape: Float[AnyArray, "S"],
        driver_shape: Float[AnyArray, "S"],
        driver: FlameModel | None = None,
        *,
        regularisation: float = 1e-3,
    ) -> ClosureMatcher:
        """Build the matcher for two identities.

        Args:
            target: The target head.
            target_shape: Its shape coefficients.
            driver_shape: The driver's shape coefficients.
            driver: The head model the driver was tracked with; None uses the target's.
            regularisation: As in `RegionEditor.for_model`.

        Raises:
            InputError: If a model has fewer than 68 landmarks.
        """
        driver = target if driver is None else driver
        if min(len(driver.landmark_faces), len(target.landmark_faces)) < 68:
            raise InputError("has fewer than 68 landmarks", field="model", fix="Load it with a landmark embedding")
        areas = vertex_areas(target)
        rows = (np.asarray(target.expression_basis, np.float64) * np.sqrt(areas / areas.sum())[:, None, None]).reshape(
            -1, target.expression_basis.shape[-1]
        )
        gram = rows.T @ rows
        ridge = max(regularisation * np.trace(gram) / len(gram), 1e-18)
        # Scaled to entries near one: only the direction matters.
        mobility = np.linalg.inv(gram + ridge * np.eye(len(gram))) * ridge
        return cls(
            driver=at_landmarks(driver),
            driver_shape=jnp.asarray(driver_shape, jnp.float32),
            target=at_landmarks(target),
            target_shape=jnp.asarray(target_shape, jnp.float32),
            mobility=jnp.asarray(mobility, jnp.float32),
        )

    def match(self, before: Channels, after: Channels) -> Float[Array, "T 100"]:
        """The retargeted expression with closure matched.

        Args:
            before: The driver's channels.
            after: The retargeted channels.

        Returns:
            Expression coefficients for the target, (T, 100).
        """
        return _match(self, before.expression, before.jaw, after.expression, after.jaw)


def apertures(
    small: FlameModel,
    shape: Float[AnyArray, "S"],
    expression: Float[AnyArray, "*#batch 100"],
    jaw: Float[AnyArray, "*#batch 3"],
) -> Float[Array, "*#batch 3"]:
    """Left lid, right lid and lip aperture of a head restricted to its landmarks.

    Args:
        small: From `gagjax.flame.subset.at_landmarks`.
        shape: Shape coefficients, (S,).
        expression: Expression coefficients, (..., 100).
        jaw: Jaw rotation, axis-angle, (..., 3), radians.

    Returns:
        Relative apertures, (..., 3).
    """
    jaw = jnp.asarray(jaw)
    pose = jnp.concatenate([jnp.zeros_like(jaw), jaw], -1)
    points = landmarks(small, vertices(small, shape, expression, pose, jnp.zeros(6)))
    return jnp.concatenate([lid_aperture(points), lip_aperture(points)[..., None]], -1)


@jax.jit
def _match(matcher: ClosureMatcher, seen: AnyArray, seen_jaw: AnyArray, given: AnyArray, given_jaw: AnyArray) -> Array:
    zero = jnp.zeros(given.shape[-1]), jnp.zeros(3)
    ours = apertures(matcher.driver, matcher.driver_shape, seen, seen_jaw)
    ours_rest = apertures(matcher.driver, matcher.driver_shape, *zero)
    theirs_rest = apertures(matcher.target, matcher.target_shape, *zero)
    # Lids are relative to the resting aperture. Lips touch at rest, so they are relative to the mouth width, which
    # `lip_aperture` already divides by.
    scale = jnp.stack([ours_rest[0], ours_rest[1], jnp.ones(())])
    base = jnp.stack([jnp.zeros(()), jnp.zeros(()), ours_rest[2]])
    relative = (ours - base) / jnp.maximum(scale, 1e-4)
    wanted = jnp.maximum(
        relative * jnp.stack([theirs_rest[0], theirs_rest[1], jnp.ones(())]) + jnp.array([0.0, 0.0, 1.0]) * theirs_rest,
        0.0,
    )
    nearness = jnp.clip((matcher.open - relative) / (matcher.open - matcher.shut), 0.0, 1.0)
    weight = nearness**2 * (3.0 - 2.0 * nearness)

    def one(psi: AnyArray, jaw: AnyArray, aim: AnyArray, share: AnyArray) -> Array:
        def aperture(values: AnyArray) -> Array:
            return apertures(matcher.target, matcher.target_shape, values, jaw)

        def step(psi: AnyArray, _: None) -> tuple[Array, None]:
            now, slope = aperture(psi), jax.jacrev(aperture)(psi)
            pull = matcher.mobility @ slope.T
            # Damping: a face with no closing mode is left unchanged instead of being distorted.
            system = slope @ pull
            system = system + 1e-3 * jnp.trace(system) / 3 * jnp.eye(3) + 1e-12 * jnp.eye(3)
            return psi + pull @ jnp.linalg.solve(system, share * (aim - now)), None

        return jax.lax.scan(step, jnp.asarray(psi), length=matcher.steps)[0]

    return jax.vmap(one)(given, given_jaw, wanted, weight)
