"""Fitting: losses fall, slots stay as many, stopped fits go on bit for bit, folders come back as they were."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax import InputError, flame
from gagjax.avatars.personal import clip as clips
from gagjax.avatars.personal import densification, files, losses, motion, tensors
from gagjax.avatars.personal.training import AvatarFit
from gagjax.avatars.rendering import drawn
from gagjax.io import images
from gagjax.io.tracks import save_track


@jax.jit
def gaussians_of(avatar, parameters):
    return avatar.gaussians(parameters)


@pytest.fixture(scope="module")
def fitted(start, clip, settings):
    fit = AvatarFit(start, clip, settings, held_out=[3])
    fit.history = []
    fit.run(report=lambda _, figures: fit.history.append(figures["loss"]))
    return fit


def test_thirty_steps_lower_the_loss(fitted):
    assert np.isfinite(fitted.history).all()
    assert np.mean(fitted.history[-5:]) < 0.6 * np.mean(fitted.history[:5])


def test_held_out_frames_do_not_move(fitted):
    changes = np.asarray(fitted.state.changes)
    assert not changes[3].any()
    assert changes[[0, 1, 2, 4, 5]].any(1).all()


def test_a_stopped_fit_goes_on_bit_for_bit(fitted, start, clip, settings, tmp_path):
    first = AvatarFit(start, clip, settings, held_out=[3])
    first.run(17)
    first.save(tmp_path / "checkpoint.safetensors")
    second = AvatarFit(start, clip, settings, held_out=[3])
    second.resume(tmp_path / "checkpoint.safetensors")
    assert second.done == 17
    second.run()
    jax.tree.map(np.testing.assert_array_equal, second.state, fitted.state)


def test_a_checkpoint_of_other_settings_is_refused(fitted, start, clip, settings, tmp_path):
    fitted.save(tmp_path / "checkpoint.safetensors")
    other = AvatarFit(start, clip, dataclasses.replace(settings, steps=40), held_out=[3])
    with pytest.raises(InputError, match="other settings"):
        other.resume(tmp_path / "checkpoint.safetensors")


def test_refining_held_out_motion_brings_the_picture_nearer(fitted):
    before, avatar = fitted.state, jax.tree.map(np.asarray, fitted.avatar)
    right = np.abs(fitted.picture(3) - fitted.clip.frames[3] / 255).mean()
    wrong = fitted.state.changes.at[3, -3:].set(jnp.asarray([4.0, -4.0, 0.0]))
    fitted.state = before._replace(changes=wrong)

    def error() -> float:
        return float(np.abs(fitted.picture(3) - fitted.clip.frames[3] / 255).mean())

    worse = error()
    fitted.refine([3], steps=25)
    assert error() - right < 0.3 * (worse - right)
    jax.tree.map(np.testing.assert_array_equal, avatar, fitted.avatar)
    fitted.state = before


def test_slots_are_reassigned_not_added(fitted):
    state, count = fitted.state, len(fitted.avatar)
    shown = np.ones(count, np.float32)
    shown[:50] = 0
    pull = np.arange(count, dtype=np.float32)
    seen = densification.Seen(jnp.asarray(pull), jnp.asarray(shown))
    after = densification.reassigned(state._replace(seen=seen), fitted.avatar.model, 0.05, 0)
    assert [x.shape for x in jax.tree.leaves(after)] == [x.shape for x in jax.tree.leaves(state)]
    moved = np.flatnonzero(np.asarray(after.canonical.triangles) != np.asarray(state.canonical.triangles))
    assert 0 < len(moved) <= 0.05 * count
    assert (moved < 50).all()  # only what was not drawn gave up its place
    colours, before = (np.asarray(s.weights["points"]["colour"]) for s in (after, state))
    wanted = before[np.argsort(-pull)[: int(0.05 * count)]]
    for slot in moved:
        assert (colours[slot] == wanted).all(1).any()
    assert not np.asarray(after.seen.drawn).any()


def test_an_avatar_comes_back_from_its_folder(fitted, field, tmp_path):
    for avatar in (fitted.avatar, field):
        folder = tmp_path / files.kind_of(avatar)
        shape = np.zeros(300, np.float32)
        files.save(folder, avatar, head=flame.builtin(0), seed=0, shape=shape, background=(0.1, 0.2, 0.3))
        found = files.load(folder)
        parameters = fitted.data.motion.frame(0, jnp.zeros(motion.COLUMNS), 40)[0]
        jax.tree.map(
            np.testing.assert_array_equal, gaussians_of(avatar, parameters), gaussians_of(found.avatar, parameters)
        )
        np.testing.assert_allclose(found.background, [0.1, 0.2, 0.3], atol=1e-6)
        assert found.model.shapes == 300 and found.avatar.size == avatar.size
        with pytest.raises(InputError, match="exists"):
            files.save(folder, avatar, head=flame.builtin(0), seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"kind": "picture"},
        {"gaussians": 7},
        {"gaussians": "many"},
        {"size": -1},
        {"background": [0, 0]},
        {"background": [0, 0, float("nan")]},
        {"blend": "linear"},
        {"blend": ["linear"]},
        {"kind": ["appearance"]},
        {"background": [0, 0, 10**400]},
        {"head": None},
        {"head": {"builtin": 5, "digest": "0"}},
        {"head": {"builtin": None, "digest": "0"}},
        {"head": {"builtin": "x", "digest": "0"}},
    ],
)
def test_a_bad_description_is_refused(change, saved):
    about = json.loads((saved / files.JSON).read_text())
    (saved / files.JSON).write_text(json.dumps(about | change))
    with pytest.raises(InputError):
        files.load(saved)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "nan", "missing", "triangle", "shape"])
def test_bad_tensors_are_refused(damage, saved):
    file = saved / files.TENSORS
    arrays = tensors.read(file)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif damage in ("text", "empty"):
        file.write_bytes(b"no tensors at all" if damage == "text" else b"")
    else:
        if damage == "nan":
            arrays["points.colour"] = np.full_like(arrays["points.colour"], np.nan)
        elif damage == "missing":
            arrays.pop("points.colour")
        elif damage == "triangle":
            arrays["triangles"] = arrays["triangles"] + 1_000_000
        else:
            arrays["points.scale"] = arrays["points.scale"][:, None]
        tensors.write(file, arrays)
    with pytest.raises(InputError):
        files.load(saved)


def test_damage_anywhere_is_either_refused_or_harmless(saved):
    rng = np.random.default_rng(0)
    for name in (files.JSON, files.TENSORS):
        whole = (saved / name).read_bytes()
        for _ in range(25):
            damaged = bytearray(whole)
            # The header is where the meaning is: half of the damage goes there.
            where = rng.integers(min(len(whole), 600) if rng.random() < 0.5 else len(whole), size=3)
            for place in where:
                damaged[place] = rng.integers(256)
            (saved / name).write_bytes(damaged)
            try:
                found = files.load(saved).avatar
            except InputError:
                continue
            assert len(found) == len(found.canonical)
        (saved / name).write_bytes(whole)


@pytest.fixture
def saved(start, tmp_path):
    files.save(tmp_path / "avatar", start, head=flame.builtin(0), seed=0)
    return tmp_path / "avatar"


def test_a_clip_is_read_from_a_folder(clip, tmp_path):
    save_track(clip.track, tmp_path / "track.npz")
    for i, frame in enumerate(clip.frames):
        images.write(tmp_path / "frames" / f"{i:03}.png", frame)
    found = clips.read(tmp_path, clip.size)
    np.testing.assert_array_equal(found.frames, clip.frames)
    np.testing.assert_allclose(found.background, clip.background, atol=0.01)
    assert clips.read(tmp_path, 20).frames.shape[1] == 20
    (tmp_path / "frames" / "000.png").unlink()
    with pytest.raises(InputError, match="One picture a frame"):
        clips.read(tmp_path, clip.size)


def test_a_clip_without_pictures_or_track_is_refused(clip, tmp_path):
    with pytest.raises(InputError):
        clips.read(tmp_path / "nowhere")
    with pytest.raises(InputError):
        clips.read(tmp_path)
    save_track(clip.track, tmp_path / "track.npz")
    with pytest.raises(InputError, match="no pictures"):
        clips.read(tmp_path)
    images.write(tmp_path / "frames" / "0.png", np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InputError, match="not square"):
        clips.read(tmp_path)


def test_no_correction_is_the_track_itself(clip):
    same = motion.corrected(clip.track, np.zeros((len(clip), motion.COLUMNS)))
    np.testing.assert_allclose(same.transform, clip.track.transform, atol=1e-6)
    np.testing.assert_allclose(same.expression, clip.track.expression, atol=1e-6)


def test_larger_pictures_look_like_the_fitted_ones(fitted):
    """Reduced to the fitted size; without the fitted pixel's width, gaps would open between Gaussians."""
    small = fitted.picture(0)

    def reduced(avatar) -> np.ndarray:
        parameters, _ = fitted.data.motion.frame(0, fitted.state.changes[0], 4 * fitted.clip.size)
        large = np.asarray(drawn(avatar, parameters, fitted.data.background)[0])
        return large.reshape(len(small), 4, len(small), 4, 3).mean((1, 3))

    plain = dataclasses.replace(fitted.avatar, size=0)
    error, without = (float(((reduced(a) - small) ** 2).mean()) for a in (fitted.avatar, plain))
    assert error < 0.5 * without


def test_losses_vanish_where_they_should():
    picture = jnp.full((12, 12, 3), 0.4)
    assert float(losses.photometric(picture, picture)) == pytest.approx(0, abs=1e-5)
    assert float(losses.laplacian(jnp.ones((5, 3)), jnp.asarray([[0, 1]] * 5))) == 0
    assert float(losses.scale(jnp.log(jnp.asarray([0.001, 0.008])))) == pytest.approx(0, abs=1e-9)
    assert float(losses.scale(jnp.log(jnp.asarray([0.016])))) == pytest.approx(np.log(2) ** 2, rel=1e-4)
    assert float(losses.silhouette(jnp.ones((4, 4)), jnp.zeros((4, 4)))) == 1
    point = jnp.asarray([[0.01, 0.0, 0.0], [0.0, 0.0, 0.01]])
    assert float(losses.landmark(point, jnp.zeros((2, 3)))) == pytest.approx((1 + 0.01) / 2, rel=1e-4)
