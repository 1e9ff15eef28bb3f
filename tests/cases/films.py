"""Films made by PyAV alone for the cases: a flash and a beep at one time, in any container, cut and timed at will."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

RATE = 25
SOUND = 48000
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "pcm_s16le"),
    ".mkv": ("libx264", "aac"),
    ".ts": ("libx264", "aac"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".wmv": ("wmv2", "libmp3lame"),
    ".mpg": ("mpeg2video", "mp2"),
}


def film(
    path,
    *,
    times=None,
    flash=2.4,
    seconds=3.0,
    size=(64, 96),
    codecs=None,
    gop=46,
    b_frames=0,
    sound_from=0.0,
    layout="mono",
    fps=RATE,
):
    """A dark film with one white stretch of 0.2 s, and a beep of 0.2 s that begins with it."""
    video, audio = codecs or CODECS[path.suffix]
    times = [Fraction(i, fps) for i in range(round(seconds * fps))] if times is None else list(map(Fraction, times))
    with av.open(str(path), "w") as output:
        pictures = output.add_stream(video, rate=fps)
        pictures.height, pictures.width, pictures.pix_fmt = *size, "yuv420p"
        options = {"crf": "20", "x264-params": "scenecut=0"} if video == "libx264" else {"crf": "20", "b": "400k"}
        pictures.options = {**options, "g": str(gop), "bf": str(b_frames)}
        pictures.codec_context.gop_size, pictures.codec_context.max_b_frames = gop, b_frames
        # MPEG-4's and WMV's clocks are one tick a frame; the others' are finer.
        coarse = video in ("mpeg4", "wmv2", "mpeg2video")
        clock = Fraction(1, fps) if coarse else Fraction(1, 90000)
        pictures.codec_context.time_base = clock
        sound = None
        if audio is not None:
            sound = output.add_stream(audio, rate=SOUND, layout=layout)
        channels = 0 if sound is None else len(sound.codec_context.layout.channels)
        end = float(times[-1]) + 1.0 / fps
        grid = np.arange(round(sound_from * SOUND), round(end * SOUND)) / SOUND
        tone = np.where((grid >= flash) & (grid < flash + 0.2), 0.6 * np.sin(grid * 2 * np.pi * 1000), 0.0)
        step, placed = 1024, 0
        for time in times:
            lit = flash <= time + Fraction(1, 1000) and time < flash + 0.2
            image = np.full((*size, 3), 235 if lit else 30, np.uint8)
            image[: size[0] // 4, : size[1] // 4] = (200, 40, 40)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.time_base, frame.pts = clock, round(time / clock)
            output.mux(pictures.encode(frame))
            while sound is not None and placed < len(tone) and grid[placed] <= time + 0.1:
                block = np.repeat(tone[None, placed : placed + step].astype(np.float32), channels, 0)
                packet = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", layout)
                packet.sample_rate, packet.time_base = SOUND, Fraction(1, SOUND)
                packet.pts = placed + round(sound_from * SOUND)
                output.mux(sound.encode(packet))
                placed += step
        output.mux(pictures.encode())
        if sound is not None:
            output.mux(sound.encode())
    return path


def cut(source, path, start, end=None, *, rebase=False):
    """The packets of a film from a time on, wherever the key frames are; as `ffmpeg -c copy` would without a seek."""
    with av.open(str(source)) as before, av.open(str(path), "w") as after:
        streams = {each.index: after.add_stream_from_template(each) for each in before.streams}
        for packet in before.demux():
            if packet.dts is None or not packet.size:
                continue
            time = float(packet.pts * packet.time_base)
            if time < start or (end is not None and time >= end):
                continue
            if rebase:
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = streams[packet.stream.index]
            after.mux(packet)
    return path


def decoded(path, kind):
    """The frames that FFmpeg can decode: what is damaged or has no key frame before it is passed over."""
    with av.open(str(path)) as container:
        stream = container.streams.get(**{kind: 0})[0]
        for packet in container.demux(stream):
            try:
                yield from stream.codec_context.decode(packet if packet.size else None)
            except av.error.InvalidDataError:
                continue


def flash_of(path):
    """When the picture becomes white, on the file's clock."""
    return next(each.time for each in decoded(path, "video") if each.to_ndarray(format="gray").mean() > 180)


def beep_of(path):
    """When the sound becomes loud, on the file's clock."""
    for frame in decoded(path, "audio"):
        data = frame.to_ndarray().astype(float)
        data = data / 32768 if frame.format.name.startswith("s16") else data
        data = data if frame.format.is_planar else data.reshape(-1, len(frame.layout.channels)).T
        loud = np.abs(data).max(0) > 0.1
        if loud.any():
            return frame.time + int(np.argmax(loud)) / frame.sample_rate
    raise AssertionError("no beep")


def apart(path):
    """By how much the beep comes after the flash, in seconds."""
    return beep_of(path) - flash_of(path)
