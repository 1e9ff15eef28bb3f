"""The published eye mask."""

from __future__ import annotations

import numpy as np

from gagjax.gaze import centres_from_landmarks, eye_mask


def oracle(height, width, centres, sigma):
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    return np.max([np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres], axis=0)


def test_mask_is_the_formula_at_any_size_and_in_batches():
    centres = np.random.default_rng(0).random((3, 2, 2)).astype(np.float32)
    for height, width in ((96, 80), (33, 17), (1, 5)):
        got = eye_mask(height, width, centres, 0.11)
        want = np.stack([oracle(height, width, c.astype(np.float64), 0.11) for c in centres])
        np.testing.assert_allclose(got, want, atol=2e-6)


def test_golden_masks(shared):
    golden = np.load(shared / "reference" / "golden_enhancements_v1.npz")
    np.testing.assert_allclose(eye_mask(96, 80), golden["eye/mask_default"][0, 0], atol=2e-5)
    centres = centres_from_landmarks(golden["eye/landmarks_2d"])
    np.testing.assert_allclose(eye_mask(96, 80, centres), golden["eye/mask_landmarks"][:, 0], atol=2e-5)
