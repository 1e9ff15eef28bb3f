"""Gradients across the bridge: torch functions inside JAX programs, JAX functions inside torch graphs.

Both directions pass buffers without a copy to the host: data stays on its device.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bridge.dlpack import to_jax, to_torch
from bridge.errors import BridgeError, require_torch


def torch_function(function: Callable[..., Any], *, output: Any = None, in_place: bool = False) -> Callable[..., Any]:
    """A torch function as a JAX function that works under `jit`, `grad`, `vmap` (one by one) and `scan`.

    The forward call runs without a torch graph; the backward call reruns the function with one, so that nothing is kept
    in between; the function must therefore be deterministic. On CUDA both run on XLA's own stream.

    Complex numbers are passed unchanged. The gradient follows JAX's convention (`df/dx - i df/dy` of a real result),
    which is the conjugate of torch's.

    Args:
        function: Takes and returns pytrees of torch tensors. It must not write to its arguments (this is detected) and
            must not call JAX: a JAX call inside a callback can hang.
        output: Shapes and types of the result, a pytree of `jax.ShapeDtypeStruct`, or a function of the arguments'
            `ShapeDtypeStruct`s that returns one. None calls `function` once on zeros per new combination of shapes.
        in_place: Whether `function` takes a keyword `out`: a list of tensors, one for each leaf of the result, which are
            JAX's own memory; what it writes there and returns is not copied again. Where gradients are asked for,
            and while shapes are found out, `out` is None.

    Returns:
        A function of JAX arrays (any pytrees, positional), differentiable once in reverse mode.

    Raises:
        BridgeError: When traced, if the function returns anything but tensors, a dtype is not known on both sides, or a
            result has 64 bits while x64 is off. At run time, a `JaxRuntimeError` with the same text if a result differs
            from the declared shape or dtype.

    Example:
        >>> import jax.numpy as jnp, torch
        >>> softplus = torch_function(torch.nn.functional.softplus)
        >>> jax.jit(jax.grad(lambda x: softplus(x).sum()))(jnp.zeros(2)).tolist()
        [0.5, 0.5]
    """
    require_torch("bridge.torch_function")

    @functools.lru_cache(maxsize=64)
    def shapes(treedef: Any, avals: tuple[jax.ShapeDtypeStruct, ...]) -> Any:
        arguments = jax.tree.unflatten(treedef, avals)
        if output is not None:
            return output(*arguments) if callable(output) else output
        return _run_on_zeros(functools.partial(function, out=None) if in_place else function, arguments)

    @functools.lru_cache(maxsize=64)
    def crossing(treedef: Any, avals: tuple[jax.ShapeDtypeStruct, ...]) -> Any:
        for aval in avals:
            _check_type(aval.dtype, "an argument")
        out_leaves, out_tree = jax.tree.flatten(shapes(treedef, avals))
        for aval in out_leaves:
            _check_type(aval.dtype, "a result")
        moving = tuple(i for i, aval in enumerate(avals) if jnp.issubdtype(aval.dtype, jnp.inexact))

        def forward_torch(*tensors: Any, out: list[Any]) -> list[Any]:
            import torch

            with torch.no_grad():
                arguments = jax.tree.unflatten(treedef, tensors)
                return _leaves(function(*arguments, out=out) if in_place else function(*arguments), out_tree)

        def backward_torch(*tensors: Any, out: list[Any]) -> list[Any]:
            import torch

            inputs, cotangents = list(tensors[: len(avals)]), tensors[len(avals) :]
            for i in moving:
                inputs[i] = inputs[i].detach().requires_grad_()
            with torch.enable_grad():
                arguments = jax.tree.unflatten(treedef, inputs)
                results = _leaves(function(*arguments, out=None) if in_place else function(*arguments), out_tree)
            pairs = [(r, c) for r, c in zip(results, cotangents, strict=True) if r.requires_grad]
            wanted = [inputs[i] for i in moving]
            if not pairs:
                return [torch.zeros_like(w) for w in wanted]
            # torch's gradients are the conjugates of JAX's, for inputs and outputs.
            grads = torch.autograd.grad([r for r, _ in pairs], wanted, [c.conj() for _, c in pairs], allow_unused=True)
            return [torch.zeros_like(w) if g is None else g.conj() for g, w in zip(grads, wanted, strict=True)]

        forward = _callback(forward_torch, out_leaves)
        backward = _callback(backward_torch, [avals[i] for i in moving])

        @jax.custom_vjp
        def call(*leaves: Any) -> Any:
            return forward(*leaves)

        def call_fwd(*leaves: Any) -> Any:
            return forward(*leaves), leaves

        def call_bwd(leaves: Any, cotangents: Any) -> tuple[Any, ...]:
            # Integer outputs have cotangents of dtype float0, which has no memory: torch gets zeros instead.
            dense = [
                jnp.zeros(aval.shape, aval.dtype) if c.dtype == jax.dtypes.float0 else c
                for c, aval in zip(cotangents, out_leaves, strict=True)
            ]
            grads = iter(backward(*leaves, *dense)) if moving else iter(())
            return tuple(
                next(grads) if i in moving else np.zeros(aval.shape, jax.dtypes.float0) for i, aval in enumerate(avals)
            )

        call.defvjp(call_fwd, call_bwd)
        return call, out_tree

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> Any:
        leaves, treedef = jax.tree.flatten(arguments)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        call, out_tree = crossing(treedef, tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves))
        return jax.tree.unflatten(out_tree, call(*leaves))

    return wrapped


def jax_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """A JAX function as a torch function with gradients.

    Forward and backward are one compiled program each. Residuals of the backward pass stay on the device inside JAX,
    invisible to torch's memory counters. torch raises its usual error if an input or output is written in place between
    forward and backward. Complex numbers are passed unchanged, with gradients in torch's convention.

    Args:
        function: Takes and returns pytrees of JAX arrays. Arguments are torch tensors at the call, in any pytree;
            leaves that are not tensors are passed on as constants.

    Returns:
        A function of torch tensors. Differentiable once: for second derivatives compose inside JAX.

    Raises:
        BridgeError: If a tensor cannot be shared (see `to_jax`; strided and unaligned tensors are copied here).
        RuntimeError: On an attempt to differentiate twice.

    Example:
        >>> import jax.numpy as jnp, torch
        >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
        >>> jax_function(lambda a: jnp.sin(a).sum())(x).backward()
        >>> [round(v, 4) for v in x.grad.tolist()]
        [1.0, 0.5403]
    """
    require_torch("bridge.jax_function")

    def split(treedef: Any, moving: tuple[bool, ...], constants: tuple[Any, ...]) -> Callable[..., Any]:
        def of_moving(*arrays: Any) -> Any:
            mine, rest = iter(arrays), iter(constants)
            return function(*jax.tree.unflatten(treedef, [next(mine) if m else next(rest) for m in moving]))

        return of_moving

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def evaluate(treedef: Any, moving: tuple[bool, ...], constants: Any, arrays: Any) -> Any:
        return split(treedef, moving, constants)(*arrays)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def linearise(treedef: Any, moving: tuple[bool, ...], constants: Any, arrays: Any) -> Any:
        return jax.vjp(split(treedef, moving, constants), *arrays)

    pull_back = jax.jit(lambda vjp, cotangents: vjp(cotangents))

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> Any:
        import torch

        leaves, treedef = jax.tree.flatten(arguments)
        tensors = [isinstance(leaf, torch.Tensor) for leaf in leaves]
        moving = tuple(
            is_tensor and leaf.requires_grad and torch.is_grad_enabled()
            for leaf, is_tensor in zip(leaves, tensors, strict=True)
        )
        constants = tuple(
            _hand_over(leaf.detach()) if is_tensor else leaf
            for leaf, is_tensor, m in zip(leaves, tensors, moving, strict=True)
            if not m
        )
        if not any(moving):
            return to_torch(evaluate(treedef, moving, constants, ()))
        call = _Call(functools.partial(linearise, treedef, moving, constants), pull_back)
        outputs = _crossing().apply(call, *(leaf for leaf, m in zip(leaves, moving, strict=True) if m))
        return jax.tree.unflatten(call.out_tree, outputs)

    return wrapped


class _Call:
    """State shared by the forward and backward pass of one call of a `jax_function`."""

    def __init__(self, linearise: Any, pull_back: Any) -> None:
        self.linearise, self.pull_back = linearise, pull_back
        self.out_tree: Any = None


@functools.cache
def _crossing() -> Any:
    """The autograd function, defined on first use so that importing this module does not need torch."""
    import torch

    class Crossing(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, call: _Call, *inputs: torch.Tensor) -> Any:
            values, ctx.vjp = call.linearise(tuple(_hand_over(t.detach()) for t in inputs))
            flat, call.out_tree = jax.tree.flatten(values)
            outputs = tuple(to_torch(value) for value in flat)
            ctx.mark_non_differentiable(*(t for t in outputs if not (t.is_floating_point() or t.is_complex())))
            # Saved for their version counters: torch reports in-place writes, which would change JAX's residuals.
            ctx.save_for_backward(*inputs, *outputs)
            ctx.call, ctx.results = call, [(v.shape, v.dtype) for v in flat]
            return outputs

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            if torch.is_grad_enabled():
                raise RuntimeError(
                    "a function made by bridge.jax_function is differentiable once from torch; for second derivatives "
                    "compose inside JAX (for example jax_function(jax.grad(f)))"
                )
            _ = ctx.saved_tensors
            call = ctx.call
            cotangents = [_cotangent(g, shape, dtype) for g, (shape, dtype) in zip(gradients, ctx.results, strict=True)]
            pulled = call.pull_back(ctx.vjp, jax.tree.unflatten(call.out_tree, cotangents))
            return None, *(to_torch(g).conj().resolve_conj() for g in pulled)

    return Crossing


def _cotangent(gradient: Any, shape: Any, dtype: Any) -> Any:
    if not jnp.issubdtype(dtype, jnp.inexact):
        return np.zeros(shape, jax.dtypes.float0)
    return jnp.zeros(shape, dtype) if gradient is None else _hand_over(gradient.conj().contiguous())


def _hand_over(tensor: Any) -> Any:
    # torch creates lazy conjugates and negations implicitly, also of gradients.
    return to_jax(tensor.resolve_conj().resolve_neg(), copy="allow")


def _check_type(dtype: Any, what: str) -> None:
    """Refuse, before anything runs, a dtype that cannot be passed unchanged."""
    import torch

    name = jnp.dtype(dtype).name
    if not isinstance(getattr(torch, name, None), torch.dtype) or name.startswith(
        ("int4", "uint4", "int2", "uint2", "complex32")
    ):
        raise BridgeError(f"{what} of the torch function has type {name}, which torch and JAX do not share")
    if jnp.dtype(dtype).itemsize > (8 if name.startswith("complex") else 4) and not jax.config.read("jax_enable_x64"):
        half = {"complex128": "complex64"}.get(name, name.replace("64", "32"))
        raise BridgeError(
            f"{what} of the torch function has type {name}, which would be narrowed without notice while "
            f"jax_enable_x64 is off; convert with .to(torch.{half}), or turn x64 on"
        )


def _leaves(result: Any, expected: Any) -> list[Any]:
    leaves, found = jax.tree.flatten(result)
    if found != expected:
        raise BridgeError(f"the torch function returned {found}, but {expected} was announced")
    return leaves


def _run_on_zeros(function: Callable[..., Any], arguments: Any) -> Any:
    import torch

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"

    def zeros(aval: jax.ShapeDtypeStruct) -> Any:
        return torch.from_dlpack(jnp.zeros(aval.shape, aval.dtype)).clone().to(device)

    # Concrete arrays are needed here even while JAX traces the caller.
    with jax.ensure_compile_time_eval(), torch.no_grad():
        result = function(*jax.tree.map(zeros, arguments))

    def shape(tensor: Any) -> jax.ShapeDtypeStruct:
        if not isinstance(tensor, torch.Tensor):
            raise BridgeError(f"a torch function must return tensors, got {type(tensor).__name__}")
        try:
            dtype = jnp.dtype(str(tensor.dtype).removeprefix("torch."))
        except TypeError:
            raise BridgeError(f"the torch function returned {tensor.dtype}, which JAX does not have") from None
        return jax.ShapeDtypeStruct(tuple(tensor.shape), dtype)

    return jax.tree.map(shape, result)


def _callback(function: Callable[..., list[Any]], results: list[Any]) -> Callable[..., list[Any]]:
    """A JAX operation that runs `function` on torch views of XLA's own buffers.

    `buffer_callback` is experimental; this is the only place that knows it. `function` gets the results' memory as `out`,
    and what it returns elsewhere is copied there.
    """
    from jax.experimental.buffer_callback import buffer_callback

    def on_buffers(context: Any, outputs: Any, *inputs: Any) -> None:
        import torch

        tensors = [torch.from_dlpack(buffer) for buffer in inputs]
        stream = (
            torch.cuda.stream(torch.cuda.ExternalStream(context.stream))
            if any(t.is_cuda for t in tensors)
            else contextlib.nullcontext()
        )
        with stream:
            targets = [torch.from_dlpack(buffer) for buffer in outputs]
            values = function(*tensors, out=targets)
            if any(t._version for t in tensors):
                raise BridgeError(
                    "the torch function wrote into an argument, which is memory of JAX; work on a .clone()"
                )
            for target, value in zip(targets, values, strict=True):
                if target.shape != value.shape or target.dtype != value.dtype:
                    raise BridgeError(
                        f"the torch function returned {tuple(value.shape)} of {value.dtype}, announced were "
                        f"{tuple(target.shape)} of {target.dtype}: shapes and types must not depend on the values"
                    )
                if value is not target:
                    target.copy_(value.detach())

    # XLA drops outputs without bytes, and with them the check above: a result declared as empty might not be.
    empty = any(0 in each.shape for each in results)
    return buffer_callback(on_buffers, results, vmap_method="sequential", has_side_effect=empty)
