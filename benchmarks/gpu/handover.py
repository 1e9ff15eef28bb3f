"""Part 1: memory handed over between torch and JAX: the same pointers, in stream order, and no copy in the frame loop."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import bridge
from benchmarks.gpu import loop, rasterizer
from benchmarks.gpu.clock import wait
from benchmarks.gpu.record import Record
from benchmarks.gpu.settings import Settings

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.uint8, torch.bool)


def run(settings: Settings, record: Record) -> None:
    """All checks of the part."""
    record.attempt("pointers, torch to JAX", pointers_to_jax, settings, record)
    record.attempt("pointers, JAX to torch", pointers_to_torch, settings, record)
    rounds = settings.size(1000, 6)
    record.attempt("stream order, torch to JAX", order_to_jax, settings, record, rounds)
    record.attempt("stream order, JAX to torch", order_to_torch, settings, record, rounds)
    record.attempt("memory given up at once", given_up, settings, record, rounds)
    record.attempt("copies in the frame loop", copies, settings, record, needs=5.0)


def pointers_to_jax(settings: Settings, record: Record) -> None:
    """Whole tensors of each type, slices, and channels_last pictures."""
    device = settings.device
    equal, seen = 0, 0
    for dtype in DTYPES:
        whole = bridge.aligned_empty((8, 64, 48), dtype).to(device)
        whole.copy_(torch.arange(whole.numel()).reshape(whole.shape) % 2)
        for tensor in (whole, whole[3], whole[2:6], whole[5:]):
            array = bridge.to_jax(tensor)
            same = array.unsafe_buffer_pointer() == tensor.data_ptr()
            equal += same and bool((torch.from_dlpack(array) == tensor).all())
            seen += 1
    pictures = torch.rand(2, 3, 32, 48, device=device).to(memory_format=torch.channels_last)
    array = bridge.images_to_jax(pictures)
    equal += array.unsafe_buffer_pointer() == pictures.data_ptr() and array.shape == (2, 32, 48, 3)
    record.check(
        "torch to JAX: pointers and values equal", equal == seen + 1, f"{equal} of {seen + 1}", "whole, slices"
    )


def pointers_to_torch(settings: Settings, record: Record) -> None:
    """Results of compiled programs, handed over before they are awaited."""
    double = jax.jit(lambda x: 2 * x)
    equal, seen = 0, 0
    for dtype in (jnp.float32, jnp.float16, jnp.bfloat16, jnp.int32, jnp.uint8):
        array = double(jnp.ones((64, 48), dtype))
        tensor = bridge.to_torch(array)
        same = array.unsafe_buffer_pointer() == tensor.data_ptr() and tensor.device.type == settings.device
        equal += same and bool((tensor == 2).all())
        seen += 1
    picture = double(jnp.ones((2, 16, 24, 3)))
    tensor = bridge.images_to_torch(picture)
    equal += tensor.data_ptr() == picture.unsafe_buffer_pointer() and tuple(tensor.shape) == (2, 3, 16, 24)
    record.check("JAX to torch: pointers and values equal", equal == seen + 1, f"{equal} of {seen + 1}", "jit results")


def order_to_jax(settings: Settings, record: Record, rounds: int) -> None:
    """A slow torch kernel, then JAX reads: on torch's default stream and on one of its own."""
    streams = ("default", "side") if settings.cuda else ("only",)
    for name in streams:
        with _stream(name):
            results = [_summed(bridge.to_jax(_produced(settings, i))) for i in range(rounds)]
        wrong = _wrong(results, rounds)
        record.check(f"torch's {name} stream: slow kernel, JAX reads", wrong == 0, f"{wrong} wrong of {rounds}")
    if settings.cuda:
        few = min(rounds, 100)
        with _stream("side"):
            results = [_summed(jax.dlpack.from_dlpack(_Unordered(_produced(settings, i)))) for i in range(few)]
        wrong = _wrong(results, few)
        note = "the kernel is slow enough for a missing wait to be seen"
        record.check("control: without order it goes wrong", wrong > 0, f"{wrong} wrong of {few}", note)


WIDTH = 256


@jax.jit
def _summed(x: Any) -> Any:
    return x.sum()


def _wrong(results: list[Any], rounds: int) -> int:
    """How many results are not the sum that round i makes."""
    wait(results)
    return int((np.array([float(r) for r in results]) != WIDTH * (1.0 + np.arange(rounds))).sum())


def _stream(name: str) -> Any:
    return torch.cuda.stream(torch.cuda.Stream()) if name == "side" else contextlib.nullcontext()


def _produced(settings: Settings, i: int) -> torch.Tensor:
    """A tensor of i + 1, written by the current stream behind a kernel of a quarter of a millisecond."""
    if not settings.cuda:
        return bridge.aligned_empty((1, WIDTH))[0].fill_(i + 1)
    tensor = torch.zeros(WIDTH, device="cuda")
    torch.cuda._sleep(500_000)  # clock cycles
    return tensor.fill_(i + 1)


class _Unordered:
    """A tensor whose export asks for no order between streams."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        return self.tensor.__dlpack__(**(options | {"stream": -1}))

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def _slow_program(settings: Settings, turns: int) -> Any:
    """A compiled program that gives a row of its argument, after some matrix products that it depends on."""
    side = settings.size(512, 16)

    @jax.jit
    def slow(value: Any) -> Any:
        x = jax.lax.fori_loop(0, turns, lambda _, x: jnp.sin(x @ x), jnp.full((side, side), 0.1))
        return jnp.full(WIDTH, value) + 0 * x.sum()

    return slow


def order_to_torch(settings: Settings, record: Record, rounds: int) -> None:
    """A slow JAX program, then torch reads, on its default stream and on one of its own; the host is not held up."""
    slow = _slow_program(settings, settings.size(20, 2))
    values = [jnp.float32(i + 1) for i in range(rounds)]
    wait(slow(values[0]))
    for name in ("default", "side") if settings.cuda else ("only",):
        with _stream(name):
            results = [bridge.to_torch(slow(value)).sum() for value in values]
        wrong = _wrong(results, rounds)
        record.check(f"slow JAX program, torch's {name} stream reads", wrong == 0, f"{wrong} wrong of {rounds}")
    longer = _slow_program(settings, settings.size(4000, 20))
    wait(longer(values[0]))
    start = time.perf_counter()
    total = bridge.to_torch(longer(values[0])).sum()
    returned = time.perf_counter() - start
    wait(total)
    done = time.perf_counter() - start
    value = f"{1e3 * returned:.2f} ms of {1e3 * done:.2f} ms"
    if settings.cuda:
        record.check("the host goes on while the producer works", returned < 0.5 * done, value)
    else:
        record.figure("the hand-over returned after", value, "on a CPU it waits for the result")


def given_up(settings: Settings, record: Record, rounds: int) -> None:
    """The producer drops its memory, and takes it again for something else, while the consumer has not read it yet."""
    device, side = settings.device, 64
    slow = _slow_program(settings, settings.size(20, 2))
    one = jnp.float32(0)

    @jax.jit
    def read(x: Any, late: Any) -> Any:
        return x.mean() + late[0]

    wait(read(jnp.ones((side, side)), slow(one)))
    results = []
    for i in range(rounds):
        tensor = torch.full((side, side), float(WIDTH * (i + 1)), device=device)
        if not settings.cuda:
            copied = bridge.aligned_empty((side, side))
            tensor = copied.copy_(tensor)
        results.append(read(bridge.to_jax(tensor), slow(one)))
        del tensor
        torch.full((side, side), -1.0, device=device)
    wrong = _wrong(results, rounds)
    record.check("torch drops and reuses what JAX still reads", wrong == 0, f"{wrong} wrong of {rounds}")

    fill = jax.jit(lambda value: jnp.full((side, side), value))
    results = []
    for i in range(rounds):
        tensor = bridge.to_torch(fill(jnp.float32(WIDTH * (i + 1))))
        if settings.cuda:
            torch.cuda._sleep(500_000)
        results.append(tensor.mean())
        del tensor
        fill(jnp.float32(-1)).block_until_ready()
    wrong = _wrong(results, rounds)
    record.check("JAX reuses what torch has dropped and still reads", wrong == 0, f"{wrong} wrong of {rounds}")


def copies(settings: Settings, record: Record) -> None:
    """Copies that a profiler sees in the frame loop: Gaussians, rasterization, decoding, detail and eyes.

    gsplat itself reads the number of its tile entries back to the host in every call; what gsplat alone copies is
    counted apart, and the loop must add nothing to it.
    """
    frames = loop.FrameLoop(settings, loop.small_network(settings), ("detail", "eyes"))
    count = settings.size(16, 2)
    draw, tensors = rasterizer.bare(settings, frames.resting, frames.camera)

    def alone() -> None:
        with torch.no_grad():
            for _ in range(count):
                draw(*tensors)

    own, seen = profiled(settings, lambda: frames.run(count))
    theirs, _ = profiled(settings, alone)
    for kind in KINDS.values():
        ours, gsplats = own[kind] / count, theirs[kind] / count
        note = f"{ours:.3g} a frame, of which gsplat alone {gsplats:.3g}; {count} frames, {len(seen)} events"
        record.check(f"copies {kind} that the frame loop adds", ours <= gsplats, f"{ours - gsplats:.3g} a frame", note)
    if settings.cuda:
        kernels = sum(not name.startswith(("aten::", "cuda")) for name in seen)
        record.check("control: the profiler saw the kernels", kernels > count, str(kernels), "torch's and XLA's")


def profiled(settings: Settings, call: Callable[[], Any]) -> tuple[collections.Counter[str], list[str]]:
    """Copies by direction, and the names of all events, of a call that has run once before."""
    wait(call())
    activities = [torch.profiler.ProfilerActivity.CPU]
    if settings.cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        wait(call())
    names = [event.name for event in profile.events()]
    return copy_kinds(names), names


KINDS = {"DtoH": "device to host", "DtoD": "device to device", "HtoD": "host to device"}


def copy_kinds(names: Iterable[str]) -> collections.Counter[str]:
    """Copies by direction, from the names of a profiler's events.

    Args:
        names: Event names; torch's profiler calls a copy "Memcpy DtoH (Device -> Pinned)".
    """
    found: collections.Counter[str] = collections.Counter()
    for name in names:
        if name.startswith("Memcpy "):
            kind = name.removeprefix("Memcpy ")[:4]
            found[KINDS.get(kind, "other")] += 1
    return found
