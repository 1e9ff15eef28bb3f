"""Cameras around the head, and heads side by side."""

from __future__ import annotations

import numpy as np

from gagjax.app.cli import main
from gagjax.app.reports.panels import tiled
from gagjax.app.workflows.orbit import held, orbit
from gagjax.io import video
from gagjax.io.tracks import save_track
from gagjax.simulate import driver


def test_the_camera_goes_around_and_looks_at_the_head():
    track = driver(100)
    turned = orbit(held(track, 4.0), 30.0)
    assert len(turned) == 100 and (np.asarray(turned.jaw) == np.asarray(track.jaw)[0]).all()
    rotation = np.asarray(turned.transform)[..., :3]
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (100, 1, 1)), atol=1e-5)
    apart = np.degrees(np.arccos(np.clip((np.trace(rotation @ rotation[0].T, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    np.testing.assert_allclose([apart.max(), apart[0]], [30, 0], atol=0.05)
    # The head's origin stays where it was in the picture; so does the way up.
    np.testing.assert_array_equal(turned.transform[..., 3], np.repeat(track.transform[:1, :, 3], 100, 0))
    np.testing.assert_allclose(rotation[:, 1], np.repeat(rotation[:1, 1], 100, 0), atol=1e-6)


def test_tiles_fill_a_grid():
    grid = tiled([np.full((4, 6, 3), k, np.uint8) for k in range(5)])
    assert grid.shape == (8, 18, 3)
    assert [grid[0, 0, 0], grid[0, 8, 0], grid[5, 0, 0], grid[5, 8, 0], grid[5, 14, 0]] == [0, 1, 3, 4, 128]


def test_a_grid_from_all_sides(tmp_path, capsys):
    save_track(driver(6), tmp_path / "d.npz")
    words = ["reenact", "-d", str(tmp_path / "d.npz"), "-o", str(tmp_path / "g.mp4"), "--size", "64"]
    assert main([*words, "--grid", "2", "--orbit", "30"]) == 0
    info = video.info(tmp_path / "g.mp4")
    assert (info.width, info.height, info.frames) == (128, 64, 6)
    assert main([*words, "--force", "--orbit", "400"]) == 2 and "--orbit" in capsys.readouterr().err
