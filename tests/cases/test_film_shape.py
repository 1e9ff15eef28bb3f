"""Film case C06 and its kin: pixel aspect and the whole display matrix."""

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
