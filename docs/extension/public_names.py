"""Every public name of gagjax and bridge, found by importing them."""

from __future__ import annotations

import importlib
import inspect
import types
from typing import Any, NamedTuple

ROOTS = ("gagjax", "bridge")
#: Modules that no `__all__` names and that are meant to be imported: pages show how.
ALSO = (
    "gagjax.app.batch.jobs",
    "gagjax.app.presets",
    "gagjax.avatars.personal.appearance",
    "gagjax.avatars.personal.canonical",
    "gagjax.avatars.personal.clip",
    "gagjax.avatars.personal.deformation",
    "gagjax.avatars.personal.training",
    "gagjax.expression.arkit",
    "gagjax.expression.between_heads",
    "gagjax.pytree",
)


class Name(NamedTuple):
    """A public name.

    Attributes:
        path: Its dotted path, e.g. "gagjax.filters.Ema".
        value: What it is.
    """

    path: str
    value: Any


def names_of(module: types.ModuleType) -> list[Name]:
    """The public names of a module: those of `__all__`, or else the functions and classes written in it."""
    declared = getattr(module, "__all__", None)
    if declared is None:
        declared = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(value) or callable(value))
            and getattr(value, "__module__", None) == module.__name__
        ]
    return [Name(f"{module.__name__}.{name}", getattr(module, name)) for name in sorted(declared)]


def modules() -> dict[str, types.ModuleType]:
    """Every public module by its dotted name: the roots, what they name at any depth, and `ALSO`."""
    found: dict[str, types.ModuleType] = {}
    waiting = [*ROOTS, *ALSO]
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        module = importlib.import_module(name)
        found[name] = module
        waiting += [
            value.__name__
            for _, value in names_of(module)
            if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] in ROOTS
        ]
    return dict(sorted(found.items()))


def kind_of(value: Any) -> str:
    """The autodoc directive for a value: class, function or data. A jitted function is a function."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    if inspect.isroutine(value) or inspect.isfunction(getattr(value, "__wrapped__", None)):
        return "function"
    return "data"
