"""Part 3: GAGAvatar with weights by rule: golden numbers, frames a second, and what each enhancement costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import gagjax as gj
from benchmarks.gpu import loop
from benchmarks.gpu.clock import timed, wait
from benchmarks.gpu.record import Record, one_line, shown
from benchmarks.gpu.settings import Settings
from bridge.gagavatar import Config, GAGAvatar
from tests.oracles import gagavatar_capture as capture
from tests.oracles import gagavatar_weights as rule

FRAME_STAGES = {"detail": ("detail",), "eyes": ("eyes",), "detail and eyes": ("detail", "eyes")}
TRACK_STAGES = ("temporal", "expression", "gaze")
LIMIT = 1.0  # ms a frame for all four together
SHARE = 0.05  # of a frame's time


def run(settings: Settings, record: Record) -> None:
    """Golden numbers, then speed."""
    record.progress("weights by rule")
    net = loop.network(settings.size(Config(), loop.SMALL), settings.device)
    if settings.tiny:
        record.attempt("the network on the device and on the host", same_on_host, settings, record, net)
    else:
        record.attempt("golden numbers", golden, settings, record, net)
    costs = record.attempt("track stages", track_costs, settings, record) or {}
    for batch in settings.size((1, 16), (1, 2)):
        record.attempt(f"frames a second, batch {batch}", speed, settings, record, net, batch, costs)
    for batch in settings.size((1, 16), (1,)):
        for name, make in decoders(settings, net).items():
            needs = settings.size(70, 0) if "compile" in name else 0
            record.attempt(
                f"{name}, batch {batch}", decoder_speed, settings, record, net, batch, name, make, needs=needs
            )


def golden(settings: Settings, record: Record, net: GAGAvatar) -> None:
    """Every golden array, computed on the device with TF32 off, at the tolerances of the tests on a CPU."""
    if settings.shared is None:
        record.not_run("golden numbers", "upstream/golden_v1.npz was not found; pass --shared FOLDER")
        return
    with np.load(settings.shared / "upstream" / "golden_v1.npz") as archive:
        expected = dict(archive)
    inputs = {name: torch.from_numpy(value).to(settings.device) for name, value in rule.inputs().items()}
    found = capture.arrays(net, inputs, torch.from_numpy(expected["gs_index"]).long().to(settings.device))
    ratios = {name: worst / allowed for name, (worst, allowed) in capture.differences(found, expected).items()}
    over = sorted(name for name, ratio in ratios.items() if not ratio <= 1)
    worst = max(ratios, key=lambda name: ratios[name])
    note = f"worst: {worst}, {shown(ratios[worst])} of its tolerance"
    value = f"{len(ratios) - len(over)} of {len(ratios)} arrays"
    record.check("golden numbers, TF32 off", not over, value, note + (f"; over: {', '.join(over)}" if over else ""))


def same_on_host(settings: Settings, record: Record, net: GAGAvatar) -> None:
    """What the golden numbers check, for a network that has none: the device's picture is the host's."""
    host = loop.network(net.config, "cpu")
    picture, transform = loop.portrait(net)
    here, there = net.encode(picture, transform), host.encode(picture, transform)
    features = torch.rand(1, net.config.size, net.config.size, net.config.features)
    found = [here.features, here.points, here.opacities, net.decode(features.to(settings.device))]
    expected = [there.features, there.points, there.opacities, host.decode(features)]
    worst = max(float((a.cpu() - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))
    record.check("encoder, heads and decoder: device and host agree", worst < 1e-4, shown(worst), "small network")


def track_costs(settings: Settings, record: Record) -> dict[str, float]:
    """Milliseconds a frame of each track stage and of all three, on a clip."""
    frames = settings.size(250, 16)
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(size=(frames, 100)), 0) * 0.1
    transform = np.concatenate([np.diag([-1.0, 1.0, -1.0]), [[0.02], [0.01], [9.3]]], 1).astype(np.float32)
    track = gj.Track(smooth, 0.02 * smooth[:, :3], 0.02 * smooth[:, :6], np.tile(transform, (frames, 1, 1)))
    costs = {}
    for name, stages in {**{s: (s,) for s in TRACK_STAGES}, "temporal, expression and gaze": TRACK_STAGES}.items():
        stack = gj.Stack.default(enable=stages)
        time = timed(lambda stack=stack: gj.enhance_track(stack, track).channels, repeats=settings.size(9, 2))
        costs[name] = time.milliseconds / frames
        record.figure(name, f"{costs[name]:.3g} ms a frame", f"clip of {frames} frames; first call {time.first:.2g} s")
    return costs


def speed(settings: Settings, record: Record, net: GAGAvatar, batch: int, costs: dict[str, float]) -> None:
    """The frame loop without enhancement, with each, and with all four; each run of frames is timed as a whole."""
    frames = settings.size(max(32, batch), max(2, batch))
    repeats = settings.size(5, 1)
    plain = loop.FrameLoop(settings, net, (), batch)
    plain.run(frames)
    base = timed(lambda: plain.run(frames), repeats=repeats)
    alone = base.milliseconds / frames
    note = f"{1e3 / alone:.4g} frames/s; batch {batch}; first call {base.first:.2g} s"
    record.figure(f"batch {batch}, no enhancement", f"{alone:.3g} ms a frame", note)
    together = alone
    for name, stages in FRAME_STAGES.items():
        own = loop.FrameLoop(settings, net, stages, batch)
        time = timed(lambda own=own: own.run(frames), repeats=repeats).milliseconds / frames
        together = time  # the last one has both
        record.figure(f"batch {batch}, {name}", f"{time:.3g} ms a frame", f"{1e3 / time:.4g} frames/s")
    for name in TRACK_STAGES:
        if name in costs:
            total = alone + costs[name]
            record.figure(f"batch {batch}, {name}", f"{total:.3g} ms a frame", f"{1e3 / total:.4g} frames/s")
    everything = together + costs.get("temporal, expression and gaze", float("nan"))
    added = everything - alone
    good = added < LIMIT and added < SHARE * everything
    value = f"{added:.3g} ms a frame, {100 * added / everything:.2g} % of {everything:.3g} ms"
    if settings.cuda and not settings.tiny:
        record.check(f"batch {batch}, all four cost < {LIMIT:g} ms and < {100 * SHARE:g} %", good, value)
    else:
        record.figure(f"batch {batch}, all four", value, "demanded of the official size on a card alone")


def decoders(
    settings: Settings, net: GAGAvatar
) -> dict[str, Callable[[torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]]:
    """Ways to run the decoder, each made from features of the shape that it will get."""

    def eager(_: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda features: net.decode(features, "fixed")

    def graph(features: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return captured(lambda x: net.decode(x, "fixed"), features)

    def compiled(mode: str) -> Callable[[torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]:
        def make(_: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
            # A twin traces the decoder as a card does, but compiles nothing: that takes minutes on a CPU.
            how: dict[str, Any] = {"backend": "eager"} if settings.tiny else {"mode": mode}
            program = torch.compile(net.upsampler, dynamic=False, **how)

            def decode(features: torch.Tensor) -> torch.Tensor:
                if mode == "reduce-overhead":
                    torch.compiler.cudagraph_mark_step_begin()  # the last picture may be overwritten from here on
                with torch.no_grad():
                    return program(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

            return decode

        return make

    return {
        "eager decoder": eager,
        "CUDA graph": graph,
        "torch.compile": compiled("default"),
        "torch.compile with CUDA graphs": compiled("reduce-overhead"),
    }


def captured(
    call: Callable[[torch.Tensor], torch.Tensor], example: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function of one tensor as a CUDA graph: the same kernels, launched at once. On a CPU the function itself."""
    if not example.is_cuda:
        return call
    place = example.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call(place)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call(place)

    def replay(value: torch.Tensor) -> torch.Tensor:
        place.copy_(value)
        graph.replay()
        return result

    return replay


def decoder_speed(
    settings: Settings, record: Record, net: GAGAvatar, batch: int, name: str, make: Callable[..., Any]
) -> None:
    """The frame loop with another way to run the decoder, after its pictures are those of the eager one."""
    size, channels = net.config.size, net.config.features
    features = torch.rand(batch, size, size, channels, device=settings.device)
    try:
        decode = make(features)
        apart = float((decode(features) - net.decode(features, "fixed")).abs().max())
    except Exception as error:  # what compilers and captures raise has no common class; it is a row of the table
        record.check(f"{name}, batch {batch}", False, "error", one_line(error))
        return
    wait()
    record.check(f"{name}, batch {batch}: same picture", 255 * apart < 0.5, f"{255 * apart:.2g} of 255")
    frames = settings.size(max(32, batch), batch)
    both = loop.FrameLoop(settings, net, ("detail", "eyes"), batch, decode)
    plain = loop.FrameLoop(settings, net, (), batch, decode)
    repeats = settings.size(5, 1)
    times = [timed(lambda own=own: own.run(frames), repeats=repeats).milliseconds / frames for own in (plain, both)]
    alone = timed(lambda: decode(features), repeats=repeats)
    note = (
        f"{1e3 / times[1]:.4g} frames/s with detail and eyes; decoder alone {alone.milliseconds / batch:.3g} ms a frame"
    )
    record.figure(f"{name}, batch {batch}", f"{1e3 / times[0]:.4g} frames/s", note)
