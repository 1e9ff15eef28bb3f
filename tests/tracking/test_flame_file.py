"""A `FLAME_with_eye.pt` with the 105 published points: read back as written, and tracked with."""

from __future__ import annotations

import numpy as np
import pytest

from gagjax import flame
from gagjax.app import cli
from gagjax.camera import project
from gagjax.io import images
from gagjax.io.tracks import load_track
from gagjax.tracking import correspondence, points


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The built-in head as that file holds one, its triangles in another order: gagjax does not know it as its own."""
    torch = pytest.importorskip("torch")
    model = flame.builtin(2)
    count = len(model.faces)
    faces = np.roll(np.asarray(model.faces), 11, 0)
    data = correspondence._shipped()
    chosen = points.EMBEDDED
    parents = np.asarray(model.parents)
    content = {
        "flame_model": {
            "v_template": model.v_template,
            "shapedirs": model.shapedirs,
            "posedirs": model.posedirs,
            "J_regressor": model.J_regressor,
            "weights": model.weights,
            "f": faces.astype(np.int64),
            "kintree_table": np.stack([parents, np.arange(5)]).astype(np.int64),
        },
        "lmk_embeddings": {
            "full_lmk_faces_idx_with_eye": (np.asarray(model.landmark_faces, np.int64)[None] + 11) % count,
            "full_lmk_bary_coords_with_eye": np.asarray(model.landmark_bary)[None],
        },
        "lmk_embeddings_mediapipe": {
            "lmk_face_idx": (np.asarray(data["faces"][chosen], np.int64) + 11) % count,
            "lmk_b_coords": data["bary"][chosen].astype(np.float32),
            "landmark_indices": chosen.astype(np.int64),
        },
    }
    path = tmp_path_factory.mktemp("flame") / "FLAME_with_eye.pt"
    torch.save(
        {part: {key: torch.tensor(np.array(value)) for key, value in each.items()} for part, each in content.items()},
        path,
    )
    return path


def test_the_105_points_are_read_as_they_were_written(file):
    model = flame.load(file)
    assert not correspondence.is_builtin(model)
    found = correspondence.embed(model)
    at = np.searchsorted(found.numbers, points.EMBEDDED)
    np.testing.assert_array_equal(found.numbers[at], points.EMBEDDED)
    data = correspondence._shipped()
    np.testing.assert_array_equal(found.faces[at], (data["faces"][points.EMBEDDED] + 11) % len(model.faces))
    np.testing.assert_array_equal(found.bary[at], data["bary"][points.EMBEDDED].astype(np.float32))
    # They are the firm ones; the points that were warped onto the head count less, and lie where the head's own do.
    others = np.setdiff1d(np.arange(len(found.numbers)), at)
    assert (found.weights[at] == 1).all() and (found.weights[others] < 0.7).all()
    template = np.asarray(model.v_template)
    place = (template[np.asarray(model.faces)[found.faces]] * found.bary[..., None]).sum(1)
    own = np.asarray(flame.builtin(2).faces)[data["faces"][found.numbers]]
    true = (template[own] * data["bary"][found.numbers][..., None]).sum(1)
    np.testing.assert_allclose(place[at], true[at], atol=1e-6)
    assert np.median(np.linalg.norm(place - true, axis=1)) < 0.0015


def test_a_picture_is_tracked_with_it(file, performance, tmp_path):
    picture, out = tmp_path / "a.png", tmp_path / "a.npz"
    images.write(picture, performance[0])
    assert cli.main(["track", str(picture), "-o", str(out), "--flame", str(file)]) == 0
    track, model = load_track(out), flame.load(file)
    with np.load(out) as content:
        marks = content["tracking.landmarks"]
    pose = np.concatenate([np.zeros(3), track.jaw[0]]).astype(np.float32)
    v = np.asarray(flame.vertices(model, track.shape, track.expression[0], pose, track.eyes[0]))
    found = v[np.asarray(model.faces)[np.asarray(model.mediapipe_faces)]]
    places = (found * np.asarray(model.mediapipe_bary)[..., None]).sum(1)
    seen = np.asarray(project(5 * places[None], track.camera))[0]
    distance = np.linalg.norm(seen - marks[0, points.EMBEDDED, :2], axis=1)
    assert distance.mean() < 0.05 * points.interocular(marks)[0]
