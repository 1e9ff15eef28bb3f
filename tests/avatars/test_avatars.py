"""The built-in avatar, avatars in files, and pictures of them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, avatars, flame
from gagjax.avatars import binding, ply, spherical_harmonics
from gagjax.simulate import driver

SIZE = 128


@pytest.fixture(scope="module")
def avatar() -> avatars.MeshAvatar:
    return avatars.builtin()


@pytest.fixture(scope="module")
def performance():
    return driver(4, controls=flame.CONTROLS)


def camera(yaw: float = 0.0) -> np.ndarray:
    """In front of the face, ten units away, the head turned about the vertical."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) @ np.diag([-1.0, 1.0, -1.0])
    return np.float32(np.c_[turn, [0, 0.1, 10.0]])


def draw(avatar, *, jaw=0.0, eyes=(0.0, 0.0), yaw=0.0, size=SIZE, **strength) -> np.ndarray:
    expression = np.zeros(100, np.float32)
    for name, value in strength.items():
        expression[flame.CONTROLS[name]] = value
    turned = np.float32([*eyes, 0, *eyes, 0])
    shape, none = np.zeros(300, np.float32), np.zeros(3, np.float32)
    jaw = np.float32([jaw, 0, 0])
    return np.asarray(
        avatars.picture(avatar, shape, camera(yaw), expression, jaw, turned, none, np.float32(avatars.BACKGROUND), size)
    )


def around(picture: np.ndarray, point: np.ndarray, radius: int = 4) -> np.ndarray:
    """The pixels about a place on the neutral head, millimetres, in the frontal picture."""
    size = len(picture)
    scale = 12 * size / 2 / 10  # pixels a unit, at the camera's distance; 200 mm are a unit
    i, j = round(size / 2 - (point[1] / 200 + 0.1) * scale), round(size / 2 + point[0] / 200 * scale)
    return picture[i - radius : i + radius + 1, j - radius : j + radius + 1]


def test_has_the_promised_size(avatar):
    assert 30_000 <= len(avatar) <= 60_000
    assert np.asarray(avatar.opacities).max() <= 1
    gaussians = avatar.gaussians(avatar.model.v_template)
    assert np.isfinite(gaussians.means).all() and np.isfinite(gaussians.covariances).all()
    assert (np.asarray(gaussians.features) >= 0).all() and (np.asarray(gaussians.features) <= 1).all()
    assert (np.linalg.eigvalsh(np.asarray(gaussians.covariances, np.float64)) > -1e-9).all()


def test_covers_the_head_without_holes(avatar):
    """A black and a white background give the same picture inside the outline."""
    shape, none = np.zeros(300, np.float32), np.zeros(3, np.float32)
    args = (avatar, shape, camera(), np.zeros(100, np.float32), none, np.zeros(6, np.float32), none)
    black, white = (np.asarray(avatars.picture(*args, np.full(3, v, np.float32), SIZE)) for v in (0.0, 1.0))
    face = np.s_[SIZE // 5 : 4 * SIZE // 5, 2 * SIZE // 5 : 3 * SIZE // 5]
    assert np.abs(white - black)[face].max() < 1 / 255


def test_features_lie_where_they_should(avatar):
    picture = draw(avatar, size=384)
    eye, lips, cheek = (around(picture, np.array(p), 2).mean((0, 1)) for p in ((35.5, 22), (0, -49), (42, -12)))
    assert eye[2] > eye[0]  # a blue iris
    assert lips[0] - lips[1] > cheek[0] - cheek[1]  # lips are redder than cheeks
    hair = around(picture, np.array([0, 112]), 2).mean()
    assert hair < 0.6 * cheek.mean()
    np.testing.assert_allclose(picture[2, 2], avatars.BACKGROUND, atol=1e-6)


def test_controls_show_where_they_act(avatar):
    rest = draw(avatar)

    def change(point, **how):
        return np.abs(draw(avatar, **how) - rest), np.array(point)

    for how, point in (
        ({"blink_left": 1}, (31.5, 22)),
        ({"eyes": (0.0, 0.4)}, (31.5, 22)),
        ({"jaw": 0.3}, (0, -60)),
        ({"smile": 1}, (27, -44)),
    ):
        picture, place = change(point, **how)
        assert around(picture, place, 3).max() > 0.1, how
        assert around(picture, np.array([0, 112]), 3).max() < 0.02, how
    blink, _ = change((0, 0), blink_left=1)
    assert around(blink, np.array([-31.5, 22]), 3).max() < 0.02  # the other eye stays


def test_gaussians_follow_their_triangles(avatar):
    """A rigid motion of the mesh moves means and covariances alike; in the affine frame a stretch does, too."""
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    matrix *= np.sign(np.linalg.det(matrix))
    vertices = np.asarray(avatar.model.v_template)
    for frame in ("affine", "similarity"):
        bound = dataclasses.replace(avatar.binding, frame=frame)
        means, factors = bound.place(vertices, avatar.model.faces)
        moved, turned = bound.place(np.float32(vertices @ matrix.T * 2 + 1), avatar.model.faces)
        np.testing.assert_allclose(moved, np.asarray(means) @ matrix.T * 2 + 1, atol=2e-4)
        np.testing.assert_allclose(turned, 2 * matrix @ np.asarray(factors), atol=2e-4)
    flat = np.float32(vertices * [1, 0.5, 1])
    means, _ = avatar.binding.place(vertices, avatar.model.faces)
    tiles = np.asarray(avatar.binding.offsets)[:, 2] == 0
    squeezed, _ = avatar.binding.place(flat, avatar.model.faces)
    np.testing.assert_allclose(np.asarray(squeezed)[tiles], (np.asarray(means) * [1, 0.5, 1])[tiles], atol=1e-5)


def test_frames_and_array_agree_and_repeat(avatar, performance):
    array = avatars.render(avatar, performance, size=64)
    assert array.shape == (4, 64, 64, 3) and array.dtype == np.float32
    np.testing.assert_array_equal(array, list(avatars.frames(avatar, performance, size=64)))
    assert np.abs(np.diff(array, axis=0)).max() > 1e-3


def test_identities_look_different(avatar):
    first, second = (draw(avatars.builtin(seed)) for seed in (1, 2))
    assert np.abs(first - second).mean() > 0.02 and np.abs(first - draw(avatar)).mean() > 0.02


def test_light_stands_with_the_camera(avatar):
    """Seen from both sides the same side of the picture is brighter."""
    for yaw in (-0.5, 0.5):
        picture = draw(avatar, yaw=yaw)
        head = np.abs(picture - np.float32(avatars.BACKGROUND)).max(-1) > 0.05
        row = slice(SIZE // 2, 3 * SIZE // 4)
        columns = np.flatnonzero(head[row].any(0))
        middle = int(columns.mean())
        left, right = picture[row, columns[0] : middle], picture[row, middle : columns[-1]]
        assert left[head[row, columns[0] : middle]].mean() > right[head[row, middle : columns[-1]]].mean()


def test_image_has_gradients_in_the_performance(avatar):
    zero = np.zeros(300, np.float32), np.zeros(3, np.float32)

    def loss(expression, jaw):
        drawn = avatars.picture(
            avatar, zero[0], camera(), expression, jaw, jnp.zeros(6), zero[1], jnp.zeros(3), 64, "cpu"
        )
        return (drawn**2).mean()

    at = np.zeros(100, np.float32), np.float32([0.1, 0, 0])
    for gradient in jax.grad(loss, argnums=(0, 1))(*at):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_saved_and_loaded(avatar, tmp_path):
    avatars.save(avatar, tmp_path / "me.ply")
    loaded = avatars.load(tmp_path / "me.ply", avatar.model)
    np.testing.assert_array_equal(draw(loaded), draw(avatar))
    with pytest.raises(InputError, match="exists"):
        avatars.save(avatar, tmp_path / "me.ply")
    with pytest.raises(InputError, match="another head"):
        avatars.load(tmp_path / "me.ply", flame.builtin(1))


def test_ply_is_what_splat_viewers_read(avatar, tmp_path):
    """The columns undone by the published formulas give the Gaussians at rest."""
    avatars.save(avatar, tmp_path / "me.ply")
    columns = ply.read(tmp_path / "me.ply")
    rest = avatar.gaussians(avatar.model.v_template)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    assert list(columns) == [*names, "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert all(column.dtype == np.float32 for column in columns.values())
    np.testing.assert_allclose(np.stack([columns[c] for c in "xyz"], -1) * avatars.UNITS, rest.means, atol=1e-5)
    colour = 0.5 + spherical_harmonics.C0 * np.stack([columns[f"f_dc_{k}"] for k in range(3)], -1)
    np.testing.assert_allclose(colour, rest.features, atol=1e-5)
    np.testing.assert_allclose(1 / (1 + np.exp(-columns["opacity"])), rest.opacities, atol=1e-5)
    from gagjax.splatting.gaussians import covariance

    scales = np.exp(np.stack([columns[f"scale_{k}"] for k in range(3)], -1))
    turns = np.stack([columns[f"rot_{k}"] for k in range(4)], -1)
    widest = np.abs(rest.covariances).max((1, 2))
    error = np.abs(covariance(scales, turns) * avatars.UNITS**2 - rest.covariances).max((1, 2))
    assert (error < 1e-3 * widest + 1e-9).all()


def gaussian_avatars_file(folder, model, count=30, degree=1, teeth=2):
    """A point_cloud.ply and flame_param.npz in GaussianAvatars' layout."""
    rng = np.random.default_rng(1)
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{k}" for k in range(3))]
    names += [f"f_rest_{k}" for k in range(3 * ((degree + 1) ** 2 - 1))]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    columns = {name: rng.normal(size=count).astype(np.float32) for name in names}
    bound = rng.integers(0, len(model.faces), count).astype(np.int32)
    bound[:teeth] = len(model.faces) + 5
    columns["binding_0"] = bound
    ply.write(folder / "point_cloud.ply", columns)
    shape = rng.normal(size=300).astype(np.float32)
    offset = rng.normal(size=(1, 5143, 3)).astype(np.float32) * 1e-3
    np.savez(folder / "flame_param.npz", shape=shape, static_offset=offset)
    return columns, shape, offset


def test_gaussian_avatars_files_load(avatar, tmp_path):
    """Against the formulas of the format written out in float64 for each Gaussian."""
    columns, shape, offset = gaussian_avatars_file(tmp_path, avatar.model)
    with pytest.warns(UserWarning, match="2 of 30"):
        loaded = avatars.load(tmp_path / "point_cloud.ply", avatar.model)
    vertices = np.asarray(flame.vertices(loaded.model, np.zeros(300), np.zeros(100), np.zeros(6), np.zeros(6)), float)
    expected = np.asarray(avatar.model.v_template, float) + np.asarray(avatar.model.shapedirs, float)[..., :300] @ shape
    np.testing.assert_allclose(vertices, expected + offset[0, :5023], atol=1e-5)
    got = loaded.gaussians(np.float32(vertices))
    for n, i in enumerate(range(2, 30)):
        a, b, c = vertices[np.asarray(avatar.model.faces)[columns["binding_0"][i]]]
        a0 = (b - a) / np.linalg.norm(b - a)
        a1 = np.cross(a0, c - a) / np.linalg.norm(np.cross(a0, c - a))
        a2 = -np.cross(a1, a0)
        scale = (np.linalg.norm(b - a) + abs(a2 @ (c - a))) / 2
        turn = np.stack([a0, a1, a2], -1)
        mean = turn @ np.array([columns[k][i] for k in "xyz"]) * scale + (a + b + c) / 3
        np.testing.assert_allclose(got.means[n], mean * avatars.UNITS, rtol=1e-3, atol=1e-5)
        q = np.array([columns[f"rot_{k}"][i] for k in range(4)], float)
        w, x, y, z = q / np.linalg.norm(q)
        own = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        root = turn @ own * np.exp([columns[f"scale_{k}"][i] for k in range(3)]) * scale * avatars.UNITS
        np.testing.assert_allclose(
            got.covariances[n], root @ root.T, rtol=2e-3, atol=1e-6 * np.abs(root @ root.T).max()
        )
        np.testing.assert_allclose(got.opacities[n], 1 / (1 + np.exp(-columns["opacity"][i])), rtol=1e-5)
        d = mean * avatars.UNITS - [0, 0, 10]
        x, y, z = d / np.linalg.norm(d)
        basis = np.array([0.28209479177387814, *(0.4886025119029199 * np.array([-y, z, -x]))])
        coefficients = np.array(
            [[columns[f"f_dc_{k}"][i], *(columns[f"f_rest_{3 * k + m}"][i] for m in range(3))] for k in range(3)]
        )
        np.testing.assert_allclose(got.features[n], np.maximum(coefficients @ basis + 0.5, 0), atol=1e-4)


def test_harmonics_are_orthonormal():
    """Every one of the sixteen, by quadrature over the sphere."""
    z, weight = np.polynomial.legendre.leggauss(16)
    angle = np.arange(32) * 2 * np.pi / 32
    zz, aa = np.meshgrid(z, angle, indexing="ij")
    ring = np.sqrt(1 - zz**2)
    directions = np.stack([ring * np.cos(aa), ring * np.sin(aa), zz], -1).reshape(-1, 3).astype(np.float32)
    area = np.repeat(weight, 32) * 2 * np.pi / 32
    # Half as large and half added: never below zero, so nothing is cut.
    values = []
    for k in range(16):
        coefficients = np.zeros((len(directions), 16, 3), np.float32)
        coefficients[:, k] = 0.25
        values.append((np.asarray(spherical_harmonics.colours(coefficients, directions))[:, 0] - 0.5) / 0.25)
    values = np.array(values)
    np.testing.assert_allclose(values * area @ values.T, np.eye(16), atol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PLY"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "format ascii"),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nend_header\n1234", "cut off"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\nproperty float x\nend_header\n",
            "announces",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty list uchar int y\nend_header\n\0",
            "understood",
        ),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nend_header\n1234", "binding_0"),
    ],
)
def test_bad_ply_files_are_refused(avatar, tmp_path, content, message):
    file = tmp_path / "bad.ply"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        avatars.load(file, avatar.model)


def test_damaged_binding_is_refused(avatar, tmp_path):
    avatars.save(avatar, tmp_path / "me.ply")
    file = tmp_path / "me.binding.npz"
    arrays = dict(np.load(file))
    for name, value in (("offsets", arrays["offsets"][:5]), ("version", np.array(99)), ("appearance", np.zeros(3))):
        np.savez(file, **(arrays | {name: value}))
        with pytest.raises(InputError, match=name):
            avatars.load(tmp_path / "me.ply", avatar.model)


def test_frames_of_a_squeezed_triangle_are_finite():
    vertices = np.zeros((3, 3), np.float32)
    for kind in ("affine", "similarity"):
        for part in binding.frames(vertices, np.int32([[0, 1, 2]]), kind):
            assert np.isfinite(part).all()
