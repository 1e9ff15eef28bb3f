"""Coefficients from one FLAME model to another: known relations are recovered, through one mesh and through another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gagjax import flame
from gagjax.app.cli import main
from gagjax.expression.between_heads import carried_over
from tests.io import make


@pytest.fixture(scope="module")
def head():
    return flame.builtin(0)


def mixed(head, seed: int = 0):
    """A model of the same people whose coefficients are mixed: shape by a rotation, expression by an invertible map."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(head.shapes, head.shapes)))[0]
    blend = np.linalg.qr(rng.normal(size=(100, 100)))[0] @ np.diag(rng.uniform(0.5, 2, 100))
    dirs = np.asarray(head.shapedirs, np.float64)
    shift = 0.3 * rng.normal(size=head.shapes)
    shape, expression = dirs[..., : head.shapes], dirs[..., head.shapes :]
    return dataclasses.replace(
        head,
        v_template=np.float32(np.asarray(head.v_template) + shape @ shift),
        shapedirs=np.float32(np.concatenate([shape @ turn, expression @ blend], -1)),
    )


def moving(seed: int = 1, frames: int = 6):
    rng = np.random.default_rng(seed)
    track = make.track(frames, seed)
    expression = np.zeros((frames, 100))
    expression[:, :40] = 0.4 * rng.normal(size=(frames, 40))
    return dataclasses.replace(track, expression=expression, shape=0.5 * rng.normal(size=300), neck=0.1 * track.jaw)


def mesh(track, head):
    pose = np.concatenate([np.zeros((len(track), 3)), track.jaw], 1).astype(np.float32)
    shape = np.asarray(track.shape)[: head.shapes]
    return 1000 * np.asarray(flame.vertices(head, shape, track.expression, pose, track.eyes, track.neck), np.float64)


def test_a_known_relation_is_recovered(head):
    other = mixed(head)
    track = moving()
    found = carried_over(track, head, other)
    distance = np.linalg.norm(mesh(found.track, other) - mesh(track, head), axis=2)
    assert distance.mean() < 0.01 and distance.max() < 0.1  # millimetres
    assert found.posed == pytest.approx(distance.mean(), abs=1e-3) and found.worst < 0.1
    assert found.shape < 0.01 and found.expression < 0.01
    back = carried_over(found.track, other, head)
    assert np.linalg.norm(mesh(back.track, head) - mesh(track, head), axis=2).max() < 0.1


def test_the_distance_tells_of_a_model_that_cannot_say_it(head):
    other = mixed(head)
    dirs = np.array(other.shapedirs)
    dirs[..., other.shapes + 50 :] = 0
    able = carried_over(moving(), head, other)
    found = carried_over(moving(), head, dataclasses.replace(other, shapedirs=dirs))
    assert found.expression > 20 * able.expression and found.worst > 20 * able.worst


def test_another_mesh_is_matched_through_landmarks(head):
    rng = np.random.default_rng(2)
    order = rng.permutation(len(head.v_template))
    place = np.argsort(order)
    pick = {name: np.asarray(getattr(head, name))[order] for name in ("v_template", "shapedirs", "posedirs", "weights")}
    other = dataclasses.replace(
        head, **pick, J_regressor=np.asarray(head.J_regressor)[:, order], faces=place[np.asarray(head.faces)],
        masks={}, colors=None,
    )  # fmt: skip
    track = moving()
    found = carried_over(track, head, other)
    distance = np.linalg.norm(mesh(found.track, other)[:, place] - mesh(track, head), axis=2)
    assert found.posed < 0.1 and distance.mean() < 0.3  # the scalp and the body are not matched, only carried along


def test_from_the_command_line(head, tmp_path, capsys):
    import gagjax as gj

    other = mixed(head)
    flame.save(head, tmp_path / "first.pkl")
    flame.save(other, tmp_path / "second.pkl")
    track = moving()
    gj.save_track(track, tmp_path / "a.npz")
    assert main(["convert", str(tmp_path / "a.npz"), "-o", str(tmp_path / "b.npz"), "--from-flame",
                 str(tmp_path / "first.pkl"), "--to-flame", str(tmp_path / "second.pkl")]) == 0  # fmt: skip
    assert "posed meshes 0.00" in capsys.readouterr().out
    after = gj.load_track(tmp_path / "b.npz")
    assert np.linalg.norm(mesh(after, other) - mesh(track, head), axis=2).max() < 0.1
