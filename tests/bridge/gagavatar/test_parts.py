"""The quirks and the geometry, on small sizes: what the golden numbers cannot show as a law."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gagjax.errors import InputError

torch = pytest.importorskip("torch")

from bridge.gagavatar import Identity, heads, lifting  # noqa: E402


@pytest.fixture(scope="module")
def identity(small: Any, portrait: np.ndarray, front: np.ndarray) -> Identity:
    return small.encode(portrait, front, shape=np.arange(300))


def test_quaternions_are_unit_per_plane_point_and_per_column_over_the_vertices(identity: Identity) -> None:
    head, plane = identity.quaternions[:60], identity.quaternions[60:]
    torch.testing.assert_close(head.norm(dim=0), torch.ones(4))
    torch.testing.assert_close(plane.norm(dim=1), torch.ones(len(plane)))
    assert head.norm(dim=1).max() < 0.9


def test_the_colour_sigmoid_takes_image_columns_in_the_plane_and_channels_at_the_vertices(
    small: Any, tiny: Any
) -> None:
    plane, direction = 9 * torch.randn(1, 8, 5, 7), torch.tensor([[0.0, 0.0, 1.0]])
    raw = {}
    hook = small.gs_generator_l0.gaussian_conv.register_forward_hook(lambda _m, _i, out: raw.update(plane=out))
    colors = small.gs_generator_l0(plane, direction).colors.unflatten(1, (5, 7)).permute(0, 3, 1, 2)
    hook.remove()
    expected = raw["plane"][:, : tiny.features].clone()
    expected[..., :3] = torch.sigmoid(expected[..., :3])
    torch.testing.assert_close(colors, expected, rtol=0, atol=0)
    colors = heads.squash_first_three(torch.full((1, 4, 32), 9.0))
    assert (colors[..., :3] < 1).all()
    assert (colors[..., 3:] == 9).all()


def test_the_global_feature_is_the_top_left_patch(small: Any) -> None:
    image = torch.rand(1, 3, 42, 42)
    seen = {}
    hook = small.base_model.dino_model.register_forward_hook(lambda _m, _i, out: seen.update(last=out[-1]))
    _, token = small.base_model(image)
    hook.remove()
    assert torch.equal(token, seen["last"][:, 0])
    assert seen["last"].shape[1] == 9, "the class token is gone before the first token is taken"


def test_the_plane_fills_the_portraits_picture_and_holds_the_origin(front: np.ndarray) -> None:
    transform = torch.from_numpy(front)[None]
    points, direction = lifting.plane(transform, 5)
    camera = points[0] @ transform[0, :, :3] + transform[0, :, 3]
    u, v = (256 - 3072 * camera[:, axis] / camera[:, 2] for axis in (0, 1))
    grid = torch.linspace(0, 512, 5)
    torch.testing.assert_close(u.reshape(5, 5), grid.expand(5, 5), rtol=0, atol=1e-3)
    torch.testing.assert_close(v.reshape(5, 5), grid[:, None].expand(5, 5), rtol=0, atol=1e-3)
    torch.testing.assert_close((points[0] @ direction[0]).abs().max(), torch.tensor(0.0), rtol=0, atol=1e-5)


def test_the_first_lifted_half_lies_behind_the_plane_and_the_second_before_it(
    identity: Identity, front: np.ndarray
) -> None:
    transform = torch.from_numpy(front)
    half = len(identity.points) // 2
    depth = (identity.points @ transform[:, :3] + transform[:, 3])[:, 2]
    assert (depth[:half] > depth[half:]).all()


@given(seed=st.integers(0, 2**31), length=st.floats(0.01, 3))
@settings(max_examples=20)
def test_covariances_use_the_quaternion_as_it_comes(seed: int, length: float) -> None:
    rng = np.random.default_rng(seed)
    q, s = length * rng.normal(size=4), rng.uniform(0.01, 0.05, 3)
    w, v = q[0], q[1:]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    rotation = np.eye(3) + 2 * w * cross + 2 * cross @ cross  # equals the matrix of a unit quaternion if q is one
    expected = rotation @ np.diag(s**2) @ rotation.T
    found = lifting.covariances(torch.tensor(s), torch.tensor(q)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12 * (1 + length**4))


@pytest.mark.misuse
def test_noise_modes(small: Any) -> None:
    features = torch.randn(2, 32, 32, 32)
    fixed = small.decode(features, "fixed")
    assert fixed.shape == (2, 32, 32, 3)
    assert torch.equal(fixed, small.decode(features, "fixed"))
    assert not torch.equal(fixed, small.decode(features, "zero"))
    assert torch.equal(small.decode(features, "zero"), small.decode(features, "zero"))
    draws = [small.decode(features, "random", generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert 0 < fixed.min() < fixed.max() < 1
    with pytest.raises(ValueError, match='"fixed", "random" or "zero"'):
        small.decode(features, "none")


def test_a_frame_does_not_depend_on_the_batch_it_is_decoded_in(small: Any) -> None:
    features = torch.randn(3, 32, 32, 32)
    alone = torch.stack([small.decode(f) for f in features])
    torch.testing.assert_close(small.decode(features), alone, rtol=0, atol=1e-6)


def test_an_identity_is_saved_and_loaded_to_the_bit(identity: Identity, tmp_path: Path) -> None:
    identity.save(tmp_path / "me.npz")
    back = Identity.load(tmp_path / "me.npz")
    for name in ("points", "scales", "quaternions", "opacities", "features", "transform", "shape"):
        assert torch.equal(getattr(back, name), getattr(identity, name)), name
    assert back.vertices == 60
    with pytest.raises(InputError, match="exists"):
        identity.save(tmp_path / "me.npz")
    np.savez(tmp_path / "other.npz", points=np.zeros(3))
    with pytest.raises(InputError, match="no saved identity"):
        Identity.load(tmp_path / "other.npz")


def test_bytes_and_floats_encode_alike(small: Any, front: np.ndarray) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (42, 42, 3), dtype=np.uint8)
    a, b = small.encode(pixels, front), small.encode(pixels.astype(np.float32) / 255, front)
    torch.testing.assert_close(a.features, b.features, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "transform", "said"),
    [
        (np.zeros((3, 64, 64)), np.eye(3, 4), r"image: has shape \(3, 64, 64\)"),
        (np.zeros((64, 64, 3)), np.eye(4), r"transform: has shape \(4, 4\)"),
        (np.full((64, 64, 3), np.nan), np.eye(3, 4), "image: holds values that are not finite"),
    ],
)
def test_portraits_that_cannot_be_encoded(small: Any, image: Any, transform: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        small.encode(image, transform)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_gives_the_same_picture(small: Any, tiny: Any, portrait: np.ndarray, front: np.ndarray) -> None:
    from bridge.gagavatar import GAGAvatar

    there = GAGAvatar(tiny)
    there.load_state_dict(small.state_dict())
    there = there.eval().to("cuda")
    vertices = 0.05 * np.random.default_rng(5).normal(size=(2, 60, 3))
    with torch.backends.cudnn.flags(allow_tf32=False):
        ours, theirs = (m.render(m.encode(portrait, front), vertices, front, backend="cpu") for m in (small, there))
    assert theirs.is_cuda
    torch.testing.assert_close(theirs.cpu(), ours, rtol=0, atol=1e-3)
