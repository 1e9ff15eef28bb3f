"""The operators of a `Graph` in JAX, and a graph as one jitted function on a batch of images.

Depthwise convolutions are sums of shifted images and pointwise ones are matrix products: both are many times faster on
a CPU than XLA's general convolution. Images are NHWC, float32.

Source: the TFLite operator reference (kernels' own padding rule: the odd pixel goes to the far side).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.tracking.networks import attention
from gagjax.tracking.networks.graph import Graph, Operation
from gagjax.typing import AnyArray

_PRECISION = jax.lax.Precision.HIGHEST


def function(graph: Graph) -> Callable[[Float[Array, "B H W C"]], list[Float[Array, "B ..."]]]:
    """A graph as a jitted function.

    Args:
        graph: The network.

    Returns:
        A function of a batch of images (B, H, W, C) that returns the graph's outputs in order, each (B, ...). It
        compiles once per batch size.

    Raises:
        InputError: If the graph holds an unsupported operator.

    Example:
        >>> import numpy as np
        >>> from gagjax.tracking.networks import Graph, Operation
        >>> double = Graph((Operation("ADD", (0, 0), (1,), {"activation": "none"}),), {}, {1: (1, 2)}, (0,), (1,))
        >>> np.asarray(function(double)(np.ones((1, 2), np.float32))[0]).tolist()
        [[2.0, 2.0]]
    """
    unknown = sorted({o.name for o in graph.operations} - set(_OPERATORS))
    if unknown:
        raise InputError(f"holds operators that gagjax has not: {', '.join(unknown)}", field="network")

    @jax.jit
    def run(weights: Mapping[int, AnyArray], pictures: AnyArray) -> list[Array]:
        values: dict[int, Any] = {graph.inputs[0]: pictures}

        def get(number: int) -> Any:
            if number in values:
                return values[number]
            # Integers are sizes and paddings: known while tracing.
            return weights[number] if number in weights else graph.constants[number]

        for operation in graph.operations:
            inputs = [get(n) for n in operation.inputs if n >= 0]
            outputs = _OPERATORS[operation.name](inputs, operation, graph.shapes[operation.outputs[0]])
            values |= zip(operation.outputs, outputs, strict=False)
        return [values[n] for n in graph.outputs]

    weights = {n: jnp.asarray(c, jnp.float32) for n, c in graph.constants.items() if c.dtype.kind == "f"}
    return lambda pictures: run(weights, jnp.asarray(pictures, jnp.float32))


def _activated(x: AnyArray, operation: Operation) -> Array:
    kind = operation.options.get("activation", "none")
    if kind == "none":
        return jnp.asarray(x)
    return jax.nn.relu(x) if kind == "relu" else jnp.clip(x, 0.0, 6.0)


def _padding(size: int, window: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _paddings(x: AnyArray, window: tuple[int, int], operation: Operation) -> list[tuple[int, int]]:
    if operation.options["padding"] == "VALID":
        return [(0, 0), (0, 0)]
    strides = _strides(operation)
    return [_padding(x.shape[1 + axis], window[axis], strides[axis]) for axis in (0, 1)]


def _strides(operation: Operation) -> tuple[int, int]:
    return operation.options["stride_h"], operation.options["stride_w"]


def _conv(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    x, kernel = inputs[:2]  # kernel: (out, height, width, in)
    window, strides = kernel.shape[1:3], _strides(operation)
    dilation = (operation.options["dilation_h"], operation.options["dilation_w"])
    if window == (1, 1) and strides == (1, 1):
        y = jnp.einsum("bhwi,oi->bhwo", x, kernel[:, 0, 0], precision=_PRECISION)
    elif window == x.shape[1:3] and operation.options["padding"] == "VALID":
        y = jnp.einsum("bhwi,ohwi->bo", x, kernel, precision=_PRECISION)[:, None, None]
    else:
        reach = (dilation[0] * (window[0] - 1) + 1, dilation[1] * (window[1] - 1) + 1)
        y = jax.lax.conv_general_dilated(
            x,
            jnp.transpose(kernel, (1, 2, 3, 0)),
            strides,
            _paddings(x, reach, operation),
            rhs_dilation=dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=_PRECISION,
        )
    if len(inputs) > 2:
        y = y + inputs[2]
    return [_activated(y, operation)]


def _depthwise(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    x, kernel = inputs[:2]  # kernel: (1, height, width, channels)
    rows, columns = kernel.shape[1:3]
    strides = _strides(operation)
    x = jnp.pad(x, ((0, 0), *_paddings(x, (rows, columns), operation), (0, 0)))
    height, width = (x.shape[1] - rows) // strides[0] + 1, (x.shape[2] - columns) // strides[1] + 1
    total: Any = inputs[2] if len(inputs) > 2 else 0.0
    for a in range(rows):
        for b in range(columns):
            end = (x.shape[0], a + (height - 1) * strides[0] + 1, b + (width - 1) * strides[1] + 1, x.shape[3])
            total = total + jax.lax.slice(x, (0, a, b, 0), end, (1, *strides, 1)) * kernel[0, a, b]
    return [_activated(total, operation)]


def _doubled(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    """A transposed convolution with non-overlapping windows: each pixel becomes a separate block of pixels."""
    x, kernel, bias = inputs  # kernel: (out, height, width, in)
    rows, columns = kernel.shape[1:3]
    if tuple(shape[1:3]) != (x.shape[1] * rows, x.shape[2] * columns):
        raise InputError("holds a transposed convolution with overlap, which gagjax has not", field="network")
    y = jnp.einsum("bhwi,oyxi->bhywxo", x, kernel, precision=_PRECISION)
    return [y.reshape(x.shape[0], *shape[1:3], kernel.shape[0]) + bias]


def _max_pool(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    window = (operation.options["filter_h"], operation.options["filter_w"])
    padding = ((0, 0), *_paddings(inputs[0], window, operation), (0, 0))
    strides = (1, *_strides(operation), 1)
    return [jax.lax.reduce_window(inputs[0], -jnp.inf, jax.lax.max, (1, *window, 1), strides, padding)]


def _average_pool(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    x = inputs[0]
    window = (operation.options["filter_h"], operation.options["filter_w"])
    if window == x.shape[1:3]:
        return [x.mean((1, 2), keepdims=True)]
    padding = ((0, 0), *_paddings(x, window, operation), (0, 0))
    strides = (1, *_strides(operation), 1)

    def total(values: Array) -> Array:
        return jax.lax.reduce_window(values, 0.0, jax.lax.add, (1, *window, 1), strides, padding)

    return [total(x) / total(jnp.ones_like(x))]


def _resize(inputs: list[Any], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    x, (height, width) = inputs[0], (int(n) for n in np.asarray(inputs[1]))
    if operation.options["align_corners"] or not operation.options["half_pixel"]:
        rows = _corner_weights(x.shape[1], height, bool(operation.options["align_corners"]))
        columns = _corner_weights(x.shape[2], width, bool(operation.options["align_corners"]))
        y = jnp.einsum("yh,bhwc->bywc", rows, x, precision=_PRECISION)
        return [jnp.einsum("xw,bywc->byxc", columns, y, precision=_PRECISION)]
    return [jax.image.resize(x, (x.shape[0], height, width, x.shape[3]), "linear", antialias=False)]


def _corner_weights(size: int, wanted: int, align: bool) -> np.ndarray:
    """Linear interpolation weights, (wanted, size), with pixel centres at integers."""
    scale = (size - 1) / max(wanted - 1, 1) if align else size / wanted
    place = np.arange(wanted) * scale
    low = np.minimum(place.astype(int), size - 1)
    high, part = np.minimum(low + 1, size - 1), (place - low)[:, None]
    eye = np.eye(size, dtype=np.float32)
    return (eye[low] * (1 - part) + eye[high] * part).astype(np.float32)


def _pad(inputs: list[Any], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    return [jnp.pad(inputs[0], np.asarray(inputs[1]))]


def _prelu(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    return [jnp.where(inputs[0] >= 0, inputs[0], inputs[0] * inputs[1])]


def _reshape(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    return [inputs[0].reshape(inputs[0].shape[0], *shape[1:])]


def _whole_slice(inputs: list[Any], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    if inputs[0].shape[1:] != tuple(shape[1:]):
        raise InputError("holds a slice that cuts something off, which gagjax has not", field="network")
    return [inputs[0]]


def _concatenated(inputs: list[Array], operation: Operation, shape: tuple[int, ...]) -> list[Array]:
    return [_activated(jnp.concatenate(inputs, operation.options["axis"]), operation)]


_OPERATORS: dict[str, Callable[[list[Any], Operation, tuple[int, ...]], list[Array]]] = {
    "ADD": lambda i, o, s: [_activated(i[0] + i[1], o)],
    "MUL": lambda i, o, s: [_activated(i[0] * i[1], o)],
    "RELU": lambda i, o, s: [jax.nn.relu(i[0])],
    "RELU6": lambda i, o, s: [jnp.clip(i[0], 0.0, 6.0)],
    "LOGISTIC": lambda i, o, s: [jax.nn.sigmoid(i[0])],
    "HARD_SWISH": lambda i, o, s: [i[0] * jnp.clip(i[0] + 3.0, 0.0, 6.0) / 6.0],
    "PRELU": _prelu,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAX_POOL_2D": _max_pool,
    "AVERAGE_POOL_2D": _average_pool,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenated,
    "STRIDED_SLICE": _whole_slice,
    "RESIZE_BILINEAR": _resize,
    "Convolution2DTransposeBias": _doubled,
    "Landmarks2TransformMatrix": lambda i, o, s: [attention.region_matrix(i[0], o.options)],
    "TransformTensorBilinear": lambda i, o, s: [attention.crop(i[0], i[1], o.options)],
    "TransformLandmarks": lambda i, o, s: [attention.placed(i[0], i[1])],
}
