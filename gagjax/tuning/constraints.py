"""Domains of hyperparameters, and the smooth maps that keep an optimiser inside them.

The optimiser moves unconstrained numbers; `constrain` maps them to hyperparameters. A leaf's domain follows from the
name of its field; fields without one (frame rates, gates, counts) are not trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.typing import Tree, Values

Domain = Literal["positive", "unit", "real"]

# Bound of the unconstrained number: exp(±20) spans 17 decades, and float32 squares of either end stay finite.
LIMIT = 20.0

FIELDS: dict[str, Domain] = {
    "alpha": "unit",
    "beta": "positive",
    "derivative_cutoff": "positive",
    "initial_variance": "positive",
    "measurement_noise": "positive",
    "min_cutoff": "positive",
    "process_noise": "positive",
    "strength": "unit",
    "gains": "positive",
}


def constrain(z: Values, domain: Domain) -> Values:
    """The hyperparameter for an unconstrained number: exp for positive, logistic for the unit interval.

    Args:
        z: Any finite number; clamped to ±20 so that no step can overflow float32.
        domain: "positive", "unit" or "real".
    """
    if domain == "real":
        return z
    z = jnp.clip(z, -LIMIT, LIMIT)
    return jnp.exp(z) if domain == "positive" else jax.nn.sigmoid(z)


def unconstrain(value: Values, domain: Domain) -> Float[Array, "..."]:
    """The inverse of `constrain`; values on a domain's boundary are moved inside by one float32 resolution step."""
    if domain == "real":
        return jnp.asarray(value)
    tiny = float(np.exp(-LIMIT))
    if domain == "positive":
        return jnp.log(jnp.clip(value, tiny, 1 / tiny))
    # The float32 number nearest below 1 is 6e-8 away.
    inside = jnp.clip(value, tiny, 1 - 6e-8)
    return jnp.clip(jnp.log(inside) - jnp.log1p(-inside), -LIMIT, LIMIT)


def leaf_name(path: tuple[Any, ...]) -> str:
    """A leaf's path in a model as a dotted string, such as "expression.process_noise"."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def trainable_leaves(
    model: Tree, only: Iterable[str] | None = None, domains: Mapping[str, Domain] | None = None
) -> dict[str, Domain]:
    """The trainable leaves of a model and their domains.

    Args:
        model: Any pytree: a filter, a smoother, a stack.
        only: Names, or name suffixes, of the leaves that train; None for all that have a domain.
        domains: Domains by name or suffix, in addition to those that follow from field names.

    Returns:
        Leaf name -> domain.

    Raises:
        ValueError: If a name matches no leaf, or nothing is left to train; the message lists the leaves.

    Example:
        >>> from gagjax.filters import Ema
        >>> trainable_leaves(Ema(0.5))
        {'alpha': 'unit'}
    """
    names = [leaf_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(model)[0]]
    own = dict(domains or {})

    def matches(name: str, wanted: str) -> bool:
        return name == wanted or name.endswith("." + wanted)

    for wanted in (*(only or ()), *own):
        if not any(matches(name, wanted) for name in names):
            raise ValueError(f"no hyperparameter is called {wanted!r}; there are: {', '.join(names)}")
    found: dict[str, Domain] = {}
    for name in names:
        given = next((domain for wanted, domain in own.items() if matches(name, wanted)), None)
        domain = given or FIELDS.get(name.rsplit(".", 1)[-1])
        if domain and (only is None or any(matches(name, wanted) for wanted in only)):
            found[name] = domain
    if not found:
        raise ValueError(f"nothing to train; name leaves with `only` and `domains`. There are: {', '.join(names)}")
    return found
