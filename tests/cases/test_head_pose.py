"""C09 and C15: what turns and moves the head in the file turns and moves it in the picture; cameras are the file's."""

from __future__ import annotations

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import gagjax as gj
from gagjax import avatars, flame
from gagjax.app.cli import main
from gagjax.camera import FOCAL, Intrinsics, from_track, like_gagavatar, project
from gagjax.conventions import head_pose
from gagjax.filters.adaptive import AdaptiveSmoother
from gagjax.io import video
from gagjax.track_smoother import TrackSmoother, principal
from tests.io import make

FLIP = np.diag([-1.0, 1.0, -1.0])


def run(*words) -> int:
    return main([str(word) for word in words])


def vhap(folder, frames=2, cameras=True, **changes):
    """A VHAP export of a still head, with a camera of fl_x 800 of 512 pixels a metre away."""
    folder.mkdir(exist_ok=True)
    zero = np.zeros((frames, 3), np.float32)
    content = {
        "expr": np.zeros((frames, 100), np.float32), "jaw_pose": zero, "eyes_pose": np.zeros((frames, 6), np.float32),
        "neck_pose": zero, "rotation": zero, "translation": zero, "shape": np.zeros(300, np.float32),
    }  # fmt: skip
    np.savez(folder / "flame_param.npz", **(content | changes))
    if cameras:
        write_cameras(folder, frames)
    return folder


def write_cameras(folder, frames, matrix=None, **lens):
    matrix = np.eye(4) if matrix is None else np.array(matrix, float)
    lens = {"fl_x": 800.0, "fl_y": 800.0, "cx": 256.0, "cy": 256.0, "w": 512, "h": 512} | lens
    rows = [{"timestep_index": i, "transform_matrix": matrix.tolist(), **lens} for i in range(frames)]
    (folder / "transforms.json").write_text(json.dumps({"frames": rows}))


def seen(track, point=(0.0, 0.0, 0.0)):
    """Where a point of the head at rest is seen, pixels, (T, 2)."""
    camera = head_pose.folded(track).camera
    return np.asarray(project(jnp.broadcast_to(5.0 * jnp.asarray([point]), (len(track), 1, 3)), camera))[:, 0]


def a_metre_away():
    matrix = np.eye(4)
    matrix[2, 3] = 1.0
    return matrix


def test_fifty_millimetres_are_forty_pixels(tmp_path):
    shift = np.array([[0, 0, 0], [0.05, 0, 0]], np.float32)
    folder = vhap(tmp_path / "a", translation=shift)
    write_cameras(folder, 2, a_metre_away())
    track = gj.load_track(folder)
    assert track.camera_known and track.camera.width == 512
    places = seen(track)
    np.testing.assert_allclose(places[0], [256, 256], atol=1e-3)
    np.testing.assert_allclose(places[1] - places[0], [40, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("rotvec", "translation"),
    [([0.0, 0.5, 0.0], [0.0, 0.0, 0.0]), ([0.3, -0.2, 0.6], [0.02, -0.03, 0.1]), ([0.0, 0.0, 3.0], [0.0, 0.1, -0.2])],
)
def test_projection_is_opengls_own(tmp_path, rotvec, translation):
    """Against a projection written from the format's description: camera to world, OpenGL axes, y down in the picture."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec([0.1, 0.4, -0.2]).as_matrix()
    matrix[:3, 3] = matrix[:3, :3] @ [0.05, 0.02, 1.2]
    folder = vhap(
        tmp_path / "a", rotation=np.float32([rotvec, rotvec]), translation=np.float32([translation, translation])
    )
    write_cameras(folder, 2, matrix, cx=250.0, cy=270.0, fl_y=820.0)
    track = gj.load_track(folder)
    for point in ([0.0, 0.0, 0.0], [0.03, 0.02, 0.06], [-0.07, 0.0, -0.02]):
        root = np.array(head_pose.ROOT)
        world = Rotation.from_rotvec(rotvec).apply(np.array(point) - root) + root + translation
        x, y, z = matrix[:3, :3].T @ (world - matrix[:3, 3])
        expected = [250.0 + 800.0 * x / -z, 270.0 - 820.0 * y / -z]
        np.testing.assert_allclose(seen(track, point)[0], expected, atol=2e-2)


@pytest.fixture(scope="module")
def avatar():
    return avatars.builtin()


def test_case_c15_is_seen_to_move(shared, avatar):
    track = gj.load_track(shared / "cases" / "C15_translation" / "near.npz")
    far, near = avatars.render(avatar, track, size=64)
    covered = [(np.abs(picture - picture[0, 0]).max(-1) > 0.05) for picture in (far, near)]
    assert covered[1].sum() > 1.1 * covered[0].sum()  # 300 mm nearer
    places = [np.nonzero(each)[1].mean() for each in covered]
    assert places[1] - places[0] > 2  # and 50 mm to the subject's left


def test_case_c09_turns_the_head(shared, avatar, tmp_path):
    folder = shared / "cases" / "C09_global_rotation"
    straight, turned = (gj.load_track(folder / f"{name}.pkl") for name in ("straight", "turned"))
    shown = head_pose.folded(turned, avatar.model)
    before = Rotation.from_matrix(head_pose.folded(straight, avatar.model).transform[0][:, :3] @ FLIP)
    after = Rotation.from_matrix(np.asarray(shown.transform)[0][:, :3] @ FLIP)
    assert abs(np.degrees((before.inv() * after).magnitude()) - 30) < 0.1
    for name in ("straight", "turned"):
        assert run("reenact", "-d", folder / f"{name}.pkl", "-o", tmp_path / f"{name}.mp4", "--size", "64") == 0
    pictures = []
    for name in ("straight", "turned"):
        frames, _ = video.read(tmp_path / f"{name}.mp4")
        with frames:
            pictures.append(next(iter(frames)).astype(float))
    assert np.abs(pictures[0] - pictures[1]).mean() > 4


@pytest.mark.parametrize("channel", ["rotation", "global_rotation", "translation", "neck"])
def test_each_of_them_is_the_same_picture_as_the_vertices_moved(avatar, channel):
    """The picture with the pose in the camera shows the vertices where FLAME itself would put them."""
    model = avatar.model
    vector = np.float32([[0.0, 0.0, 0.0], [0.1, 0.35, -0.1]])
    extra, rotations, neck = {}, (), None
    if channel == "rotation":
        extra, rotations = {"rotation": Rotation.from_rotvec(vector).as_matrix()}, ("rotation",)
    elif channel == "neck":
        neck = vector
    else:
        extra = {channel: 0.2 * vector if channel == "translation" else vector}
    base = make.track(2)
    track = dataclasses.replace(
        base, expression=0 * base.expression, jaw=0 * base.jaw, eyes=0 * base.eyes, neck=neck, extra=extra,
        rotations=rotations, transform=np.tile(np.concatenate([FLIP, [[0], [0], [9.3]]], 1), (2, 1, 1)),
    )  # fmt: skip
    folded = head_pose.folded(track, model)
    zero = jnp.zeros((2, 6))
    pose = jnp.concatenate([jnp.asarray(vector) if "rotation" in channel else jnp.zeros((2, 3)), jnp.zeros((2, 3))], 1)
    moved = flame.vertices(model, jnp.zeros(0), jnp.zeros((2, 100)), pose, zero, track.neck)
    moved = moved + (0.2 * vector[:, None] if channel == "translation" else 0.0)
    rest = flame.vertices(model, jnp.zeros(0), jnp.zeros((2, 100)), zero, zero, folded.neck)
    mine = project(5 * rest, folded.camera)
    np.testing.assert_allclose(mine, project(5 * moved, track.camera), atol=0.1)
    assert np.abs(np.asarray(mine)[1] - np.asarray(mine)[0]).max() > 20


def test_a_head_without_a_bending_neck_turns_whole():
    """GAGAvatar's: the neck's rotation turns the face as far as a neck that bends would."""
    model = flame.builtin()
    base = make.track(2)
    turn = np.float32([[0, 0, 0], [0.1, 0.4, 0]])
    track = dataclasses.replace(base, neck=turn, expression=0 * base.expression, jaw=0 * base.jaw, eyes=0 * base.eyes)
    rigid = head_pose.with_neck(track, model)
    assert rigid.neck is None
    zero = jnp.zeros((2, 6))
    args = model, jnp.zeros(0), jnp.zeros((2, 100)), zero, zero
    bent = flame.landmarks(model, flame.vertices(*args, track.neck))[:, 17:48]  # brows, nose and eyes
    whole = flame.landmarks(model, flame.vertices(*args))[:, 17:48]
    expected, found = project(5 * bent, track.camera), project(5 * whole, rigid.camera)
    assert np.abs(np.asarray(expected) - np.asarray(found)).max() < 0.02 * 512 * FOCAL / 9


def test_fit_uses_the_cameras_or_refuses(tmp_path, capsys):
    folder = vhap(tmp_path / "a", frames=4, cameras=False)
    (folder / "frames").mkdir()
    from gagjax.io import images

    for i in range(4):
        images.write(folder / "frames" / f"{i}.png", np.full((64, 64, 3), 200, np.uint8))
    assert run("fit", folder, "-o", tmp_path / "out", "--size", "32", "--steps", "1") != 0
    assert "transforms.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fl_x": -3.0}, "fl_x"),
        ({"w": 0}, "w, h"),
        ({"fl_x": float("nan")}, "fl_x"),
        ({"transform_matrix": np.ones((4, 4)).tolist()}, "transform_matrix"),
        ({"transform_matrix": np.eye(3).tolist()}, "transform_matrix"),
        ({"timestep_index": "one"}, "timestep_index"),
        ({"k1": 0.2}, "k1"),
    ],
)
def test_wrong_cameras_name_file_and_field(tmp_path, change, words):
    folder = vhap(tmp_path / "a")
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][1] |= change
    (folder / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(gj.InputError) as error:
        gj.load_track(folder)
    assert "transforms.json" in str(error.value) and words in str(error.value)


def test_frames_are_matched_by_number_and_one_still_camera_serves_all(tmp_path):
    shift = np.zeros((3, 3), np.float32)
    shift[:, 0] = [0, 0.01, 0.02]
    folder = vhap(tmp_path / "a", frames=3, translation=shift)
    moving = [np.eye(4) + 0.1 * i * np.eye(4, k=3) for i in (2, 0, 1)]
    lens = {"fl_x": 800.0, "w": 512, "h": 512}
    rows = [
        {"timestep_index": i, "transform_matrix": matrix.tolist(), **lens}
        for i, matrix in zip((2, 0, 1), moving, strict=True)
    ]
    (folder / "transforms.json").write_text(json.dumps({"frames": rows}))
    track = gj.load_track(folder)
    np.testing.assert_allclose(track.transform[:, 0, 3], [0.0, 0.5, 1.0], atol=1e-6)
    assert track.intrinsics.K.ndim == 2 and track.intrinsics.K[1, 1] == 800
    (folder / "transforms.json").write_text(json.dumps({"frames": rows[1:]}))  # frame 2's is missing
    with pytest.raises(gj.InputError, match="frame 2"):
        gj.load_track(folder)
    (folder / "transforms.json").write_text(json.dumps({"frames": rows[:1]}))  # one camera stands still
    assert len(gj.load_track(folder)) == 3


@pytest.mark.parametrize("constant", [True, False])
def test_the_camera_survives_the_native_format(tmp_path, constant):
    base = make.track(4)
    k = np.float32([[700, 0, 300], [0, 710, 200], [0, 0, 1]])
    lens = Intrinsics(k if constant else k + np.arange(4, dtype=np.float32)[:, None, None] * (k > 1), 640, 480)
    track = dataclasses.replace(base, intrinsics=lens)
    gj.save_track(track, tmp_path / "a.npz")
    again = gj.load_track(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.intrinsics.K, lens.K)
    assert (again.camera.width, again.camera.height) == (640, 480)
    np.testing.assert_array_equal(again[1:3].camera.K, np.broadcast_to(lens.K, (4, 3, 3))[1:3])


def test_a_picture_that_is_not_square_is_shown_whole():
    lens = Intrinsics(np.float32([[700, 0, 300], [0, 700, 200], [0, 0, 1]]), 640, 480)
    camera = from_track(np.float32([np.concatenate([FLIP, [[0.2], [0.1], [6]]], 1)]), intrinsics=lens)
    square = from_track(np.float32([np.concatenate([FLIP, [[0.2], [0.1], [6]]], 1)]), intrinsics=lens.squared(128))
    points = jnp.asarray([[[0.1, 0.2, 0.3]]])
    np.testing.assert_allclose(
        project(points, square), (np.asarray(project(points, camera)) + [0, 80]) * 128 / 640, atol=1e-3
    )


def test_gagavatars_lens_shows_the_head_in_the_same_place_and_size():
    lens = Intrinsics(np.float32([[900, 0, 300], [0, 900, 280], [0, 0, 1]]), 512, 512)
    given_camera = np.float32([np.concatenate([FLIP, [[0.3], [-0.1], [4.5]]], 1)])
    moved = like_gagavatar(given_camera, lens)
    points = jnp.asarray([[[0.0, 0.0, 0.0], [0.05, 0.0, 0.0], [0.0, 0.05, 0.0]]])
    before = np.asarray(project(points, from_track(given_camera, intrinsics=lens)))
    after = np.asarray(project(points, from_track(moved)))
    np.testing.assert_allclose(after, before, atol=0.05)


def test_smoothing_does_not_depend_on_how_the_world_lies():
    """A turned and shifted world gives the turned and shifted result: rotations on SO(3), places along their own axes."""
    rng = np.random.default_rng(3)
    frames = 60
    time = np.linspace(0, 4, frames)[:, None]
    turn = Rotation.from_rotvec(0.4 * np.sin(time * [1.0, 0.7, 1.3]) + 0.01 * rng.normal(size=(frames, 3)))
    place = 0.1 * np.sin(time * [1.5, 0.4, 0.9]) + [0.0, 0.1, 0.2] + 0.004 * rng.normal(size=(frames, 3))
    world = Rotation.from_rotvec([0.4, -1.0, 0.3])
    base = make.track(frames)
    still = np.tile(np.concatenate([FLIP, [[0], [0], [9.3]]], 1), (frames, 1, 1))

    def smoothed(rotation, translation):
        track = dataclasses.replace(
            base, transform=still, rotations=("rotation",), source="vhap",
            extra={"rotation": rotation.as_matrix(), "translation": translation},
        )  # fmt: skip
        return TrackSmoother.default()(track).extra

    here = smoothed(turn, place)
    there = smoothed(world * turn, world.apply(place) + [1.0, 2.0, -0.5])
    moved = np.abs(np.asarray(here["translation"]) - place).max()
    assert moved > 2e-3
    np.testing.assert_allclose(
        there["translation"], world.apply(np.asarray(here["translation"])) + [1.0, 2.0, -0.5], atol=0.05 * moved
    )
    off = (world * Rotation.from_matrix(np.asarray(here["rotation"]))).inv() * Rotation.from_matrix(there["rotation"])
    assert off.magnitude().max() < 2e-3


def test_global_rotation_is_smoothed_as_a_rotation():
    """Near half a turn an axis-angle vector jumps to its opposite; the head does not."""
    frames = 40
    angle = np.pi + 0.3 * np.sin(np.linspace(0, 6, frames))
    rng = np.random.default_rng(0)
    vectors = Rotation.from_rotvec(angle[:, None] * [0.0, 1.0, 0.0] + 0.01 * rng.normal(size=(frames, 3))).as_rotvec()
    assert np.abs(np.diff(vectors, axis=0)).max() > 5
    base = make.track(frames)
    track = dataclasses.replace(
        base, extra={"global_rotation": vectors}, transform=np.tile(np.eye(3, 4), (frames, 1, 1))
    )
    after = Rotation.from_rotvec(np.asarray(TrackSmoother.default()(track).extra["global_rotation"]))
    truth = Rotation.from_rotvec(angle[:, None] * [0.0, 1.0, 0.0])
    assert (truth.inv() * after).magnitude().mean() < (truth.inv() * Rotation.from_rotvec(vectors)).magnitude().mean()
    assert (truth.inv() * after).magnitude().max() < 0.05


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_principal_axes_keep_a_constant(seed):
    value = np.tile(np.random.default_rng(seed).normal(size=3).astype(np.float32), (12, 1))
    found = principal(lambda x: AdaptiveSmoother()(x, dt=0.04), value, None)
    np.testing.assert_allclose(found, value, atol=1e-6)
