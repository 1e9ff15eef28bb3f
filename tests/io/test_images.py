"""Images and frame databases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gagjax.errors import InputError
from gagjax.io import frame_database, images
from gagjax.io.untrusted import lmdb_index

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_round_trip(tmp_path):
    images.write(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), RGB)
    images.write(tmp_path / "b.png", RGB.astype(np.float32) / 255)
    np.testing.assert_array_equal(images.read(tmp_path / "b.png"), RGB)
    smooth = np.tile(np.linspace(0, 255, 30).astype(np.uint8)[None, :, None], (20, 1, 3))
    images.write(tmp_path / "c.jpg", smooth)
    assert np.abs(images.read(tmp_path / "c.jpg").astype(int) - smooth).max() < 6
    with pytest.raises(InputError, match="force=True"):
        images.write(tmp_path / "a.png", RGB)
    with pytest.raises(InputError, match=r"\.png"):
        images.write(tmp_path / "a.xyz", RGB)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "I;16", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    if mode == "I;16":
        image = Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / f"a{suffix}")
    got = images.read(tmp_path / f"a{suffix}")
    assert got.shape == RGB.shape and got.dtype == np.uint8
    if mode == "I;16":
        np.testing.assert_array_equal(got[..., 0], RGB[..., 0])


def test_transparency_is_over_black_and_orientation_applied(tmp_path):
    image = Image.fromarray(np.dstack([RGB, np.zeros((20, 30), np.uint8)]), "RGBA")
    image.save(tmp_path / "a.png")
    assert not images.read(tmp_path / "a.png").any()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise
    Image.fromarray(RGB).save(tmp_path / "b.png", exif=exif)
    np.testing.assert_array_equal(images.read(tmp_path / "b.png"), np.rot90(RGB, -1))


def test_what_is_no_image_is_refused(tmp_path, monkeypatch):
    images.write(tmp_path / "good.png", RGB)
    data = (tmp_path / "good.png").read_bytes()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "folder.png").mkdir()
    for name in ("absent", "empty", "text", "cut", "folder"):
        with pytest.raises(InputError, match=rf"{name}\.png"):
            images.read(tmp_path / f"{name}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"good\.png"):
        images.read(tmp_path / "good.png")


def test_frame_database_round_trip(tmp_path):
    smooth = [np.full((16, 24, 3), 10 * i, np.uint8) for i in range(12)]
    count = frame_database.write(tmp_path / "clip" / "img_lmdb", ((f"v_{i}", image) for i, image in enumerate(smooth)))
    with frame_database.FrameDatabase(tmp_path / "clip") as database:
        assert count == len(database) == 12 and "v_3" in database and "v_12" not in database
        for i, image in enumerate(smooth):
            assert np.abs(database[f"v_{i}"].astype(int) - image).max() <= 2
        for absent in ("v_12", "", "v" * 1000):
            with pytest.raises(KeyError):
                database[absent]
    with pytest.raises(InputError, match="force=True"):
        frame_database.write(tmp_path / "clip" / "img_lmdb", [])


def test_databases_grow_beyond_their_first_size(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_database, "_STEP", 1 << 15)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    frame_database.write(tmp_path / "a", ((f"v_{i}", noise) for i in range(20)))
    assert len(frame_database.FrameDatabase(tmp_path / "a")) == 20


@pytest.mark.parametrize("count", [0, 1, 50, 3000])
def test_index_is_what_lmdb_finds(tmp_path, count):
    """Values of all sizes: inside their page, on pages of their own, in trees of one to three levels."""
    import lmdb

    rng = np.random.default_rng(count)
    values = {f"clip_{i}".encode() * (1 + i % 5): rng.bytes(int(rng.choice([0, 10, 1500, 5000]))) for i in range(count)}
    with lmdb.open(str(tmp_path), map_size=1 << 27) as database:
        with database.begin(write=True) as transaction:
            for key, value in values.items():
                transaction.put(key, value)
        with database.begin(write=True) as transaction:  # another transaction: the other meta page counts
            for key in list(values)[::7]:
                transaction.delete(key)
                del values[key]
    data = tmp_path / "data.mdb"
    with data.open("rb") as file:
        found = lmdb_index.index(file, data.stat().st_size)
        assert list(found) == sorted(values)
        for key, (offset, size) in found.items():
            file.seek(offset)
            assert file.read(size) == values[key]


@given(data=st.data())
def test_any_database_gives_frames_or_one_input_error(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "fuzz_db"
    frame_database.write(folder, ((f"v_{i}", RGB) for i in range(3)), force=True)
    content = bytearray((folder / "data.mdb").read_bytes())
    pages = st.integers(0, len(content) // 4096 - 1)
    for _ in range(data.draw(st.integers(1, 4))):  # most of a page is empty: aim at its start and its end
        near = data.draw(st.integers(0, 200) | st.integers(3900, 4095))
        content[data.draw(pages) * 4096 + near] = data.draw(st.integers(0, 255))
    (folder / "data.mdb").write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        with frame_database.FrameDatabase(folder) as database:
            assert all(image.ndim == 3 for image in database.values())
    except InputError as error:
        assert "fuzz_db" in str(error)


def test_real_database_is_read_in_place(shared):
    with frame_database.FrameDatabase(shared / "video" / "vfhq_demo") as database:
        assert len(database) == 40
        assert database["000869_70"].shape == (512, 512, 3)


def test_damaged_databases_are_refused(tmp_path):
    frame_database.write(tmp_path / "good", [("v_0", RGB)])
    data = (tmp_path / "good" / "data.mdb").read_bytes()
    (tmp_path / "bad").mkdir()
    for content in (None, b"", b"x" * 10_000, data[: len(data) // 2], data[:100], data[:4096]):
        if content is not None:
            (tmp_path / "bad" / "data.mdb").write_bytes(content)
        with pytest.raises(InputError, match="bad"):
            frame_database.FrameDatabase(tmp_path / "bad")
    frame_database.write(tmp_path / "text", [("v_0", RGB)])
    import lmdb

    with lmdb.open(str(tmp_path / "text")) as database, database.begin(write=True) as transaction:
        transaction.put(b"v_1", b"no image")
    with frame_database.FrameDatabase(tmp_path / "text") as database, pytest.raises(InputError, match="v_1"):
        database["v_1"]
