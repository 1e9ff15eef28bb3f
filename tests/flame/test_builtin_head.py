"""The built-in head: a well-formed FLAME model whose face does what its controls say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree

from gagjax import flame
from gagjax.flame.builtin_head.expressions import NAMES
from gagjax.flame.builtin_head.mesh import PARTS
from gagjax.flame.builtin_head.sculpt import EYE, EYE_RADIUS

NOTHING = np.zeros(6, np.float32)


@pytest.fixture(scope="module")
def head() -> flame.FlameModel:
    return flame.builtin()


@pytest.fixture(scope="module")
def mesh():
    from gagjax.flame.builtin_head import neutral_mesh

    return neutral_mesh()


def controls(**strength: float) -> np.ndarray:
    out = np.zeros(100, np.float32)
    for name, value in strength.items():
        out[flame.CONTROLS[name]] = value
    return out


def posed(head, *, jaw: float = 0.0, eyes=NOTHING, **strength: float) -> np.ndarray:
    """Vertices in millimetres."""
    pose = np.float32([0, 0, 0, jaw, 0, 0])
    return 1000 * np.asarray(flame.vertices(head, np.zeros(300, np.float32), controls(**strength), pose, eyes))


def apertures(head, vertices) -> tuple[np.ndarray, float]:
    marks = flame.landmarks(head, jnp.asarray(vertices))
    return np.asarray(flame.lid_aperture(marks)), float(flame.lip_aperture(marks))


def test_has_the_format_of_flame(head):
    assert head.v_template.shape == (5023, 3)
    assert head.shapedirs.shape == (5023, 3, 400)
    assert head.posedirs.shape == (5023, 3, 36)
    assert head.parents == (-1, 0, 1, 1, 1)
    assert head.landmark_faces.shape == (70,)
    np.testing.assert_allclose(head.weights.sum(1), 1, atol=1e-6)
    assert (head.weights >= 0).all()
    np.testing.assert_allclose(head.J_regressor.sum(1), 1, atol=1e-5)
    assert len(np.unique(head.faces)) == 5023  # no vertex without a triangle
    assert sorted(flame.CONTROLS.values()) == list(range(len(NAMES)))


def test_zero_coefficients_give_the_template(head):
    np.testing.assert_allclose(posed(head), 1000 * head.v_template, atol=1e-4)


def test_triangles_are_sound(head):
    v, f = np.asarray(head.v_template, np.float64) * 1000, np.asarray(head.faces)
    area = np.linalg.norm(np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]), axis=1) / 2
    assert area.min() > 0.01
    edges = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), 1)
    assert np.unique(edges, axis=0, return_counts=True)[1].max() == 2


def test_mean_head_is_symmetric(head):
    v = np.asarray(head.v_template) * 1000
    assert cKDTree(v).query(v * [-1, 1, 1])[0].max() < 1e-3


def test_measures_are_those_of_an_adult_head(head):
    v = np.asarray(head.v_template) * 1000
    skull = v[(v[:, 1] > 40)]
    assert 140 < np.ptp(skull[:, 0]) < 165 and 180 < np.ptp(skull[:, 2]) < 210
    left, right = np.asarray(flame.eye_centres(head, np.zeros(300, np.float32))) * 1000
    np.testing.assert_allclose([left, right], [EYE, EYE * [-1, 1, 1]], atol=1e-3)


def test_joints_turn_what_they_should(head, mesh):
    gaze = posed(head, eyes=np.float32([0, 0.4, 0, 0, 0, 0]))
    moved = np.linalg.norm(gaze - posed(head), axis=1) > 1e-3
    assert set(np.unique(mesh.part[moved])) == {PARTS.index("eye_left")}
    pupil = np.argmax(np.where(mesh.part == PARTS.index("eye_left"), mesh.vertices[:, 2], -np.inf))
    offset = gaze[pupil] - EYE
    # A positive turn about +y takes the pupil of an eye that looks along +z towards +x.
    np.testing.assert_allclose(np.arctan2(offset[0], offset[2]), 0.4, atol=1e-5)
    jaw = posed(head, jaw=0.3) - posed(head)
    chin = np.argmin(np.abs(mesh.vertices - [0, -85, 70]).sum(1))
    assert jaw[chin, 1] < -15
    assert np.abs(jaw[mesh.vertices[:, 1] > 30]).max() < 1e-3


def test_regions_share_every_vertex(head, mesh):
    wanted = {"eyes", "lids", "brows", "nose", "mouth", "jaw", "cheeks", "forehead", "neck"}
    assert wanted <= set(head.masks)
    total = np.sum(list(head.masks.values()), 0)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    at = {
        "nose": (0, -13, 90),
        "mouth": (0, -36, 75),
        "forehead": (0, 75, 74),
        "neck": (0, -150, 15),
        "cheeks": (45, -10, 55),
    }
    for name, place in at.items():
        nearest = np.argmin(np.linalg.norm(mesh.vertices - place, axis=1))
        assert max(head.masks, key=lambda region, i=nearest: head.masks[region][i]) == name


def test_blinks_close_their_own_eye_alone(head):
    opened, _ = apertures(head, posed(head))
    assert (opened > 0.28).all() and (opened < 0.4).all()
    left, _ = apertures(head, posed(head, blink_left=1))
    assert left[0] < 0.05
    np.testing.assert_allclose(left[1], opened[1], atol=1e-4)
    half, _ = apertures(head, posed(head, blink_left=0.5, blink_right=0.5))
    np.testing.assert_allclose(half / opened, 0.5, atol=0.1)


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
def test_lids_never_enter_the_eyeball(head, mesh, share):
    v = posed(head, blink_left=share, blink_right=share)
    place = v * [1, 1, 1]
    place[:, 0] = np.abs(place[:, 0])
    lid = (mesh.part == PARTS.index("skin")) & (place[:, 2] > 30) & (np.hypot(*(place - EYE)[:, :2].T) < 13)
    assert lid.sum() > 50
    triangles = np.asarray(head.faces)[lid[np.asarray(head.faces)].all(1)]
    middles = place[triangles].mean(1)
    assert np.linalg.norm(middles - EYE, axis=1).min() > EYE_RADIUS + 0.5


def test_lips_meet_at_rest_and_open_with_jaw_and_control(head):
    assert apertures(head, posed(head))[1] < 0.01
    assert apertures(head, posed(head, mouth_open=1))[1] > 0.08
    assert apertures(head, posed(head, jaw=0.3))[1] > 0.3


def test_controls_are_local_and_signed(head, mesh):
    rest = posed(head)

    def shift(place, **strength):
        near = np.argmin(np.linalg.norm(mesh.vertices - place, axis=1) + 1e3 * (mesh.part != 0))
        return (posed(head, **strength) - rest)[near]

    assert shift((26, -44, 66), smile=1)[0] > 3 and shift((26, -44, 66), smile=1)[1] > 3
    assert shift((-26, -44, 66), smile=1)[0] < -3
    assert shift((26, -44, 66), frown=1)[1] < -3
    assert shift((30, 42, 68), brow_up=1)[1] > 3 and shift((30, 42, 68), brow_down=1)[1] < -2
    assert shift((0, -38, 75), pucker=1)[2] > 3
    for name in flame.CONTROLS:
        moved = np.linalg.norm(posed(head, **{name: 1}) - rest, axis=1)
        assert 1 < moved.max() < 20, name
        assert moved[mesh.vertices[:, 2] < -40].max() < 1e-3, name


def test_every_coefficient_moves_something(head):
    size = np.abs(np.asarray(head.shapedirs)).max((0, 1))
    assert (size > 5e-5).all()  # metres


def test_identities_differ_and_repeat(head):
    first, again, second = (flame.builtin(seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.v_template, again.v_template)
    apart = [
        np.linalg.norm(np.asarray(a.v_template - b.v_template), axis=1).mean()
        for a, b in ((first, second), (first, head))
    ]
    assert min(apart) > 1e-3
    for model in (first, second):
        closed = np.asarray(
            flame.vertices(model, np.zeros(300, np.float32), controls(blink_left=1, blink_right=1), NOTHING, NOTHING)
        )
        assert apertures(model, closed)[0].max() < 0.08


def test_saved_and_loaded_through_the_reader_of_flame_files(head, tmp_path):
    flame.save(head, tmp_path / "head.pkl")
    loaded = flame.load(tmp_path / "head.pkl")
    for path, leaf in jax.tree_util.tree_leaves_with_path(head):
        other = dict(jax.tree_util.tree_leaves_with_path(loaded))[path]
        np.testing.assert_array_equal(leaf, other, err_msg=jax.tree_util.keystr(path))


def test_gradients_are_finite(head):
    def loss(expression, pose, eyes):
        return (flame.normals(head, flame.vertices(head, np.zeros(300, np.float32), expression, pose, eyes)) ** 3).sum()

    gradients = jax.grad(loss, argnums=(0, 1, 2))(controls(smile=0.5), NOTHING, NOTHING)
    assert all(np.isfinite(g).all() and (g != 0).any() for g in gradients)
