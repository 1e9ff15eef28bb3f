"""ARKit's 52 shapes on heads: what each moves, both directions, and carried over to other meshes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import flame
from gagjax.expression import arkit
from gagjax.expression.arkit import names
from gagjax.expression.arkit.fitting import shapes_for
from gagjax.flame.builtin_head import neutral_mesh

REGIONS = {"eye": "lids", "brow": "brows", "mouth": "mouth", "nose": "nose", "cheek": "cheeks"}


@pytest.fixture(scope="module")
def head():
    return flame.builtin(0)


def mesh(head, weights, shapes=None):
    """Vertices in millimetres at weights, (T, 52)."""
    shapes = arkit.builtin_shapes() if shapes is None else shapes
    pose = np.concatenate([np.zeros((len(weights), 3)), weights @ shapes.jaw], 1)
    values = (weights @ shapes.expression, pose, weights @ shapes.eyes)
    return 1000 * np.asarray(
        flame.vertices(head, np.zeros(0, np.float32), *(np.float32(v) for v in values)), np.float64
    )


@pytest.fixture(scope="module")
def moved(head):
    """What each shape does to the built-in head, (52, V, 3), millimetres."""
    return mesh(head, np.eye(52)) - 1000 * np.asarray(head.v_template)


def test_every_shape_moves_its_own_side(moved, head):
    x = np.asarray(head.v_template)[:, 0]
    for name, each in zip(arkit.NAMES, moved, strict=True):
        size = np.linalg.norm(each, axis=1)
        assert size.max() > 2, name
        if name.endswith(("Left", "Right")) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            side = 1 if name.endswith("Left") else -1
            assert size[side * x < -0.012].max() < 0.2 * size.max(), name


def test_left_and_right_are_mirror_images(moved):
    parts = neutral_mesh()
    front = np.flatnonzero((parts.part == 0) & (parts.vertices[:, 2] > 30) & (abs(parts.rest[:, 0]) > 0.5))

    def key(i: int, way: int) -> tuple[float, float, int]:
        x, y = parts.rest[i]
        return round(way * float(x), 3) + 0.0, round(float(y), 3), int(parts.side[i])

    places = {key(i, 1): i for i in front}
    pairs = [(i, places[key(i, -1)]) for i in front if key(i, -1) in places]
    assert len(pairs) > 1000
    here, there = np.array(pairs).T
    np.testing.assert_allclose(parts.vertices[here] * [-1, 1, 1], parts.vertices[there], atol=0.2)
    for name in arkit.NAMES:
        if not name.endswith("Left"):
            continue
        left, right = (moved[arkit.NAMES.index(each)] for each in (name, name.replace("Left", "Right")))
        np.testing.assert_allclose(left[here] * [-1, 1, 1], right[there], atol=0.3, err_msg=name)


@pytest.mark.parametrize(
    ("name", "place", "direction"),
    [
        ("jawOpen", (0, -80, 75), (0, -1, 0)),
        ("jawLeft", (0, -80, 75), (1, 0, 0)),
        ("jawForward", (0, -80, 75), (0, 0, 1)),
        ("mouthSmileLeft", (26, -44, 66), (0, 1, 0)),
        ("mouthFrownRight", (-26, -44, 66), (0, -1, 0)),
        ("mouthStretchLeft", (27, -46, 66), (1, 0, 0)),
        ("mouthPucker", (0, -38, 75), (0, 0, 1)),
        ("mouthLeft", (0, -38, 75), (1, 0, 0)),
        ("mouthRollUpper", (0, -40, 75), (0, 0, -1)),
        ("mouthUpperUpLeft", (9, -38, 75), (0, 1, 0)),
        ("mouthLowerDownRight", (-9, -50, 75), (0, -1, 0)),
        ("browInnerUp", (10, 42, 70), (0, 1, 0)),
        ("browOuterUpLeft", (43, 42, 60), (0, 1, 0)),
        ("browDownRight", (-30, 42, 68), (0, -1, 0)),
        ("cheekPuff", (41, -40, 50), (1, 0, 0)),
        ("cheekSquintLeft", (36, 0, 60), (0, 1, 0)),
        ("noseSneerLeft", (12, -8, 75), (0, 1, 0)),
        ("eyeBlinkLeft", (31, 27, 58), (0, -1, 0)),
        ("eyeWideRight", (-31, 27, 58), (0, 1, 0)),
    ],
)
def test_shapes_move_where_their_names_say(name, place, direction, moved):
    parts = neutral_mesh()
    near = np.argmin(np.linalg.norm(parts.vertices - place, axis=1) + 1e3 * (parts.part != 0))
    step = moved[arkit.NAMES.index(name)][near]
    assert step @ np.asarray(direction) > 0.8 and step @ np.asarray(direction) > 0.5 * np.linalg.norm(step)


@pytest.mark.parametrize(
    ("name", "eye", "direction"),
    [
        ("eyeLookOutLeft", 0, (1, 0)),
        ("eyeLookInLeft", 0, (-1, 0)),
        ("eyeLookOutRight", 1, (-1, 0)),
        ("eyeLookUpRight", 1, (0, 1)),
        ("eyeLookDownLeft", 0, (0, -1)),
    ],
)
def test_eyes_look_where_the_shape_says(name, eye, direction):
    from scipy.spatial.transform import Rotation

    turns = arkit.builtin_shapes().eyes[arkit.NAMES.index(name)].reshape(2, 3)
    gaze = Rotation.from_rotvec(turns[eye]).apply([0, 0, 1])
    assert gaze[:2] @ direction > 0.3 and np.allclose(turns[1 - eye], 0)


def test_lips_close_over_an_open_jaw(head):
    import jax.numpy as jnp

    def gap(**strength):
        weights = np.zeros((1, 52))
        for name, value in strength.items():
            weights[0, arkit.NAMES.index(name)] = value
        marks = flame.landmarks(head, jnp.asarray(mesh(head, weights)[0] / 1000, jnp.float32))
        return float(flame.lip_aperture(marks))

    assert gap(jawOpen=1) > 0.5 and gap(jawOpen=1, mouthClose=1) < 0.02


def test_round_trip_on_the_builtin_head(head):
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 1, (24, 52)) * (rng.uniform(size=(24, 52)) < 0.35)
    shapes = arkit.builtin_shapes()
    found = arkit.weights_of(
        head, shapes, *(np.float32(weights @ each) for each in (shapes.expression, shapes.jaw, shapes.eyes))
    )
    assert found.min() >= 0 and found.max() <= 1
    distance = np.linalg.norm(mesh(head, found) - mesh(head, weights), axis=2)
    assert distance.mean() <= 0.5  # millimetres, all vertices of all frames
    assert distance.max() < 1


def alien(head, seed: int = 0):
    """The built-in head as a user's file might be: another identity and mesh order, and other columns that span the same."""
    rng = np.random.default_rng(seed)
    other = flame.builtin(4)
    order = rng.permutation(len(head.v_template))
    place = np.argsort(order)
    blend = np.linalg.qr(rng.normal(size=(100, 100)))[0]
    dirs = np.asarray(other.shapedirs, np.float64)[order]
    dirs[..., other.shapes :] = dirs[..., other.shapes :] @ blend
    pick = {name: np.asarray(getattr(other, name))[order] for name in ("v_template", "posedirs", "weights")}
    made = dataclasses.replace(other, **pick, shapedirs=np.float32(dirs), J_regressor=np.asarray(other.J_regressor)[:, order],
                               faces=place[np.asarray(other.faces)], masks={}, colors=None)  # fmt: skip
    return made, place


def test_shapes_of_another_head_come_near_the_builtin_ones(head):
    other, place = alien(head)
    fitted = shapes_for(other)
    assert fitted.residual.shape == (52,) and np.isfinite(fitted.residual).all()
    only_turns = [n for n, size in zip(arkit.NAMES, fitted.size, strict=True) if size == 0]
    assert set(only_turns) == {
        "jawOpen",
        "jawLeft",
        "jawRight",
        *(f"eyeLook{way}{s}" for way in ("In", "Out") for s in ("Left", "Right")),
    }
    tongue = arkit.NAMES.index("tongueOut")  # no skin, on which places are found: said to be missing
    assert fitted.residual[tongue] == fitted.size[tongue] > 5
    said = (fitted.size > 0) & (np.arange(52) != tongue)
    share = fitted.residual[said] / fitted.size[said]
    assert np.median(share) < 0.15 and share.max() < 0.6
    ours = mesh(head, np.eye(52)) - 1000 * np.asarray(head.v_template)
    theirs = mesh(other, np.eye(52), fitted.shapes)[:, place] - 1000 * np.asarray(other.v_template)[place]
    skin = (neutral_mesh().part == 0) & (neutral_mesh().vertices[:, 2] > 20) & (neutral_mesh().vertices[:, 1] > -90)
    for name, a, b in zip(arkit.NAMES, ours, theirs, strict=True):
        if np.linalg.norm(a[skin], axis=1).max() < 0.5:
            continue  # eyes and tongue alone
        alike = (a[skin] * b[skin]).sum() / np.sqrt((a[skin] ** 2).sum() * (b[skin] ** 2).sum())
        assert alike > 0.85, (name, alike)


def test_a_head_without_what_a_shape_needs_says_so(head):
    other, _ = alien(head)
    dirs = np.array(other.shapedirs)
    dirs[..., other.shapes :] = 0
    fitted = shapes_for(dataclasses.replace(other, shapedirs=dirs))
    moving = fitted.size > 0
    np.testing.assert_allclose(fitted.residual[moving], fitted.size[moving], rtol=1e-6)


def test_lid_parameters_close_the_lids(head):
    import gagjax as gj
    from gagjax.expression.closure import apertures
    from gagjax.flame.subset import at_landmarks

    camera = np.tile(np.eye(3, 4, dtype=np.float32), (3, 1, 1))
    lids = np.float32([[0, 0], [1, 0], [0.5, 1]])
    track = gj.Track(np.zeros((3, 100)), np.zeros((3, 3)), np.zeros((3, 6)), camera, extra={"eyelids": lids})
    assert arkit.needs_head(track)
    made, line = arkit.on_head(track, head)
    assert "lid" in line and "eyelids" not in made.extra and not arkit.needs_head(made)
    still = np.zeros((3, 3), np.float32)
    opening = np.asarray(apertures(at_landmarks(head), np.zeros(0, np.float32), made.expression, still))[:, :2]
    share = opening / opening[0]
    assert share[1, 0] < 0.2 and share[1, 1] > 0.95 and share[2, 1] < 0.2 and 0.3 < share[2, 0] < 0.7


@pytest.mark.parametrize(("given", "found"), [("eyeBlink_L", 0), ("JAW_OPEN", 17), (" TongueOut", 51), ("smile", None)])
def test_names_in_other_spellings(given, found):
    assert names.column_of(given) == found
