"""Cameras against upstream's numbers."""

from __future__ import annotations

import json

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gagjax.camera import from_track, project
from gagjax.splatting.gaussians import Gaussians, covariance
from gagjax.splatting.projection import splats


def test_projection_equals_upstream(shared):
    cases = json.loads((shared / "upstream" / "camera_v1.json").read_text())["cases"]
    assert len(cases) == 6
    for case in cases:
        camera = from_track(np.float32(case["transform_3x4"]))
        np.testing.assert_allclose(camera.viewmat, case["w2c_column_vector_4x4"], atol=1e-6)
        np.testing.assert_allclose(camera.K, [[3072, 0, 256], [0, 3072, 256], [0, 0, 1]])
        points = np.float32(case["points_world"])
        # Upstream's quaternions are used as they are, far from unit length or not.
        spread = covariance(np.float32(case["scales"]), np.float32(case["quaternion_wxyz"]), normalise=False)
        rows, columns = np.triu_indices(3)
        np.testing.assert_allclose(spread[:, rows, columns], case["cov3d_xx_xy_xz_yy_yz_zz"], rtol=1e-4, atol=1e-7)
        flat = splats(Gaussians(points, spread, np.ones(8), np.ones((8, 1))), camera)
        drawn = np.array(case["drawn"])
        np.testing.assert_array_equal(flat.drawn, drawn)
        seen = np.flatnonzero(drawn)
        pixels = np.array([case["pixel_xy_half_centre"][i] for i in seen])
        np.testing.assert_allclose(project(points, camera)[seen], pixels, atol=2e-3)
        np.testing.assert_allclose(flat.centres[seen], pixels, atol=2e-3)
        np.testing.assert_allclose(flat.depths[seen], np.array(case["depth"])[seen], atol=2e-5)
        conics = np.asarray(flat.conics, np.float64)[seen]
        inverse = np.linalg.inv(np.stack([conics[:, :2], conics[:, 1:]], 1))
        expected = np.array([case["cov2d_xx_xy_yy"][i] for i in seen])
        scale = np.abs(expected).max(1, keepdims=True)
        np.testing.assert_allclose(inverse[:, [0, 0, 1], [0, 1, 1]] / scale, expected / scale, atol=1e-4)


def test_a_batch_of_tracks_is_a_batch_of_cameras():
    transforms = np.tile(np.eye(3, 4, dtype=np.float32), (5, 1, 1))
    cameras = from_track(transforms, size=64)
    assert cameras.viewmat.shape == (5, 4, 4) and cameras.K.shape == (5, 3, 3) and cameras.width == 64
    one = jax.tree.map(lambda v: v[0], cameras)
    np.testing.assert_allclose(one.K, from_track(transforms[0], size=64).K)


@given(st.integers(0, 999))
def test_pixels_are_those_of_a_pinhole_written_out(seed):
    """A point by hand: into the camera, divided by its depth, scaled by the focal length, from the picture's middle."""
    rng = np.random.default_rng(seed)
    size, focal = int(rng.integers(16, 2000)), rng.uniform(1, 20)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    shift = np.array([*rng.normal(size=2), rng.uniform(5, 12)])
    points = rng.normal(size=(7, 3))
    expected = []
    for point in points:
        left, up, ahead = point @ turn + shift
        expected.append([size / 2 - focal * size / 2 * left / ahead, size / 2 - focal * size / 2 * up / ahead])
    camera = from_track(np.concatenate([turn, shift[:, None]], 1).astype(np.float32), size, focal)
    np.testing.assert_allclose(
        project(points.astype(np.float32), camera), expected, rtol=2e-4, atol=2e-5 * size * focal
    )
    # The camera stands where the track's own transform is zero.
    place = -shift @ turn.T
    seen = np.asarray(camera.viewmat, np.float64) @ [*place, 1]
    np.testing.assert_allclose(seen, [0, 0, 0, 1], atol=1e-4)
