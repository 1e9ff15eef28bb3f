"""`gagjax batch`: one bad clip never stops the rest, and any engine, number of workers and history give the same files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gagjax import simulate
from gagjax.app.batch import executors, jobs
from gagjax.app.cli import main
from gagjax.errors import InputError
from gagjax.io import video
from gagjax.io.tracks import load_track, save_track
from tests.io.test_video import frames

PRESET = "set: {temporal.jaw.lowest: 4.0}\npreset: default\nenable: [temporal, detail]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five good tracks of two lengths, which share a program, a bad one, a video, and a file that is neither."""
    path = tmp_path_factory.mktemp("clips")
    for i in range(5):
        save_track(simulate.observe(simulate.driver(40 + 20 * (i % 2), seed=i), seed=i), path / f"clip{i}.npz")
    (path / "bad.npz").write_bytes(b"not an archive")
    (path / "notes.txt").write_text("hello")
    video.write(path / "film.mp4", frames(12), 25)
    (path / "preset.yaml").write_text(PRESET)
    return path


@pytest.fixture(scope="module")
def clean(folder, tmp_path_factory):
    """What one process makes of the folder, in this process."""
    out = tmp_path_factory.mktemp("clean")
    assert run(folder, "-o", out, "--preset", folder / "preset.yaml") == 1
    return out


def run(*words):
    return main(["batch", *map(str, words)])


def made(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[a-z]*") if path.name != "manifest.jsonl"}


def entries(folder):
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return {line["result"].rpartition("/")[2]: line for line in lines[1:]}


@pytest.fixture(scope="module", autouse=True)
def kept_programs(tmp_path_factory):
    """As the command does it: workers share what they have compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("programs")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        yield


def test_a_bad_clip_does_not_stop_the_rest(folder, clean):
    assert sorted(made(clean)) == ["clip0.npz", "clip1.npz", "clip2.npz", "clip3.npz", "clip4.npz", "film.mp4"]
    known = entries(clean)
    assert known.pop("bad.npz")["status"] == "failed"
    assert {entry["status"] for entry in known.values()} == {"done"} and len(known) == 6
    before, after = load_track(folder / "clip1.npz"), load_track(clean / "clip1.npz")
    jerk = [np.abs(np.diff(track.expression, 3, axis=0)).mean() for track in (before, after)]
    assert jerk[1] < 0.8 * jerk[0] and len(after) == len(before) and after.fps == before.fps


def test_the_same_as_enhance(folder, clean, tmp_path):
    assert (
        main(
            [
                "enhance",
                str(folder / "clip0.npz"),
                "-o",
                str(tmp_path / "a.npz"),
                "--preset",
                str(folder / "preset.yaml"),
            ]
        )
        == 0
    )
    one, other = load_track(tmp_path / "a.npz"), load_track(clean / "clip0.npz")
    np.testing.assert_allclose(one.expression, other.expression, atol=1e-5)


def test_what_is_done_is_left_alone(folder, clean, capsys):
    times = {path: path.stat().st_mtime_ns for path in clean.glob("clip*")}
    assert run(folder, "-o", clean, "--preset", folder / "preset.yaml") == 1
    assert "0 done, 6 done before, 1 failed" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in clean.glob("clip*")}


def test_other_settings_are_not_mixed(folder, clean, capsys):
    assert run(folder, "-o", clean, "--preset", "smooth") == 2
    assert "other settings" in capsys.readouterr().err


def test_a_preset_file_that_changed_is_other_settings(folder, clean, tmp_path, capsys):
    other = tmp_path / "preset.yaml"
    other.write_text(PRESET.replace("4.0", "5.0"))
    assert jobs.config_of(str(other)) != jobs.config_of(str(folder / "preset.yaml"))


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_engines_and_workers_make_the_same(engine, folder, clean, tmp_path):
    if engine == "ray":
        pytest.importorskip("ray", reason="needs Ray: pip install 'gagjax[ray]'")
    assert run(folder, "-o", tmp_path, "--preset", folder / "preset.yaml", "--workers", 2, "--engine", engine) == 1
    assert made(tmp_path) == made(clean)
    assert {name: entry["status"] for name, entry in entries(tmp_path).items()} == {
        name: entry["status"] for name, entry in entries(clean).items()
    }


def test_killed_and_resumed(folder, clean, tmp_path):
    words = [sys.executable, "-m", "gagjax", "batch", str(folder), "-o", str(tmp_path)]
    words += ["--preset", str(folder / "preset.yaml"), "--workers", "2"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("clip*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with (tmp_path / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"result": "half a li')  # as a kill in the middle of a line leaves it
    assert run(folder, "-o", tmp_path, "--preset", folder / "preset.yaml") == 1
    assert made(tmp_path) == made(clean)


def test_retry_takes_up_what_failed(tmp_path, capsys):
    track = simulate.driver(8, seed=0)
    source = tmp_path / "a.npz"
    source.write_bytes(b"broken")
    out = tmp_path / "out"
    stamp = source.stat()
    assert run(source, "-o", out, "--preset", "fast") == 1
    assert run(source, "-o", out, "--preset", "fast") == 1
    assert "0 done, 0 done before, 1 failed" in capsys.readouterr().out
    save_track(track, source, force=True)
    assert source.stat() != stamp
    assert run(source, "-o", out, "--preset", "fast") == 0  # a source that changed is a new one
    (tmp_path / "b.npz").write_bytes(b"broken")
    assert run(tmp_path / "b.npz", "-o", out, "--preset", "fast", "--retry") == 1
    assert "0 done, 0 done before, 1 failed" in capsys.readouterr().out


def test_urls(tmp_path):
    save_track(simulate.driver(8, seed=0), tmp_path / "a.npz")
    url = f"file://{tmp_path}/out"
    assert run(f"file://{tmp_path}/a.npz", "-o", url, "--preset", "fast") == 2  # where would the manifest be?
    manifest = tmp_path / "manifest.jsonl"
    assert run(f"file://{tmp_path}/a.npz", "-o", url, "--preset", "fast", "--manifest", manifest) == 0
    assert len(load_track(tmp_path / "out" / "a.npz")) == 8
    assert run(f"file://{tmp_path}/none.npz", "-o", url, "--preset", "fast", "--manifest", manifest) == 1


def test_a_clip_that_takes_its_worker_down(monkeypatch, tmp_path):
    for name in "abc":
        save_track(simulate.driver(8, seed=0), tmp_path / f"{name}.npz")
    found = jobs.jobs_of([str(tmp_path)], str(tmp_path / "out"))
    monkeypatch.setattr(executors, "try_clip", deadly)
    ended = dict(executors.local(found, jobs.config_of("fast"), 2))
    assert {Path(job.source).name: reason for job, reason in ended.items()} == {
        "a.npz": None,
        "b.npz": executors.DIED,
        "c.npz": None,
    }


def deadly(source, result, config):
    if source.endswith("b.npz"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_wrong_inputs(tmp_path, capsys):
    save_track(simulate.driver(4, seed=0), tmp_path / "a.npz")
    (tmp_path / "other").mkdir()
    save_track(simulate.driver(4, seed=0), tmp_path / "other" / "a.npz")
    for words, said in [
        (["absent.npz", "-o", tmp_path / "out"], "does not exist"),
        ([tmp_path / "a.npz", tmp_path / "other", "-o", tmp_path / "out"], "would both become"),
        ([tmp_path / "a.npz", "-o", tmp_path], "its own result"),
        ([tmp_path / "a.npz", "-o", tmp_path / "out", "--workers", "0"], "--workers"),
        ([tmp_path / "a.npz", "-o", tmp_path / "out", "--preset", "nope"], "--preset"),
        ([tmp_path / "a.npz", "-o", tmp_path / "a.npz" / "x"], "cannot be written"),
    ]:
        assert run(*words) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and said in err, err
    with pytest.raises(InputError, match="holds none"):
        jobs.jobs_of([str(tmp_path.joinpath("empty").mkdir() or tmp_path / "empty")], "out")
