"""Modules and names that load when they are first used, so that a command waits only for what it runs.

JAX alone takes a third of a second, SciPy's rotations a sixth: reading and writing a track needs neither.

Example:
    >>> maths = module("math")
    >>> maths.floor(2.5)
    2
"""

from __future__ import annotations

import importlib
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any


class _Module(types.ModuleType):
    """Stands for a module until something is asked of it; it keeps nothing, so that patches of the module are seen."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what inspection asks of every object must load nothing
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def module(name: str) -> Any:
    """A module that is imported when one of its names is first used.

    Args:
        name: The dotted name, such as "jax.numpy".

    Returns:
        What can be used like the module.
    """
    return _Module(name)


def names(package: str, homes: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names load with their submodule.

    Args:
        package: The package's dotted name.
        homes: Submodule to the names that it defines; none of them may be named like a submodule.

    Returns:
        Both functions.
    """
    home = {name: submodule for submodule, defined in homes.items() for name in defined}

    def load(name: str) -> Any:
        if name in home:
            value = getattr(importlib.import_module(f"{package}.{home[name]}"), name)
            setattr(sys.modules[package], name, value)
            return value
        if name in homes:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return load, listed


class _Watch(MetaPathFinder):
    """Calls functions once a module has been imported."""

    def __init__(self, name: str) -> None:
        self.name, self.lock = name, threading.RLock()
        self.waiting: list[Callable[[], None]] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # the search goes on without this finder
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, self.now)
        return spec

    def now(self) -> None:
        with self.lock:
            waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()


class _Then(Loader):
    """A loader that calls a function after the module has been executed."""

    def __init__(self, loader: Loader, after: Callable[[], None]) -> None:
        self._loader, self._after = loader, after

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._after()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_watches: dict[str, _Watch] = {}
_lock = threading.Lock()


def once_imported(name: str, action: Callable[[], None]) -> None:
    """Run an action as soon as a module has been imported: now, if it has been.

    Args:
        name: A top-level module, such as "jax".
        action: Called once, in the thread that imports the module.
    """
    with _lock:
        watch = _watches.setdefault(name, _Watch(name))
        if name not in sys.modules:
            watch.waiting.append(action)
            if watch not in sys.meta_path:
                sys.meta_path.insert(0, watch)
            return
    importlib.import_module(name)  # waits for a thread that is in the middle of it
    watch.now()
    action()
