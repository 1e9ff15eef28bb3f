"""The public names: exported as written down, documented, and typed without a gap."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOORS = ("gagjax", "bridge")
PACKAGES = (
    "gagjax.avatars",
    "gagjax.avatars.personal",
    "gagjax.detail",
    "gagjax.expression",
    "gagjax.filters",
    "gagjax.flame",
    "gagjax.gaze",
    "gagjax.io",
    "gagjax.metrics",
    "gagjax.protocols",
    "gagjax.reference",
    "gagjax.simulate",
    "gagjax.splatting",
    "gagjax.tuning",
    "gagjax.typing",
    "bridge.gagavatar",
)
# Modules that the doors offer as they are: what they define is public.
MODULES = ("gagjax.camera", "gagjax.multi_clip", "gagjax.so3", "gagjax.stack", "gagjax.track", "gagjax.track_smoother")
MOST_ANY = 150  # parameters annotated `Any`, of more than three thousand
# What follows a published formula says where it is from.
FORMULAS = (
    "gagjax.filters.ConstantAcceleration",
    "gagjax.filters.ConstantVelocity",
    "gagjax.filters.Kalman",
    "gagjax.filters.LiveVelocity",
    "gagjax.filters.OneEuro",
    "gagjax.filters.SavitzkyGolay",
    "gagjax.filters.fixed_lag",
    "gagjax.filters.rts",
    "gagjax.tuning.expectation_maximisation",
    "bridge.gagavatar.GAGAvatar",
)


def _exports(name: str) -> list[str]:
    module = importlib.import_module(name)
    if name in MODULES:
        return [each for each, value in vars(module).items() if not each.startswith("_") and _home(value) == name]
    return list(module.__all__)


def _home(value: Any) -> str:
    return getattr(value, "__module__", "") if inspect.isclass(value) or callable(value) else ""


def _ours(value: Any) -> bool:
    return _home(value).split(".")[0] in ("gagjax", "bridge")


def _public() -> dict[str, Any]:
    """Classes and functions by dotted name, each once."""
    found: dict[str, Any] = {}
    for package in (*DOORS, *PACKAGES, *MODULES):
        module = importlib.import_module(package)
        for name in _exports(package):
            value = getattr(module, name)
            if (
                not isinstance(value, ModuleType)
                and _ours(value)
                and all(value is not other for other in found.values())
            ):
                found[f"{package}.{name}"] = value
    return found


PUBLIC = _public()


def _callables(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A function itself; of a class, its public methods and properties."""
    if not inspect.isclass(value):
        yield name, inspect.unwrap(value)
        return
    for key, member in vars(value).items():
        if key.startswith("_"):
            continue
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, classmethod | staticmethod):
            member = member.__func__
        member = inspect.unwrap(member) if callable(member) else member
        if inspect.isfunction(member) and _ours(member):
            yield f"{name}.{key}", member


CALLABLES = {name: each for top, value in PUBLIC.items() for name, each in _callables(top, value)}


def _parameters(function: Any) -> list[str]:
    names = list(inspect.signature(function).parameters)
    return [name for name in names if name not in ("self", "cls")]


def _raised(function: Any) -> set[str]:
    """Names of the errors that a function's own statements raise."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func).split(".")[-1])
    return {name for name in found if name[0].isupper() and name != "Refused"}  # which the readers turn into InputError


def _complaints_of(name: str, function: Any) -> list[str]:
    text = inspect.getdoc(function) or ""
    if not text:
        return [f"{name}: no docstring"]
    found = []
    if not re.match(r"\S.*[.:)`]$", text.splitlines()[0]) and "\n\n" in text and "." not in text.split("\n\n")[0]:
        found.append(f"{name}: no summary line")
    if "Args:" in text:
        section = text.split("Args:", 1)[1]
        found += [f"{name}: {each} is not described" for each in _parameters(function) if f"{each}:" not in section]
    elif len(_parameters(function)) > 2 and not re.search(r"\b[Ss]ee\b|as in|like `", text):
        found.append(f"{name}: no Args for {', '.join(_parameters(function))}")
    if inspect.isfunction(function):
        found += [f"{name}: {each} is raised, Raises does not say so" for each in _raised(function) if each not in text]
    return found


@pytest.mark.parametrize("package", (*DOORS, *PACKAGES))
def test_exports_exist(package):
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing


@pytest.mark.parametrize("door", DOORS)
def test_a_door_spells_out_its_table(door):
    module = importlib.import_module(door)
    assert sorted(module.__all__) == sorted(module._HOMES)


def test_public_names_are_documented():
    found = []
    for name, value in PUBLIC.items():
        if inspect.isclass(value):
            text = inspect.getdoc(value) or ""
            if not text or text.startswith(f"{value.__name__}("):
                found.append(f"{name}: no docstring")
            elif dataclasses.is_dataclass(value):
                fields = [f.name for f in dataclasses.fields(value) if f.init and not f.name.startswith("_")]
                found += [f"{name}: field {each} is not described" for each in fields if f"{each}:" not in text]
    for name, function in CALLABLES.items():
        found += _complaints_of(name, function)
    assert not found, f"{len(found)}\n" + "\n".join(found)


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_name_their_source(name):
    assert "Source:" in (inspect.getdoc(PUBLIC[name]) or "")


def test_public_names_are_typed():
    found = []
    for name, function in CALLABLES.items():
        signature = inspect.signature(function)
        found += [
            f"{name}({each.name})"
            for each in signature.parameters.values()
            if each.annotation is inspect.Parameter.empty and each.name not in ("self", "cls")
        ]
        if signature.return_annotation is inspect.Signature.empty:
            found.append(f"{name} -> ?")
    assert not found, "\n".join(found)


def annotations() -> Iterator[tuple[str, str | None]]:
    """Every parameter in both packages, as (place, annotation as written)."""
    for path in sorted(each for package in DOORS for each in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                a = node.args
                for each in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg):
                    if each is not None and each.arg not in ("self", "cls"):
                        written = None if each.annotation is None else ast.unparse(each.annotation)
                        yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}({each.arg})", written


def test_few_parameters_are_any():
    found = list(annotations())
    loose = [place for place, written in found if written == "Any"]
    print(f"{len(loose)} of {len(found)} parameters are annotated Any")
    assert len(loose) <= MOST_ANY, "\n".join(loose)


def test_capabilities_are_asked_for_by_protocol():
    """`hasattr` remains where a library's object may lack a name: modules on some systems, streams, scalars."""
    allowed = {"signal", "errno", "os", "iterator", "stream", "before"}
    found = []
    for path in sorted(each for package in DOORS for each in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "hasattr"
                and ast.unparse(node.args[0]) not in allowed
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    assert not found, "\n".join(found)
