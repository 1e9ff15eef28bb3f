"""`gagjax enhance` on a track that is too long for one piece."""

from __future__ import annotations

import numpy as np

from gagjax import stack
from gagjax.app.cli import main
from gagjax.io.tracks import load_track, save_track
from gagjax.simulate import driver, observe


def test_a_long_track_goes_by_parts_and_comes_out_the_same(tmp_path, monkeypatch):
    save_track(observe(driver(120, seed=1), seed=2), tmp_path / "a.npz")
    assert main(["enhance", str(tmp_path / "a.npz"), "-o", str(tmp_path / "whole.npz")]) == 0
    monkeypatch.setattr(stack, "LONG", 50)
    assert main(["enhance", str(tmp_path / "a.npz"), "-o", str(tmp_path / "parts.npz")]) == 0
    whole, parts = load_track(tmp_path / "whole.npz"), load_track(tmp_path / "parts.npz")
    for name in ("expression", "jaw", "eyes", "transform"):
        before, after = getattr(whole, name), getattr(parts, name)
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * max(1.0, float(np.ptp(before))))
