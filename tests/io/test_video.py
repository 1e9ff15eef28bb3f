"""Video files: what goes in comes out, at its rate, upright, in its colours, with its sound."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from gagjax.errors import InputError
from gagjax.io import atomic, video

HEIGHT, WIDTH = 48, 64


def frames(count=10, height=HEIGHT, width=WIDTH):
    """A moving bar over a gradient, saturated colours in the corners."""
    for i in range(count):
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 1] = np.linspace(40, 200, width).astype(np.uint8)
        image[:, 3 * i % width : 3 * i % width + 6] = (230, 200, 180)
        for (y, x), colour in zip([(0, 0), (0, -8), (-8, 0)], [(255, 0, 0), (0, 255, 0), (0, 0, 255)], strict=True):
            image[y : y + 8 or None, x : x + 8 or None] = colour
        yield image


def with_audio(path, *, codec="aac", container_rate=25, count=25, delay=0.0):
    """A video of one second with a tone, made by PyAV alone."""
    with av.open(str(path), "w") as output:
        pictures = output.add_stream("libx264", rate=container_rate, options={"crf": "10"})
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = output.add_stream(codec, rate=44100, layout="mono")
        for i, image in enumerate(frames(count)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = i + round(delay * container_rate), Fraction(1, container_rate)
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode())
        samples = (0.3 * np.sin(np.arange(44100) * 2 * np.pi * 440 / 44100)).astype(np.float32)
        size = sound.codec_context.frame_size or 1024
        resampler = av.AudioResampler(sound.codec_context.format.name, "mono", 44100)
        for start in range(0, 44100 - size, size):
            block = av.AudioFrame.from_ndarray(samples[None, start : start + size], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = 44100, start, Fraction(1, 44100)
            for each in resampler.resample(block):
                output.mux(sound.encode(each))
        output.mux(sound.encode())
    return path


def audio_packets(path):
    with av.open(str(path)) as container:
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.size]


@pytest.mark.parametrize("rate", [25, "30000/1001", 24, Fraction(12, 1), "50/3", "24000/1001"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rate_count_and_pictures_survive(tmp_path, rate, suffix):
    path = tmp_path / f"a{suffix}"
    assert video.write(path, frames(), rate, crf=4) == 10
    read, info = video.read(path)
    assert info.fps == Fraction(rate) and info.frames == 10 and not info.variable and info.audio == ()
    assert (info.width, info.height, info.rotation, info.codec) == (WIDTH, HEIGHT, 0, "h264")
    got = np.stack(list(read))
    error = np.abs(got.astype(int) - np.stack(list(frames())))
    assert error.mean() < 4 and got.dtype == np.uint8
    assert read.time == pytest.approx(9 / float(Fraction(rate)), abs=2e-3)


def test_colours_survive_and_are_tagged(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 90)]):
        image[:, 16 * i : 16 * i + 16] = colour
    video.write(tmp_path / "a.mp4", [image] * 3, 25, crf=1)
    got = next(video.read(tmp_path / "a.mp4")[0])
    assert np.abs(got.astype(int) - image)[:, 8::16].max() <= 4
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_range) == (1, 1, 1)


def test_floats_are_rounded_and_clipped(tmp_path):
    image = np.full((16, 16, 3), 0.5)
    image[0, 0], image[0, 1], image[0, 2] = -1.0, 2.0, np.nan
    assert video.to_uint8(image)[0, :4, 0].tolist() == [0, 255, 0, 128]
    video.write(tmp_path / "a.mp4", [image, image.astype(np.float32)], 25)
    assert video.info(tmp_path / "a.mp4").frames == 2


@pytest.mark.parametrize("size", [(47, 64), (48, 63), (47, 63), (1, 1)])
def test_odd_sizes_repeat_their_last_row_and_column(tmp_path, size):
    video.write(tmp_path / "a.mp4", frames(3, *size) if min(size) > 8 else [np.ones((*size, 3))] * 3, 25, crf=1)
    got = next(video.read(tmp_path / "a.mp4")[0])
    assert got.shape[:2] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    first = next(frames(1, *size)) if min(size) > 8 else np.full((1, 1, 3), 255)
    assert np.abs(got[: size[0], : size[1]].astype(int) - first).mean() < 4


@pytest.mark.parametrize("delay", [0.0, 0.2])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_audio_is_copied_bit_for_bit_and_in_step(tmp_path, suffix, delay):
    source = with_audio(tmp_path / "source.mp4", delay=delay)
    read, info = video.read(source)
    assert info.audio == ("aac",)
    video.write(tmp_path / f"out{suffix}", read, info.fps, audio_from=source)
    old, new = audio_packets(source), audio_packets(tmp_path / f"out{suffix}")
    assert [data for _, data in new] == [data for _, data in old]
    with av.open(str(source)) as a, av.open(str(tmp_path / f"out{suffix}")) as b:
        starts = [float(c.streams.video[0].start_time * c.streams.video[0].time_base) for c in (a, b)]
    shift = [t - starts[1] - (s - starts[0]) for (s, _), (t, _) in zip(old, new, strict=True)]
    assert np.abs(shift).max() < 0.03


def test_audio_that_the_container_cannot_hold_names_the_way_out(tmp_path):
    source = with_audio(tmp_path / "source.mkv", codec="tta")
    with pytest.raises(InputError, match=r"\.mkv"):
        video.write(tmp_path / "out.m4v", frames(), 25, audio_from=source)
    assert [p.name for p in tmp_path.iterdir()] == ["source.mkv"]
    video.write(tmp_path / "out.mkv", frames(), 25, audio_from=source)
    assert video.info(tmp_path / "out.mkv").audio == ("tta",)


def test_a_silent_source_adds_no_audio(tmp_path):
    video.write(tmp_path / "a.mp4", frames(), 25)
    video.write(tmp_path / "b.mp4", frames(), 25, audio_from=tmp_path / "a.mp4")
    assert video.info(tmp_path / "b.mp4").audio == ()


def test_variable_rates_are_noticed_and_kept(tmp_path):
    times = [0.0, 0.04, 0.08, 0.3, 0.34, 0.7, 0.74, 0.78, 0.82, 1.0]
    video.write(tmp_path / "a.mkv", frames(), 25, times=times)
    read, info = video.read(tmp_path / "a.mkv")
    assert info.variable and info.frames == 10
    got = [read.time for _ in read]
    np.testing.assert_allclose(got, times, atol=2e-3)
    assert float(info.fps) == pytest.approx(9, rel=0.01)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_videos_are_read_upright(tmp_path, degrees, monkeypatch):
    video.write(tmp_path / "a.mp4", frames(3), 25, crf=4)
    plain, turned = tmp_path / "a.mp4", tmp_path / "b.mp4"
    data = bytearray(plain.read_bytes())
    # The rotation matrix in the track header, in 16.16 and 2.30 fixed point, big-endian.
    at = data.index(b"tkhd") + 4 + 40
    c, s = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data[at : at + 36] = np.array([c << 16, s << 16, 0, -s << 16, c << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    turned.write_bytes(data)
    read, info = video.read(turned)
    assert (info.width, info.height) == ((WIDTH, HEIGHT) if degrees == 180 else (HEIGHT, WIDTH))
    # Players turn the stored picture clockwise by the matrix's angle.
    np.testing.assert_array_equal(next(read), np.rot90(next(video.read(plain)[0]), -degrees // 90))


def test_reading_stops_early_without_a_leak(tmp_path):
    video.write(tmp_path / "a.mp4", frames(), 25)
    with video.read(tmp_path / "a.mp4")[0] as read:
        next(read)
    with pytest.raises(StopIteration):
        next(read)


def test_names_that_look_like_protocols_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "http:x.mp4", "-y.mp4", "concat:c.mp4"):
        video.write(name, frames(2), 25)
        assert video.info(name).frames == 2


def test_what_is_no_video_is_refused(tmp_path):
    good = tmp_path / "good.mp4"
    with_audio(good)
    data = good.read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "head.mp4").write_bytes(data[:2000])
    (tmp_path / "playlist.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://localhost:9/x.ts\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as output:
        sound = output.add_stream("aac", rate=44100, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate = 44100
        output.mux(sound.encode(block))
        output.mux(sound.encode())
    for name in ("absent", "empty", "text", "folder", "head", "playlist", "sound"):
        with pytest.raises(InputError, match=rf"{name}\.mp4"):
            list(video.read(tmp_path / f"{name}.mp4")[0])


@pytest.mark.filterwarnings("ignore:.*cut off")
def test_damaged_videos_give_pictures_or_one_input_error(tmp_path):
    data = with_audio(tmp_path / "good.mp4").read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(30):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[rng.integers(0, len(broken), 1 + trial)] = rng.integers(0, 256, 1 + trial)
        (tmp_path / "broken.mp4").write_bytes(broken[: rng.integers(100, len(broken) + 1)].tobytes())
        try:
            read, _ = video.read(tmp_path / "broken.mp4")
            assert all(image.ndim == 3 for image in read)
        except InputError as error:
            assert "broken.mp4" in str(error)


@pytest.mark.misuse
def test_a_failed_write_leaves_nothing(tmp_path):
    def breaks():
        yield from frames(3)
        raise KeyboardInterrupt

    for bad, error in ((breaks(), KeyboardInterrupt), ([], InputError), ([np.zeros((4, 4))], ValueError)):
        with pytest.raises(error):
            video.write(tmp_path / "a.mp4", bad, 25)
    with pytest.raises(ValueError, match="frame 1"):
        video.write(tmp_path / "a.mp4", [np.zeros((16, 16, 3)), np.zeros((16, 18, 3))], 25)
    with pytest.raises(ValueError, match="int64"):
        video.write(tmp_path / "a.mp4", [np.zeros((16, 16, 3), int)], 25)
    with pytest.raises(InputError, match=r"\.mp4"):
        video.write(tmp_path / "a.avi", frames(), 25)
    assert list(tmp_path.iterdir()) == []
    video.write(tmp_path / "a.mp4", frames(), 25)
    with pytest.raises(InputError, match="force=True"):
        video.write(tmp_path / "a.mp4", frames(), 25)
    assert atomic.MARK not in "".join(p.name for p in tmp_path.iterdir())


def test_real_video(shared):
    read, info = video.read(shared / "video" / "obama.mp4")
    assert (info.fps, info.frames, info.width, info.height, info.audio) == (24, 241, 834, 884, ())
    image = next(read)
    read.close()
    assert image.shape == (884, 834, 3) and 20 < image.mean() < 235


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        video.write(tmp_path / name, (image for _ in range(8) for image in frames(10, 240, 320)), 25)
    assert len({(tmp_path / name).read_bytes() for name in ("a.mp4", "b.mp4", "c.mp4")}) == 1
