"""The layering as a contract: which package may import which, no circles between files, no crowded folders.

Imports are read from the syntax tree, those inside functions included; what only a type checker sees is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_FILES = 15


def _modules() -> dict[str, Path]:
    found = {}
    for package in ("gagjax", "bridge"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _nodes(child)


def imports_of(source: str) -> set[str]:
    """Every dotted name that a source imports, `from a import b` as both `a` and `a.b`."""
    names = set()
    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer_of(module: str) -> str:
    """core, bridge or app."""
    if module.split(".")[0] == "bridge":
        return "bridge"
    return "app" if module.startswith("gagjax.app") or module == "gagjax.__main__" else "core"


FORBIDDEN = {"core": ("bridge", "app", "torch"), "bridge": ("app",), "app": ()}


def breaches(module: str, source: str) -> list[str]:
    """The imports of a module that its layer may not have."""
    found = []
    for name in sorted(imports_of(source)):
        target = "torch" if name.split(".")[0] in ("torch", "gsplat") else None
        if target is None and name.split(".")[0] in ("gagjax", "bridge"):
            target = layer_of(name)
        if target in FORBIDDEN[layer_of(module)]:
            found.append(f"{module} imports {name}: {layer_of(module)} may not import {target}")
    return found


def test_arrows_go_one_way():
    found = [each for module, path in MODULES.items() for each in breaches(module, path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gagjax.filters.ema", "import torch"),
        ("gagjax.splatting.rasterize", "def f():\n    from bridge import gsplat"),
        ("gagjax.io.tracks", "from gagjax.app import presets"),
        ("bridge.dlpack", "from gagjax.app.cli import main"),
    ],
)
def test_an_arrow_turned_round_is_found(module, source):
    assert breaches(module, source)


def _edges() -> dict[str, set[str]]:
    edges = {}
    for module, path in MODULES.items():
        targets = {name for name in imports_of(path.read_text()) if name in MODULES and name != module}
        # `from a.b import c` names the package a.b only on the way where c is a file of it.
        edges[module] = {
            name for name in targets if not any(other != name and other.startswith(f"{name}.") for other in targets)
        }
        # A package's door imports its own files; they reach each other, not the door.
        edges[module] -= {module.rsplit(".", 1)[0]} if path.name != "__init__.py" else set()
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = []
            while True:
                component.append(stack.pop())
                if component[-1] == node:
                    break
            if len(component) > 1:
                found.append(sorted(component))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def test_no_circle_between_files():
    found = circles(_edges())
    assert not found, "\n".join(" <-> ".join(each) for each in found)


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_crowded_folder():
    folders = {path.parent for path in MODULES.values()} | {path.parent for path in (ROOT / "tests").rglob("*.py")}
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder in folders
        if (count := sum(path.name != "__init__.py" for path in folder.glob("*.py"))) > MOST_FILES
    }
    assert not crowded
