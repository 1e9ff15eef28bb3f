"""Films in the viewer: the right frame by number, and a mesh that lies over the face it was rendered from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import avatars, flame
from gagjax.app.viewer.eyes import parts_of
from gagjax.app.viewer.film import AFTER, Film, drawn_over, sees, wires_of
from gagjax.app.viewer.session import ViewerSession
from gagjax.camera import Intrinsics
from gagjax.errors import InputError
from gagjax.io import frame_database, video
from gagjax.simulate import driver
from gagjax.stack import Stack

FRAMES = 5


def shades(count, size=(64, 48)):
    return [np.full((size[1], size[0], 3), 40 * k, np.uint8) for k in range(count)]


def test_frames_come_by_number_from_a_film_and_a_folder(tmp_path):
    video.write(tmp_path / "a.mp4", shades(FRAMES), 25, crf=1)
    film = Film.of(tmp_path / "a.mp4")
    film.wait(whole=True)
    assert len(film) == FRAMES and film.size == (64, 48) and film.fps == 25
    for index, wanted in ((3, 120), (0, 0), (99, 160)):  # the last one stands for those after it
        assert abs(int(film.frame(index).mean()) - wanted) < 6
    film.close()
    names = tuple(f"a_{k}" for k in range(FRAMES))
    frame_database.write(tmp_path / "clip" / "img_lmdb", zip(names[1:], shades(FRAMES)[1:], strict=True))
    found = Film.of_track(tmp_path / "clip", names, 25.0)
    found.wait(whole=True)
    assert [round(float(found.frame(k).mean()) / 40) for k in range(FRAMES)] == [1, 1, 2, 3, 4]
    found.close()
    assert Film.of_track(tmp_path, names, 25.0) is None


def test_a_film_that_breaks_off_is_shown_as_far_as_it_goes():
    def frames():
        yield from shades(2)
        raise InputError("is cut off", file="a.mp4")

    film = Film(frames(), (64, 48), 25.0)
    film.wait(whole=True)
    assert len(film) == 2 and "cut off" in film.complaint
    empty = Film(iter(()), (64, 48), 25.0)
    with pytest.raises(InputError, match="no frames"):
        empty.wait()


def test_the_mesh_is_drawn_where_the_camera_is_the_films():
    track = driver(FRAMES)
    assert not sees(track, (640, 480))  # GAGAvatar's camera: a crop
    filmed = dataclasses.replace(track, intrinsics=Intrinsics.of_focal(4.0, 480))
    assert sees(filmed, (480, 480)) and sees(filmed, (960, 960)) and not sees(filmed, (640, 480))


def test_the_mesh_lies_over_the_head():
    """Vertices of the front fall on the rendered head, as far as its silhouette says; shifted by a tenth they do not."""
    avatar = avatars.builtin()
    track = driver(FRAMES, seed=2, controls=flame.CONTROLS)
    session = ViewerSession(track, Stack(), avatar.model, after=track)
    picture = np.asarray(avatars.render(avatar, track[3:4], size=128, background=(0.0, 1.0, 0.0)))[0]
    head = ~((picture[..., 1] > 0.9) & (picture[..., 0] < 0.1))
    share = session.in_picture(False, 3)
    inside = (share > 0).all(1) & (share < 1).all(1)

    def hit(places):
        x, y = np.clip((places[inside] * 128).astype(int), 0, 127).T
        return head[y, x].mean()

    assert hit(share) > 0.97
    assert hit(share + [0.25, 0.0]) < hit(share) - 0.1
    fov, aspect, place = session.lens()
    assert 0.1 < fov < 0.3 and aspect == 1 and -2.2 < place[2] < -1.5  # GAGAvatar's lens, about 1.86 metres off


def test_wires_are_the_front_and_are_drawn_where_the_vertices_are():
    model = flame.builtin()
    wires, template = wires_of(np.asarray(model.faces), np.asarray(model.v_template)), np.asarray(model.v_template)
    assert len(wires) > 500 and template[wires][..., 2].min() > np.median(template[:, 2]) - 0.02
    places = np.array([[2.0, 10], [17, 10], [2, 2]])
    out = drawn_over(np.zeros((20, 20, 3), np.uint8), places, np.array([[0, 1]]), AFTER)
    assert tuple(out[10, 9]) == AFTER and not out[5].any()


def test_eyes_have_white_iris_and_pupil_that_turn_with_them():
    model = flame.builtin()
    parts = parts_of(model)
    assert set(parts) == {"skin", "white", "iris", "pupil"}
    assert sum(len(part.faces) for part in parts.values()) == len(model.faces)
    track = driver(2, seed=1)
    centres = np.asarray(flame.eye_centres(model, np.zeros(model.shapes)))
    for turn, sign in ((0.4, 1), (-0.4, -1)):  # about y: towards the subject's left, +x
        eyes = np.tile(np.float32([0, turn, 0, 0, turn, 0]), (2, 1))
        looking = dataclasses.replace(track, eyes=eyes, transform=np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1)))
        mesh = np.asarray(flame.vertices(model, np.zeros(0), np.zeros(100), np.zeros(6), np.asarray(looking.eyes)[0]))
        for eye in range(2):
            pupil = mesh[parts["pupil"].vertices]
            own = pupil[np.linalg.norm(pupil - centres[eye], axis=1) < 0.02]
            way = own.mean(0) - centres[eye]
            assert len(own) and sign * way[0] > 0.002 and way[2] > 0.005
