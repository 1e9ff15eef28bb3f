"""Convert a TFLite file to a `Graph`; used once, when a network is installed.

Source: the TFLite schema (tensorflow/lite/schema/schema.fbs); only the operators of MediaPipe's face networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gagjax.errors import InputError
from gagjax.tracking.networks.flatbuffers import Buffer, Table, flexbuffer
from gagjax.tracking.networks.graph import Graph, Operation

_BUILTIN = {
    0: "ADD",
    1: "AVERAGE_POOL_2D",
    2: "CONCATENATION",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    6: "DEQUANTIZE",
    14: "LOGISTIC",
    17: "MAX_POOL_2D",
    18: "MUL",
    19: "RELU",
    21: "RELU6",
    22: "RESHAPE",
    23: "RESIZE_BILINEAR",
    32: "CUSTOM",
    34: "PAD",
    45: "STRIDED_SLICE",
    54: "PRELU",
    117: "HARD_SWISH",
}
_ACTIVATION = {0: "none", 1: "relu", 3: "relu6"}
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 4: "<i8"}
# The fields of each operator's option table: name -> (number in the schema, struct code).
_WINDOW = {"padding": (0, "<b"), "stride_w": (1, "<i"), "stride_h": (2, "<i")}
_OPTIONS: dict[str, dict[str, tuple[int, str]]] = {
    "ADD": {"activation": (0, "<b")},
    "MUL": {"activation": (0, "<b")},
    "CONCATENATION": {"axis": (0, "<i"), "activation": (1, "<b")},
    "CONV_2D": _WINDOW | {"activation": (3, "<b"), "dilation_w": (4, "<i"), "dilation_h": (5, "<i")},
    "DEPTHWISE_CONV_2D": _WINDOW
    | {"depth_multiplier": (3, "<i"), "activation": (4, "<b"), "dilation_w": (5, "<i"), "dilation_h": (6, "<i")},
    "MAX_POOL_2D": _WINDOW | {"filter_w": (3, "<i"), "filter_h": (4, "<i"), "activation": (5, "<b")},
    "AVERAGE_POOL_2D": _WINDOW | {"filter_w": (3, "<i"), "filter_h": (4, "<i"), "activation": (5, "<b")},
    "RESIZE_BILINEAR": {"align_corners": (2, "<b"), "half_pixel": (3, "<b")},
}
_ONE = ("stride_w", "stride_h", "dilation_w", "dilation_h", "depth_multiplier")
_RAW_OPTIONS = ("Convolution2DTransposeBias",)  # a C struct whose content is implied by the shapes
MAX_OPERATIONS = 4096


def read(data: bytes, file: str | Path) -> Graph:
    """The graph of a TFLite file.

    Args:
        data: The file's bytes.
        file: Its name, for messages.

    Returns:
        The graph, with half-precision constants as stored.

    Raises:
        InputError: If the file is damaged or holds an unsupported operator.
    """
    buffer = Buffer(data, file)
    if data[4:8] != b"TFL3":
        raise buffer.damaged("is not marked TFL3")
    model = buffer.root()
    subgraphs = model.tables(2)
    if not subgraphs:
        raise buffer.damaged("holds no graph")
    graph, tensors = subgraphs[0], subgraphs[0].tables(0)
    stored = model.tables(4)
    shapes = [tuple(int(n) for n in tensor.array(0, "<i4")) for tensor in tensors]
    constants = {}
    for number, tensor in enumerate(tensors):
        value = _constant(tensor, shapes[number], stored, buffer)
        if value is not None:
            constants[number] = value
    operations = []
    codes = model.tables(1)
    operators = graph.tables(3)
    if len(operators) > MAX_OPERATIONS:
        raise buffer.damaged(f"holds {len(operators)} operators")
    for operator in operators:
        operation = _operation(operator, codes, len(tensors), buffer)
        if operation.name == "DEQUANTIZE" and operation.inputs[0] in constants:
            constants[operation.outputs[0]] = constants[operation.inputs[0]]
        else:
            operations.append(operation)
    used = {number for operation in operations for number in operation.inputs}
    inputs, outputs = (tuple(int(n) for n in graph.array(field, "<i4")) for field in (1, 2))
    if not inputs or not outputs or any(not 0 <= n < len(tensors) for n in inputs + outputs):
        raise buffer.damaged("its inputs and outputs are not among its tensors")
    made = [*inputs, *(n for operation in operations for n in operation.outputs if n >= 0)]
    return Graph(
        operations=tuple(operations),
        constants={n: value for n, value in constants.items() if n in used},
        shapes={n: shapes[n] for n in made},
        inputs=inputs,
        outputs=outputs,
    )


def _constant(tensor: Table, shape: tuple[int, ...], stored: list[Table], buffer: Buffer) -> np.ndarray | None:
    number, kind = tensor.scalar(2, "<I"), tensor.scalar(1, "<b")
    if number >= len(stored):
        raise buffer.damaged(f"a tensor refers to buffer {number} of {len(stored)}")
    content = stored[number].array(0, "u1")
    if not content.size:
        return None
    if kind not in _TYPES:
        raise InputError(f"holds a tensor of type {kind}, which gagjax cannot read", file=buffer.file)
    dtype = np.dtype(_TYPES[kind])
    if any(n < 0 for n in shape) or content.size != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
        raise buffer.damaged(f"a tensor of shape {shape} has {content.size} bytes")
    return np.frombuffer(content.tobytes(), dtype).reshape(shape)


def _operation(operator: Table, codes: list[Table], tensors: int, buffer: Buffer) -> Operation:
    index = operator.scalar(0, "<I")
    if index >= len(codes):
        raise buffer.damaged(f"an operator refers to code {index} of {len(codes)}")
    code = max(codes[index].scalar(0, "<b"), codes[index].scalar(3, "<i"))
    name = _BUILTIN.get(code)
    if name is None:
        raise InputError(f"holds the operator {code}, which gagjax has not", file=buffer.file)
    options: dict[str, Any] = {}
    if name == "CUSTOM":
        name = codes[index].text(1)
        if name not in _RAW_OPTIONS:
            options = flexbuffer(bytes(operator.array(5, "u1")), buffer.file) or {}
    elif name in _OPTIONS:
        table = operator.table(4)
        for key, (number, kind) in _OPTIONS[name].items():
            default = 1 if key in _ONE and key.startswith(("dil", "depth")) else 0
            options[key] = default if table is None else table.scalar(number, kind, default)
        if "padding" in options:
            options["padding"] = "VALID" if options["padding"] else "SAME"
        if "activation" in options:
            if options["activation"] not in _ACTIVATION:
                raise InputError(
                    f"holds the activation {options['activation']}, which gagjax has not", file=buffer.file
                )
            options["activation"] = _ACTIVATION[options["activation"]]
        if any(not 1 <= options[key] <= 4096 for key in _ONE if key in options):
            raise buffer.damaged(f"an operator {name} has a stride of {options}")
    inputs = tuple(int(n) for n in operator.array(1, "<i4"))
    outputs = tuple(int(n) for n in operator.array(2, "<i4"))
    if not outputs or not inputs or any(not -1 <= n < tensors for n in inputs + outputs):
        raise buffer.damaged(f"an operator {name} refers to tensors that are not there")
    return Operation(name, inputs, outputs, options)
