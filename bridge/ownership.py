"""Memory exchange with explicit ownership: the producer is kept alive, and writes during a loan are detected."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any

import jax

from bridge.dlpack import Copy, to_jax, to_torch
from bridge.errors import BridgeError, WriteAfterHandOverError

if TYPE_CHECKING:
    import torch

CHECKSUM_BYTES = 1 << 24  # larger memory is checked only by torch's version counter


class lend:
    """Lend memory to the other framework for the duration of a `with` block.

    A transfer shares memory, and nothing in DLPack stops the producer from writing while the consumer still reads: JAX
    would then compute with inconsistent values. During a loan the producer is kept alive; its end waits for the
    consumer's pending work and, in debug mode, raises if either side has written.

    Args:
        value: torch tensors (lent to JAX) or JAX arrays (lent to torch); a pytree of one kind.
        copy: As in `to_jax` and `to_torch`.
        debug: Detect writes: torch's version counter on every tensor, and a checksum for CPU memory up to 16 MiB (which
            also sees writes through NumPy). None reads the environment variable GAGJAX_BRIDGE_DEBUG.

    Raises:
        BridgeError: As `to_jax` and `to_torch`.
        WriteAfterHandOverError: At the end of the block, in debug mode, if the memory was written.

    Example:
        >>> import torch
        >>> with lend(torch.ones(16)) as array:
        ...     total = float(array.sum())
        >>> total
        16.0
    """

    def __init__(self, value: object, *, copy: Copy = "never", debug: bool | None = None) -> None:
        leaves = jax.tree.leaves(value)
        kinds = {isinstance(leaf, jax.Array) for leaf in leaves}
        if len(kinds) != 1:
            raise BridgeError("lend takes torch tensors or JAX arrays, and at least one; not both kinds at once")
        self._to_torch = kinds.pop()
        self._owner = value  # keeps the producer's memory alive during the loan
        self._copy: Copy = copy
        self._debug = os.environ.get("GAGJAX_BRIDGE_DEBUG", "0") not in ("", "0") if debug is None else debug
        self._before: list[tuple[Any, int, int | None]] = []

    def __enter__(self) -> Any:
        value = (to_torch if self._to_torch else to_jax)(self._owner, copy=self._copy)
        if self._debug:
            # Writes can happen, and are counted, on the torch side of the loan.
            tensors = jax.tree.leaves(value if self._to_torch else self._owner)
            self._before = [(tensor, tensor._version, _checksum(tensor)) for tensor in tensors]
        self._value = value
        return value

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if not self._to_torch:
            # JAX cannot tell which computations still read a buffer. Every usable result is a live array, so waiting
            # for all of them waits for every relevant reader.
            jax.block_until_ready([array for array in jax.live_arrays() if not array.is_deleted()])
        try:
            if failure is None:
                for number, (tensor, version, checksum) in enumerate(self._before):
                    if tensor._version != version or (checksum is not None and _checksum(tensor) != checksum):
                        raise WriteAfterHandOverError(
                            f"tensor {number} of the loan, shape {tuple(tensor.shape)}, was written during the loan; JAX "
                            "may have read either value. Write into a .clone(), or after the block"
                        )
        finally:
            self._before, self._value, self._owner = [], None, None


def _checksum(tensor: torch.Tensor) -> int | None:
    import torch

    size = tensor.numel() * tensor.element_size()
    if tensor.device.type != "cpu" or size > CHECKSUM_BYTES:
        return None
    return zlib.crc32(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()) if size else 0
