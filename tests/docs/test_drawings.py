"""The page on conventions says what the functions do, from which its drawings are made."""

from __future__ import annotations

import runpy

import numpy as np
import pytest

from gagjax import flame
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "drawings"


@pytest.fixture(scope="module")
def drawings():
    return runpy.run_path(str(FOLDER / "conventions.py"))


def test_signs_of_the_eyes(drawings):
    down, left = drawings["looks"]("x"), drawings["looks"]("y")
    assert down[1] < -0.4 and down[2] > 0.9
    assert left[0] > 0.4 and left[2] > 0.9


def test_axes_of_the_camera(drawings):
    # Before the face, looking at it: its left is the person's right, and forward is towards the face.
    np.testing.assert_allclose(drawings["axes_of_camera"](), [[-1, 0, 0], [0, 1, 0], [0, 0, -1]], atol=1e-6)


def mouth(jaw: float) -> float:
    """How far the mouth of the built-in head is open with the jaw turned about x."""
    model = flame.builtin()
    pose = np.float32([0, 0, 0, jaw, 0, 0])
    posed = flame.vertices(model, np.zeros(300, np.float32), np.zeros(100, np.float32), pose, np.zeros(6, np.float32))
    return float(flame.lip_aperture(flame.landmarks(model, posed)))


def test_the_head_looks_along_z():
    model = flame.builtin()
    left, right = np.asarray(flame.eye_centres(model, np.zeros(300, np.float32)))
    assert left[0] > 0 > right[0]
    middle = np.asarray(model.v_template).mean(0)
    assert left[2] > middle[2] and left[1] > middle[1]


def test_a_positive_jaw_opens():
    assert mouth(0.3) > mouth(0.0) + 0.1


def test_pictures_are_there():
    for name in ("head_axes", "eye_signs", "camera"):
        assert (FOLDER / f"{name}.png").is_file()
