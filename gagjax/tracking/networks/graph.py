"""A network as data: ordered operations, constants and shapes, stored as one safetensors file with JSON metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from gagjax.errors import InputError

FORMAT = "gagjax-network-1"


class Operation(NamedTuple):
    """One operator of a graph.

    Attributes:
        name: TFLite's name of the operator ("CONV_2D", or a custom operator's name).
        inputs: Tensor numbers, -1 for an omitted one.
        outputs: Tensor numbers.
        options: Its options: strings, numbers and lists of numbers.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


class Graph(NamedTuple):
    """A network: ordered operations with constants.

    Attributes:
        operations: In topological order.
        constants: Weights by tensor number.
        shapes: The shape of every operation output and of the inputs, batch first.
        inputs: Tensor numbers of the inputs.
        outputs: Tensor numbers of the outputs.
    """

    operations: tuple[Operation, ...]
    constants: Mapping[int, Shaped[np.ndarray, "..."]]
    shapes: Mapping[int, tuple[int, ...]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def save(graph: Graph, path: str | Path) -> None:
    """Write a graph as safetensors: constants as tensors, the rest as JSON in the file's metadata.

    Args:
        graph: The network.
        path: The file to write, as given (no temporary name).
    """
    from safetensors.numpy import save as encoded

    description = {
        "operations": [[o.name, list(o.inputs), list(o.outputs), dict(o.options)] for o in graph.operations],
        "shapes": {str(n): list(shape) for n, shape in graph.shapes.items()},
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
    }
    tensors = {f"c{n}": np.ascontiguousarray(value) for n, value in graph.constants.items()}
    Path(path).write_bytes(encoded(tensors, metadata={"format": FORMAT, "graph": json.dumps(description)}))


def load(path: str | Path) -> Graph:
    """Read a graph written by `save`; half-precision constants become float32.

    Args:
        path: The file.

    Returns:
        The network.

    Raises:
        InputError: If it is not such a file.
    """
    from safetensors import SafetensorError, safe_open

    fix = "Run `gagjax models --force`"
    try:
        with safe_open(str(path), "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"is no readable network ({error})", file=path, fix=fix) from error
    if metadata.get("format") != FORMAT:
        raise InputError("was written by another version of gagjax", file=path, fix=fix)
    try:
        content = json.loads(metadata["graph"])
        return Graph(
            operations=tuple(Operation(n, tuple(i), tuple(o), options) for n, i, o, options in content["operations"]),
            constants={
                int(key[1:]): value.astype(np.float32) if value.dtype == np.float16 else value
                for key, value in tensors.items()
            },
            shapes={int(n): tuple(shape) for n, shape in content["shapes"].items()},
            inputs=tuple(content["inputs"]),
            outputs=tuple(content["outputs"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"is a damaged network ({error})", file=path, fix=fix) from error
