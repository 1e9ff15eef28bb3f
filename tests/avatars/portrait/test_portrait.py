"""Portrait avatars against built-in identities, whose real pictures are known."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, avatars, flame
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.portrait import Sighting, build, files, layers, light, zbuffer
from gagjax.avatars.portrait.observing import matting
from gagjax.avatars.portrait.parts import parts_of
from gagjax.avatars.rendering import drawn
from gagjax.camera import Intrinsics, from_track
from gagjax.flame.builtin_head.identity import shape_coefficients

SIZE, SEED = 160, 1


def seen_from(yaw: float = 0.0) -> Parameters:
    c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) @ np.diag([-1.0, 1.0, -1.0])
    transform = np.float32(np.c_[turn, [0, 0, 9.5]])
    shape = np.float32(shape_coefficients(SEED, flame.builtin().shapes))
    zeros = Parameters.neutral(from_track(jnp.asarray(transform), SIZE))
    return dataclasses.replace(zeros, shape=jnp.asarray(shape))


def truth(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    own = dataclasses.replace(parameters, shape=jnp.zeros(0))
    picture, alpha = drawn(avatars.builtin(SEED), own, jnp.ones(3))
    return np.asarray(picture), np.asarray(alpha)


def decibels(avatar, parameters: Parameters) -> float:
    model = flame.builtin()
    v = parameters.vertices(model)
    seen = zbuffer.seen(np.asarray(v), np.asarray(model.faces), parameters.camera)
    face = (seen.triangles >= 0) & parts_of(model).face[np.asarray(model.faces)].all(1)[seen.triangles]
    picture = np.asarray(drawn(avatar, parameters, jnp.ones(3))[0])
    return float(-10 * np.log10(((picture - truth(parameters)[0])[face] ** 2).mean()))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def sighting() -> Sighting:
    front = seen_from()
    return Sighting(*truth(front), front)


@pytest.fixture(scope="module")
def avatar(sighting):
    return build(sighting)


def test_front_view_is_the_photo(avatar, sighting):
    assert decibels(avatar, sighting.parameters) > 32


@pytest.mark.parametrize("yaw", [-20, 20])
def test_turned_head_is_like_the_real_one(avatar, yaw):
    assert decibels(avatar, seen_from(yaw)) > 26


def test_no_hole_opens_when_the_head_turns(avatar):
    model = flame.builtin()
    parts, faces = parts_of(model), np.asarray(model.faces)
    for yaw in (-35, 35):
        parameters = seen_from(yaw)
        seen = zbuffer.seen(np.asarray(parameters.vertices(model)), faces, parameters.camera)
        face = (seen.triangles >= 0) & parts.face[faces].all(1)[seen.triangles]
        alpha = np.asarray(drawn(avatar, parameters, jnp.zeros(3))[1])
        assert alpha[face].min() > 0.98


def test_a_blink_hides_the_iris_behind_skin(avatar, sighting):
    expression = np.zeros(100, np.float32)
    expression[[i for name, i in flame.CONTROLS.items() if "blink" in name]] = 1
    closed = dataclasses.replace(sighting.parameters, expression=jnp.asarray(expression))
    assert decibels(avatar, closed) > 28


def test_a_portrait_is_seen_through_the_lens_and_with_the_head_pose_of_the_track(avatar):
    from gagjax.avatars.portrait import rendering
    from gagjax.simulate import driver

    track = driver(2)
    first = next(rendering.frames(avatar, track, (1.0, 1.0, 1.0), size=SIZE))
    wide = dataclasses.replace(track, intrinsics=Intrinsics.of_focal(6.0, SIZE))
    half = next(rendering.frames(avatar, wide, (1.0, 1.0, 1.0), size=SIZE))
    covered = [(np.abs(picture - 1).max(-1) > 0.02).mean() for picture in (first, half)]
    assert 0.15 < covered[1] / covered[0] < 0.4  # half the focal length, a quarter of the area
    turned = track.extra | {"global_rotation": np.tile(np.float32([0, 0.4, 0]), (2, 1))}
    other = next(rendering.frames(avatar, dataclasses.replace(track, extra=turned), (1.0, 1.0, 1.0), size=SIZE))
    assert np.abs(other - first).mean() > 0.01


def test_folder_gives_the_same_avatar_back(avatar, sighting, tmp_path):
    behind = layers.behind(np.asarray(sighting.photo, np.float64), sighting.matte)
    files.save(tmp_path / "a", avatar, behind, flame.builtin(), builtin=True)
    assert files.is_portrait(tmp_path / "a")
    back = files.load(tmp_path / "a")
    mine, theirs = (avatar_.gaussians(sighting.parameters) for avatar_ in (avatar, back.avatar))
    for name in ("means", "covariances", "opacities", "features"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=1e-6)
    np.testing.assert_allclose(back.background, behind, atol=0.003)
    with pytest.raises(InputError, match="another head"):
        files.load(tmp_path / "a", flame.builtin(3))
    (tmp_path / "a" / files.JSON).write_text("{}")
    with pytest.raises(InputError, match="no portrait avatar"):
        files.load(tmp_path / "a")


def test_photo_without_a_head_is_refused(sighting):
    empty = dataclasses.replace(sighting, matte=np.zeros((SIZE, SIZE), np.float32))
    with pytest.raises(InputError, match="shows the head in 0 pixels"):
        build(empty)


def test_photo_and_camera_of_two_sizes_are_refused(sighting):
    with pytest.raises(InputError, match="camera"):
        Sighting(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.float32), sighting.parameters)


def test_zbuffer_keeps_the_nearer_triangle():
    camera = from_track(jnp.eye(3, 4), 32)
    far = np.array([[-0.1, -0.1, 2.0], [0.1, -0.1, 2.0], [0, 0.1, 2.0]])
    vertices = np.concatenate([far, far * [1, 1, 0.5]])
    seen = zbuffer.seen(vertices, np.array([[0, 1, 2], [3, 4, 5]]), camera)
    assert seen.triangles[16, 16] == 1
    assert seen.depth[16, 16] == pytest.approx(5.0)
    place = (vertices[3:] * seen.bary[16, 16][:, None]).sum(0)
    pixel = zbuffer.onto_picture(zbuffer.into_camera(place[None], camera), camera)[0]
    np.testing.assert_allclose(pixel, [16.5, 16.5], atol=1e-3)


def test_light_of_a_plain_sphere_is_found(rng):
    normals = rng.normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals[normals[:, 2] < -0.2]
    shade = 1 + 0.3 * normals[:, 0] - 0.2 * normals[:, 1]
    skin = np.array([0.5, 0.3, 0.2])
    found = light.fit(skin * shade[:, None], normals, np.ones(len(normals), bool))
    # Drawn a little towards even light, which would be off by 0.36.
    again = np.asarray(light.irradiance(jnp.asarray(found), jnp.asarray(normals, jnp.float32)))
    np.testing.assert_allclose(again / again.mean(0), (shade / shade.mean())[:, None] * np.ones(3), atol=0.06)


def test_matte_is_drawn_to_the_edge(rng):
    photo = np.zeros((120, 120, 3))
    photo[:, 60:] = [0.8, 0.6, 0.5]
    photo += rng.normal(0, 0.01, photo.shape)
    coarse = np.zeros((120, 120))
    coarse[:, 58:] = 1
    fine = matting.refined(photo, coarse)
    assert np.abs(fine - (photo[..., 0] > 0.4)).mean() < 0.6 * np.abs(coarse - (photo[..., 0] > 0.4)).mean()


def test_background_is_filled_from_around(rng):
    photo = np.broadcast_to(np.linspace(0.2, 0.6, 80)[None, :, None], (80, 80, 3)).copy()
    wanted = photo.copy()
    matte = np.zeros((80, 80))
    matte[20:60, 25:55] = 1
    photo[20:60, 25:55] = [1, 0, 0]
    filled = layers.behind(photo, matte)
    assert np.abs(filled - wanted).max() < 0.12
