"""The allow-list loaders: real files are read whole, hostile ones run nothing, broken ones give one InputError."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gagjax.errors import InputError
from gagjax.io.untrusted.checkpoints import load_npz, load_pickle, load_torch

ARRAYS = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(24).reshape(4, 6)[::2, ::3],
    "big endian": np.arange(3, dtype=">i4"),
    "half": np.ones(2, np.float16),
    "empty": np.zeros((0, 3), np.float32),
    "point": np.array(3.0),
    "flags": np.array([True, False]),
    "text": np.array(["ab", "c"]),
    "bytes": np.array([b"ab", b"c"]),
    "complex": np.array([1 + 2j]),
}
PLAIN = {
    "a": [1, 2.5, None, True, (b"x", "ü")],
    "set": {1, 2},
    "scalar": np.float32(3),
    7: collections.OrderedDict(a=1),
}


def write(path, value, protocol):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_reads_what_pickle_reads(tmp_path, protocol, core):
    data = pickle.dumps([ARRAYS, PLAIN], protocol)
    if protocol < 4:  # the newer protocols store the length of the name
        data = data.replace(b"numpy._core", core).replace(b"numpy.core", core)
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    arrays, plain = load_pickle(path)
    np.testing.assert_equal(plain, PLAIN)
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)


def test_reads_python_2_flame_files_with_sparse_and_chumpy_arrays(tmp_path, monkeypatch):
    from scipy import sparse

    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x):
            self.x, self._dirty = x, True

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    regressor = np.array([[0, 1.5, 0, 2], [3, 0, 0, 0]])
    model = {"J_regressor": sparse.csc_matrix(regressor), "v_template": Ch(np.arange(6.0).reshape(2, 3)), "f": [1]}
    for protocol in (0, 1, 2, 4):
        read = load_pickle(write(tmp_path / "generic_model.pkl", model, protocol))
        np.testing.assert_array_equal(read["J_regressor"], regressor)
        np.testing.assert_array_equal(read["v_template"], np.arange(6.0).reshape(2, 3))
    # Python 2 itself: text keys as bytes, bytes of arrays as text, the module's old name.
    python2 = (
        b"}(U\x01xcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\ntbu."
    )
    (tmp_path / "python2.pkl").write_bytes(python2)
    assert load_pickle(tmp_path / "python2.pkl")["x"].tolist() == [1.0, 2.0]


class Calls:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


# A list of a list twice of a list twice ...: 2^60 elements for whoever walks it naively.
DOUBLING = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(50)) + b"h\x32."


# The same of tuples, which can be dict keys: a hash walks all of it.
TUPLES = b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(40))
NUMBER = b"\x8b" + struct.pack("<i", 200) + b"\x7f" * 200  # of 1,600 bits
# Whole numbers are hashed modulo 2^61 - 1: its multiples collide.
COLLIDING = (
    b"}(" + b"".join(b"\x8a\x0a" + (n * ((1 << 61) - 1)).to_bytes(10, "little") + b"N" for n in range(20_000)) + b"u."
)
SHARED = pickle.dumps([np.zeros(9000)] * 100_000, 2)


def hostile(canary):
    """Pickles that would make the file `canary`, or change this process, if any of them ran."""
    touch = f"open({str(canary)!r}, 'w')"
    path = str(canary).encode()
    return {
        "os.system": pickle.dumps(Calls(os.system, f"touch {canary}")),
        "os.system, first protocol": b"cos\nsystem\n(S'touch " + path + b"'\ntR.",
        "posix.system": b"cposix\nsystem\n(S'touch " + path + b"'\ntR.",
        "eval": pickle.dumps(Calls(eval, touch)),
        "exec in Python 2's name": b"c__builtin__\nexec\n(S'" + touch.replace("'", '"').encode() + b"'\ntR.",
        "open": pickle.dumps(Calls(open, str(canary), "w")),
        "getattr": pickle.dumps(Calls(getattr, {}, "get")),
        "import": b"cbuiltins\n__import__\n(S'os'\ntR.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0dcore.os.system\x93\x8c\x01x\x85R.",
        "numpy runs files": b"cnumpy.testing\nrundocs\n(S'x'\ntR.",
        "numpy load": b"cnumpy\nload\n(S'x'\ntR.",
        "INST": b"(S'touch " + path + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'touch " + path + b"'\no.",
        "inside an array of objects": pickle.dumps(np.array([Calls(os.system, f"touch {canary}")], object)),
        "as a dict key": pickle.dumps({Calls(eval, touch): 1}),
        "changes a name that may be called": b"cnumpy.core.multiarray\n_reconstruct\n(N}S'function'\nNstb.",
        "changes a class": b"ccollections\nOrderedDict\n}S'x'\nI1\nsb.",
        "calls a number": b"I1\n(I2\ntR.",
        "named arguments": b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93)}\x8c\x05align\x8c\x01xs\x92.",
        "extension registry": b"\x80\x02\x82\x01.",
        "persistent id": b"S'x'\nQ.",
        "out-of-band buffer": b"\x80\x05\x97.",
        "subclass of array": b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nobject\n(I0\ntS'b'\ntR.",
        "structured type": pickle.dumps(np.zeros(2, [("a", "f4")])),
        "absurd shape": pickle.dumps(np.zeros(2, "f4"), 2).replace(b"K\x02\x85", b"J\xff\xff\xff\x7f\x85"),
        "negative shape": pickle.dumps(np.zeros(2, "f4"), 2).replace(b"K\x02\x85", b"J\xff\xff\xff\xff\x85"),
        "huge memo index": b"\x80\x02Nr\xff\xff\xff\xff.",
        "huge length": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "holds itself": b"]q\x00h\x00a.",
        "deep": b"]" * 5000 + b"a" * 4999 + b".",
        "doubling": DOUBLING,
        "key that doubles": b"\x80\x02}" + TUPLES + b"Ns.",
        "key that doubles, taken off again": b"\x80\x02N}" + TUPLES + b"Ns0.",
        "member of a set that doubles": b"\x80\x04\x8f(" + TUPLES + b"\x90.",
        "frozen set that doubles": b"\x80\x04(" + TUPLES + b"\x91.",
        "set by call that doubles": b"\x80\x02c__builtin__\nset\n](" + TUPLES + b"e\x85R.",
        "dict by call that doubles": b"\x80\x02ccollections\nOrderedDict\n](" + TUPLES + b"N\x86e\x85R.",
        "value that doubles": b"\x80\x02}X\x01\x00\x00\x00a" + TUPLES + b"s.",
        "shape that doubles": b"\x80\x02cnumpy.core.multiarray\n_frombuffer\n(U\x00cnumpy\ndtype\nU\x02f4\x85R"
        + TUPLES + b"U\x01CtR.",
        "shape in the state that doubles": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        + b"\x87R(K\x01" + TUPLES + b"cnumpy\ndtype\nU\x02f4\x85R\x89U\x00tb.",
        "scalar type that doubles": b"\x80\x02cnumpy\ndtype\n" + TUPLES + b"\x85R.",
        "number of 1,600 bits": NUMBER + b".",
        "number of many digits": b"I" + b"9" * 5000 + b"\n.",
        "long number of many digits": b"L" + b"9" * 5000 + b"L\n.",
        "keys whose hashes collide": COLLIDING,
        "sets without end": b"\x80\x04(" + b"\x8f" * 2_000_000 + b"l.",
        "one text a million times": b"\x80\x02X\x00\x00\x01\x00" + b"x" * 65536 + b"q\x00(" + b"h\x00" * 100_000 + b"l.",
        "one array a hundred thousand times": SHARED,
        "two equal keys": b"\x80\x02}" + pickle.dumps(np.int64(1), 2)[2:-1] + b"NsK\x01Ns.",
        "an array filled twice": pickle.dumps(np.zeros(2, "f4"), 2)[:-1] + b"(K\x01K\x00\x85Nt" + b"b.",
        "doubling text": b"S'" + b"x" * 100_000 + b"'\nq\x00" + b"c_codecs\nencode\n(h\x00S'latin1'\ntR" * 100 + b".",
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile("x"))
@pytest.mark.timeout(20)
def test_hostile_pickles_run_nothing(tmp_path, name):
    canary = tmp_path / "canary"
    path = tmp_path / "hostile.pkl"
    path.write_bytes(hostile(canary)[name])
    state = dict(vars(sys.modules["gagjax.io.untrusted.unpickle"]))
    with pytest.raises(InputError) as error:
        load_pickle(path)
    assert "hostile.pkl" in str(error.value) and len(str(error.value)) < 400
    assert not canary.exists()
    assert dict(vars(sys.modules["gagjax.io.untrusted.unpickle"])) == state
    assert load_pickle(write(tmp_path / "good.pkl", ARRAYS["float"], 4)).tolist() == ARRAYS["float"].tolist()


@pytest.mark.parametrize("load", [load_pickle, load_torch, load_npz])
def test_what_is_no_such_file_is_refused(tmp_path, load):
    for name, make in {
        "absent": lambda p: None,
        "empty": lambda p: p.touch(),
        "folder": lambda p: p.mkdir(),
        "text": lambda p: p.write_text("hello, world\n" * 9),
        "zip of nothing": lambda p: zipfile.ZipFile(p, "w").close(),
    }.items():
        make(tmp_path / name)
        with pytest.raises(InputError, match=name):
            result = load(tmp_path / name)
            assert load is load_npz and result == {}  # an archive of no arrays
            raise InputError(name)


def torch_values():
    torch = pytest.importorskip("torch")
    linear = torch.nn.Linear(3, 2)
    return {
        "weights": linear.state_dict(),
        "parameter": linear.weight,
        "transposed": torch.arange(12.0).reshape(3, 4).t(),
        "slice": torch.arange(20)[3:17:2],
        "expanded": torch.ones(1).expand(5),
        "bfloat16": torch.randn(7, generator=torch.Generator().manual_seed(0)).bfloat16(),
        "half": torch.ones(2, dtype=torch.float16),
        "bool": torch.tensor([True, False]),
        "unsigned": torch.tensor([3], dtype=torch.uint16),
        "complex": torch.tensor([1 + 2j]),
        "conjugated": torch.tensor([[1 + 2j, 3 - 4j]], dtype=torch.complex64).conj(),
        "negated": torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
        "conjugated and negated": torch._neg_view(torch.tensor([1 + 2j]).conj()),
        "point": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "channels last": torch.rand(1, 3, 2, 2).to(memory_format=torch.channels_last),
        "size": torch.Size([1, 2]),
        "arrays": ARRAYS | {"text": ["plain"]},
    }


def test_reads_what_torch_reads(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch_values()
    torch.save(values, tmp_path / "a.pt")
    read, wanted = load_torch(tmp_path / "a.pt"), torch.load(tmp_path / "a.pt", weights_only=False)

    def compare(ours, theirs):
        if isinstance(theirs, torch.Tensor):
            exact = theirs.detach().float() if theirs.dtype is torch.bfloat16 else theirs.detach()
            exact = exact.resolve_conj().resolve_neg()
            assert ours.dtype == exact.numpy().dtype and ours.flags.c_contiguous
            np.testing.assert_array_equal(ours, exact.numpy())
        elif isinstance(theirs, dict):
            assert list(ours) == list(theirs)
            for key in theirs:
                compare(ours[key], theirs[key])
        else:
            np.testing.assert_equal(ours, theirs)

    compare(read, wanted)


def test_hostile_and_unfit_torch_files_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    canary = tmp_path / "canary"
    path = tmp_path / "a.pt"
    torch.save({"x": Calls(os.system, f"touch {canary}")}, path)
    with pytest.raises(InputError, match=r"system.*nothing in it ran"):
        load_torch(path)
    assert not canary.exists()
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(InputError, match=r"torch\.nn"):
        load_torch(path)
    torch.save({"x": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="old format"):
        load_torch(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # as torch.jit.save writes it
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("a/constants.pkl", b").")
    with pytest.raises(InputError, match="TorchScript"):
        load_torch(path)


def rezip(source, target, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)


def test_inconsistent_torch_archives_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    good = tmp_path / "good.pt"
    torch.save({"x": torch.zeros(1000)}, good)
    bad = tmp_path / "bad.pt"
    for change, compression in [
        (lambda n, d: d[:-8] if n.endswith("data/0") else d, zipfile.ZIP_STORED),
        (lambda n, d: None if n.endswith("data/0") else d, zipfile.ZIP_STORED),
        (lambda n, d: None if n.endswith("data.pkl") else d, zipfile.ZIP_STORED),
        (lambda n, d: d, zipfile.ZIP_DEFLATED),
        (lambda n, d: d.replace(struct.pack("<H", 1000), struct.pack("<H", 60000)), zipfile.ZIP_STORED),
    ]:
        rezip(good, bad, change, compression)
        with pytest.raises(InputError, match=r"bad\.pt"):
            load_torch(bad)


def test_npz_bombs_and_objects_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.ones(3), b=np.array([object()], object))
    with pytest.raises(InputError, match="objects"):
        load_npz(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(InputError, match="shape"):
        load_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)  # the directory claims 4 GiB
    path.write_bytes(data)
    with pytest.raises(InputError, match="GiB"):
        load_npz(path)


def test_npz_round_trip(tmp_path):
    path = tmp_path / "a.npz"
    for save in (np.savez, np.savez_compressed):
        save(path, **ARRAYS)
        read = load_npz(path)
        for name, value in ARRAYS.items():
            np.testing.assert_array_equal(read[name], value)


GOOD_PICKLE = pickle.dumps({"v_0": {"a": np.arange(4, dtype=np.float32), "b": [np.float64(2)], "c": {1}}}, 2)


@st.composite
def mutated(draw, good):
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


def _reads_or_refuses(load, path, data):
    path.write_bytes(data)
    try:
        load(path)
    except InputError as error:
        assert path.name in str(error)


@given(data=st.one_of(mutated(GOOD_PICKLE), mutated(pickle.dumps(ARRAYS, 5)), st.binary(max_size=200)))
def test_any_bytes_give_a_value_or_one_input_error(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    _reads_or_refuses(load_pickle, folder / "fuzz.pkl", data)


def _npz_bytes():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ARRAYS)
    return buffer.getvalue()


@given(data=mutated(_npz_bytes()))
def test_any_archive_gives_arrays_or_one_input_error(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    _reads_or_refuses(load_npz, folder / "fuzz.npz", data)


@given(data=st.data())
def test_any_torch_archive_gives_values_or_one_input_error(data, tmp_path_factory):
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.getbasetemp()
    good, entry = folder / "good.pt", io.BytesIO()
    torch.save({"x": torch.arange(4.0), "y": np.ones(2)}, good)
    torch.save({"x": torch.arange(4.0), "y": np.ones(2)}, entry)
    _reads_or_refuses(load_torch, folder / "fuzz.pt", data.draw(mutated(entry.getvalue())))
    # Damage inside the pickle, under a checksum that fits: the archive is sound, its content is not.
    changed = data.draw(mutated(zipfile.ZipFile(good).read("good/data.pkl")))
    rezip(good, folder / "inner.pt", lambda name, old: changed if name.endswith("data.pkl") else old)
    _reads_or_refuses(load_torch, folder / "inner.pt", (folder / "inner.pt").read_bytes())
