"""Pickles written step by step: shared references, keys and shapes made of them, numbers of any length, odd calls.

`pickle.dumps` writes what Python objects can be; a file may hold any run of steps.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any

import numpy as np

Random = np.random.Generator

NAMES = [
    b"numpy.core.multiarray\n_reconstruct", b"numpy.core.multiarray\nscalar", b"numpy.core.numeric\n_frombuffer",
    b"numpy\nndarray", b"numpy\ndtype", b"_codecs\nencode", b"collections\nOrderedDict", b"chumpy.ch\nCh",
    b"builtins\nset", b"builtins\nfrozenset", b"builtins\nbytearray", b"builtins\nbytes", b"builtins\nobject",
    b"copyreg\n_reconstructor", b"scipy.sparse\ncsc_matrix", b"torch\nSize", b"torch\nFloatStorage", b"torch\ndevice",
    b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_parameter", b"os\nsystem",
]  # fmt: skip
ARRAYS = [pickle.dumps(np.arange(n, dtype=kind), 2)[2:-1] for n, kind in ((3, "f4"), (300, "f8"), (0, "i8"))]


def program(random: Random) -> bytes:
    """A pickle of up to a few hundred steps, most of them possible where they stand."""
    made = _Program(random)
    for _ in range(random.integers(1, 25)):
        made.piece()
    return b"\x80\x04" + b"".join(made.steps) + b"."


class _Program:
    def __init__(self, random: Random) -> None:
        self.random, self.steps, self.memo = random, [], 0

    def one_of(self, things: list[Any]) -> Any:
        return things[self.random.integers(len(things))]

    def piece(self) -> None:
        """A few steps that leave one more object."""
        self.one_of([self.leaf, self.again, self.doubling, self.container, self.keyed, self.called, self.filled])()
        if self.random.random() < 0.5 and self.memo < 250:
            self.steps.append(b"\x94")
            self.memo += 1
        if self.random.random() < 0.05:
            self.steps.append(
                self.one_of([b"0", b"2", b"1", b"(", b"a", b"b", b"R", b"\x81", b"\x92", b"Q", b"e", b"u"])
            )

    def leaf(self) -> None:
        random = self.random
        size = int(random.integers(1, 256))
        self.steps.append(
            self.one_of(
                [
                    b"N",
                    b"\x88",
                    b"K" + random.bytes(1),
                    b"J" + random.bytes(4),
                    b"\x8a" + bytes([size]) + random.bytes(size),
                    b"\x8b" + struct.pack("<i", 8 * size) + random.bytes(8 * size),
                    b"I" + b"7" * size + b"\n",
                    b"L-" + b"8" * 20 * size + b"L\n",
                    b"G" + random.bytes(8),
                    b"F1e" + b"9" * (size % 9) + b"\n",
                    b"\x8c\x03abc",
                    b"\x8c\x02f4",
                    b"U\x01<",
                    b"C\x04" + random.bytes(4),
                    b"X\x00\x01\x00\x00" + b"x" * 256,
                    b"]",
                    b"}",
                    b")",
                    b"\x8f",
                    self.one_of(ARRAYS),
                ]
            )
        )

    def again(self) -> None:
        if not self.memo:
            return self.leaf()
        return self.steps.append(b"h" + bytes([self.random.integers(self.memo)]))

    def doubling(self) -> None:
        """An object twice in one that is twice in one ..."""
        pair = self.one_of([lambda at: b"h" + at + b"h" + at + b"\x86", lambda at: b"](h" + at + b"h" + at + b"e"])
        self.leaf()
        for _ in range(min(int(self.random.integers(2, 60)), 250 - self.memo)):
            self.steps.append(b"\x94" + pair(bytes([self.memo])))
            self.memo += 1

    def container(self) -> None:
        count = int(self.random.integers(0, 5))
        self.steps.append(b"(")
        for _ in range(count):
            self.one_of([self.leaf, self.again])()
        self.steps.append(self.one_of([b"t", b"l", b"d", b"\x91"]))

    def keyed(self) -> None:
        self.steps.append(self.one_of([b"}", b"\x8f"]))
        members = self.steps[-1] == b"\x8f"
        self.steps.append(b"(")
        for _ in range(int(self.random.integers(1, 4)) * (1 if members else 2)):
            self.one_of([self.leaf, self.again, self.doubling])()
        self.steps.append(b"\x90" if members else b"u")

    def called(self) -> None:
        self.steps.append(b"c" + self.one_of(NAMES) + b"\n(")
        for _ in range(int(self.random.integers(0, 5))):
            self.one_of([self.leaf, self.again, self.again, self.called if self.random.random() < 0.3 else self.leaf])()
        self.steps.append(b"t" + self.one_of([b"R", b"R", b"\x81"]))

    def filled(self) -> None:
        """An array whose state is anything."""
        self.steps.append(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01")
        self.again()
        self.steps.append(b"cnumpy\ndtype\nU\x02f4\x85R\x89")
        self.one_of([self.leaf, self.again])()
        self.steps.append(b"tb")


def shared(random: Random) -> Any:
    """A small value that is large once it is written out: lists of one list, one array or one text many times."""
    inner: Any = [0.5, [1.0], np.zeros(1000, np.float32), "x" * 1000, (1, 2)][random.integers(5)]
    for _ in range(random.integers(1, 40)):
        inner = [inner] * int(random.integers(1, 4))
    return tuple(inner) if random.random() < 0.3 else inner
