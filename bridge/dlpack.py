"""Zero-copy exchange between PyTorch and JAX that avoids the pitfalls of DLPack.

The rule: the result shares the memory, or an error says why not and what to do. Nothing is copied or cast silently.
Plain `from_dlpack` would instead (JAX 0.10, torch 2.13, checked by tests/bridge):

* narrow 64-bit numbers to 32 bits when x64 is off, even with `copy=False`;
* copy CPU memory that is not 64-byte aligned (a frame sliced out of a clip), with only a log line;
* not copy despite `copy=True`, if the memory is aligned; permitted copies are therefore made by torch here.

The buffer is shared. JAX assumes that its arrays are immutable and runs asynchronously, so the producer must not write
until the consumer is done. `lend` makes that ownership explicit and can check it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax

from bridge.errors import BridgeError, require_torch

if TYPE_CHECKING:
    import torch

ALIGNMENT = 64  # bytes: XLA's requirement for CPU memory used in place
Copy = Literal["never", "allow"]


def to_jax(tensor: object, *, copy: Copy = "never") -> Any:
    """Pass torch tensors to JAX: the same memory as JAX arrays.

    A permuted but compact tensor keeps its memory order as the layout of the JAX array; see `images_to_jax` for
    channels_last images. On CUDA, work queued on torch's current stream finishes before JAX reads.

    Args:
        tensor: A torch tensor, or any pytree of tensors. Other leaves are refused.
        copy: "never", or "allow" to let an unaligned or strided tensor be copied (by torch, on its device).

    Returns:
        The same structure with JAX arrays.

    Raises:
        BridgeError: If the memory cannot be shared as it is: 64-bit numbers while x64 is off, gaps or zero strides,
            unaligned CPU memory, a tensor that requires gradients, sparse, quantised, conjugated or meta tensors.

    Example:
        >>> import torch
        >>> tensor = torch.arange(16.0)
        >>> to_jax(tensor).unsafe_buffer_pointer() == tensor.data_ptr()
        True
    """
    require_torch("bridge.to_jax")
    _check_copy(copy)
    return jax.tree.map(lambda leaf: _tensor_to_jax(leaf, copy), tensor)


def to_torch(array: object, *, copy: Copy = "never") -> Any:
    """Pass JAX arrays to torch: the same memory as torch tensors.

    Waits (on CPU) or synchronises streams (on CUDA) until the arrays are computed. The tensors alias memory that JAX
    assumes to be immutable: do not write to them; `.clone()` first, or use `lend` to check.

    Args:
        array: A JAX array, or any pytree of arrays. Other leaves are refused.
        copy: "never", or "allow" to let an array that is sharded over devices be gathered on one.

    Returns:
        The same structure with torch tensors.

    Raises:
        BridgeError: If the memory cannot be shared: a tracer, a typed random key, a deleted or donated array, an array
            over several devices, a dtype that torch does not have.

    Example:
        >>> import jax.numpy as jnp
        >>> array = jnp.arange(16.0)
        >>> to_torch(array).data_ptr() == array.unsafe_buffer_pointer()
        True
    """
    require_torch("bridge.to_torch")
    _check_copy(copy)
    return jax.tree.map(lambda leaf: _array_to_torch(leaf, copy), array)


def images_to_jax(pictures: torch.Tensor, *, copy: Copy = "never") -> jax.Array:
    """Pass NCHW images in torch's channels_last order as NHWC in JAX's default order, without a copy.

    Args:
        pictures: (N, C, H, W) with `memory_format=torch.channels_last`.
        copy: As in `to_jax`; "allow" also reorders images of another memory format.

    Returns:
        (N, H, W, C).

    Raises:
        BridgeError: If the images are not channels_last and no copy is allowed.
    """
    require_torch("bridge.images_to_jax")
    import torch

    if pictures.ndim != 4:
        raise BridgeError(f"pictures have shape {tuple(pictures.shape)}; expected (N, C, H, W)")
    if not pictures.is_contiguous(memory_format=torch.channels_last) and copy == "never":
        raise BridgeError(
            "the pictures are not in channels_last order, so an NHWC array of the same memory does not exist; "
            'make them with .to(memory_format=torch.channels_last), or pass copy="allow"'
        )
    return to_jax(pictures.permute(0, 2, 3, 1), copy=copy)


def images_to_torch(pictures: jax.Array) -> torch.Tensor:
    """Pass NHWC images as NCHW tensors in channels_last order, without a copy.

    Args:
        pictures: (N, H, W, C).

    Returns:
        (N, C, H, W) with `memory_format=torch.channels_last`.

    Raises:
        BridgeError: If it is not four-dimensional, or its memory cannot be shared.
    """
    if pictures.ndim != 4:
        raise BridgeError(f"pictures have shape {tuple(pictures.shape)}; expected (N, H, W, C)")
    return to_torch(pictures).permute(0, 3, 1, 2)


def aligned_empty(shape: Sequence[int], dtype: torch.dtype | None = None) -> torch.Tensor:
    """A CPU clip whose frames `clip[i]` all start at a 64-byte boundary, so that single frames can be shared.

    Frames whose size is not a multiple of 64 bytes are padded; such a clip can be shared frame by frame only. Otherwise
    the clip is contiguous and can also be shared as a whole.

    Args:
        shape: (frames, ...).
        dtype: torch dtype; float32 if None.

    Returns:
        An uninitialised tensor of that shape.

    Raises:
        ValueError: If the shape has no frame axis.
    """
    require_torch("bridge.aligned_empty")
    import torch

    if not shape:
        raise ValueError("a clip needs an axis of frames: shape (frames, ...)")
    dtype = dtype or torch.float32
    itemsize = torch.empty((), dtype=dtype).element_size()
    frames, per_frame = shape[0], math.prod(shape[1:])
    pitch = -(-per_frame * itemsize // ALIGNMENT) * ALIGNMENT // itemsize
    inside = [math.prod(shape[axis + 1 :]) for axis in range(1, len(shape))]
    storage = torch.empty(frames * pitch + ALIGNMENT // itemsize, dtype=dtype)
    offset = (-storage.data_ptr() % ALIGNMENT) // itemsize
    return storage[offset:].as_strided(tuple(shape), (pitch, *inside))


def configure_memory(jax_fraction: float | None) -> None:
    """Leave GPU memory for torch: set the fraction of JAX's pool. Call before anything runs in JAX.

    By default JAX reserves 75 % of the GPU at first use, and torch (gsplat) then runs out. On a machine with one GPU,
    0.3 leaves most of it to the renderer.

    Args:
        jax_fraction: Fraction in (0, 1) that JAX reserves, or None for allocation on demand: slower and more
            fragmented, but leaves all unused memory to torch.

    Raises:
        BridgeError: If a JAX backend already exists; the setting would be ignored.
        ValueError: If the fraction is outside (0, 1).
    """
    if jax_fraction is not None and not 0 < jax_fraction < 1:
        raise ValueError(f"jax_fraction must lie in (0, 1), got {jax_fraction}")
    if _jax_is_running():
        raise BridgeError(
            "JAX has started already, so its memory pool is fixed; call bridge.configure_memory before the first JAX "
            "computation, or set XLA_CLIENT_MEM_FRACTION in the environment"
        )
    if jax_fraction is None:
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        os.environ.pop("XLA_CLIENT_MEM_FRACTION", None)
    else:
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "true"
        os.environ["XLA_CLIENT_MEM_FRACTION"] = str(jax_fraction)


def _jax_is_running() -> bool:
    # JAX has no public API for this; the test in tests/bridge/test_dlpack.py fails if the name moves.
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()


def _check_copy(copy: str) -> None:
    if copy not in ("never", "allow"):
        raise ValueError(f'copy must be "never" or "allow", got {copy!r}')


def _tensor_to_jax(tensor: object, copy: Copy) -> jax.Array:
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise BridgeError(f"expected a torch tensor, got {type(tensor).__name__}")
    _refuse_unshareable(tensor)
    if tensor.numel() and not _is_compact(tensor):
        if copy == "never":
            raise BridgeError(
                f"a tensor of shape {tuple(tensor.shape)} with strides {tuple(tensor.stride())} has gaps or repeats in "
                'memory, which JAX cannot address; hand over the whole clip, call .contiguous(), or pass copy="allow"'
            )
        tensor = tensor.contiguous()
    if tensor.device.type == "cpu" and tensor.data_ptr() % ALIGNMENT:
        if copy == "never":
            raise BridgeError(
                f"the memory starts {tensor.data_ptr() % ALIGNMENT} bytes past a {ALIGNMENT}-byte boundary, so JAX "
                "would copy it; hand over the whole clip, allocate clips with bridge.dlpack.aligned_empty, or pass "
                'copy="allow"'
            )
        tensor = tensor.clone(memory_format=torch.preserve_format)
    if tensor.device.type == "cuda":
        # torch exports only from the current device.
        with torch.cuda.device(tensor.device):
            array = jax.dlpack.from_dlpack(tensor)
    else:
        array = jax.dlpack.from_dlpack(tensor)
    if tensor.numel() and array.unsafe_buffer_pointer() != tensor.data_ptr():
        raise BridgeError(f"JAX copied a tensor of shape {tuple(tensor.shape)} and type {tensor.dtype} on import")
    return array


def _refuse_unshareable(tensor: torch.Tensor) -> None:
    import torch

    if tensor.requires_grad:
        raise BridgeError(
            "the tensor requires gradients, which do not cross by hand-over; pass .detach(), or wrap the JAX function "
            "with bridge.jax_function to carry gradients across"
        )
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise BridgeError(
            f"a {tensor.layout} or quantised tensor has no plain memory; call .to_dense() or .dequantize()"
        )
    if tensor.is_conj() or tensor.is_neg():
        raise BridgeError("the tensor is a lazy conjugate or negation; call .resolve_conj().resolve_neg() first")
    if tensor.device.type not in ("cpu", "cuda"):
        raise BridgeError(f"JAX cannot share memory on a {tensor.device.type} device; move the tensor to CPU or CUDA")
    wide = {torch.float64: "float32", torch.int64: "int32", torch.uint64: "uint32", torch.complex128: "complex64"}
    if tensor.dtype in wide and not jax.config.read("jax_enable_x64"):
        raise BridgeError(
            f"{tensor.dtype} would be narrowed without notice while jax_enable_x64 is off; convert with "
            f".to(torch.{wide[tensor.dtype]}), or turn x64 on"
        )


def _is_compact(tensor: torch.Tensor) -> bool:
    """Whether the elements are contiguous in some order of the axes."""
    axes = sorted((stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)
    expected = 1
    for stride, size in axes:
        if stride != expected:
            return False
        expected *= size
    return True


def _array_to_torch(array: jax.Array, copy: Copy) -> torch.Tensor:
    import torch

    if isinstance(array, jax.core.Tracer):
        raise BridgeError(
            "this array is being traced (inside jit, grad or vmap) and has no memory yet; hand over outside, or call "
            "the torch function through bridge.torch_function"
        )
    if not isinstance(array, jax.Array):
        raise BridgeError(f"expected a JAX array, got {type(array).__name__}; NumPy arrays go through torch.from_numpy")
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        raise BridgeError("a typed random key has no plain memory; pass jax.random.key_data(key)")
    if array.is_deleted():
        raise BridgeError("the array was deleted or donated to a computation, so its memory is gone")
    if len(array.devices()) > 1:
        if copy == "never":
            raise BridgeError(
                f"the array is spread over {len(array.devices())} devices; hand over .addressable_shards one by one, "
                'or pass copy="allow" to gather it on the first'
            )
        array = jax.device_put(array, next(iter(sorted(array.devices(), key=lambda d: d.id))))
    try:
        return torch.from_dlpack(array)
    except (RuntimeError, BufferError, TypeError) as error:
        raise BridgeError(f"torch cannot take {array.dtype} memory of shape {array.shape}: {error}") from error
