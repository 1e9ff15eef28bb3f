"""C01: several videos or people in one file are sequences of their own, for whoever reads the file."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import gagjax as gj
from gagjax import multi_clip
from gagjax.app.cli import main
from gagjax.app.workflows import ablate, evaluate
from gagjax.app.workflows.tuning import smoothing as tune
from gagjax.simulate import driver
from gagjax.stack import enhance_track
from gagjax.track_smoother import TrackSmoother
from tests.io import make


def yaw_of(record) -> float:
    turn = record["transform_matrix"][:, :3] @ np.diag([-1.0, 1.0, -1.0])
    return float(np.degrees(Rotation.from_matrix(turn).as_rotvec()[1]))


def people(yaws: dict[str, float], frames: int = 20, noise: float = 0.0) -> dict:
    """Records of still heads, a video each, frame by frame as GAGAvatar sorts them."""
    rng = np.random.default_rng(0)
    made = {}
    for name, yaw in yaws.items():
        for key, record in make.records(frames, video=name).items():
            turn = Rotation.from_rotvec([0, np.radians(yaw), 0] + noise * rng.normal(size=3)).as_matrix()
            turn = turn @ np.diag([-1.0, 1.0, -1.0])
            record["transform_matrix"] = np.concatenate([turn, [[0], [0], [9.3]]], 1).astype(np.float32)
            made[key] = record
    return dict(sorted(made.items(), key=lambda item: (int(item[0].rpartition("_")[2]), item[0])))


def written(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def run(*words) -> int:
    return main([str(word) for word in words])


def test_the_case(shared, tmp_path, capsys):
    file = shared / "cases" / "C01_two_people" / "two.pkl"
    assert run("enhance", file, "-o", tmp_path / "out.pkl") == 0
    text = capsys.readouterr().out
    assert "sequence first: 20 frames" in text and "sequence second: 20 frames" in text
    out = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert len(out) == 40
    for name, record in out.items():
        assert abs(yaw_of(record) - (30 if name.startswith("first") else -30)) < 0.5


@pytest.mark.parametrize(
    ("yaws", "frames"),
    [
        ({"a": 20.0, "b": -20.0, "c": 60.0}, 12),  # three people
        ({"my_clip_1": 45.0, "my_clip_2": -45.0}, 15),  # names with numbers and lines of their own
        ({"x": 25.0, "y": 5.0}, 40),  # nearer together than a scene cut
        ({"left": -30.0, "right": 30.0}, 3),  # hardly a clip
    ],
)
def test_still_people_stay_where_they_are(tmp_path, yaws, frames):
    file = written(tmp_path / "optim.pkl", people(yaws, frames))
    assert run("enhance", file, "-o", tmp_path / "out.pkl", "--enable", "temporal") == 0
    out = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert len(out) == frames * len(yaws)
    for name, record in out.items():
        assert abs(yaw_of(record) - yaws[name.rpartition("_")[0]]) < 0.01


def test_together_is_as_each_alone(tmp_path):
    content = people({"a": 20.0, "b": -20.0}, 20, noise=0.02)
    together = gj.load_track(written(tmp_path / "both.pkl", content))
    stack = gj.Stack.default(enable=("temporal",))
    parts = enhance_track(stack, together).split()
    many = multi_clip.enhance_tracks(stack, [together])[0].split()
    smoothed = TrackSmoother.default()(together).split()
    for name in "ab":
        own = {key: record for key, record in content.items() if key.startswith(name)}
        alone = enhance_track(stack, gj.load_track(written(tmp_path / f"{name}.pkl", own)))
        np.testing.assert_array_equal(parts[name].transform, alone.transform)
        np.testing.assert_array_equal(parts[name].expression, alone.expression)
        np.testing.assert_allclose(many[name].transform, alone.transform, atol=2e-5)
        np.testing.assert_allclose(smoothed[name].transform, alone.transform, atol=2e-5)


def test_split_take_and_join_are_exact(tmp_path):
    track = gj.load_track(written(tmp_path / "both.pkl", people({"a": 20.0, "b": -20.0, "c": 0.0}, 5)))
    assert list(track.sequences) == ["a", "b", "c"]
    row = track.one_after_another()
    assert row.names == tuple(f"{v}_{i}" for v in "abc" for i in range(5))
    joined = gj.track.interleaved([t.channels for t in track.split().values()], list(track.sequences.values()))
    for mine, theirs in zip(joined[:4], track.channels[:4], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    lengthened = track.take(track.sequences["b"]).pad(8)
    assert list(lengthened.sequences) == ["b"]


def test_eval_names_the_sequences_and_sees_no_jitter_between_them(tmp_path):
    file = written(tmp_path / "both.pkl", people({"a": 30.0, "b": -30.0}, 10))
    rows = evaluate.of_tracks(file, None, None, None)
    assert {row.name.partition(",")[0] for row in rows} == {"a", "b"}
    assert not [row for row in rows if "head rotation" in row.name]  # both are still
    with_truth = evaluate.of_tracks(file, file, None, None)
    assert all(row.value < 1e-3 for row in with_truth if "error" in row.name)


def test_tune_and_ablate_take_them_one_by_one(tmp_path):
    file = written(tmp_path / "both.pkl", people({"a": 30.0, "b": -30.0}, 20, noise=0.02))
    given, names = tune._sequences([file], None)
    assert [len(track) for track in given] == [20, 20]
    assert [name.rpartition(", ")[2] for name in names] == ["a", "b"]
    clips = ablate.clips_of([str(file)], 1, 75)
    assert [clip.name for clip in clips] == ["both a 0", "both b 0"]
    assert all(len(clip.truth) == 20 for clip in clips)


def test_a_moving_gaze_target_is_cut_to_the_frames_of_each_sequence():
    clips = [driver(12, seed=seed) for seed in (1, 2)]
    names = [f"{'ab'[i % 2]}_{i // 2}" for i in range(24)]
    places = [np.arange(0, 24, 2), np.arange(1, 24, 2)]
    both = clips[0].take(np.repeat(np.arange(12), 2), names=names)
    both = both.with_channels(gj.track.interleaved([clip.channels for clip in clips], places))
    target = np.random.default_rng(0).uniform([-0.3, -0.3, 0.5], [0.3, 0.3, 1.0], (24, 3)).astype(np.float32)

    def aimed(target):
        return gj.Stack(gaze=gj.gaze.GazeCorrector(target=target, frame="head"))

    apart = [gj.enhance_track(aimed(target[at]), clip) for at, clip in zip(places, clips, strict=True)]
    for made in (gj.enhance_track(aimed(target), both), multi_clip.enhance_tracks(aimed(target), [both])[0]):
        for at, alone in zip(places, apart, strict=True):
            np.testing.assert_allclose(made.eyes[at], alone.eyes, atol=1e-6)
    with pytest.raises(gj.InputError, match="24, 3"):
        gj.enhance_track(aimed(target[:12]), both)
