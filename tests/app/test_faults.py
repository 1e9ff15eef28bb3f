"""What goes wrong around a run: full disks, folders that cannot be written, damage in the middle. Nothing is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gagjax import simulate
from gagjax.app.cli import main
from gagjax.io import frame_database, video
from gagjax.io.tracks import load_track, save_track
from tests.io.test_video import frames as pictures

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from gagjax.app.cli import main
raise SystemExit(main(sys.argv[2:]))
"""


def limited(size, *words):
    """The command where no file may grow over a size: writing fails as on a full disk, with an OSError."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "GAGJAX_CACHE": "off"},
    )


@pytest.fixture
def track(tmp_path):
    save_track(simulate.observe(simulate.driver(60, seed=0), seed=0), tmp_path / "in.npz")
    return tmp_path / "in.npz"


def test_a_full_disk_leaves_what_was_there(track, tmp_path):
    out = tmp_path / "out.npz"
    out.write_bytes(b"precious")
    ended = limited(2000, "convert", track, out, "--force")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr, ended.stderr
    assert str(out) in ended.stderr and "File too large" in ended.stderr
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "out.npz"]


def test_a_full_disk_stops_a_video_and_it_goes_on_after(tmp_path):
    source = tmp_path / "in.mp4"
    rng = np.random.default_rng(0)
    video.write(source, (rng.integers(0, 255, (128, 128, 3), np.uint8) for _ in range(20)), 25)
    ended = limited(60_000, "video", source, "-o", tmp_path / "out.mp4")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr, ended.stderr
    assert not (tmp_path / "out.mp4").exists()
    assert main(["video", str(source), "-o", str(tmp_path / "out.mp4")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write")
def test_a_folder_that_cannot_be_written(track, tmp_path, capsys):
    video.write(tmp_path / "in.mp4", pictures(3), 25)
    for words in (
        ["convert", track, "/proc/self/out.npz"],
        ["enhance", track, "-o", "/proc/self/out.npz"],
        ["video", tmp_path / "in.mp4", "-o", "/proc/self/out.mp4"],
        ["batch", track, "-o", "/proc/self/out"],
    ):
        assert main([*map(str, words)]) == 2, words
        err = capsys.readouterr().err
        assert "cannot be written" in err and len([x for x in err.splitlines() if x.startswith("error")]) == 1


def test_damage_in_the_middle_of_a_video(tmp_path, capfd):
    source = tmp_path / "in.mp4"
    rng = np.random.default_rng(0)
    video.write(source, (rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(30)), 25)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = rng.bytes(200)
    source.write_bytes(bytes(data))
    before = source.read_bytes()
    status = main(["video", str(source), "-o", str(tmp_path / "out.mp4")])
    said = capfd.readouterr().err
    assert status in (0, 2) and "Traceback" not in said
    if status == 0:  # FFmpeg hides damage by pictures from around it
        assert video.info(tmp_path / "out.mp4").frames >= 20
    else:
        assert "is damaged after frame" in said and not (tmp_path / "out.mp4").exists()
    assert source.read_bytes() == before


def test_a_burst_of_nan_in_a_track(tmp_path, capsys):
    clean = simulate.driver(60, seed=0)
    values = np.array(clean.expression)
    values[20:26] = np.nan
    import dataclasses

    save = dataclasses.replace(clean, expression=values, valid=np.ones(60, bool))
    from gagjax.io.formats import native

    native.write(save, tmp_path / "in.npz")  # as a tracker does that does not look
    assert main(["enhance", str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz")]) == 2
    said = capsys.readouterr().err
    assert "first in frame 20" in said and "--drop-nonfinite" in said
    assert main(["enhance", str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz"), "--drop-nonfinite"]) == 0
    made = load_track(tmp_path / "out.npz")
    assert np.isfinite(made.expression).all() and (~np.asarray(made.valid)).sum() == 6


def test_a_frame_that_the_database_lacks(tmp_path):
    frame_database.write(tmp_path / "img_lmdb", ((f"clip_{i}", np.zeros((8, 8, 3), np.uint8)) for i in range(3)))
    with frame_database.FrameDatabase(tmp_path) as database:
        assert list(database) == ["clip_0", "clip_1", "clip_2"]
        with pytest.raises(KeyError, match="clip_7"):
            database["clip_7"]


@needs_full
def test_the_output_of_live_on_a_full_device(tmp_path):
    from tests.app.streaming.test_live import as_lines

    (tmp_path / "in.jsonl").write_text("".join(as_lines(simulate.driver(3, seed=0))))
    words = [sys.executable, "-m", "gagjax", "live", str(tmp_path / "in.jsonl")]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2 and os.strerror(errno.ENOSPC) in ended.stderr and "Traceback" not in ended.stderr
    ended = limited(500, "live", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert ended.returncode == 2 and "cannot be written" in ended.stderr and "Traceback" not in ended.stderr
