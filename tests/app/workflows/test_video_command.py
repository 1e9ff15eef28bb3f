"""`gagjax video`: length, rate, audio and picture of the result; wrong inputs."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gagjax.app.cli import main
from gagjax.app.commands import video as command
from gagjax.app.reports import panels
from gagjax.app.workflows.video import enhanced
from gagjax.io import video
from tests.io.test_video import audio_packets, frames, with_audio


def run(*words):
    return main(["video", *map(str, words)])


def soft(count):
    """Frames that lack their finest octave: sharp ones pass unchanged."""
    return np.stack([gaussian_filter(image, (1.2, 1.2, 0)) for image in frames(count)])


def test_length_rate_and_audio_stay(tmp_path, capsys):
    source = with_audio(tmp_path / "in.mp4", container_rate=30, count=19)
    assert run(source, "-o", tmp_path / "out.mp4") == 0
    old, new = video.info(source), video.info(tmp_path / "out.mp4")
    assert (new.frames, new.fps, new.width, new.height) == (old.frames, old.fps, old.width, old.height)
    assert [data for _, data in audio_packets(tmp_path / "out.mp4")] == [data for _, data in audio_packets(source)]
    assert "19 frames at 30 fps, audio copied (aac)" in capsys.readouterr().out
    before, after = (np.stack(list(video.read(p)[0])).astype(float) for p in (source, tmp_path / "out.mp4"))
    assert 0.1 < np.abs(after - before).mean() < 12  # changed, and still the same pictures


def test_chunks_make_no_difference(tmp_path):
    from gagjax.stack import Stack

    stack = Stack.default(enable=("detail",))
    source = list(frames(7))
    (whole,) = enhanced(stack, iter(source), 7)
    parts = list(enhanced(stack, iter(source), 3))
    assert [len(part.before) for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([part.before for part in parts]), source)
    np.testing.assert_array_equal(np.concatenate([part.after for part in parts]), whole.after)


def test_strength_zero_changes_nothing_and_more_changes_more(tmp_path):
    from gagjax.app import presets

    # A picture that lacks nothing is left alone: these are soft.
    source = np.round(gaussian_filter(np.stack(list(frames(2))).astype(float), (0, 1.5, 1.5, 0))).astype(np.uint8)

    def change(strength):
        stack = command._with_strength(presets.stack_of("default"), strength, "default")
        (made,) = enhanced(stack, iter(source), 2)
        return np.abs(made.after.astype(float) - source).mean()

    assert change(0.0) == 0.0 < change(0.5) < change(1.5)


def test_side_by_side_and_odd_sizes(tmp_path, capsys):
    source = tmp_path / "in.mp4"
    video.write(source, frames(3), 25)
    assert run(source, "-o", tmp_path / "both.mp4", "--side-by-side") == 0
    info = video.info(tmp_path / "both.mp4")
    assert info.width > 2 * 64 and info.frames == 3


def test_split_shows_both_in_one_picture(tmp_path, capsys):
    source = tmp_path / "in.mp4"
    video.write(source, soft(3), 25)
    assert run(source, "-o", tmp_path / "split.mp4", "--split", "--strength", "3") == 0
    before, after = (np.stack(list(video.read(p)[0])) for p in (source, tmp_path / "split.mp4"))
    assert after.shape == before.shape
    middle = after.shape[2] // 2
    assert after[:, :, middle - 1 : middle + 1].mean() > 200  # the line
    image = soft(1)[0]
    made = panels.split(image, 255 - image)
    np.testing.assert_array_equal(made[:, : middle - 1], image[:, : middle - 1])
    np.testing.assert_array_equal(made[:, middle + 1 :], 255 - image[:, middle + 1 :])
    assert run(source, "-o", tmp_path / "two.mp4", "--split", "--side-by-side") == 2
    assert "--split" in capsys.readouterr().err


def test_varying_rates_are_kept(tmp_path, capsys):
    times = [0.0, 0.04, 0.08, 0.3, 0.34, 0.7, 0.74, 0.78, 0.82, 1.0]
    video.write(tmp_path / "in.mkv", frames(10), 25, times=times)
    assert run(tmp_path / "in.mkv", "-o", tmp_path / "out.mp4") == 0
    read, info = video.read(tmp_path / "out.mp4")
    assert info.variable and "varying" in capsys.readouterr().out
    np.testing.assert_allclose([read.time for _ in read], times, atol=2e-3)


def test_wrong_inputs_and_options(tmp_path, capsys):
    good = tmp_path / "in.mp4"
    video.write(good, frames(3), 25)
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "there.mp4").write_text("mine")
    out = tmp_path / "out.mp4"
    for words, said in [
        (["absent.mp4", "-o", out], "does not exist"),
        ([tmp_path / "zero.mp4", "-o", out], "0 bytes"),
        ([tmp_path / "text.mp4", "-o", out], "no video"),
        ([good, "-o", tmp_path / "there.mp4"], "--force"),
        ([good, "-o", tmp_path / "out.avi"], ".mp4"),
        ([good, "-o", out, "--strength", "-1"], "--strength"),
        ([good, "-o", out, "--crf", "99"], "--crf"),
        ([good, "-o", out, "--preset", "fast"], "no frames"),
    ]:
        assert run(*words) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and said in err and len(err.splitlines()) == 1, err
    assert not out.exists() and (tmp_path / "there.mp4").read_text() == "mine"


# The command, held fast when its first frame is encoded. A background job of a shell ignores interrupts, and so would its
# children: hence the handler.
STOPPED = """
import runpy, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from gagjax.io import resumable
put = resumable.Part.put
def held(*words):
    put(*words)
    print("at work", flush=True)
    while True:
        time.sleep(0.1)
resumable.Part.put = held
runpy.run_module("gagjax", run_name="__main__")
"""


@pytest.mark.parametrize(("kind", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_run_leaves_no_output(tmp_path, kind, status):
    source = tmp_path / "in.mp4"
    video.write(source, frames(10), 25)
    words = [sys.executable, "-c", STOPPED, "video", str(source), "-o", str(tmp_path / "out" / "a.mp4")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # No clock: the run itself says that it is at work, and goes on only by the signal.
    assert "at work\n" in iter(process.stdout.readline, ""), process.communicate()
    assert list(tmp_path.glob("out/.*"))
    process.send_signal(kind)
    _, err = process.communicate()
    assert process.returncode == status and "Traceback" not in err, err
    assert not (tmp_path / "out" / "a.mp4").exists()
    if kind is not signal.SIGKILL:
        assert not (tmp_path / "out").exists()


def test_real_video(shared, tmp_path):
    """The first second of the real clip."""
    read, info = video.read(shared / "video" / "obama.mp4")
    with read:
        video.write(tmp_path / "in.mp4", [next(read) for _ in range(8)], info.fps)
    assert run(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4") == 0
    new = video.info(tmp_path / "out.mp4")
    assert (new.frames, new.fps, new.width, new.height) == (8, 24, 834, 884)
