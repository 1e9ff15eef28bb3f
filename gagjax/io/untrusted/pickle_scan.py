"""Scan a pickle's opcodes without executing them, to bound the cost of executing them afterwards.

Opcodes and argument sizes come from `pickletools`. Of the stack only the relevant costs are tracked: the work to hash
each object (a dict key that is a tuple of one tuple twice, of one tuple twice ..., is hashed element by element), the
memory of the objects, and the size of the memo that the file requests.
"""

from __future__ import annotations

import pickletools
import struct
from typing import Any

#: The objects of a file of n bytes may take at most GROWTH * n + ALLOWANCE bytes.
GROWTH = 4
ALLOWANCE = 1 << 28
STEPS = 30_000_000
DIGITS = 45  # maximum length of a number written as text
INTEGER = 17  # maximum bytes of an integer: 128 bits and a sign
KEY_WEIGHT = 64  # maximum number of objects in a dict key
ODD_KEYS = 10_000  # maximum number of keys other than text and short numbers, whose hashes can be made to collide
TEXT_LINE = 1 << 16  # maximum bytes of a name or a memo index; text itself may be longer

_STEPS = {ord(step.code): step for step in pickletools.opcodes}
_FORBIDDEN = {"EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER"}
_PLAIN, _OBJECT = 0, 1  # hashed in constant time without collisions; everything else except tuples
_PUSHES = {
    **dict.fromkeys(("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"), (_PLAIN, 8)),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE"), (_PLAIN, 64)),
    **dict.fromkeys(("BINUNICODE", "BINUNICODE8", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES"), (_PLAIN, 64)),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), (_OBJECT, 32)),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_DICT", "BYTEARRAY8"), (_OBJECT, 72)),
    **dict.fromkeys(("GLOBAL", "PERSID"), (_OBJECT, 64)),
    "EMPTY_TUPLE": (_OBJECT, 0),
    "EMPTY_SET": (_OBJECT, 224),
}
_POPS = {"APPEND": 1, "BUILD": 1, "STACK_GLOBAL": 2, "REDUCE": 2, "NEWOBJ": 2, "NEWOBJ_EX": 3, "BINPERSID": 1}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: "<B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}


class ScanError(Exception):
    """Why a pickle is refused, as a clause that follows "was refused: "."""


def check(data: bytes) -> None:
    """Scan every opcode of a pickle.

    Args:
        data: The whole pickle.

    Raises:
        ScanError: If it is truncated, has an opcode that no array file needs, or would take too much memory or time.

    Example:
        >>> check(b"]q\\x00.")
        >>> check(b"J\\x01.")
        Traceback (most recent call last):
        gagjax.io.untrusted.pickle_scan.ScanError: it is cut off, or declares more data than it holds
    """
    try:
        _Scan(data).run()
    except (IndexError, KeyError, struct.error, ValueError) as error:
        raise ScanError("its steps make no sense") from error


class _Scan:
    """The stack of weights during a scan."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.left = GROWTH * len(data) + ALLOWANCE
        self.stack: list[int] = []
        self.below: list[list[int]] = []  # the stack below each mark
        self.memo: dict[int, int] = {}
        self.odd = 0

    def run(self) -> None:
        for _ in range(STEPS):
            if self.at >= len(self.data):
                raise ScanError("it is cut off")
            step = _STEPS.get(self.data[self.at])
            if step is None or step.name in _FORBIDDEN:
                raise ScanError("it uses a step that no array file needs")
            self.at += 1
            start, end = self._argument(step)
            if end > len(self.data):
                raise ScanError("it is cut off, or declares more data than it holds")
            if step.name == "STOP":
                self.stack.pop()
                return
            self._take(step.name, start, end)
            if self.left < 0:
                raise ScanError("it makes far more data than it holds")
        raise ScanError(f"it has more than {STEPS:,} steps")

    def _argument(self, step: Any) -> tuple[int, int]:
        """The span of the opcode's argument, without its length prefix; the next opcode follows."""
        start = self.at
        if step.arg is None:
            return start, start
        size = step.arg.n
        if size >= 0:
            self.at = start + size
        elif size == pickletools.UP_TO_NEWLINE:
            for _ in range(2 if step.name == "GLOBAL" else 1):
                # `index` raises if there is no end of line.
                limit = None if step.name in ("STRING", "UNICODE") else self.at + TEXT_LINE
                self.at = self.data.index(b"\n", self.at, limit) + 1
        else:
            kind = _LENGTHS[size]
            (length,) = struct.unpack_from(kind, self.data, start)
            if length < 0:
                raise ScanError("it declares a negative length")
            start += struct.calcsize(kind)
            self.at = start + length
        return start, self.at

    def _take(self, name: str, start: int, end: int) -> None:
        stack = self.stack
        if name in _PUSHES:
            weight, size = _PUSHES[name]
            # Decoded non-ASCII text takes up to four bytes per character.
            self._push(weight, size + (0 if name in ("GLOBAL", "FRAME") else end - start))
        elif name in _PUTS:
            self._put(name, start, end)
        elif name in _GETS:
            self._push(self.memo[self._number(name, start, end)], 8)
        elif name in _TUPLES:
            self._tuple([stack.pop() for _ in range(_TUPLES[name])])
        elif name in _POPS:
            for _ in range(_POPS[name]):
                stack.pop()
            if name in ("APPEND", "BUILD"):
                stack[-1]
            else:
                self._push(_OBJECT, 128)
        elif name in ("INT", "LONG", "LONG1", "LONG4"):
            text = name in ("INT", "LONG")
            if end - start > (DIGITS if text else INTEGER):
                raise ScanError("it holds a number of absurd length")
            self._push(_PLAIN if end - start <= (17 if text else 7) else _OBJECT, 40)
        else:
            self._take_many(name)

    def _take_many(self, name: str) -> None:
        """The opcodes that work on the items above the mark, and on the stack itself."""
        if name == "MARK":
            self.below.append(self.stack)
            self.stack = []
            self.left -= 64
        elif name == "TUPLE":
            self._tuple(self._above())
        elif name in ("LIST", "DICT", "FROZENSET"):
            items = self._above()
            if name != "LIST":
                self._keys(items[::2] if name == "DICT" else items)
            self._push(_OBJECT, 224 + 32 * len(items))
        elif name in ("APPENDS", "SETITEMS", "ADDITEMS"):
            items = self._above()
            if name != "APPENDS":
                self._keys(items[::2] if name == "SETITEMS" else items)
            self.stack[-1]
            self.left -= 64 * len(items) if name != "APPENDS" else 8 * len(items)
        elif name == "SETITEM":
            self.stack.pop()
            self._keys([self.stack.pop()])
            self.stack[-1]
            self.left -= 64
        elif name == "DUP":
            self._push(self.stack[-1], 8)
        elif name == "POP":
            if self.stack:
                self.stack.pop()
            else:
                self.stack = self.below.pop()
        elif name == "POP_MARK":
            self._above()
        elif name not in ("PROTO", "FRAME"):
            raise ScanError("it uses a step that no array file needs")

    def _push(self, weight: int, size: int) -> None:
        self.stack.append(weight)
        self.left -= size

    def _above(self) -> list[int]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _tuple(self, items: list[int]) -> None:
        # A tuple weighs one more than its items; beyond the limit the exact weight is irrelevant.
        self._push(min(1 + sum(max(item, 1) for item in items), 1 << 32), 48 + 8 * len(items))

    def _put(self, name: str, start: int, end: int) -> None:
        number = len(self.memo) if name == "MEMOIZE" else self._number(name, start, end)
        if not 0 <= number <= len(self.data):
            raise ScanError("it numbers its objects absurdly")
        self.memo[number] = self.stack[-1]
        self.left -= 16

    def _number(self, name: str, start: int, end: int) -> int:
        if name in ("PUT", "GET"):
            return int(self.data[start : min(end, start + DIGITS)])
        return int.from_bytes(self.data[start:end], "little")

    def _keys(self, items: list[int]) -> None:
        self.odd += sum(1 for item in items if item)
        if any(item > KEY_WEIGHT for item in items):
            raise ScanError("it holds a key made of absurdly many parts")
        if self.odd > ODD_KEYS:
            raise ScanError("it holds more keys that are neither text nor whole numbers than any array file")
