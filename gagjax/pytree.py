"""Frozen dataclasses that are JAX pytrees: the common form of filters, models, tracks and stacks.

Leaves are the fields that JAX may trace, differentiate and batch; fields marked `fact` are leaves that no gradient reaches,
fields marked `static` are structure, fields marked `host` are neither. JAX learns of a class when both exist, in whatever order
they are imported. Rebuilding a value inside JAX does not run `__init__` or `__post_init__`, so these may check and normalise freely: they see what a
user wrote, never a tracer that JAX put there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

import numpy as np

from gagjax.process import deferred
from gagjax.typing import Array

if TYPE_CHECKING:
    import jax
else:
    jax = deferred.module("jax")

T = TypeVar("T")


def static(**kwargs: Any) -> Any:
    """A dataclass field that is structure, not data: hashable; changing it triggers recompilation."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


def fact(**kwargs: Any) -> Any:
    """A dataclass field that says how things are, such as a frame rate or a head's geometry: traced and batched like any
    leaf, so that another value compiles nothing new, but `jax.grad` gives zero for it and training leaves it alone."""
    return dataclasses.field(metadata={"fact": True}, **kwargs)


def host(**kwargs: Any) -> Any:
    """A dataclass field hidden from JAX: kept by `dataclasses.replace`, reset to its default by unflattening."""
    return dataclasses.field(metadata={"host": True}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static, fact, host))
def pytree(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass registered as a pytree, with Python numbers stored as float32 arrays.

    Python numbers in leaf fields become float32 NumPy scalars once, at construction: a bare Python float is weakly
    typed, and replacing it by an array later (such as after a gradient step) would recompile everything.

    Example:
        >>> @pytree
        ... class Gain:
        ...     value: float
        ...     name: str = static(default="gain")
        >>> jax.tree.map(lambda leaf: 2 * leaf, Gain(1.5)).value.item()
        3.0
    """
    # Inherited ones too: a base class may validate for its subclasses.
    own = getattr(cls, "__post_init__", None)

    def post_init(self: Any) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not field.metadata.get("static") and not field.metadata.get("host") and type(value) in (int, float):
                object.__setattr__(self, field.name, np.asarray(value, np.float32))
        if own is not None:
            own(self)

    cls.__post_init__ = post_init  # type: ignore[attr-defined]
    # eq=False: comparing arrays field by field has no single truth value.
    made = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(made)  # type: ignore[arg-type]
    leaves = tuple(f.name for f in fields if not f.metadata.get("static") and not f.metadata.get("host"))
    outside = tuple((f.name, f.default) for f in fields if f.metadata.get("host"))
    structure = tuple(f.name for f in fields if f.metadata.get("static"))
    facts = frozenset(f.name for f in fields if f.metadata.get("fact"))

    def flatten_with_keys(value: object) -> tuple[tuple, tuple]:
        children = tuple((jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in leaves)
        return children, tuple(getattr(value, name) for name in structure)

    def flatten(value: object) -> tuple[tuple, tuple]:
        return tuple(getattr(value, name) for name in leaves), tuple(getattr(value, name) for name in structure)

    def unflatten(aux: tuple, children: Iterable[object]) -> Any:
        value = object.__new__(made)
        for name, child in zip(leaves, children, strict=True):
            object.__setattr__(value, name, _without_gradient(child) if name in facts else child)
        for name, item in zip(structure, aux, strict=True):
            object.__setattr__(value, name, item)
        for name, item in outside:
            object.__setattr__(value, name, item)
        return value

    def register() -> None:
        jax.tree_util.register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)

    deferred.once_imported("jax", register)
    return made


def _without_gradient(value: object) -> object:
    """A fact as JAX rebuilds it; only what is being traced is touched, since JAX also rebuilds with stand-ins."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if isinstance(x, jax.core.Tracer) else x, value)


def check_pytree(value: object, what: str, *, inside: bool = True) -> None:
    """Refuse what JAX cannot take apart, in the words of who wrote it.

    Args:
        value: What should be a pytree of arrays, such as a filter or a stage.
        what: What it is to be, for the message, such as "filter".
        inside: Whether to look at the leaves of a real pytree as well.

    Raises:
        InputError: If it is a class instead of an instance, an object that is not registered with JAX, or holds one.
    """
    from gagjax.errors import InputError

    if isinstance(value, type):
        raise InputError(
            f"is the class {value.__name__} itself", field=what, fix=f"Pass an instance: {value.__name__}(...)"
        )
    for leaf in jax.tree.leaves(value):
        if isinstance(leaf, np.ndarray | np.generic | Array | jax.ShapeDtypeStruct | int | float | complex):
            continue
        kind = type(leaf).__name__
        if leaf is value:
            raise InputError(
                f"of type {kind} is no pytree, so JAX cannot compile or differentiate it",
                field=what,
                fix=f"Decorate its class: `from gagjax.pytree import pytree`, then `@pytree class {kind}: ...`",
            )
        if inside:
            raise InputError(
                f"holds a {kind}, which is no array",
                field=what,
                fix="Mark fields that are no numbers as static: `name: str = static(default=...)`, from gagjax.pytree",
            )


def at_path(value: object, path: str) -> Any:
    """The field of nested dataclasses that a dotted path names.

    Args:
        value: A dataclass instance.
        path: Names of fields, such as "temporal.jaw.lowest".

    Raises:
        KeyError: If a name on the path is not a field; the message lists the existing fields.
    """
    for name in path.split("."):
        value = getattr(value, _field_of(value, name))
    return value


def with_path(value: T, path: str, new: object) -> T:
    """A copy of nested dataclasses with the field of a dotted path replaced.

    Args:
        value: A dataclass instance; not changed.
        path: Names of fields, such as "temporal.jaw.lowest".
        new: The field's new content.

    Raises:
        KeyError: If a name on the path is not a field; the message lists the existing fields.

    Example:
        >>> @pytree
        ... class Gain:
        ...     value: float
        >>> with_path(Gain(1.5), "value", np.float32(2)).value.item()
        2.0
    """
    name, _, rest = path.partition(".")
    inner = with_path(getattr(value, _field_of(value, name)), rest, new) if rest else new
    return dataclasses.replace(value, **{_field_of(value, name): inner})  # type: ignore[type-var]


def _field_of(value: object, name: str) -> str:
    fields = sorted(f.name for f in dataclasses.fields(value)) if dataclasses.is_dataclass(value) else []
    if name not in fields:
        raise KeyError(f"there is no {name!r} among {', '.join(fields) or 'no fields'}")
    return name


def is_concrete(value: object) -> bool:
    """Whether a value can be inspected now: neither a tracer nor a placeholder that JAX put into a pytree."""
    return isinstance(value, np.ndarray | np.generic | int | float | bool) or (
        isinstance(value, Array) and not isinstance(value, jax.core.Tracer)
    )
