"""The two small convolutional networks of the detail stage, in the published architectures.

* attention, one per pyramid level: 3x3 3->16, ReLU, 3x3 16->16, ReLU, 1x1 16->1, sigmoid;
* eyes: 3x3 3->32->32->32->3 with ReLU between, added to the image.

A network is a tuple of layers, `Layer(kernel, bias)`, kernels HWIO: a plain pytree of leaves for stages.
`reference_weights` are the untrained weights of the original; `shipped` are ours, trained by
benchmarks/train_networks.py from modules that start as the identity (`gagjax.detail.learned`).
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.io.untrusted.checkpoints import load_npz
from gagjax.typing import AnyArray

LEVELS = 4
FEW = 4  # input channels up to which a convolution is a sum over taps
ATTENTION = ((0, 16, 3, 3), (2, 16, 16, 3), (4, 1, 16, 1))  # key, outputs, inputs, kernel size
EYES = ((0, 32, 3, 3), (2, 32, 32, 3), (4, 32, 32, 3), (6, 3, 32, 3))


class Layer(NamedTuple):
    """One convolution: kernel (k, k, inputs, outputs) and bias (outputs,)."""

    kernel: Float[AnyArray, "k k I O"]
    bias: Float[AnyArray, "O"]


Network = tuple[Layer, ...]


class Networks(NamedTuple):
    """The weights of a detail stage: one attention network per level, and the eye network."""

    attention: tuple[Network, ...]
    eyes: Network


def reference_weights(seed: int = 1, levels: int = LEVELS) -> Networks:
    """Untrained weights in place of the original's random initialisation, reproducible from a seed.

    Each array is drawn on its own from `PCG64(crc32("{seed}:{prefix}{key}"))`, scaled by 0.02 for biases and by one
    over the root of the fan-in for kernels.

    Args:
        seed: Any integer.
        levels: Pyramid levels, one attention network each.

    Returns:
        Both networks.
    """

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{name}".encode())))
        scale = 0.02 if name.endswith("bias") else 1 / np.sqrt(np.prod(shape) / shape[0])
        return generator.standard_normal(shape, np.float32) * np.float32(scale)

    def network(prefix: str, layers: Sequence[tuple[int, int, int, int]]) -> Network:
        arrays = {}
        for key, outputs, inputs, size in layers:
            arrays[f"{key}.weight"] = draw(f"{prefix}{key}.weight", (outputs, inputs, size, size))
            arrays[f"{key}.bias"] = draw(f"{prefix}{key}.bias", (outputs,))
        return from_arrays(arrays)

    attention = tuple(network(f"detail.attention_conv.{level}.", ATTENTION) for level in range(levels))
    return Networks(attention, network("eye.enhance_net.", EYES))


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Network:
    """A network from `{"0.weight": OIHW, "0.bias": ..., ...}`, the layout of PyTorch's `nn.Sequential`."""
    keys = sorted({int(name.split(".")[0]) for name in arrays})
    return tuple(
        Layer(np.ascontiguousarray(np.transpose(arrays[f"{k}.weight"], (2, 3, 1, 0))), np.asarray(arrays[f"{k}.bias"]))
        for k in keys
    )


def run(network: Network, image: Float[AnyArray, "N H W I"]) -> Float[AnyArray, "N H W O"]:
    """Convolutions with zero padding, ReLU between them and nothing after the last."""
    for index, layer in enumerate(network):
        image = convolve(image, layer)
        if index + 1 < len(network):
            image = jax.nn.relu(image)
    return image


def attend(network: Network, band: Float[AnyArray, "N H W 3"]) -> Float[Array, "N H W 1"]:
    """The attention map of a band, in (0, 1)."""
    return jax.nn.sigmoid(run(network, band))


def enhance_eyes(network: Network, image: Float[AnyArray, "N H W 3"]) -> Float[Array, "N H W 3"]:
    """The image plus the eye network's residual, clipped to [0, 1]."""
    return jnp.clip(image + run(network, image), 0, 1)


def convolve(image: Float[AnyArray, "N H W I"], layer: Layer) -> Float[Array, "N H W O"]:
    """One zero-padded convolution of stride 1."""
    if layer.kernel.shape[2] <= FEW:
        return _by_shifts(image, layer.kernel) + layer.bias
    out = jax.lax.conv_general_dilated(
        jnp.asarray(image),
        jnp.asarray(layer.kernel),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return out + layer.bias


def _by_shifts(image: AnyArray, kernel: AnyArray) -> Any:
    """A convolution of few channels as a sum over taps, faster than XLA's CPU convolution, which is made for many."""
    size, _, inputs, _ = kernel.shape
    height, width = image.shape[1:3]
    around = (size // 2, size - 1 - size // 2)
    padded = jnp.pad(image, ((0, 0), around, around, (0, 0)))
    total: Any = 0
    for y in range(size):
        for x in range(size):
            for c in range(inputs):
                total = total + padded[:, y : y + height, x : x + width, c : c + 1] * kernel[y, x, c]
    return total


def identity(layers: Sequence[tuple[int, int, int, int]], key: AnyArray) -> Network:
    """Initial weights for training: He initialisation with a zero last layer, so that the network adds nothing.

    Args:
        layers: `ATTENTION` or `EYES`.
        key: A JAX random key.

    Source: He, Zhang, Ren & Sun, Delving deep into rectifiers, ICCV 2015 (the scale of the other layers).
    """
    made = []
    for index, (_, outputs, inputs, size) in enumerate(layers):
        key, own = jax.random.split(key)
        scale = 0.0 if index + 1 == len(layers) else math.sqrt(2 / (inputs * size * size))
        made.append(Layer(scale * jax.random.normal(own, (size, size, inputs, outputs)), jnp.zeros(outputs)))
    return tuple(made)


def save(path: str | Path, networks: Networks) -> None:
    """Write the weights as a compressed .npz in half precision."""
    arrays: dict[str, Any] = {}
    for index, network in enumerate((*networks.attention, networks.eyes)):
        name = "eyes" if index == len(networks.attention) else f"attention.{index}"
        for position, layer in enumerate(network):
            arrays[f"{name}.{position}.kernel"] = np.asarray(layer.kernel, np.float16)
            arrays[f"{name}.{position}.bias"] = np.asarray(layer.bias, np.float16)
    np.savez_compressed(path, **arrays)


@functools.cache
def shipped() -> Networks:
    """The trained weights included in the package; see weights/README.md for data and held-out metrics."""
    return load(Path(__file__).parent / "weights" / "restoration.npz")


def load(path: str | Path) -> Networks:
    """Read weights written by `save`.

    Raises:
        InputError: If the file is not such a file.
    """
    try:
        stored = load_npz(path)
        found: dict[str, dict[int, Layer]] = {}
        for name in sorted({key.rsplit(".", 1)[0] for key in stored}):
            network, position = name.rsplit(".", 1)
            layer = Layer(*(stored[f"{name}.{part}"].astype(np.float32) for part in ("kernel", "bias")))
            found.setdefault(network, {})[int(position)] = layer
    except (KeyError, ValueError, TypeError) as error:
        raise InputError("holds no network weights", file=path, fix="Use a file written by networks.save") from error
    networks = {name: tuple(layers[i] for i in sorted(layers)) for name, layers in found.items()}
    if "eyes" not in networks:
        raise InputError("holds no eye network", file=path, fix="Use a file written by networks.save")
    return Networks(tuple(networks[name] for name in sorted(networks) if name != "eyes"), networks["eyes"])
