"""Part 5, tracking: the face networks and the fit of a head model, batched."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.clock import timed
from benchmarks.gpu.record import Record, shown
from benchmarks.gpu.settings import Settings
from gagjax import flame, so3
from gagjax.tracking import models, points
from gagjax.tracking.camera import PictureCamera
from gagjax.tracking.fit import head as heads
from gagjax.tracking.fit import shot, solver
from gagjax.tracking.networks import Graph, Operation, function, graph

RESIDUAL = 0.01  # mean distance of the fitted points, parts of the distance of the pupils


def networks(settings: Settings, record: Record) -> None:
    """Pictures a second of the face networks at several batch sizes, after device and host give the same."""
    host = jax.devices("cpu")[0]
    for name, net in found_networks(settings).items():
        run = function(net)
        shape = net.shapes[net.inputs[0]][1:]
        picture = np.random.default_rng(0).random((1, *shape), np.float32)
        found = [np.asarray(value) for value in run(picture)]
        with jax.default_device(host):
            expected = [np.asarray(value) for value in function(net)(picture)]
        worst = max(
            float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)) for a, b in zip(found, expected, strict=True)
        )
        record.check(f"network {name}: device and host agree", worst < 1e-3, shown(worst), "share of the largest value")
        for batch in settings.size((1, 16, 64), (1, 2)):
            frames = jnp.asarray(np.repeat(picture, batch, 0))
            time = timed(lambda run=run, frames=frames: run(frames), repeats=settings.size(9, 2))
            note = f"{time.milliseconds:.3g} ms a batch; first call {time.first:.2g} s"
            record.figure(f"network {name}, batch {batch}", f"{batch / time.median:.4g} pictures/s", note)


def found_networks(settings: Settings) -> dict[str, Graph]:
    """The installed face networks; where there are none, one by rule that is about as large as the face mesh's."""
    there = {} if settings.tiny else {name: graph.load(path) for name, path in _installed().items()}
    return there or {"by rule (none is installed)": by_rule(settings.size(192, 32), settings.size(16, 4))}


def _installed() -> dict[str, Any]:
    try:
        return dict(models.installed())
    except ImportError:  # the folder's place is platformdirs' to say, unless GAGJAX_MODELS does
        return {}


def by_rule(size: int, width: int) -> Graph:
    """A network of the mesh's kind: halved again and again, residual blocks of depthwise and pointwise convolutions."""
    rng = np.random.default_rng(1)
    operations: list[Operation] = []
    constants: dict[int, np.ndarray] = {}
    shapes: dict[int, tuple[int, ...]] = {0: (1, size, size, 3)}
    numbers = iter(range(1, 10_000))
    padding = {"padding": "SAME", "dilation_h": 1, "dilation_w": 1, "activation": "none"}

    def weight(*shape: int) -> int:
        number = next(numbers)
        constants[number] = (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return number

    def add(name: str, inputs: tuple[int, ...], shape: tuple[int, ...], **options: Any) -> int:
        number = next(numbers)
        shapes[number] = shape
        operations.append(Operation(name, inputs, (number,), options))
        return number

    side, channels = size // 2, width
    now = add(
        "CONV_2D", (0, weight(width, 3, 3, 3), weight(width)), (1, side, side, width), stride_h=2, stride_w=2, **padding
    )
    while side > 3:
        for _ in range(2):
            shape = (1, side, side, channels)
            inner = add(
                "DEPTHWISE_CONV_2D",
                (now, weight(1, 3, 3, channels), weight(channels)),
                shape,
                stride_h=1,
                stride_w=1,
                **padding,
            )
            kernel = weight(channels, 1, 1, channels)
            inner = add("CONV_2D", (inner, kernel, weight(channels)), shape, stride_h=1, stride_w=1, **padding)
            now = add("ADD", (inner, now), shape, activation="relu")
        side, before, channels = -(-side // 2), channels, min(2 * channels, 128)
        kernel = weight(channels, 3, 3, before)
        shape = (1, side, side, channels)
        now = add("CONV_2D", (now, kernel, weight(channels)), shape, stride_h=2, stride_w=2, **padding)
    kernel = weight(1434, side, side, channels)
    options = padding | {"padding": "VALID"}
    now = add("CONV_2D", (now, kernel, weight(1434)), (1, 1, 1, 1434), stride_h=1, stride_w=1, **options)
    return Graph(tuple(operations), constants, shapes, (0,), (now,))


def fit(settings: Settings, record: Record) -> None:
    """A head model fitted to exact landmarks of many frames at once."""
    subject = shot.subject(flame.builtin())
    camera = PictureCamera.of_picture(640, 480, 1.5)
    for frames in settings.size((64, 512), (4,)):
        marks = landmarks(subject, frames, camera)
        results = []

        def call(marks: Any = marks, results: list[Any] = results) -> None:
            results[:] = [shot.fit_shot(subject, marks, camera, fixed_focal=True)]

        time = timed(call, repeats=settings.size(3, 1))
        residual = float(results[0].residual.mean())
        note = f"{frames / time.median:.4g} frames/s; first call {time.first:.2g} s"
        record.check(f"fit of {frames} frames", residual < RESIDUAL, f"residual {shown(residual)}", note)


def landmarks(subject: Any, frames: int, camera: PictureCamera) -> np.ndarray:
    """Landmarks without noise of a head that turns, talks and smiles, (T, 478, 3)."""
    t = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    angles = np.stack([0.1 * np.sin(t), 0.25 * np.sin(2 * t), 0.05 * np.cos(t)], 1).astype(np.float32)
    rotation = np.swapaxes(np.asarray(so3.exp(angles)), 1, 2) @ np.diag([-1.0, 1.0, -1.0]).astype(np.float32)
    shift = np.stack([0.2 * np.sin(t), 0.1 * np.cos(t), 5 + 0.2 * np.sin(t)], 1)
    jaw = np.stack([0.08 + 0.08 * np.sin(3 * t), 0 * t, 0 * t], 1)
    expression = np.zeros((frames, len(subject.priors.columns)))
    expression[:, list(subject.priors.columns).index(flame.CONTROLS["smile"])] = 0.4 + 0.4 * np.sin(t)
    shape = np.random.default_rng(0).normal(0, 0.4, subject.priors.shapes)
    person = heads.Person(
        jnp.asarray(shape, jnp.float32), jnp.zeros((subject.head.count, 3)), jnp.asarray(camera.focal, jnp.float32)
    )
    pose = heads.Pose(*(jnp.asarray(v, jnp.float32) for v in (rotation, shift, jaw, expression)))
    plane = np.asarray(solver.seen_at(subject.head, person, pose)) + [camera.cx, camera.cy]
    marks = np.zeros((frames, points.COUNT, 3), np.float32)
    marks[:, subject.embedding.numbers, :2] = plane
    placed = jax.vmap(lambda p: heads.in_camera(heads.head_points(subject.head, person, p.jaw, p.expression), p))(pose)
    scale = camera.focal / shift[:, 2]
    marks[:, subject.embedding.numbers, 2] = (np.asarray(placed)[..., 2] - shift[:, 2:]) * scale[:, None]
    marks[:, points.RIGHT_PUPIL] = marks[:, [33, 133]].mean(1)
    marks[:, points.LEFT_PUPIL] = marks[:, [263, 362]].mean(1)
    return marks
