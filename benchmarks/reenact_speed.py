"""What each stage of a reenactment costs: encoding once, then per frame vertices, rasterization, decoding, enhancement.

The weights are synthetic (the rule of the golden numbers), as is the head model: times do not depend on their values,
except that rasterization depends on how large the Gaussians are on the picture, so that is measured for two sizes.

Run: python -m benchmarks.reenact_speed [--quick] [--compile]   (--compile adds torch.compile, which takes minutes)
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import gagjax as gj
from benchmarks.common import timed, write_table
from bridge.gagavatar import Avatar, Config, GAGAvatar, checkpoint, handover
from gagjax import memory
from tests.oracles import flame as flame_rule
from tests.oracles import gagavatar_weights as rule

FRAME_STAGES = ("detail", "eyes")
CLIP = 8  # frames enhanced at once


def main() -> None:
    quick = "--quick" in sys.argv
    repeats = 3 if quick else 9
    cuda = torch.cuda.is_available()
    network = _network().to("cuda" if cuda else "cpu")
    rows: list[list[Any]] = []

    def row(stage: str, call: Callable[[], Any], frames: int = 1, note: str = "", times: int = repeats) -> float:
        def finished() -> Any:
            result = call()
            if cuda:
                torch.cuda.synchronize()
            return result if not isinstance(result, torch.Tensor) else None

        milliseconds = 1e3 * timed(finished, times) / frames
        rows.append([stage, f"{milliseconds:.0f} ms" if milliseconds > 99 else f"{milliseconds:.2g} ms", note])
        return milliseconds

    image, transforms = _portrait()
    identity = network.encode(image, transforms[0])
    features = torch.randn(1, 512, 512, 32, device=network.device)
    exact = network.decode(features)
    if not cuda:
        row("decode, pages returned", lambda: network.decode(features), note="what the allocator does by default")
        memory.keep_freed_pages()
    row("encode", lambda: network.encode(image, transforms[0]).features, note="once per identity", times=3)
    avatar = Avatar(network, flame_rule.golden_model(), identity)
    track = _driver(transforms[0])
    row("vertices", lambda: avatar.vertices(track), len(track), "per frame, 32 at once")
    vertices = avatar.vertices(track)[0]
    smaller = dataclasses.replace(identity, scales=identity.scales / 5)
    raster = {}
    for size, who in (("large", identity), ("small", smaller)):
        gaussians = handover.place(handover.resting(who), vertices)
        raster[size] = row(
            f"rasterize, {size} Gaussians",
            lambda g=gaussians: handover.rasterize(g, transforms[0], avatar.size),
            note=f"{len(who.scales)} Gaussians, 32 channels, standard deviation about {_pixels(who):.1f} px",
        )
    decode = row("decode", lambda: network.decode(features), note="float32, fixed noise")
    _half_precision(network, features, exact, row)
    base = raster["small"] + decode
    if "--compile" in sys.argv:
        compiled = torch.compile(network.upsampler)
        chw = features.permute(0, 3, 1, 2)
        with torch.no_grad():
            worst = 255 * float((compiled(chw).permute(0, 2, 3, 1) - exact).abs().max())
            row("decode, torch.compile", lambda: compiled(chw), note=f"off by up to {worst:.2g}/255")
    enhance = _enhancement(row)
    rates = [
        ["frames per second, none", f"{1e3 / base:.2f}", "small Gaussians: rasterize + decode, one after the other"],
        *(
            [f"frames per second, {name}", f"{1e3 / (base + cost):.2f}", f"{100 * cost / (base + cost):.1f} % of it"]
            for name, cost in enhance.items()
        ),
    ]
    write_table(
        "reenact_speed",
        ["stage", "median", "what"],
        rows + rates,
        command=" ".join(["python -m benchmarks.reenact_speed", *sys.argv[1:]]),
        notes=[
            "Pictures of 512x512. Temporal, expression and gaze enhancement act on the track before rendering.",
            "bfloat16 is offered nowhere: it does not stay within 1/255 of the float32 picture."
            if not cuda
            else "TF32 is off.",
        ],
    )


def _network() -> GAGAvatar:
    with torch.device("meta"):
        network = GAGAvatar()
    shapes = ((key, tuple(value.shape)) for key, value in network.state_dict().items())
    checkpoint.fill(network, {key: torch.from_numpy(value) for key, value in rule.weights(shapes).items()})
    return network.eval()


def _portrait() -> tuple[np.ndarray, np.ndarray]:
    inputs = rule.inputs()
    return inputs["image"][0].transpose(1, 2, 0), inputs["transforms"]


def _driver(transform: np.ndarray) -> gj.Track:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(size=(32, 100)), 0) * 0.1
    return gj.Track(smooth, 0.02 * smooth[:, :3], 0.02 * smooth[:, :6], np.tile(transform, (32, 1, 1)))


def _pixels(identity: Any) -> float:
    """A Gaussian's usual standard deviation on the picture."""
    return float(identity.scales.median() * Config().size * 6 / identity.transform[2, 3])


def _half_precision(network: GAGAvatar, features: torch.Tensor, exact: torch.Tensor, row: Callable[..., float]) -> None:
    def decode() -> torch.Tensor:
        with torch.autocast(features.device.type, torch.bfloat16):
            return network.decode(features)

    worst = 255 * float((decode().float() - exact).abs().max())
    row("decode, bfloat16", decode, note=f"off by up to {worst:.1f}/255")


def _enhancement(row: Callable[..., float]) -> dict[str, float]:
    """Milliseconds per frame of each frame stage, of both, and of the track stages."""
    rng = np.random.default_rng(1)
    frames = jnp.asarray(rng.uniform(size=(CLIP, 512, 512, 3)), jnp.float32)
    eyes = jnp.asarray([[0.4, 0.45], [0.6, 0.45]])
    costs = {}
    for stages in (*((stage,) for stage in FRAME_STAGES), FRAME_STAGES):
        stack = gj.Stack.default(enable=stages)
        name = " and ".join(stages)
        costs[name] = row(f"enhance: {name}", lambda s=stack: gj.enhance_frames(s, frames, eyes)[0], CLIP)
    track = _driver(_portrait()[1][0])
    stack = gj.Stack.default(enable=("temporal", "expression", "gaze"))
    cost = row(
        "enhance: temporal, expression, gaze",
        lambda: gj.enhance_track(stack, track).channels,
        len(track),
        "whole track",
    )
    costs["all four"] = costs[" and ".join(FRAME_STAGES)] + cost
    return costs


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", False)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    main()
