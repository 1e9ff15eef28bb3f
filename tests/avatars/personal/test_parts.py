"""Parts of a fit: each does what its formula says; together they resume bit for bit."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, flame, so3
from gagjax.avatars.parameters import Parameters
from gagjax.avatars.personal import canonical, files, motion
from gagjax.avatars.personal import clip as clips
from gagjax.avatars.personal.cameras.calibration import Calibration
from gagjax.avatars.personal.cameras.colour import ColourCorrection
from gagjax.avatars.personal.cameras.rig import Rig, between, moved_by
from gagjax.avatars.personal.features.layout import place, rasterised
from gagjax.avatars.personal.features.pose import PoseFeatures
from gagjax.avatars.personal.geometry.shape import ShapeFit
from gagjax.avatars.personal.geometry.warm_up import ScaleWarmUp
from gagjax.avatars.personal.light import backdrop, harmonics
from gagjax.avatars.personal.parts.base import Scene, View
from gagjax.avatars.personal.perceptual import filters, networks
from gagjax.avatars.personal.training import AvatarFit
from gagjax.camera import from_track
from gagjax.io import images
from gagjax.io.formats import transforms
from gagjax.io.tracks import save_track

CAMERAS = 3


def rigid(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([np.asarray(so3.exp(jnp.asarray(0.3 * rng.normal(size=3)))), rng.normal(size=(3, 1))], 1)


@pytest.fixture(scope="module")
def many(clip):
    """The clip's pictures as if three cameras at one place had taken them; the others with other colours."""
    count = len(clip.track)
    relative = np.tile(np.eye(3, 4, dtype=np.float32), (CAMERAS, 1, 1))
    lens = np.tile(np.asarray(from_track(np.eye(3, 4, dtype=np.float32), clip.size).K), (CAMERAS, 1, 1))
    camera, time = (x.reshape(-1).astype(np.int32) for x in np.mgrid[:CAMERAS, :count])
    frames = clip.frames[time].copy()
    frames[camera == 1] = (0.8 * frames[camera == 1]).astype(np.uint8)
    rig = Rig(time, camera, relative, lens, names=("a", "b", "c"))
    background = np.stack([clip.background, 0.8 * clip.background, clip.background])
    masks = (np.abs(frames / 255 - background[camera][:, None, None]).max(-1) > 0.05).astype(np.uint8) * 255
    return dataclasses.replace(clip, frames=frames, rig=rig, background=background.astype(np.float32), masks=masks)


@pytest.fixture(scope="module")
def every(many, person):
    return (
        ColourCorrection(),
        Calibration(),
        ShapeFit.of(flame.builtin(0), 4),
        PoseFeatures.of(person, 16),
        harmonics.HarmonicLight(),
        ScaleWarmUp(),
        backdrop.Backdrop.of(many),
        filters.FilterLoss(scales=1),
    )


@pytest.fixture(scope="module")
def fitted(start, many, settings, every):
    fit = AvatarFit(start, many, dataclasses.replace(settings, steps=24), [3], every, held_cameras=[2])
    fit.history = []
    fit.run(report=lambda _, figures: fit.history.append(figures["loss"]))
    return fit


def test_a_fit_with_every_part_lowers_the_loss(fitted):
    assert np.isfinite(fitted.history).all()
    assert np.mean(fitted.history[-4:]) < 0.8 * np.mean(fitted.history[:4])
    rig = fitted.clip.rig
    assert set(np.asarray(rig.camera)[fitted.usable]) == {0, 1} and 3 not in np.asarray(rig.time)[fitted.usable]
    for name, weights in fitted.state.weights["parts"].items():
        first = next(p for p in fitted.parts if p.name == name).start(Scene(fitted._base, 6, 3, fitted.clip.size, 0))
        moved = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), first, weights)
        assert max(jax.tree.leaves(moved)) > 0, name
    matrix, shift = (np.asarray(x) for x in fitted.parts[0].fixed(fitted.state.weights["parts"]["colour"]))
    assert not matrix[0].any() and not shift[0].any()


def test_a_fit_with_every_part_goes_on_bit_for_bit(fitted, start, many, every, tmp_path):
    def fresh() -> AvatarFit:
        return AvatarFit(start, many, fitted.settings, [3], every, held_cameras=[2])

    first, second = fresh(), fresh()
    first.run(13)
    first.save(tmp_path / "checkpoint.safetensors")
    second.resume(tmp_path / "checkpoint.safetensors")
    second.run()
    jax.tree.map(np.testing.assert_array_equal, second.state, fitted.state)
    with pytest.raises(InputError, match="other settings"):
        AvatarFit(start, many, fitted.settings, [3], every[:-1], held_cameras=[2]).resume(
            tmp_path / "checkpoint.safetensors"
        )


def test_lasting_parts_come_back_with_the_avatar(fitted, tmp_path):
    assert [part.name for part in fitted.avatar.parts] == ["shape", "uv", "light"]
    files.save(tmp_path / "avatar", fitted.avatar, head=flame.builtin(0), seed=0)
    found = files.load(tmp_path / "avatar")
    parameters = fitted.data.motion.frame(0, jnp.zeros(motion.COLUMNS), 40)[0]
    drawn = jax.jit(lambda avatar, parameters: avatar.gaussians(parameters))
    jax.tree.map(np.testing.assert_array_equal, drawn(fitted.avatar, parameters), drawn(found.avatar, parameters))
    assert np.abs(found.model.v_template - flame.builtin(0).v_template).max() > 0
    file = tmp_path / "avatar" / files.JSON
    about = json.loads(file.read_text())
    for parts in ({"other": {}}, {"uv": {"size": 6, "encode": 1}}, {"uv": {"size": True, "encode": 1}}, ["uv"],
                  {"uv": {"size": 16}}, {}):  # fmt: skip
        file.write_text(json.dumps(about | {"parts": parts}))
        with pytest.raises(InputError):
            files.load(tmp_path / "avatar")


def test_lpips_is_that_of_the_bridge(tmp_path):
    torch = pytest.importorskip("torch", reason="the other computation is in torch")
    from bridge.perceptual import Lpips

    rng = np.random.default_rng(0)
    state = {}
    for k, layer in enumerate(networks.ALEX):
        shape = (layer.outward, layer.inward, layer.kernel, layer.kernel)
        state[f"net.slice{layer.part}.{layer.place}.weight"] = torch.tensor(
            0.05 * rng.normal(size=shape), dtype=torch.float32
        )
        state[f"net.slice{layer.part}.{layer.place}.bias"] = torch.tensor(
            rng.normal(size=layer.outward), dtype=torch.float32
        )
        state[f"lin{k}.model.1.weight"] = torch.tensor(rng.random((1, layer.outward, 1, 1)), dtype=torch.float32)
    torch.save(state, tmp_path / "lpips.pt")
    one, other = rng.random((2, 40, 40, 3)).astype(np.float32)
    stack = networks.load(tmp_path / "lpips.pt")
    found = float(stack.distance(one, other))
    wanted = float(Lpips.load(tmp_path / "lpips.pt")(torch.tensor(one[None]), torch.tensor(other[None]))[0])
    assert stack.kind == "alex" and wanted > 0.01
    assert found == pytest.approx(wanted, rel=1e-4)
    del state["net.slice3.6.bias"]
    torch.save(state, tmp_path / "lpips.pt")
    with pytest.raises(InputError, match="missing"):
        networks.load(tmp_path / "lpips.pt")


def test_the_layers_of_vgg_are_those_of_torchvision():
    """Convolutions at features 0 2 5 7 10 12 14 17 19 21 24 26 28; features after the last of each block."""
    assert [layer.place for layer in networks.VGG] == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    assert [layer.place for layer in networks.VGG if layer.taken] == [2, 7, 14, 21, 28]
    assert [layer.place for layer in networks.VGG if layer.pooled] == [5, 10, 17, 24]
    rng = np.random.default_rng(0)
    kernels = tuple(
        (0.1 * rng.normal(size=(3, 3, each.inward, each.outward))).astype(np.float32) for each in networks.VGG
    )
    biases = tuple(np.zeros(each.outward, np.float32) for each in networks.VGG)
    channels = tuple(np.ones(each.outward, np.float32) for each in networks.VGG if each.taken)
    stack = networks.Stack(kernels, biases, channels)
    picture = jnp.asarray(rng.random((16, 16, 3)), jnp.float32)
    sizes = [x.shape for x in jax.jit(lambda s, x: s.features(x))(stack, picture)]
    assert sizes == [(16, 16, 64), (8, 8, 128), (4, 4, 256), (2, 2, 512), (1, 1, 512)]


def test_a_camera_of_a_rig_sees_what_its_own_pose_says():
    first, other, head = rigid(0), rigid(1), rigid(2)
    seen = moved_by(moved_by(head, first), between(first, other))
    np.testing.assert_allclose(seen, moved_by(head, other), atol=1e-5)


def test_the_anchor_of_colours_stays_and_the_background_is_not_corrected():
    part = ColourCorrection(anchor="mean")
    scene = Scene(None, 1, 2, 4)
    weights = jax.tree.map(lambda x: x + np.arange(2.0).reshape(2, *[1] * (x.ndim - 1)), part.start(scene))
    matrix, _ = part.fixed(weights)
    np.testing.assert_allclose(matrix.sum(0), 0, atol=1e-6)
    view = View(jnp.int32(0), jnp.int32(1), jnp.eye(3, 4), jnp.float32(0), jnp.full(3, 0.3))
    empty = jnp.full((4, 4, 3), 0.3)
    np.testing.assert_allclose(part.picture(weights, empty, jnp.zeros((4, 4)), view), empty, atol=1e-6)
    # Fully covered: (1 + A) colour + b with A = 0.5 everywhere and b = 0.5.
    covered = part.picture(weights, empty, jnp.ones((4, 4)), view)
    np.testing.assert_allclose(covered, 0.3 + 0.5 * 0.9 + 0.5, atol=1e-6)


def test_calibration_leaves_the_first_camera_in_place():
    part, camera = Calibration(), from_track(np.eye(3, 4, dtype=np.float32), 8)
    weights = jax.tree.map(jnp.ones_like, part.start(Scene(None, 1, 2, 8)))
    found = []
    for c in (0, 1):
        view = View(jnp.int32(0), jnp.int32(c), jnp.eye(3, 4), jnp.float32(0), jnp.zeros(3))
        found.append(part.parameters(weights, Parameters.neutral(camera), view).camera)
    np.testing.assert_array_equal(found[0].viewmat, camera.viewmat)
    assert np.abs(found[1].viewmat - camera.viewmat).max() > 1e-3
    np.testing.assert_allclose(found[0].K[0, 0], camera.K[0, 0] * np.exp(0.01), rtol=1e-6)
    np.testing.assert_array_equal(found[0].K[:, 2], camera.K[:, 2])


def test_harmonics_are_orthogonal_and_at_most_one():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(40000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    found = np.asarray(harmonics.basis(normals.astype(np.float32)), np.float64)
    assert np.abs(found).max() <= 1 + 1e-5 and (np.abs(found).max(0) > 0.99).all()
    products = found.T @ found / len(found)
    assert np.abs(products - np.diag(np.diag(products))).max() < 0.01
    assert np.abs(found.mean(0)).max() < 0.01  # none of them is ambient light


def test_a_lamp_from_the_left_lights_the_left(person, start):
    part = harmonics.HarmonicLight()
    weights = {"coefficients": jnp.zeros((8, 3)).at[0].set(0.5)}  # x left in the first camera
    parameters = Parameters.neutral(from_track(np.eye(3, 4, dtype=np.float32) * 1.0, 8))
    plain = start.gaussians(parameters)
    reference = jnp.asarray(np.concatenate([np.diag([-1.0, 1.0, -1.0]), np.zeros((3, 1))], 1), jnp.float32)
    view = View(jnp.int32(0), jnp.int32(0), reference, jnp.float32(0), jnp.zeros(3))
    gain = np.asarray(part.gaussians(weights, plain, start, parameters, view).features / plain.features)
    side = np.asarray(plain.means)[:, 0]
    # A face that looks at the camera has its own left (+x) at the picture's right.
    assert gain[side < -0.3].mean() > 1.1 > 0.9 > gain[side > 0.3].mean()


def test_the_map_holds_the_surface_and_is_read_back_where_it_lies(person):
    layout = rasterised(person, 32)
    filled = np.asarray(layout.corners).sum(-1) > 0.5
    assert filled.mean() > 0.6
    rest = layout.positions(person, person.v_template)
    assert np.abs(rest).max() == 0
    moved = layout.positions(person, person.v_template + jnp.asarray([0.01, 0.0, 0.0]))
    np.testing.assert_allclose(moved[filled], np.broadcast_to([1.0, 0, 0], moved[filled].shape), atol=1e-4)
    rows, columns = np.mgrid[:32, :32]
    ramp = jnp.asarray(np.stack([(columns + 0.5) / 32, (rows + 0.5) / 32], -1), jnp.float32)
    at = np.asarray(place(person.v_template, layout.middle))
    inner = ((at > 0.05) & (at < 0.95)).all(1)
    np.testing.assert_allclose(layout.sampled(ramp, person.v_template)[inner], at[inner], atol=1e-5)
    # The texel's own surface point lies at its place.
    points = np.einsum("sck,sc->sk", np.asarray(person.v_template)[np.asarray(person.faces)[layout.triangles[filled]]],
                       layout.corners[filled])  # fmt: skip
    off = np.asarray(place(points, layout.middle)) - np.asarray(ramp)[filled]
    assert np.median(np.abs(off)) < 2e-3


def test_filters_see_edges_and_texture_but_not_equal_pictures():
    rng = np.random.default_rng(0)
    distance = jax.jit(filters.distance, static_argnames=("scales", "share"))
    sharp = jnp.asarray((rng.random((16, 16, 3)) > 0.5).astype(np.float32))
    flat = jnp.full((16, 16, 3), 0.5)
    assert float(distance(sharp, sharp)) < 1e-6
    assert float(distance(flat, sharp)) > 0.1
    # A shifted texture is nearer by Gram matrices than none at all, though no pixel agrees.
    shifted = jnp.roll(sharp, 7, 1)
    one, other = (float(distance(x, sharp, scales=1, share=1e3)) for x in (shifted, flat))
    assert one < 0.1 * other
    pull = jax.jit(jax.grad(filters.distance))(flat, sharp)
    assert np.isfinite(pull).all()


def test_matting_leaves_the_person_and_replaces_the_room(many):
    noisy = dataclasses.replace(many, frames=np.where(many.masks[..., None] > 0, many.frames, 77).astype(np.uint8))
    found = backdrop.matted(noisy)
    outside = many.masks == 0
    behind = np.asarray(many.background)[np.asarray(many.rig.camera)]
    wanted = np.broadcast_to(behind[:, None, None], many.frames.shape)[outside]
    assert np.abs(found.frames[outside] / 255 - wanted).max() < 0.01
    np.testing.assert_array_equal(found.frames[~outside], noisy.frames[~outside])
    with pytest.raises(InputError, match="no mattes"):
        backdrop.matted(dataclasses.replace(many, masks=None))


def world(count: int) -> np.ndarray:
    """World-to-camera matrices in OpenCV axes, metres."""
    found = []
    for c in range(count):
        turn = np.asarray(so3.exp(jnp.asarray([0.0, 0.2 * c, 0.0])))
        found.append(np.concatenate([turn, [[0.1 * c], [0.0], [1.0]]], 1))
    return np.stack(found)


def test_a_plain_folder_of_cameras_is_read(clip, tmp_path):
    matrices = world(2)
    save_track(clip.track, tmp_path / "track.npz")
    listed = []
    for c, name in enumerate(("front", "side")):
        k = [[100.0, 0, 24], [0, 100.0, 20], [0, 0, 1]]
        listed.append({"name": name, "K": k, "width": 48, "height": 40, "world_to_camera": matrices[c].tolist()})
        for i, frame in enumerate(clip.frames):
            images.write(tmp_path / "cameras" / name / f"{i:03}.png", np.pad(frame, ((0, 0), (4, 4), (0, 0))))
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": listed}))
    found = clips.read(tmp_path, 48)
    assert found.cameras == 2 and len(found) == len(clip) and len(found.frames) == 2 * len(clip)
    np.testing.assert_array_equal(found.frames[0, 4:44, 4:44], clip.frames[0])
    np.testing.assert_allclose(found.rig.lens[0], [[100, 0, 24], [0, 100, 24], [0, 0, 1]])
    # A point seen by the first camera is where the second's own matrix says.
    point = np.asarray([0.05, -0.02, 0.1])
    flip = np.diag([-1.0, -1.0, 1.0])
    at = [5 * flip @ (m[:, :3] @ point + m[:, 3]) for m in matrices]
    np.testing.assert_allclose(at[0] @ found.rig.relative[1][:, :3] + found.rig.relative[1][:, 3], at[1], atol=1e-5)
    for change, match in (
        ({"name": "../front"}, "no plain name"),
        ({"K": [[1, 2]]}, "wrong shape"),
        ({"world_to_camera": np.zeros((3, 4)).tolist()}, "no rotation"),
        ({"width": 47}, "is 48 x 40 pixels"),
        ({"name": "front"}, "listed twice"),
    ):
        (tmp_path / "cameras.json").write_text(json.dumps({"cameras": [listed[0], listed[1] | change]}))
        with pytest.raises(InputError, match=match):
            clips.read(tmp_path, 48)


def test_an_export_of_several_cameras_is_read(clip, tmp_path):
    save_track(clip.track, tmp_path / "track.npz")
    opengl = np.diag([1.0, -1.0, -1.0, 1.0])
    frames = []
    for c, matrix in enumerate(world(2)):
        to_world = np.linalg.inv(np.concatenate([matrix, [[0, 0, 0, 1]]])) @ opengl
        for i, frame in enumerate(clip.frames):
            if (c, i) == (1, 2):
                continue  # a picture that one camera lost
            name = f"{i:05}_{c:02}.png"
            images.write(tmp_path / "images" / name, frame)
            images.write(tmp_path / "fg_masks" / name, np.full_like(frame, 255))
            frames.append(
                {"timestep_index": i, "camera_index": c, "camera_id": f"2220{c}", "w": 40, "h": 40, "fl_x": 90.0,
                 "cx": 20.0, "cy": 20.0, "file_path": f"images/{name}", "fg_mask_path": f"fg_masks/{name}",
                 "transform_matrix": to_world.tolist()}
            )  # fmt: skip
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": frames}))
    found = clips.read(tmp_path, 40)
    assert found.rig.names == ("22200", "22201") and len(found.frames) == 2 * len(clip) - 1
    assert found.rig.relative.shape == (2, 3, 4) and found.masks.min() == 255
    first, second = world(2)
    point = np.asarray([0.05, -0.02, 0.1])
    at = [5 * np.diag([-1.0, -1.0, 1.0]) @ (m[:, :3] @ point + m[:, 3]) for m in (first, second)]
    np.testing.assert_allclose(at[0] @ found.rig.relative[1][:, :3] + found.rig.relative[1][:, 3], at[1], atol=1e-4)
    assert list(transforms.read_rig(tmp_path / "transforms.json")) == ["22200", "22201"]
    for name, match in (
        ("../../etc/passwd", "outside"),
        ("images/none.png", "cannot be read"),
        (3, "names no picture"),
    ):
        (tmp_path / "transforms.json").write_text(
            json.dumps({"frames": [frames[0] | {"file_path": name}, *frames[1:]]})
        )
        with pytest.raises(InputError, match=match):
            clips.read(tmp_path, 40)


def test_a_shape_is_that_of_its_coefficients_and_rough_offsets_cost():
    head = flame.builtin(0)
    part = ShapeFit.of(head, 3)
    weights = part.start(Scene(None, 1, 1, 8))
    shape = np.asarray([1.0, -0.5, 0.2], np.float32)
    moved = part.moved(weights | {"coefficients": jnp.asarray(shape)})
    wanted = canonical.person(head, shape).v_template - head.v_template
    np.testing.assert_allclose(moved, wanted, atol=1e-6)
    assert float(part.prior(weights, None)) == 0
    even = weights | {"offset": jnp.ones((len(part.basis), 3))}
    rough = weights | {"offset": jnp.ones((len(part.basis), 3)).at[::2].set(-1.0)}
    assert float(part.prior(rough, None)) > 10 * float(part.prior(even, None)) > 0
