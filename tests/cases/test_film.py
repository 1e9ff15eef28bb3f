"""Film cases C05 to C07 and their kin: sound in step, pixel aspect, HDR, display matrices, transparency, times."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from gagjax.app.cli import main
from gagjax.app.commands.info import describe
from gagjax.io import video
from tests.cases import films

FRAME = 0.04
UNEVEN = [0, 1, 2, 8, 9, 17, 18, 19, 20, 25, 38, 39, 48, 50, 58, 60, 63, 65, 73]  # in frames of 1/25 s

pytestmark = pytest.mark.filterwarnings("ignore:.*packets")


def run(*words):
    assert main([*map(str, words)]) == 0


def said(path):
    """What `gagjax info` says, as one text."""
    title, lines, remarks = describe(path)
    return "\n".join([title, *(f"{word} {text}" for word, text in lines), *remarks])


# --- C05: sound stays with the picture -------------------------------------------------------------------------------


def test_c05_starts_between_key_frames(shared, tmp_path):
    source = shared / "cases" / "C05_starts_between_key_frames" / "cut.mkv"
    run("video", source, "-o", tmp_path / "out.mp4")
    assert abs(films.apart(tmp_path / "out.mp4")) < FRAME
    text = said(source)
    assert "29 at 25 fps" in text and "of 50 packets" in text and "0.837 s before the first frame shown" in text
    assert "21 of 50 packets come before the first key frame" in text


@pytest.mark.parametrize("out", [".mp4", ".mkv", ".mov", ".webm"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".avi", ".webm", ".wmv", ".mpg"])
def test_sound_stays_after_a_cut_between_key_frames(tmp_path, suffix, out):
    whole = films.film(tmp_path / f"whole{suffix}")
    source = films.cut(whole, tmp_path / f"cut{suffix}", 1.0, rebase=True)
    run("video", source, "-o", tmp_path / f"out{out}")
    assert abs(films.apart(tmp_path / f"out{out}")) < FRAME
    described = video.info(source)
    assert described.frames == 29 < described.packets
    assert video.info(tmp_path / f"out{out}").frames == 29


KINDS = {
    "b_frames": {"b_frames": 2, "gop": 20},
    "uneven": {"times": [Fraction(n, 25) for n in UNEVEN]},
    "late_sound": {"sound_from": 1.0},
    "late_picture": {"times": [Fraction(n, 25) for n in range(25, 75)]},
    "surround": {"layout": "5.1"},
    "ntsc": {"fps": Fraction(30000, 1001)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".avi", ".webm"])
def test_sound_stays_whatever_the_times(tmp_path, suffix, kind):
    if suffix == ".avi" and kind in ("late_sound", "surround"):
        pytest.skip("AVI keeps no start of its sound, and MP3 no six channels")
    if suffix == ".webm" and kind == "b_frames":
        pytest.skip("VP9 has none")
    source = films.film(tmp_path / f"in{suffix}", **KINDS[kind])
    before = films.apart(source)
    assert abs(before) < FRAME
    run("video", source, "-o", tmp_path / "out.mp4")
    assert abs(films.apart(tmp_path / "out.mp4")) < FRAME
    got = [float(t) for t in video.times(tmp_path / "out.mp4")]
    np.testing.assert_allclose(got, [float(t) for t in video.times(source)], atol=0.021)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".mpg"])
def test_a_cut_with_b_frames_counts_what_is_shown(tmp_path, suffix):
    whole = films.film(tmp_path / f"whole{suffix}", b_frames=2, gop=20)
    source = films.cut(whole, tmp_path / f"cut{suffix}", 0.7)
    frames, described = video.read(source)
    run("video", source, "-o", tmp_path / "out.mp4")
    assert len(list(frames)) == described.frames == video.info(tmp_path / "out.mp4").frames
    assert abs(films.apart(tmp_path / "out.mp4")) < FRAME


def with_edit_list(path, out, *, track, media_time, scale):
    """A copy of an MP4 whose track's one edit begins later in its media."""
    data = bytearray(path.read_bytes())
    at = [i for i in range(len(data)) if data[i : i + 4] == b"elst"][track]
    assert struct.unpack(">I", data[at + 8 : at + 12])[0] == 1
    length, old = struct.unpack(">Ii", data[at + 12 : at + 20])
    data[at + 12 : at + 20] = struct.pack(">Ii", length, old + round(media_time * scale))
    out.write_bytes(bytes(data))
    return out


@pytest.mark.parametrize("uneven", [False, True])
def test_an_edit_list_hides_frames_and_the_sound_follows(tmp_path, uneven):
    times = [Fraction(n, 25) for n in (UNEVEN if uneven else range(75))]
    films.film(tmp_path / "whole.mp4", times=times, gop=10)
    with av.open(str(tmp_path / "whole.mp4")) as container:
        scales = [stream.time_base.denominator for stream in container.streams]
    source = tmp_path / "whole.mp4"
    for track, scale in enumerate(scales):
        source = with_edit_list(source, tmp_path / f"edited{track}.mp4", track=track, media_time=0.8, scale=scale)
    assert abs(films.apart(source)) < FRAME and films.flash_of(source) == pytest.approx(1.6, abs=0.05)
    described = video.info(source)
    assert described.frames == sum(time >= Fraction(8, 10) for time in times) < len(times)
    run("video", source, "-o", tmp_path / "out.mp4")
    run("video", source, "-o", tmp_path / "out.mkv")
    for out in ("out.mp4", "out.mkv"):
        assert abs(films.apart(tmp_path / out)) < FRAME
        assert video.info(tmp_path / out).sound == pytest.approx(0.0, abs=FRAME)  # nothing of what was hidden returns


def test_sound_that_the_container_cannot_hold_is_encoded_again(tmp_path, capsys):
    source = films.film(tmp_path / "in.mkv", codecs=("libx264", "tta"), sound_from=0.5)
    run("video", source, "-o", tmp_path / "out.mp4")
    assert "encoded again, as the container cannot hold it (tta)" in capsys.readouterr().out
    assert video.info(tmp_path / "out.mp4").audio == ("aac",) and abs(films.apart(tmp_path / "out.mp4")) < FRAME


@pytest.mark.parametrize("keep", [0.5, 0.8, 0.97])
def test_a_truncated_film_gives_what_there_is_and_says_so(tmp_path, keep):
    data = films.film(tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: int(len(data) * keep)])
    with pytest.warns(UserWarning, match="cut off"):
        frames, described = video.read(tmp_path / "cut.mkv")
        assert len(list(frames)) == described.frames < 75


def test_a_count_that_lies_in_the_header(tmp_path):
    data = bytearray(films.film(tmp_path / "in.avi").read_bytes())
    at = data.index(b"avih") + 8 + 16
    data[at : at + 4] = struct.pack("<I", 5000)
    (tmp_path / "lie.avi").write_bytes(bytes(data))
    described = video.info(tmp_path / "lie.avi")
    assert described.frames == video.info(tmp_path / "in.avi").frames


# --- C06: pixel aspect -----------------------------------------------------------------------------------------------


def test_c06_pixel_aspect(shared, tmp_path, capsys):
    source = shared / "cases" / "C06_pixel_aspect" / "in.mp4"
    run("video", source, "-o", tmp_path / "out.mp4")
    assert video.info(tmp_path / "out.mp4").aspect == Fraction(16, 9)
    assert "16:9, shown as 171×96" in said(source) and "16:9" in capsys.readouterr().out


def stretched(path, aspect, codec="libx264", size=(48, 64)):
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(25):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((*size, 3), 120, np.uint8), "rgb24")))
        output.mux(stream.encode())
    return path


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(8, 9), Fraction(64, 45)])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".ts", "libx264")])
def test_pixel_aspect_is_kept(tmp_path, suffix, codec, aspect):
    source = stretched(tmp_path / f"in{suffix}", aspect, codec)
    assert video.info(source).aspect == aspect
    for out in ("out.mp4", "out.mkv"):
        run("video", source, "-o", tmp_path / out)
        assert video.info(tmp_path / out).aspect == aspect


def test_pixel_aspect_turns_with_the_picture(tmp_path):
    source = placed(stretched(tmp_path / "in.mp4", Fraction(4, 3)), tmp_path / "turned.mp4", (0, 1, -1, 0))
    described = video.info(source)
    assert (described.width, described.height, described.aspect) == (48, 64, Fraction(3, 4))
    run("video", source, "-o", tmp_path / "out.mp4")
    made = video.info(tmp_path / "out.mp4")
    assert (made.width, made.height, made.aspect, made.rotation) == (48, 64, Fraction(3, 4), 0)


def test_what_is_no_h264_is_scaled_to_square_pixels(tmp_path, capsys):
    source = stretched(tmp_path / "in.mp4", Fraction(4, 3))
    for out in ("out.gif", "pictures", "out.webm"):
        run("video", source, "-o", tmp_path / out)
        made = video.info(tmp_path / out)
        assert (made.width, made.height, made.aspect, made.frames) == (86 if "webm" in out else 85, 48, 1, 25)
        assert "square pixels, 85 x 48" in capsys.readouterr().out


# --- The display matrix ----------------------------------------------------------------------------------------------

EIGHT = [
    (1, 0, 0, 1),
    (0, 1, -1, 0),
    (-1, 0, 0, -1),
    (0, -1, 1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


def placed(path, out, matrix):
    """A copy of an MP4 with the display matrix of its pictures set to (a, b, c, d)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (each << 16 for each in matrix)
    data[at : at + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    out.write_bytes(bytes(data))
    return out


def shown(image, matrix):
    """Each stored pixel put where the matrix says, one by one."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    at = {(a * x + c * y, b * x + d * y): image[y, x] for y in range(height) for x in range(width)}
    left, top = min(x for x, _ in at), min(y for _, y in at)
    out = np.zeros((max(y for _, y in at) - top + 1, max(x for x, _ in at) - left + 1, 3), np.uint8)
    for (x, y), pixel in at.items():
        out[y - top, x - left] = pixel
    return out


@pytest.mark.parametrize("matrix", EIGHT, ids=str)
def test_the_whole_display_matrix(tmp_path, matrix):
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    video.write(tmp_path / "plain.mp4", [image] * 2, 25, crf=1)
    source = placed(tmp_path / "plain.mp4", tmp_path / "in.mp4", matrix)
    stored = next(video.read(tmp_path / "plain.mp4")[0])
    frames, described = video.read(source)
    np.testing.assert_array_equal(next(frames), shown(stored, matrix))
    frames.close()
    mirrored = matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0
    assert described.mirrored == mirrored and ("mirrored" in said(source)) == mirrored
    assert ("turned by" in said(source)) == (described.rotation != 0)


# --- C07: HDR and other colours --------------------------------------------------------------------------------------


def test_c07_hdr_reference_white_is_white(shared, tmp_path, capsys):
    source = shared / "cases" / "C07_hdr" / "white.mp4"
    run("video", source, "-o", tmp_path / "out.mp4")
    assert "203 cd/m2" in capsys.readouterr().out
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (1, 1, 1)
        assert frame.to_ndarray(format="rgb24").min() > 240
    assert "10 bit, HDR, PQ (HDR10), BT.2020" in said(source)


MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def coded(path, signal, *, matrix, transfer, primaries, full=False, depth=10, codec="libx265"):
    """A film of one colour, given as non-linear R'G'B' in [0, 1], in exactly the codes that the tags say."""
    r, g, b = signal
    kr, kb = MATRICES[matrix]
    luma = kr * r + (1 - kr - kb) * g + kb * b
    parts = (luma, (b - luma) / (2 * (1 - kb)), (r - luma) / (2 * (1 - kr)))
    if full:
        codes = [parts[0] * (2**depth - 1), *(p * (2**depth - 1) + 2 ** (depth - 1) for p in parts[1:])]
    else:
        unit = 2 ** (depth - 8)
        codes = [(16 + 219 * parts[0]) * unit, *((128 + 224 * p) * unit for p in parts[1:])]
    frame = av.VideoFrame(64, 64, "yuv420p10le" if depth == 10 else "yuv420p")
    kind = np.uint16 if depth == 10 else np.uint8
    for plane, code in zip(frame.planes, codes, strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, round(code), kind).tobytes())
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, frame.format.name
        stream.options = {"crf": "1", "x265-params": "log-level=none"}
        context = stream.codec_context
        context.colorspace, context.color_trc, context.color_primaries = matrix, transfer, primaries
        context.color_range = 2 if full else 1
        for number in range(3):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def pq(light):
    """The PQ signal of light in cd/m2 (ST 2084's inverse, written from the standard's constants)."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    y = (light / 10000.0) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def middle(path):
    with video.read(path)[0] as frames:
        return next(frames)[32, 32].astype(int)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("light", "low", "high"), [(0.0, 0, 1), (20.3, 96, 99), (100.0, 188, 192), (203.0, 240, 255), (1000.0, 250, 255)]
)
def test_grey_light_in_pq(tmp_path, light, low, high, full):
    """Below the knee light is light: 10 % of reference white is 10 % of white, 0.1 ** (1 / 2.4) of the signal."""
    source = coded(tmp_path / "a.mp4", (pq(light),) * 3, matrix=9, transfer=16, primaries=9, full=full)
    pixel = middle(source)
    assert low <= pixel.min() and pixel.max() <= high and np.ptp(pixel) <= 2


@pytest.mark.parametrize(("signal", "low", "high"), [(0.0, 0, 1), (0.5, 140, 147), (0.75, 240, 255), (1.0, 250, 255)])
def test_grey_signal_in_hlg(tmp_path, signal, low, high):
    """BT.2408: HDR reference white is 75 % of the HLG signal, and shown as 203 cd/m2."""
    source = coded(tmp_path / "a.mp4", (signal,) * 3, matrix=9, transfer=18, primaries=9)
    pixel = middle(source)
    assert low <= pixel.min() and pixel.max() <= high and np.ptp(pixel) <= 2
    assert "HDR, HLG" in said(source)


def test_brighter_light_is_never_darker(tmp_path):
    from gagjax.io.video import tone

    light = np.linspace(0, 50, 5000)
    curve = tone.roll_off(light)
    slopes = np.diff(curve) / np.diff(light)
    assert (slopes > 0).all() and (np.diff(slopes) < 1e-9).all() and curve.max() < 1
    np.testing.assert_allclose(curve[light < 0.85], light[light < 0.85], atol=1e-12)


def test_colours_of_bt709_inside_hdr_come_back(tmp_path):
    """A BT.709 colour below the knee, put into BT.2020 and PQ, is itself again."""
    wanted = np.array([180, 90, 60])
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087
    light = to_2020 @ (wanted / 255.0) ** 2.4 * 203.0
    source = coded(tmp_path / "a.mp4", tuple(pq(each) for each in light), matrix=9, transfer=16, primaries=9)
    np.testing.assert_allclose(middle(source), wanted, atol=4)


def test_sdr_in_bt2020_is_converted(tmp_path):
    wanted = np.array([200, 60, 30])
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    signal = (to_2020 @ (wanted / 255.0) ** 2.4) ** (1 / 2.4)
    source = coded(tmp_path / "a.mp4", tuple(signal), matrix=9, transfer=14, primaries=9)
    np.testing.assert_allclose(middle(source), wanted, atol=4)
    assert "BT.2020 colours are converted to BT.709" in said(source) and "HDR" not in said(source)


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6])
def test_matrix_range_and_depth(tmp_path, matrix, full, depth):
    wanted = np.array([200, 60, 30])
    source = coded(
        tmp_path / "a.mkv", tuple(wanted / 255.0), matrix=matrix, transfer=1, primaries=1, full=full, depth=depth
    )
    np.testing.assert_allclose(middle(source), wanted, atol=4)
    run("video", source, "-o", tmp_path / "out.mp4")
    np.testing.assert_allclose(middle(tmp_path / "out.mp4"), wanted, atol=5)
    assert f"{depth} bit, SDR" in said(source)


# --- Transparency ----------------------------------------------------------------------------------------------------


def see_through(path, codec, form):
    """White, opaque on the left and half seen through on the right."""
    image = np.full((64, 64, 4), 255, np.uint8)
    image[:, 32:, 3] = 128
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 64, form
        stream.options = {"auto-alt-ref": "0"} if codec.startswith("libvpx") else {}
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(image, "rgba").reformat(format=form)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("b.mov", "qtrle", "argb"),
        ("c.webm", "libvpx-vp9", "yuva420p"),
        ("d.webm", "libvpx", "yuva420p"),
        ("e.mov", "png", "rgba"),
        ("f.mkv", "ffv1", "bgra"),
    ],
)
def test_transparency_is_put_over_black_and_said(tmp_path, capsys, name, codec, form):
    source = see_through(tmp_path / name, codec, form)
    with video.read(source)[0] as frames:
        image = next(frames)
    assert image[8:56, 4:24].min() > 245 and np.abs(image[8:56, 40:60].astype(int) - 128).max() < 12
    assert "with transparency" in said(source) and "over black" in said(source)
    run("video", source, "-o", tmp_path / "out.mp4")
    assert "over black" in capsys.readouterr().out


def test_an_opaque_film_in_a_format_with_alpha_is_not_called_transparent(tmp_path):
    image = np.full((32, 32, 3), 90, np.uint8)
    video.write(tmp_path / "a.gif", [image, image + 40], 25)
    assert "transparency" not in said(tmp_path / "a.gif")
