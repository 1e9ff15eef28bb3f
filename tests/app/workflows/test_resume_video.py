"""A stopped run over a video loses nothing, and the next one makes the file that an undisturbed run makes."""

from __future__ import annotations

import dataclasses
import itertools
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gagjax.app.workflows.video import enhance_video
from gagjax.errors import InputError
from gagjax.io import resumable, video
from gagjax.stack import Stack
from tests.io.test_video import frames, with_audio


@pytest.fixture(scope="module")
def stack():
    return Stack.default(enable=("detail",))


def stopping(monkeypatch, after):
    """Interrupt the encoder after some frames."""
    put, count = resumable.Part.put, itertools.count(1)

    def counted(self, *args):
        if next(count) > after:
            raise KeyboardInterrupt
        put(self, *args)

    monkeypatch.setattr(resumable.Part, "put", counted)


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("stops", [(30,), (8, 9, 20), (3,)], ids=str)
def test_resumed_is_bitwise_as_undisturbed(stack, tmp_path, monkeypatch, stops):
    source = with_audio(tmp_path / "in.mp4", container_rate=30, count=37)
    enhance_video(stack, source, tmp_path / "clean.mp4", part=8)
    for after in stops:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stopping(patch, after)
            enhance_video(stack, source, tmp_path / "out.mp4", part=8)
        assert not (tmp_path / "out.mp4").exists()
        assert leftovers(tmp_path) == ([".out.mp4.parts"] if sum(stops) >= 8 else [])
    count, _ = enhance_video(stack, source, tmp_path / "out.mp4", part=8)
    assert count == 37 and not leftovers(tmp_path)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "clean.mp4").read_bytes()
    info = video.info(tmp_path / "out.mp4")
    assert (info.frames, info.fps, info.variable, info.audio) == (37, 30, False, ("aac",))


def test_parts_change_no_frame_and_no_time(stack, tmp_path):
    times = np.cumsum([0.0, 0.04, 0.3, 0.04, 0.04, 0.9, 0.04, 0.04, 0.2, 0.04, 0.04, 0.04, 0.5, 0.04, 0.04, 0.04, 0.6])
    video.write(tmp_path / "in.mkv", frames(len(times)), 25, times=times)
    for part, name in ((1000, "whole.mp4"), (8, "parts.mp4")):
        enhance_video(stack, tmp_path / "in.mkv", tmp_path / name, crf=0, part=part)
    shown = {}
    for name in ("whole.mp4", "parts.mp4"):
        read, info = video.read(tmp_path / name)
        shown[name] = [(frame, read.time) for frame in read]
        assert info.variable and info.frames == len(times)
    for (a, s), (b, t), wanted in zip(shown["whole.mp4"], shown["parts.mp4"], times, strict=True):
        np.testing.assert_array_equal(a, b)  # crf 0 is lossless, so the state went on from part to part
        assert abs(s - wanted) < 2e-3 and abs(t - wanted) < 2e-3


def test_another_job_begins_again(stack, tmp_path, monkeypatch):
    source = tmp_path / "in.mp4"
    video.write(source, frames(20), 25)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(patch, 17)
        enhance_video(stack, source, tmp_path / "out.mp4", part=8)
    stronger = dataclasses.replace(stack, detail=dataclasses.replace(stack.detail, strength=np.float32(3)))
    enhance_video(stronger, source, tmp_path / "out.mp4", part=8)
    enhance_video(stronger, source, tmp_path / "clean.mp4", part=8)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "clean.mp4").read_bytes()


def test_two_runs_into_one_output(tmp_path):
    second = resumable.kept(tmp_path / "out.mp4", {})
    with resumable.kept(tmp_path / "out.mp4", {}), pytest.raises(InputError, match="another run"):
        second.__enter__()


def test_killed_at_any_moment(stack, tmp_path):
    source = tmp_path / "in.mp4"
    video.write(source, (image for _ in range(16) for image in frames(10, 240, 320)), 25)
    code = (
        "from pathlib import Path; from gagjax.stack import Stack; from gagjax.app.workflows.video import enhance_video;"
        f"enhance_video(Stack.default(enable=('detail',)), Path({str(source)!r}), Path({str(tmp_path / 'out.mp4')!r}), part=8)"
    )
    for parts_before in (1, 4):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob(".out.mp4.parts/0*.npz"))) < parts_before and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert not (tmp_path / "out.mp4").exists()
    enhance_video(stack, source, tmp_path / "out.mp4", part=8)
    enhance_video(stack, source, tmp_path / "clean.mp4", part=8)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "clean.mp4").read_bytes()
    assert not leftovers(tmp_path)
