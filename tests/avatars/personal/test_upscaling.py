"""Gaussians with 32 channels, and the network that makes pictures of them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, flame
from gagjax.avatars.personal import deformation, files, training, upscaling


@pytest.fixture(scope="module")
def rich(person):
    return deformation.create(person, 300, channels=32, factor=2)


@pytest.fixture(scope="module")
def fitted(rich, clip, settings):
    made = training.AvatarFit(rich, clip, dataclasses.replace(settings, reassign_every=20, motion=False))
    first = []
    made.run(report=lambda _, figures: first.append(figures["psnr"]))
    return made, first


@pytest.mark.parametrize("factor", upscaling.FACTORS)
def test_it_begins_by_enlarging_the_colours(factor):
    weights = upscaling.create(32, factor, 0)
    features = jax.random.uniform(jax.random.key(0), (6, 8, 32))
    made = upscaling.apply(weights, features, factor)
    assert made.shape == (6 * factor, 8 * factor, 3)
    np.testing.assert_allclose(made, jax.image.resize(features[..., :3], made.shape, "linear"), atol=1e-6)


def test_pixels_are_shuffled_to_their_places():
    """What the last layer says of a pixel goes into its own block of the picture."""
    weights = upscaling.create(3, 2, 0)
    weights["last"]["bias"] = jnp.arange(12.0)
    made = upscaling.apply(weights, jnp.zeros((2, 2, 3)), 2)
    np.testing.assert_allclose(made[:2, :2], np.arange(12.0).reshape(2, 2, 3), atol=1e-6)
    np.testing.assert_allclose(made[2:, 2:], made[:2, :2], atol=1e-6)


def test_a_fit_learns_with_them(fitted, rich, clip):
    made, psnr = fitted
    assert np.mean(psnr[-6:]) > np.mean(psnr[:6]) + 2
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), made.avatar.network, rich.network)
    assert min(jax.tree.leaves(moved["upscale"])) > 0
    assert float(jnp.abs(made.avatar.points["colour"][:, 3:] - rich.points["colour"][:, 3:]).max()) > 0
    assert made.picture(0).shape == (clip.size, clip.size, 3)


def test_it_comes_back_from_its_folder(fitted, tmp_path, clip):
    made, _ = fitted
    files.save(tmp_path / "a", made.avatar, head=flame.builtin(0), seed=0)
    again = files.load(tmp_path / "a").avatar
    assert again.factor == 2 and again.points["colour"].shape[1] == 32
    picture = made.picture(1)
    made._base = dataclasses.replace(again, size=clip.size)
    np.testing.assert_allclose(made.picture(1), picture, atol=1e-6)
    text = (tmp_path / "a" / "avatar.json").read_text()
    for wrong in ('"factor": 3', '"factor": "2"', '"factor": true'):
        (tmp_path / "a" / "avatar.json").write_text(text.replace('"factor": 2', wrong))
        with pytest.raises(InputError, match="factor"):
            files.load(tmp_path / "a")


def test_a_size_that_does_not_divide(rich, truth):
    from gagjax import avatars

    with pytest.raises(InputError, match="multiple of 2"):
        next(avatars.frames(rich, truth, size=41))
