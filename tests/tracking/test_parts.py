"""Regions, cuts, cameras, correspondences, gaze: each by a law of its own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax import flame
from gagjax.errors import InputError
from gagjax.tracking import correspondence
from gagjax.tracking import points as numbering
from gagjax.tracking.camera import Crop, PictureCamera, into_crop, project
from gagjax.tracking.faces import regions
from gagjax.tracking.faces.cuts import CutFinder
from gagjax.tracking.faces.regions import Region
from gagjax.tracking.fit.gaze import EyeModel, gaze


@given(st.floats(20, 80), st.floats(20, 80), st.floats(20, 60), st.floats(-3, 3))
def test_a_cut_out_shows_what_the_map_says(x, y, side, angle):
    ys, xs = np.mgrid[0:100, 0:100]
    picture = np.stack([2 * xs, 2 * ys, 0 * xs], -1).astype(np.uint8)
    region = Region(x, y, side, angle)
    pixels = regions.cut(picture, region, 32).astype(float)
    linear, shift = regions.matrix(region, 32)
    grid = np.stack(np.meshgrid(np.arange(32) + 0.5, np.arange(32) + 0.5, indexing="xy"), -1)
    place = grid @ linear.T + shift
    inside = ((place > 1) & (place < 99)).all(-1)
    np.testing.assert_allclose(pixels[inside][:, :2], 2 * (place[inside] - 0.5), atol=2.5)


def test_cuts_and_what_is_none():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 255, (60, 80, 3)).astype(np.uint8) for _ in range(2))
    a, b = (np.repeat(np.repeat(p[::10, ::10], 10, 0), 10, 1) for p in (a, b))
    flicker = [np.clip(a * s, 0, 255).astype(np.uint8) for s in (1, 0.9, 1.05, 0.95, 1, 0.9)]
    finder = CutFinder()
    assert [finder(p) for p in [*flicker, b, b]] == [False] * 6 + [True, False]


def test_the_crops_camera_sees_the_head_where_the_picture_does():
    camera = PictureCamera.of_picture(1280, 720, 1.2)
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.3, (50, 3))  # GAGAvatar's units about the head's origin
    turn = np.diag([-1.0, 1.0, -1.0])
    transform = np.concatenate([turn, [[0.9], [-0.3], [6.0]]], 1)[None]
    seen = project(camera, points @ turn + transform[0, :, 3])
    middle = project(camera, transform[0, :, 3])
    crop = Crop(middle[0] - 160, middle[1] - 150, 320)
    there = into_crop(transform, camera, crop)[0]
    again = project(crop.camera, points @ there[:, :3] + there[:, 3])
    assert np.abs(again - seen).mean() < 0.02 * 320
    np.testing.assert_allclose(there[:, :3] @ there[:, :3].T, np.eye(3), atol=1e-9)


def test_every_head_of_the_format_has_the_points():
    model = flame.builtin(4)
    own = correspondence.embed(model)
    # The same head, its triangles in another order: no longer recognised, so the points are warped onto it.
    faces = np.roll(np.asarray(model.faces), 7, 0)
    other = dataclasses.replace(model, faces=faces, landmark_faces=(np.asarray(model.landmark_faces) + 7) % len(faces))
    warped = correspondence.embed(other)
    v = np.asarray(model.v_template)
    a = (v[np.asarray(model.faces)[own.faces]] * own.bary[..., None]).sum(1)
    b = (v[faces[warped.faces]] * warped.bary[..., None]).sum(1)
    distance = np.linalg.norm(a - b, axis=1)
    assert np.median(distance) < 0.0015
    assert np.quantile(distance, 0.95) < 0.006


def test_lips_stay_apart():
    model = flame.builtin()
    found = correspondence.embed(model)
    low = np.asarray(model.weights)[np.asarray(model.faces)[found.faces], 2].mean(1) > 0.5
    assert low[np.isin(found.numbers, numbering.LOWER_LIP)].all()
    assert not low[np.isin(found.numbers, numbering.UPPER_LIP)].any()


def test_published_points_are_taken():
    model = flame.builtin()
    faces = np.arange(105) * 3
    bary = np.tile(np.float32([0.2, 0.3, 0.5]), (105, 1))
    found = correspondence.embed(dataclasses.replace(model, mediapipe_faces=faces, mediapipe_bary=bary))
    at = np.searchsorted(found.numbers, numbering.EMBEDDED)
    np.testing.assert_array_equal(found.faces[at], faces)
    np.testing.assert_array_equal(found.bary[at], bary)


def test_a_head_without_landmarks_is_refused():
    model = flame.builtin()
    bare = dataclasses.replace(model, landmark_faces=np.zeros(0, int), landmark_bary=np.zeros((0, 3)))
    with pytest.raises(InputError, match="68"):
        correspondence.embed(bare)


def test_the_closest_point_of_a_triangle():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    points = np.array([[0.2, 0.2, 1], [-1, -1, 0], [1, 1, 0], [0.5, -2, 0]])
    _, bary, distance = correspondence.closest(points, vertices, np.array([[0, 1, 2]]), np.array([True]))
    place = bary @ vertices
    np.testing.assert_allclose(place, [[0.2, 0.2, 0], [0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(distance, [1, np.sqrt(2), np.sqrt(0.5), 2])


def test_gaze_comes_back_from_exact_irises():
    frames, focal = 60, 900.0
    t = np.linspace(0, 4 * np.pi, frames)
    yaw, pitch = 0.2 * np.sin(t), 0.12 * np.cos(2 * t)
    eyes = EyeModel(np.array([[-0.032, 0.02, 0.04], [0.032, 0.02, 0.04]]), 0.013)
    rotation = np.tile(np.diag([-1.0, 1.0, -1.0]), (frames, 1, 1))
    shift = np.tile([0.1, 0.0, 6.0], (frames, 1))
    angle = np.hypot(yaw, pitch)
    direction = np.stack([yaw * np.sinc(angle / np.pi), -pitch * np.sinc(angle / np.pi), np.cos(angle)], 1)
    camera = PictureCamera(focal, 320, 240, 640, 480)
    marks = np.zeros((frames, 478, 3))
    corners = np.zeros((frames, 2, 2))
    for e in range(2):
        iris = 5 * (eyes.centres[e] + 0.885 * 0.013 * direction) @ rotation[0] + shift[0]
        marks[:, [468 + 5 * e + k for k in range(5)], :2] = project(camera, iris)[:, None]
        corners[:, e] = project(camera, 5 * eyes.centres[e] @ rotation[0] + shift[0])
        outer, inner, _, _ = numbering.LIDS[e]
        for point, dx in ((outer, -15), (inner, 15)):
            marks[:, point, :2] = corners[:, e] + [dx, 0]
        for upper, lower in numbering.LID_PAIRS[e]:
            marks[:, upper, :2], marks[:, lower, :2] = corners[:, e] - [0, 5], corners[:, e] + [0, 5]
    # Lids and marked corners follow the eyes up and down, as `PITCH` has it of films: by 1.45 % of the eyes' distance a radian.
    apart = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    follow = np.unique(np.r_[numbering.LID_PAIRS.ravel(), numbering.LIDS[:, :2].ravel()])
    marks[:, follow, 1] += (0.0145 * apart * pitch)[:, None]
    marks[20:23, numbering.LID_PAIRS[:, :, 0]] = marks[20:23, numbering.LID_PAIRS[:, :, 1]]  # a blink
    found, seen = gaze(eyes, rotation, shift, focal, marks, corners, (320, 240))
    assert not seen[20:23].any()
    assert seen.sum() == frames - 3
    both = found.reshape(-1, 2, 3).mean(1)
    assert np.degrees(np.abs(both[seen, 1] - yaw[seen])).max() < 1.0
    assert np.degrees(np.abs(both[seen, 0] - (pitch - np.median(pitch[seen]))[seen])).max() < 1.0
