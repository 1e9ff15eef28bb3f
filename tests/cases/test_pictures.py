"""Folders of pictures, GIFs and frame databases as films, and films as those; one answer to which names are films."""

from __future__ import annotations

import shutil
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from gagjax.app.cli import main
from gagjax.app.commands.info import describe
from gagjax.errors import InputError
from gagjax.io import frame_database, images, suffixes, tracks, video
from tests.cases import films


def run(*words):
    assert main([*map(str, words)]) == 0


def said(path):
    title, lines, remarks = describe(path)
    return "\n".join([title, *(f"{word} {text}" for word, text in lines), *remarks])


def picture(level, size=(32, 48)):
    image = np.full((*size, 3), level, np.uint8)
    image[:8, :12] = (200, 30, 30)
    return image


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "pictures"
    place.mkdir()
    return place


def levels(path, **options):
    with video.read(path, **options)[0] as frames:
        return [round(float(each[16:, 24:].mean()) / 10) * 10 for each in frames]


def test_a_folder_of_pictures_becomes_a_film(folder, tmp_path, capsys):
    for number in (1, 2, 10, 11):
        Image.fromarray(picture(number * 10)).save(folder / f"frame{number}.png")
    run("video", folder, "-o", tmp_path / "out.mp4", "--fps", "30")
    assert "4 frames at 30 fps" in capsys.readouterr().out
    assert levels(tmp_path / "out.mp4") == [10, 20, 100, 110]
    assert [float(t) for t in video.times(tmp_path / "out.mp4")] == pytest.approx(
        [0, 1 / 30, 9 / 30, 10 / 30], abs=2e-3
    )
    text = said(folder)
    assert text.startswith("folder of pictures") and "7 numbers are missing" in text


def test_numbers_of_any_width_and_step(folder):
    for name, level in {"f_8.png": 80, "f_0010.png": 100, "f_12.png": 120, "f_0099.txt": 0}.items():
        if name.endswith("png"):
            Image.fromarray(picture(level)).save(folder / name)
        else:
            (folder / name).write_text("no picture")
    assert levels(folder) == [80, 100, 120]
    assert video.times(folder / "") == [0, Fraction(1, 25), Fraction(2, 25)] and not video.info(folder).variable


def test_pictures_without_numbers_and_of_two_series(folder):
    for name, level in {"b1": 60, "a2": 20, "a1": 10, "b2": 70}.items():
        Image.fromarray(picture(level)).save(folder / f"{name}.png")
    with pytest.warns(UserWarning, match="2 series"):
        assert levels(folder) == [10, 20, 60, 70]


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "I;16", "CMYK", "1"])
def test_pictures_of_every_mode(folder, mode):
    grey = np.full((32, 48), 255 if mode == "1" else 120, np.uint8)
    for number in range(2):
        if mode == "I;16":
            made = Image.fromarray(grey.astype(np.uint16) * 257)
        elif mode == "P":
            made = Image.fromarray(np.stack([grey] * 3, 2)).quantize(4)
        else:
            made = Image.fromarray(np.stack([grey] * 3, 2)).convert(mode)
        made.save(folder / f"{number}.{'jpg' if mode == 'CMYK' else 'png'}")
    with video.read(folder)[0] as frames:
        assert np.abs(next(frames).astype(int) - grey[..., None]).max() <= 3
    assert ("16 bit" in said(folder)) == (mode == "I;16") and "transparency" not in said(folder)


def test_turned_photographs(folder):
    image = picture(90)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(image).save(folder / f"{orientation}.jpg", exif=exif, quality=95, subsampling=0)
    with pytest.raises(InputError, match="32 x 48"):
        video.read(folder)
    for orientation in range(1, 5):
        (folder / f"{orientation}.jpg").unlink()
    frames, info = video.read(folder)
    assert (info.width, info.height) == (32, 48)
    corners = [tuple(int(each[y, x, 0]) > 150 for y, x in ((2, 2), (2, -3), (-3, 2), (-3, -3))) for each in frames]
    # 5: transposed; 6: turned clockwise; 7: transposed the other way; 8: turned counterclockwise.
    assert corners == [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0)]


def test_transparent_pictures_lie_over_black(folder):
    image = np.dstack([picture(200), np.full((32, 48), 128, np.uint8)])
    Image.fromarray(image).save(folder / "0.png")
    palette = Image.fromarray(picture(200)).quantize(16)
    palette.save(folder / "1.png", transparency=palette.getpixel((40, 30)))
    first, second = list(video.read(folder)[0])
    assert abs(int(first[20, 40, 0]) - 100) <= 1 and second[20, 40, 0] == 0
    assert "with transparency" in said(folder) and "over black" in said(folder)


@pytest.mark.parametrize("fault", ["size", "damaged", "empty"])
def test_folders_that_are_no_film(folder, tmp_path, capsys, fault):
    for number in range(3):
        Image.fromarray(picture(50)).save(folder / f"{number}.png")
    if fault == "size":
        Image.fromarray(picture(50, (32, 32))).save(folder / "1.png")
    elif fault == "damaged":
        (folder / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    else:
        for each in folder.iterdir():
            each.unlink()
    assert main(["video", str(folder), "-o", str(tmp_path / "out.mp4")]) == 2
    said = capsys.readouterr().err
    assert ("1.png" in said or fault == "empty") and "pictures" in said and not (tmp_path / "out.mp4").exists()


def test_a_gif_with_times_and_transparency(tmp_path, capsys):
    made = [Image.fromarray(picture(level)).quantize(32) for level in (40, 120, 200)]
    made[0].save(tmp_path / "in.gif", save_all=True, append_images=made[1:], duration=[100, 300, 50], disposal=2)
    assert [float(t) for t in video.times(tmp_path / "in.gif")] == pytest.approx([0, 0.1, 0.4])
    run("video", tmp_path / "in.gif", "-o", tmp_path / "out.mp4")
    assert levels(tmp_path / "out.mp4") == [40, 120, 200] and "varying, kept" in capsys.readouterr().out
    assert [float(t) for t in video.times(tmp_path / "out.mp4")] == pytest.approx([0, 0.1, 0.4], abs=2e-3)

    through = Image.new("RGBA", (48, 32), (255, 255, 255, 0))
    through.paste((255, 0, 0, 255), (0, 0, 20, 32))
    through.save(tmp_path / "through.gif", save_all=True, append_images=[through.rotate(180)], duration=80, disposal=2)
    first = next(video.read(tmp_path / "through.gif")[0])
    assert first[16, 5].tolist() == [255, 0, 0] and first[16, 40].tolist() == [0, 0, 0]
    assert "over black" in said(tmp_path / "through.gif")


def test_a_database_becomes_a_film(tmp_path):
    frame_database.write(tmp_path / "clip" / "img_lmdb", ((f"a_{n}", picture(n * 10)) for n in (9, 10, 11, 8)))
    for place in (tmp_path / "clip", tmp_path / "clip" / "img_lmdb"):
        assert levels(place) == [80, 90, 100, 110]
    run("video", tmp_path / "clip" / "img_lmdb", "-o", tmp_path / "out.mp4")
    assert video.info(tmp_path / "out.mp4").frames == 4


def test_the_database_of_the_demo(shared, tmp_path):
    with pytest.warns(UserWarning, match="40 series"):
        frames, info = video.read(shared / "video" / "vfhq_demo")
    assert (info.frames, info.width, info.height, info.codec) == (40, 512, 512, "JPEG")
    assert next(frames).shape == (512, 512, 3)
    frames.close()


def test_film_to_pictures_and_back(tmp_path, capsys):
    source = films.film(tmp_path / "in.mp4", seconds=0.4, flash=0.2)
    run("video", source, "-o", tmp_path / "frames")
    out = capsys.readouterr().out
    assert "audio left out" in out and "no suffix" in out
    assert sorted(each.name for each in (tmp_path / "frames").iterdir())[-1] == "000009.png"
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
    run("video", tmp_path / "frames", "-o", tmp_path / "back.mkv")
    assert video.info(tmp_path / "back.mkv").frames == 10
    assert main(["video", str(source), "-o", str(tmp_path / "frames")]) == 2
    (tmp_path / "frames" / "000099.png").write_bytes(b"of a longer run")
    (tmp_path / "frames" / "mine.txt").write_text("mine")
    run("video", source, "-o", tmp_path / "frames", "--force")
    assert len(list((tmp_path / "frames").glob("*.png"))) == 10 and (tmp_path / "frames" / "mine.txt").exists()


def test_pictures_hold_what_the_enhancement_made(tmp_path):
    from gagjax.app.workflows.video import enhance_video
    from gagjax.stack import Stack

    source = films.film(tmp_path / "in.mp4", seconds=0.4, flash=0.2)
    stack = Stack.default(enable=("detail",))
    enhance_video(stack, source, tmp_path / "whole", part=1000)
    enhance_video(stack, source, tmp_path / "parts", part=3)
    enhance_video(stack, source, tmp_path / "lossless.mp4", crf=0)
    for name in sorted(each.name for each in (tmp_path / "whole").iterdir()):
        np.testing.assert_array_equal(images.read(tmp_path / "whole" / name), images.read(tmp_path / "parts" / name))


@pytest.mark.parametrize("suffix", [".gif", ".webm", ".mkv"])
def test_resumed_gif_and_webm_are_as_undisturbed(tmp_path, monkeypatch, suffix):
    from gagjax.app.workflows.video import enhance_video
    from gagjax.io import resumable
    from gagjax.stack import Stack

    source = films.film(tmp_path / "in.mkv", seconds=0.8, flash=0.2)
    stack = Stack.default(enable=("detail",))
    enhance_video(stack, source, tmp_path / f"clean{suffix}", part=8)
    put, count = resumable.Part.put, iter(range(100))

    def stopping(self, *args):
        if next(count) >= 12:
            raise KeyboardInterrupt
        put(self, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(resumable.Part, "put", stopping)
        enhance_video(stack, source, tmp_path / f"out{suffix}", part=8)
    enhance_video(stack, source, tmp_path / f"out{suffix}", part=8)
    assert (tmp_path / f"out{suffix}").read_bytes() == (tmp_path / f"clean{suffix}").read_bytes()
    info = video.info(tmp_path / f"out{suffix}")
    assert info.frames == 20 and [float(t) for t in video.times(info)] == pytest.approx(
        [n / 25 for n in range(20)], abs=0.006
    )


def test_which_names_are_films_and_pictures():
    assert {
        ".mp4",
        ".mov",
        ".m4v",
        ".mkv",
        ".webm",
        ".avi",
        ".ts",
        ".mts",
        ".m2ts",
        ".wmv",
        ".mpg",
        ".flv",
        ".3gp",
    } <= (suffixes.videos())
    assert {".gif", ".ogv", ".mxf", ".vob", ".y4m", ".asf"} <= suffixes.videos()
    assert {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif"} <= suffixes.images()
    others = {
        ".npz",
        ".pkl",
        ".pt",
        ".pth",
        ".json",
        ".txt",
        ".wav",
        ".mp3",
        ".m4a",
        ".ogg",
        ".flac",
        ".pdf",
        ".eps",
        "",
    }
    assert not others & (suffixes.videos() | suffixes.images())


@pytest.mark.parametrize("suffix", [".ts", ".wmv", ".mpg", ".flv", ".mts", ".3gp"])
def test_every_door_knows_the_same_films(tmp_path, suffix):
    films.CODECS.setdefault(".flv", ("flv1", "libmp3lame"))
    codecs = {".flv": ("libx264", "aac"), ".mts": ("libx264", "aac"), ".3gp": ("libx264", "aac")}.get(suffix)
    place = tmp_path / "clips"
    place.mkdir()
    source = films.film(place / f"clip{suffix}", seconds=0.4, flash=0.2, codecs=codecs)
    assert said(source).startswith("video")
    with pytest.raises(InputError, match="is a video"):
        tracks.find(source)
    from gagjax.app.batch.jobs import jobs_of

    assert [job.result for job in jobs_of([str(place)], str(tmp_path / "out"))] == [str(tmp_path / "out" / "clip.mp4")]


def test_batch_takes_films_and_folders_of_pictures(tmp_path):
    place = tmp_path / "clips"
    (place / "stills").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(picture(50 + number)).save(place / "stills" / f"{number}.png")
    films.film(place / "clip.ts", seconds=0.4, flash=0.2)
    films.film(place / "film.wmv", seconds=0.4, flash=0.2)
    from gagjax.app.batch.jobs import config_of, jobs_of
    from gagjax.app.batch.processing import process_clip

    jobs = jobs_of([str(place)], str(tmp_path / "out"))
    assert sorted(job.result.rsplit("/", 1)[1] for job in jobs) == ["clip.mp4", "film.mp4", "stills.mp4"]
    for job in jobs:
        process_clip(*job, config_of("default"))
    assert sorted(video.info(path).frames for path in (tmp_path / "out").iterdir()) == [3, 10, 10]


def test_a_rate_for_a_film_is_refused(tmp_path, capsys):
    source = films.film(tmp_path / "in.mp4", seconds=0.4, flash=0.2)
    assert main(["video", str(source), "-o", str(tmp_path / "out.mp4"), "--fps", "30"]) == 2
    assert "own rate" in capsys.readouterr().err
    shutil.rmtree(tmp_path)
