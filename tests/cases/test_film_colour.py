"""Film case C07 and its kin: HDR, wide gamuts, matrices, ranges, depths and transparency."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from gagjax.app.cli import main
from gagjax.app.commands.info import describe
from gagjax.io import video

pytestmark = pytest.mark.filterwarnings("ignore:.*packets")


def run(*words):
    assert main([*map(str, words)]) == 0


def said(path):
    """What `gagjax info` says, as one text."""
    title, lines, remarks = describe(path)
    return "\n".join([title, *(f"{word} {text}" for word, text in lines), *remarks])


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
