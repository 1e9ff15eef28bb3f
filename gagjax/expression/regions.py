"""Edit expressions per region, exactly on the mesh or as a linear map of the coefficients.

FLAME's expression columns are global modes: no subset of them is "the mouth". A region is a set of vertices, and its
motion can be scaled in two ways:

* **exact**: a re-weighted expression basis, `B' = sum_r g_r W_r B`, in a new `FlameModel`. No refit; nothing moves
  outside the edited regions' soft borders. For anything driven by vertices.
* **coefficients**: the 100x100 map `I + sum_r (g_r - 1) P_r`, `P_r = (B^T M B + lambda I)^-1 B^T M W_r B`, the
  area-weighted regularised least-squares fit of the same edit, normalised to sum to the identity. For exported tracks.
  A hundred modes cannot represent every edit, so some motion leaks: `crosstalk` measures how much.

Both are the identity when all gains are 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.expression.masks import gain_vector, region_weights, vertex_areas
from gagjax.flame.model import FlameModel
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray

Gains = Mapping[str, Any]


class CrossTalk(NamedTuple):
    """Effect on the other regions of switching one off, over expressions of unit variance.

    Attributes:
        names: The regions.
        millimetres: Root-mean-square displacement, (R, R), of region q (column) when region r (row) is switched off.
            Off the diagonal only vertices outside r's soft border count.
        intended: Intended displacement of row r: the diagonal of the exact form, (R,), millimetres.
    """

    names: tuple[str, ...]
    millimetres: np.ndarray
    intended: np.ndarray

    @property
    def leak(self) -> np.ndarray:
        """The largest unwanted displacement of each row as a fraction of the intended one."""
        off = self.millimetres * (1.0 - np.eye(len(self.names)))
        return off.max(1) / np.maximum(self.intended, 1e-12)

    def table(self) -> str:
        """The matrix as a Markdown table, in millimetres."""
        head = "| off \\ moves | " + " | ".join(self.names) + " |\n|---" + "|---:" * len(self.names) + "|\n"
        rows = (
            f"| {name} | " + " | ".join(f"{value:.3f}" for value in row) + " |"
            for name, row in zip(self.names, self.millimetres, strict=True)
        )
        return head + "\n".join(rows)


@pytree
class RegionEditor:
    """Per-region gains for a face; see the module docstring. Construct with `for_model`.

    Args:
        weights: Soft region weights, (R, V), summing to one over the regions.
        maps: The least-squares projector of each region, (R, 100, 100).
        grams: `B^T M W_r B`, (R, 100, 100), with M the normalised areas: the mean square displacement of a deviation.
        areas: Vertex areas as fractions of the total, (V,).
        names: The regions.
    """

    weights: Float[AnyArray, "R V"]
    maps: Float[AnyArray, "R 100 100"]
    grams: Float[AnyArray, "R 100 100"]
    areas: Float[AnyArray, "V"]
    names: tuple[str, ...] = static(default=())

    @classmethod
    def for_model(
        cls,
        model: FlameModel,
        weights: Mapping[str, Float[AnyArray, "V"]] | None = None,
        *,
        regularisation: float = 1e-4,
    ) -> RegionEditor:
        """Build the editor of a head, precomputed in float64.

        Args:
            model: The head.
            weights: Soft region weights that sum to one; None uses `region_weights(model)`.
            regularisation: lambda as a fraction of the mean diagonal of `B^T M B`.

        Example:
            `RegionEditor.for_model(model).edit(model, {"mouth": 0.5})` is a model whose mouth moves half as much.
        """
        chosen = region_weights(model) if weights is None else weights
        stacked = np.stack([np.asarray(value, np.float64) for value in chosen.values()])
        areas = vertex_areas(model)
        areas = areas / areas.sum()
        basis = np.asarray(model.expression_basis, np.float64)
        flat = basis.transpose(2, 0, 1)
        grams = np.stack(
            [
                (flat * (areas * row)[None, :, None]).reshape(len(flat), -1) @ flat.reshape(len(flat), -1).T
                for row in stacked
            ]
        )
        whole = grams.sum(0)
        ridge = regularisation * np.trace(whole) / len(whole)
        maps = np.linalg.solve(whole + max(ridge, 1e-18) * np.eye(len(whole)), grams)
        # The residual suppressed by the regularisation moves almost nothing. It is distributed so that the maps sum to
        # the identity: equal gains everywhere then apply exactly that gain.
        share = np.trace(grams, axis1=1, axis2=2) / max(np.trace(whole), 1e-18)
        maps = maps + share[:, None, None] * (np.eye(len(whole)) - maps.sum(0))
        return cls(
            weights=jnp.asarray(stacked, jnp.float32),
            maps=jnp.asarray(maps, jnp.float32),
            grams=jnp.asarray(grams, jnp.float32),
            areas=jnp.asarray(areas, jnp.float32),
            names=tuple(chosen),
        )

    def edit(self, model: FlameModel, gains: Gains) -> FlameModel:
        """Exact form: the head with each region's expression scaled. Differentiable in the gains.

        Args:
            model: The head that the editor was built for.
            gains: Gain by region name; omitted regions keep 1.

        Raises:
            InputError: If a region is unknown.
        """
        scale = 1.0 + (self._vector(gains) - 1.0) @ self.weights  # exactly one where all gains are 1
        basis = model.expression_basis * scale[:, None, None]
        return dataclasses.replace(model, shapedirs=jnp.concatenate([model.shapedirs[..., : model.shapes], basis], -1))

    def matrix(self, gains: Gains) -> Float[Array, "100 100"]:
        """Coefficient form: the linear map closest to the exact edit. Differentiable in the gains."""
        change = self._vector(gains) - 1.0
        return jnp.eye(self.maps.shape[-1]) + jnp.tensordot(change, self.maps, 1, precision="highest")

    def coefficients(self, expression: Float[AnyArray, "*#batch 100"], gains: Gains) -> Float[Array, "*#batch 100"]:
        """Apply the map of `matrix` to coefficients."""
        return jnp.einsum("ab,...b->...a", self.matrix(gains), jnp.asarray(expression), precision="highest")

    def amplitudes(self, deviation: Float[AnyArray, "T 100"]) -> Float[Array, "R"]:
        """Motion of each region in a clip: root-mean-square displacement from neutral, millimetres.

        Args:
            deviation: Expression minus neutral, (T, 100).
        """
        square = jnp.einsum("ta,rab,tb->r", deviation, self.grams, deviation, precision="highest") / len(deviation)
        share = self.weights @ self.areas
        return 1e3 * jnp.sqrt(jnp.maximum(square / jnp.maximum(share, 1e-12), 1e-18))

    def matching_gains(
        self,
        driver: Float[AnyArray, "T 100"],
        target: Float[AnyArray, "T 100"],
        *,
        least: float = 0.5,
        most: float = 2.0,
        still: float = 0.1,
    ) -> dict[str, Array]:
        """Gains that match the driver's per-region motion range to that of the target's own clip.

        Args:
            driver: The driver's deviations from neutral.
            target: The target's deviations, in a clip of similar content.
            least: Smallest gain.
            most: Largest gain.
            still: Regions that move less than this in either clip, in millimetres, are skipped: their ratio is noise.
        """
        ours, theirs = self.amplitudes(driver), self.amplitudes(target)
        ratio = jnp.clip(theirs / ours, least, most)
        ratio = jnp.where(jnp.minimum(ours, theirs) < still, 1.0, ratio)
        return dict(zip(self.names, ratio, strict=True))

    def crosstalk(self, model: FlameModel, form: str = "exact") -> CrossTalk:
        """Effect of switching off each region on the others; `form` is "exact" or "coefficients"."""
        basis = np.asarray(model.expression_basis, np.float64)
        weights, areas = np.asarray(self.weights, np.float64), np.asarray(self.areas, np.float64)
        count = len(self.names)
        moved = np.zeros((count, count))
        intended = np.zeros(count)
        for r in range(count):
            wanted = 1e6 * (basis**2).sum((1, 2)) * weights[r] ** 2
            square = (
                wanted if form == "exact" else 1e6 * ((basis @ np.asarray(self.maps[r], np.float64)) ** 2).sum((1, 2))
            )
            for q in range(count):
                share = areas * weights[q] * ((weights[r] == 0.0) if q != r else 1.0)
                moved[r, q] = np.sqrt((share * square).sum() / max(share.sum(), 1e-18))
            own = areas * weights[r]
            intended[r] = np.sqrt((own * wanted).sum() / max(own.sum(), 1e-18))
        return CrossTalk(self.names, moved, intended)

    def _vector(self, gains: Gains) -> Float[Array, "R"]:
        return jnp.stack([jnp.asarray(gain, jnp.float32) for gain in gain_vector(self.names, gains)])
