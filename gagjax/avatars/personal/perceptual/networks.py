"""The feature stacks of AlexNet and VGG16 in JAX, from state dicts that the user brings; none are shipped.

Files are read without running anything in them (`gagjax.io.untrusted`). Known are torchvision's state dicts
(`features.N.weight`) and those of the lpips package (`net.sliceM.N.weight`, `linK.model.1.weight`), in one file or two.

Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014 (AlexNet as torchvision has
it); Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015 (VGG16).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gagjax.errors import InputError
from gagjax.io.untrusted import checkpoints, state_dicts
from gagjax.pytree import pytree, static
from gagjax.typing import AnyArray

FIX = "Pass the state dict of lpips.LPIPS(net='vgg' or 'alex'), or torchvision's VGG16 or AlexNet"


class Layer(NamedTuple):
    """One convolution of a stack.

    Attributes:
        place: Its number in `features`.
        part: Its slice in the lpips package.
        inward: Input channels.
        outward: Output channels.
        kernel: Kernel size.
        stride: Stride.
        padding: Padding.
        pooled: Size of the max pooling before it, with stride 2; 0 for none.
        taken: Whether its output, after the ReLU, is one of the features.
    """

    place: int
    part: int
    inward: int
    outward: int
    kernel: int
    stride: int
    padding: int
    pooled: int
    taken: bool


ALEX = (
    Layer(0, 1, 3, 64, 11, 4, 2, 0, True),
    Layer(3, 2, 64, 192, 5, 1, 2, 3, True),
    Layer(6, 3, 192, 384, 3, 1, 1, 3, True),
    Layer(8, 4, 384, 256, 3, 1, 1, 0, True),
    Layer(10, 5, 256, 256, 3, 1, 1, 0, True),
)


def _vgg() -> tuple[Layer, ...]:
    layers, place, inward = [], 0, 3
    for part, (outward, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for k in range(count):
            first = k == 0 and part > 1
            layers.append(Layer(place, part, inward, outward, 3, 1, 1, 2 if first else 0, k == count - 1))
            place, inward = place + 2, outward
        place += 1
    return tuple(layers)


VGG = _vgg()
STACKS = {"alex": ALEX, "vgg": VGG}
#: Smallest picture that leaves a pixel after all strides.
LEAST = {"alex": 31, "vgg": 16}
# Mean and standard deviation of ImageNet's colours, for values in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytree
class Stack:
    """A feature stack with its weights.

    Args:
        kernels: One per convolution, (k, k, in, out).
        biases: One per convolution, (out,).
        channels: Weights of the squared differences, one array per feature, (out,), of LPIPS; or the same for all.
        kind: "alex" or "vgg".
    """

    kernels: tuple[AnyArray, ...]
    biases: tuple[AnyArray, ...]
    channels: tuple[AnyArray, ...]
    kind: str = static(default="vgg")

    def features(self, picture: Float[AnyArray, "H W 3"]) -> list[Float[Array, "h w C"]]:
        """The features of a picture with values in [0, 1], each of unit length over its channels."""
        x = ((jnp.asarray(picture) - jnp.asarray(_MEAN)) / jnp.asarray(_DEVIATION))[None]
        found = []
        for layer, kernel, bias in zip(STACKS[self.kind], self.kernels, self.biases, strict=True):
            if layer.pooled:
                window = (1, layer.pooled, layer.pooled, 1)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, (1, 2, 2, 1), "VALID")
            pad = [(layer.padding, layer.padding)] * 2
            strides = (layer.stride, layer.stride)
            x = jax.lax.conv_general_dilated(
                x, jnp.asarray(kernel), strides, pad, dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jnp.maximum(x + bias, 0)
            if layer.taken:
                found.append(x[0] * jax.lax.rsqrt((x[0] ** 2).sum(-1, keepdims=True) + 1e-20))
        return found

    def distance(self, drawn: Float[AnyArray, "H W 3"], truth: Float[AnyArray, "H W 3"]) -> Float[Array, ""]:
        """LPIPS of a picture: squared differences weighted by channel, averaged over pixels, summed over features.

        Source: Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018,
        section 3.
        """
        total = jnp.zeros(())
        for weight, one, other in zip(self.channels, self.features(drawn), self.features(truth), strict=True):
            total = total + (((one - jax.lax.stop_gradient(other)) ** 2) * weight).sum(-1).mean()
        return total


def load(*files: str | Path) -> Stack:
    """A stack from one file with all weights, or one for the network and one for the channel weights.

    Without channel weights every channel counts 1 / C.

    Raises:
        InputError: If a weight is missing, has another shape, is not finite, or a file is no state dict.
    """
    found: dict[str, np.ndarray] = {}
    for file in files:
        content = checkpoints.load_torch(file)
        if not isinstance(content, Mapping):
            raise InputError("is no state dict", file=file, fix=FIX)
        if isinstance(content.get("state_dict"), Mapping):
            content = content["state_dict"]
        found |= {str(key): value for key, value in state_dicts.without_prefix(content).items()}
    if not files:
        raise InputError("names no file", field="--lpips", fix=FIX)
    kind = _kind(found, files[0])
    kernels, biases, channels = [], [], []
    for layer in STACKS[kind]:
        names = [f"features.{layer.place}", f"net.slice{layer.part}.{layer.place}"]
        shape = (layer.outward, layer.inward, layer.kernel, layer.kernel)
        kernel = _taken(found, [f"{name}.weight" for name in names], shape, files[0])
        kernels.append(np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)))
        biases.append(_taken(found, [f"{name}.bias" for name in names], (layer.outward,), files[0]))
    taken = [layer.outward for layer in STACKS[kind] if layer.taken]
    given = any(name.startswith("lin") for name in found)
    for k, width in enumerate(taken):
        if not given:
            channels.append(np.full(width, 1 / width, np.float32))
            continue
        names = [f"lin{k}.model.1.weight", f"lins.{k}.model.1.weight"]
        channels.append(_taken(found, names, (1, width, 1, 1), files[-1]).reshape(width))
        if (channels[-1] < 0).any():
            raise InputError("is negative somewhere", file=files[-1], field=names[0], fix=FIX)
    return Stack(tuple(kernels), tuple(biases), tuple(channels), kind=kind)


def _kind(found: Mapping[str, Any], file: str | Path) -> str:
    first = next((found[name] for name in ("features.0.weight", "net.slice1.0.weight") if name in found), None)
    shape = getattr(first, "shape", None)
    kinds = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}
    if shape not in kinds:
        raise InputError(
            "holds no first convolution of VGG16 or AlexNet", file=file, field="features.0.weight", fix=FIX
        )
    return kinds[shape]


def _taken(found: Mapping[str, Any], names: list[str], shape: tuple[int, ...], file: str | Path) -> np.ndarray:
    value = next((found[name] for name in names if name in found), None)
    if value is None:
        raise InputError("is missing", file=file, field=names[0], fix=FIX)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.shape != shape:
        raise InputError(f"is not of shape {shape}", file=file, field=names[0], fix=FIX)
    if not np.isfinite(value).all():
        raise InputError("is not finite", file=file, field=names[0], fix=FIX)
    return np.asarray(value, np.float32)
