"""Editing an expression region by region, exactly in the mesh or as a map of its coefficients.

FLAME's expression columns are global modes: no range of them is "the mouth". A region is a set of vertices, and there
are two honest ways to scale what it does:

* **exact**: an expression basis whose rows are re-weighted, `B' = sum_r g_r W_r B`, in a new `FlameModel`. Nothing is
  refitted, nothing moves outside the edited regions' soft borders. For everything that is driven by vertices.
* **coefficients**: the 100x100 map `I + sum_r (g_r - 1) P_r`, `P_r = (B^T M B + lambda I)^-1 B^T M W_r B`, the
  area-weighted regularised least-squares fit of the same edit, made to add up to the identity. For tracks that are exported. A hundred modes cannot
  follow every edit, so something always leaks: `crosstalk` measures how much.

All gains at 1 are the identity in both.
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
    """What switching off one region does to the others, over expressions of unit variance.

    Attributes:
        names: The regions.
        millimetres: Root-mean-square displacement, (R, R): row r is switched off, column q is looked at. Off the
            diagonal only vertices outside r's soft border count.
        intended: What row r should move: the diagonal of the exact form, (R,), millimetres.
    """

    names: tuple[str, ...]
    millimetres: np.ndarray
    intended: np.ndarray

    @property
    def leak(self) -> np.ndarray:
        """The largest unwanted displacement of each row as a share of the intended one."""
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
    """Gains per region of a face; see the module. Make it with `for_model`.

    Args:
        weights: Soft region weights, (R, V); they sum to one over the regions.
        maps: The least-squares projector of each region, (R, 100, 100).
        grams: `B^T M W_r B`, (R, 100, 100), M being areas that sum to one: a deviation's mean square movement.
        areas: Vertex areas as shares of the whole, (V,).
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
        """The editor of a head, everything precomputed in float64.

        Args:
            model: The head.
            weights: Soft region weights that sum to one; None takes `region_weights(model)`.
            regularisation: lambda as a share of the mean diagonal of `B^T M B`.

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
        # What the regularisation holds back moves next to nothing. It is shared out, so that the maps add up to the
        # identity: equal gains everywhere are then exactly that gain.
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
        """The exact form: the head with each region's expression scaled. Differentiable in the gains.

        Args:
            model: The head that the editor was made for.
            gains: Gain by region name; regions left out keep 1.

        Raises:
            InputError: If a region is unknown.
        """
        scale = 1.0 + (self._vector(gains) - 1.0) @ self.weights  # exactly one where nothing is asked for
        basis = model.expression_basis * scale[:, None, None]
        return dataclasses.replace(model, shapedirs=jnp.concatenate([model.shapedirs[..., : model.shapes], basis], -1))

    def matrix(self, gains: Gains) -> Float[Array, "100 100"]:
        """The coefficient form: the map that comes nearest to the exact edit. Differentiable in the gains."""
        change = self._vector(gains) - 1.0
        return jnp.eye(self.maps.shape[-1]) + jnp.tensordot(change, self.maps, 1, precision="highest")

    def coefficients(self, expression: Float[AnyArray, "*#batch 100"], gains: Gains) -> Float[Array, "*#batch 100"]:
        """Coefficients through the map of `matrix`."""
        return jnp.einsum("ab,...b->...a", self.matrix(gains), jnp.asarray(expression), precision="highest")

    def amplitudes(self, deviation: Float[AnyArray, "T 100"]) -> Float[Array, "R"]:
        """How much each region moves in a clip: root-mean-square displacement from neutral, millimetres.

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
        """Gains that give the driver's regions the range of movement that the target's own clip shows.

        Args:
            driver: The driver's deviations from his neutral.
            target: The target's, in a clip of similar content.
            least: Smallest gain.
            most: Largest gain.
            still: Regions that move less than this in either clip, in millimetres, are left alone: their ratio is noise.
        """
        ours, theirs = self.amplitudes(driver), self.amplitudes(target)
        ratio = jnp.clip(theirs / ours, least, most)
        ratio = jnp.where(jnp.minimum(ours, theirs) < still, 1.0, ratio)
        return dict(zip(self.names, ratio, strict=True))

    def crosstalk(self, model: FlameModel, form: str = "exact") -> CrossTalk:
        """What each region, switched off, moves elsewhere; `form` is "exact" or "coefficients"."""
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
