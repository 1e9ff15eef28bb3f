"""Files that would unpack to far more than they are: refused by a limit, with one message, in bounded memory."""

from __future__ import annotations

import io
import itertools
import json
import pickle
import resource
import struct
import zipfile
import zlib

import numpy as np
import pytest

from gagjax.app import presets
from gagjax.errors import InputError
from gagjax.io import frame_database, images, tracks, video
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


def zipped(tmp_path, entries, compress=zipfile.ZIP_DEFLATED, name="a.npz"):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", compress) as file:
        for key, data in entries:
            file.writestr(key, data)
    return path


def test_zeros_that_a_small_archive_unpacks_to(tmp_path):
    """Half a megabyte of deflate stands for half a gigabyte of zeros, and the array is as large as it says."""
    count = 100_000_000
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as entry:
        entry.write(npy_header((count,)))
        for _ in range(100):
            entry.write(bytes(4 * count // 100))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="would unpack to more"):
        checkpoints.load_npz(path)
    with pytest.raises(InputError, match="would unpack to more"):
        tracks.load_track(path)


def test_a_long_still_clip_is_no_bomb(tmp_path):
    """Ten hours of frames that do not move pack well and are read."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros((500_000, 100), np.float32))
    assert path.stat().st_size < 1 << 20
    assert checkpoints.load_npz(path)["a"].shape == (500_000, 100)


def test_entries_that_lie_on_each_other(tmp_path):
    """One run of compressed bytes, named a thousand times in the index: what Fifield's archives are made of."""
    kernel = npy_header((1_000_000,)) + bytes(4_000_000)
    data = bytearray(archive("00000.npy", kernel))
    start, end = data.rfind(b"PK\x01\x02"), data.rfind(b"PK\x05\x06")
    entry = bytes(data[start:end])
    names = [f"{n:05}.npy".encode() for n in range(1000)]
    index = b"".join(entry.replace(b"00000.npy", name) for name in names)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, len(index), start, 0)
    path = tmp_path / "a.npz"
    path.write_bytes(bytes(data[:start]) + index + tail)
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="would unpack to more"):
        checkpoints.load_npz(path)


@pytest.mark.parametrize(
    "shape", ["(99999999999999999999,)", "(-1,)", "(1 << 40,)", "(2,) * 40", f"({'1, ' * 70})", f"({'9' * 5000},)"]
)
def test_headers_that_lie(shape, tmp_path):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"
    entry = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(16)
    path = zipped(tmp_path, [("a.npy", entry)])
    with pytest.raises(InputError) as caught:
        checkpoints.load_npz(path)
    assert len(str(caught.value)) < 1000


def test_torch_files_that_are_compressed_or_claim_more_than_they_are(tmp_path):
    torch_like = [("a/data.pkl", pickle.dumps({"x": 1})), ("a/version", b"3\n"), ("a/data/0", bytes(300_000_000))]
    path = zipped(tmp_path, torch_like, name="a.pt")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"unpack|compressed"):
        checkpoints.load_torch(path)


def test_a_torch_tensor_of_one_number_seen_a_billion_times(tmp_path):
    torch = pytest.importorskip("torch", reason="writes the file with torch")
    path = tmp_path / "a.pt"
    torch.save({"x": torch.zeros(1).expand(1_000_000_000)}, path)
    assert path.stat().st_size < 1 << 14
    with pytest.raises(InputError, match="far more data than it holds"):
        checkpoints.load_torch(path)


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


LIARS = {
    "a header of 2^63 bytes": safetensors({}, length=1 << 63),
    "a header longer than the file": safetensors({}, length=50_000_000),
    "a shape of a trillion": safetensors(
        {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 16]}}, bytes(16)
    ),
    "a shape that overflows": safetensors(
        {"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}, bytes(0)
    ),
    "offsets outside": safetensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 62]}}, bytes(16)),
    "a thousand tensors on one place": safetensors(
        {f"a{n}": {"dtype": "U8", "shape": [1_000_000], "data_offsets": [0, 1_000_000]} for n in range(1000)},
        bytes(1_000_000),
    ),
    "lists in lists": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a number of 100,000 digits": safetensors(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,4]}}', bytes(4)
    ),
}


@pytest.mark.parametrize("data", LIARS.values(), ids=LIARS)
def test_safetensors_that_lie(data, tmp_path):
    pytest.importorskip("safetensors")
    from gagjax.avatars.personal import tensors

    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        tensors.read(path)
    assert len(str(caught.value)) < 2000


def lmdb_page(number, flags, body, page=65536, count=0):
    return (struct.pack("<QHHHH", number, 0, flags, 16 + 2 * count, 0) + body).ljust(page, b"\0")[:page]


def lmdb_meta(page=65536, pages=3):
    free = struct.pack("<I", page).ljust(48, b"\0")
    main = bytes(40) + struct.pack("<Q", 2)
    meta = struct.pack("<II8sQ48s48sQQ", 0xBEEFC0DE, 1, b"", 0, free, main, pages - 1, 1)
    return lmdb_page(0, 8, meta) + lmdb_page(1, 8, meta)


def test_a_database_whose_keys_lie_on_each_other(tmp_path):
    """One page of 64 KiB that holds 3,000 keys of 30,000 bytes."""
    first, count = 8192, 3000
    body = bytearray(65536)
    nodes = [first + 8 * n for n in range(count)]
    struct.pack_into(f"<{count}H", body, 16, *nodes)
    for node in nodes:
        struct.pack_into("<HHHH", body, node, 0, 0, 0, 30_000)
    body[first + 8 * count :] = (
        np.random.default_rng(0).integers(32, 127, 65536 - first - 8 * count, np.uint8).tobytes()
    )
    refuse_database(tmp_path, lmdb_meta() + lmdb_page(2, 2, bytes(body[16:]), count=count), "wrong kind")


def test_a_database_whose_values_are_all_the_same_bytes(tmp_path):
    """A thousand frames that are one picture of a megabyte, each another's name for it."""
    count, size = 1000, 1_000_000
    body = bytearray(65536)
    at = 16 + 2 * count
    for n in range(count):
        struct.pack_into("<H", body, 16 + 2 * n, at)
        struct.pack_into("<HHHH", body, at, size & 0xFFFF, size >> 16, 1, 4)
        body[at + 8 : at + 12] = f"{n:04}".encode()
        struct.pack_into("<Q", body, at + 12, 3)
        at += 20
    pages = 3 + -(-(size + 16) // 65536)
    data = lmdb_meta(pages=pages) + lmdb_page(2, 2, bytes(body[16:]), count=count)
    refuse_database(tmp_path, data.ljust(pages * 65536, b"\0"), "on each other")


def refuse_database(tmp_path, data, said):
    (tmp_path / "data.mdb").write_bytes(data)
    with pytest.raises(InputError, match=said):
        frame_database.FrameDatabase(tmp_path)


@pytest.mark.parametrize("box", [b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"elst", b"mvhd", b"mdhd"])
@pytest.mark.parametrize("number", [0xFFFFFFFF, 0x7FFFFFFF, 100_000_000])
def test_counts_of_a_video_that_lie(box, number, tmp_path):
    """Billions of frames, of entries or of seconds: what is there is read or the file is refused, in little memory."""
    path = tmp_path / "a.mp4"
    video.write(path, (np.full((16, 16, 3), 20 * n, np.uint8) for n in range(3)), 25)
    data = bytearray(path.read_bytes())
    at = data.find(box)
    if at < 0:
        pytest.skip("FFmpeg writes no such box here")
    for place in (8, 12, 16, 20):
        if place + 4 <= struct.unpack(">I", data[at - 4 : at])[0] - 4:
            spoiled = bytearray(data)
            struct.pack_into(">I", spoiled, at + place, number)
            path.write_bytes(bytes(spoiled))
            try:
                read, _ = video.read(path)
                with read:
                    assert sum(1 for _ in itertools.islice(read, 100)) <= 3
            except InputError as error:
                assert len(str(error)) < 1000


def test_a_video_of_black_frames_is_read_frame_by_frame(tmp_path):
    """A hundred frames of 2,000 x 1,000 pixels in some kilobytes: 600 MB, of which a few frames are held."""
    path = tmp_path / "a.mp4"
    video.write(path, (np.zeros((1000, 2000, 3), np.uint8) for _ in range(100)), 25)
    assert path.stat().st_size < 300_000
    read, _ = video.read(path)
    with read:
        assert sum(1 for _ in read) == 100
