"""Files that would unpack to far more than they are: refused by a limit, with one message, in bounded memory."""

from __future__ import annotations

import io
import pickle
import resource
import struct
import zipfile
import zlib

import numpy as np
import pytest

from gagjax.app import presets
from gagjax.errors import InputError
from gagjax.io import images, tracks, video
from gagjax.io.untrusted import checkpoints


@pytest.fixture(autouse=True)
def bounded():
    """A file of some kilobytes may not make the process larger by half a gigabyte."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def npy_header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def archive(name, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return buffer.getvalue()


def test_an_archive_that_claims_a_trillion_numbers(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(archive("a.npy", npy_header((1_000_000, 1_000_000)) + bytes(64)))
    with pytest.raises(InputError, match="declares shape"):
        checkpoints.load_npz(path)


def test_a_megabyte_of_zeros_inside_an_entry(tmp_path):
    """The entry says in the archive's index how large it is: a lie is found before it is believed."""
    data = bytearray(archive("a.npy", npy_header((4,)) + bytes(16)))
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)  # the uncompressed size
    path = tmp_path / "a.npz"
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="would unpack to more"):
        checkpoints.load_npz(path)


def test_archives_in_archives_are_not_opened(tmp_path):
    inner = archive("a.npy", npy_header((4,)) + bytes(16))
    for _ in range(20):
        inner = archive("a.npz", inner)
    path = tmp_path / "a.npz"
    path.write_bytes(inner)
    assert checkpoints.load_npz(path) == {}
    with pytest.raises(InputError, match="holds no track"):
        tracks.load_track(path)


def test_names_that_lead_out_of_a_folder_are_only_names(tmp_path):
    for name in ("../../out.npy", "/etc/out.npy", "..\\out.npy"):
        path = tmp_path / "inside" / "a.npz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archive(name, npy_header((4,)) + bytes(16)))
        (found,) = checkpoints.load_npz(path)
        assert found in name
        assert [each.name for each in tmp_path.rglob("*")] == ["inside", "a.npz"]


def test_a_clip_named_like_a_path_stays_in_the_output_folder(tmp_path):
    from gagjax.app.batch import jobs

    (job,) = jobs.jobs_of([f"file://{tmp_path}/../../a.npz"], str(tmp_path / "out"))
    assert job.result == str(tmp_path / "out" / "a.npz")


def test_references_to_references_in_a_preset(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "a.yaml"
    path.write_text("\n".join([*lines, "enable: *a11"]))
    with pytest.raises(InputError, match="references"):
        presets.stack_of(str(path))


def test_lists_in_lists_without_end(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"]" * 200_000 + b"a" * 199_999 + b".")
    with pytest.raises(InputError):
        tracks.load_track(path)
    doubling = []
    for _ in range(60):
        doubling = [doubling, doubling]
    path.write_bytes(pickle.dumps({"n_frames": 1, "output_fps": doubling, "motion": [doubling]}))
    with pytest.raises(InputError) as caught:
        tracks.load_track(path)
    assert len(str(caught.value)) < 1000


def test_an_image_of_ten_billion_pixels(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    data = zlib.compress(bytes(300_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    with pytest.raises(InputError, match="no readable image"):
        images.read(path)


def test_a_video_that_claims_an_absurd_size(tmp_path):
    path = tmp_path / "a.mp4"
    video.write(path, (np.zeros((16, 16, 3), np.uint8) for _ in range(3)), 25)
    data = bytearray(path.read_bytes())
    at = data.find(b"avc1", data.find(b"stsd"))
    data[at + 28 : at + 32] = struct.pack(">HH", 65535, 65535)  # the sample description
    path.write_bytes(bytes(data))
    read, info = video.read(path)  # the pictures say what they are, whatever the container claims
    assert (info.width, info.height) == (16, 16) and len(list(read)) == 3
