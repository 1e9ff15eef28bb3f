"""Film case C05 and its kin: sound stays with the picture, whatever the container, the cut and the times."""

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


def test_films_put_one_after_another(tmp_path):
    """`cat a.ts b.ts`: the clock begins anew, and sound and pictures both go on."""
    first = films.film(tmp_path / "a.ts", seconds=1.2, flash=9.0)
    second = films.film(tmp_path / "b.ts", seconds=1.2, flash=0.6)
    source = tmp_path / "ab.ts"
    source.write_bytes(first.read_bytes() + second.read_bytes())
    run("video", source, "-o", tmp_path / "out.mp4")
    assert video.info(tmp_path / "out.mp4").frames == 60
    assert films.flash_of(tmp_path / "out.mp4") == pytest.approx(1.8, abs=0.07)
    assert abs(films.apart(tmp_path / "out.mp4")) < 2 * FRAME  # AAC's blocks end between frames
    other = films.film(tmp_path / "c.ts", seconds=1.2, size=(96, 64))
    source.write_bytes(first.read_bytes() + other.read_bytes())
    assert main(["video", str(source), "-o", str(tmp_path / "no.mp4")]) == 2


def test_pictures_that_begin_before_zero(tmp_path):
    with (
        av.open(str(films.film(tmp_path / "whole.mkv"))) as before,
        av.open(str(tmp_path / "in.mkv"), "w", options={"avoid_negative_ts": "disabled"}) as after,
    ):
        streams = {each.index: after.add_stream_from_template(each) for each in before.streams}
        for packet in before.demux():
            if packet.dts is not None:
                shift = round(Fraction(1, 2) / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift,
                    packet.dts - shift,
                    streams[packet.stream.index],
                )
                after.mux(packet)
    run("video", tmp_path / "in.mkv", "-o", tmp_path / "out.mp4")
    assert abs(films.apart(tmp_path / "out.mp4")) < FRAME and video.info(tmp_path / "out.mp4").frames == 75


def test_every_sound_of_several(tmp_path):
    one, two = films.film(tmp_path / "1.mkv"), films.film(tmp_path / "2.mkv", sound_from=1.0)
    with av.open(str(one)) as a, av.open(str(two)) as b, av.open(str(tmp_path / "in.mkv"), "w") as output:
        made = [
            output.add_stream_from_template(s) for s in (a.streams.video[0], a.streams.audio[0], b.streams.audio[0])
        ]
        packets = [(p, made[p.stream.index]) for p in a.demux() if p.dts is not None]
        packets += [(p, made[2]) for p in b.demux(audio=0) if p.dts is not None]
        for packet, stream in sorted(packets, key=lambda each: each[0].dts * each[0].time_base):
            packet.stream = stream
            output.mux(packet)
    for out in ("out.mp4", "out.webm"):
        run("video", tmp_path / "in.mkv", "-o", tmp_path / out)
        with av.open(str(tmp_path / out)) as container:
            starts = [float(s.start_time * s.time_base) for s in container.streams]
        assert starts == pytest.approx([0, 0, 1], abs=FRAME) and abs(films.apart(tmp_path / out)) < FRAME
