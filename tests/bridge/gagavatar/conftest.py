"""A small GAGAvatar: the same network with few channels, for what needs no official sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny() -> Any:
    pytest.importorskip("torch")
    from bridge.gagavatar import Config

    return Config(
        patches=3,
        embed=16,
        depth=5,
        heads=2,
        projects=(6, 8, 10, 12),
        plane_channels=8,
        hidden=8,
        vertices=60,
        size=32,
        style=16,
        decoder_channels=(8, 8, 6, 4),
    )


@pytest.fixture(scope="session")
def small(tiny: Any) -> Any:
    """The small network with weights by the rule of the golden numbers."""
    import torch

    from bridge.gagavatar import GAGAvatar, checkpoint
    from tests.oracles import gagavatar_weights as rule

    model = GAGAvatar(tiny)
    state = rule.weights((key, tuple(value.shape)) for key, value in model.state_dict().items())
    checkpoint.fill(model, {key: torch.from_numpy(value) for key, value in state.items()})
    return model.eval()


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def front() -> np.ndarray:
    """A camera in front of the head: x and z of the world turned, as the tracker's cameras are."""
    rotation = np.diag([-1.0, 1.0, -1.0])
    return np.concatenate([rotation, [[0.02], [0.01], [9.3]]], 1).astype(np.float32)


@pytest.fixture(scope="session")
def record(front: np.ndarray) -> Any:
    """Makes a tracker's record of one image, with its picture or without."""

    def make(image: np.ndarray | None) -> dict[str, np.ndarray]:
        entry = {
            "shapecode": np.full(300, 0.5, np.float32),
            "expcode": np.zeros(100, np.float32),
            "posecode": np.zeros(6, np.float32),
            "eyecode": np.zeros(6, np.float32),
            "transform_matrix": front,
            "bbox": np.array([0.2, 0.2, 0.8, 0.8], np.float32),
        }
        return entry if image is None else entry | {"image": image.transpose(2, 0, 1)}

    return make
