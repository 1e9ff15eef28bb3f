"""The real networks: `make test` fetches them, so that these tests run in continuous integration."""

from __future__ import annotations

import numpy as np
import pytest

from gagjax import avatars, flame
from gagjax.io import video
from gagjax.simulate import driving
from gagjax.tracking import models


@pytest.fixture(scope="session")
def networks():
    """The installed networks by name; skips where nobody has run `gagjax models`."""
    if not models.complete():
        pytest.skip("needs the face networks: run `gagjax models` (make test does)")
    return models.installed()


@pytest.fixture(scope="session")
def performance(networks):
    """Sixteen pictures of an identity that performs, (16, 256, 256, 3)."""
    track = driving.driver(16, seed=3, controls=flame.CONTROLS)
    return (np.clip(avatars.render(avatars.builtin(3), track, size=256), 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scenery():
    """A soft picture without a face: sharpening would change it, (256, 256, 3)."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, (256, 256)), 2.0)
    return np.repeat((127 + 60 * noise / noise.std()).clip(0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.fixture(scope="session")
def filmed(performance, tmp_path_factory):
    """The performance as a film at 30 frames per second in a folder of its own."""
    path = tmp_path_factory.mktemp("films") / "talk.mp4"
    video.write(path, performance, 30, crf=6)
    return path
